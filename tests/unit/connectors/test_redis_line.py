"""What is kept of connections, and what goes out as one text: what breaks is noticed, and costs one call at most."""

from __future__ import annotations

import asyncio
import time

import pytest
from redis import ConnectionError, Redis, ResponseError  # noqa: A004 - as the library names it

from connectors.redis_client import RedisAddress
from connectors.redis_decisions import RedisDecisions, RedisDecisionWriter
from connectors.redis_line import Line, send
from engine.ports import PortError
from tools.redis_server import RedisServer

pytestmark = pytest.mark.redis


async def reading(address, *steps):
    """What a line reads of two keys after each of the steps; the class of the error where it can't."""
    client = address.connect_async()
    line = Line(address, client)
    found: list[object] = []
    try:
        for step in steps:
            await asyncio.to_thread(step)
            try:
                with address.explained():
                    found += await line.mget(["a", "b"])
            except PortError as error:
                found.append(str(error))
    finally:
        await line.close()
        await client.aclose()
    return found


def test_values_come_in_the_order_of_the_keys_and_what_is_not_there_is_none(redis_url):
    address = RedisAddress(redis_url)
    with Redis.from_url(redis_url) as client:
        found = asyncio.run(
            reading(address, lambda: client.set("b", b"\x00\xff"), lambda: client.set("a", "1"), lambda: None)
        )
    assert found == [[None, b"\x00\xff"], [b"1", b"\x00\xff"], [b"1", b"\x00\xff"]]


def test_a_connection_that_was_closed_meanwhile_is_made_anew_before_it_is_asked(redis_url):
    address = RedisAddress(redis_url)
    with Redis.from_url(redis_url) as client:

        def close_all_others():
            client.client_kill_filter(_type="normal", skipme=True)
            time.sleep(0.05)

        found = asyncio.run(reading(address, lambda: client.set("a", "1"), close_all_others, close_all_others))
    assert found == [[b"1", None]] * 3


def test_a_server_that_says_nothing_is_given_up_and_asked_anew(redis_required, tmp_path):
    with RedisServer(tmp_path) as server:
        address = RedisAddress(server.url, timeout_ms=200)
        with Redis.from_url(server.url) as client:
            found = asyncio.run(
                reading(
                    address,
                    lambda: client.set("a", "1"),
                    lambda: client.execute_command("CLIENT", "PAUSE", "600", "ALL"),
                    lambda: time.sleep(0.7),
                )
            )
    assert found[0] == found[2] == [b"1", None]
    assert "did not answer within 200 ms" in found[1]


def test_what_is_asked_before_the_connection_is_there_and_while_more_is_under_way_gets_its_own_replies(redis_url):
    async def asked():
        address = RedisAddress(redis_url)
        client = address.connect_async()
        line = Line(address, client)
        try:
            coming = [line.send([("SET", f"k{n}", n), ("INCR", f"k{n}")]) for n in range(50)]
            coming.append(line.send([("LPUSH", "k1", "x"), ("GET", "k1")]))
            found = await asyncio.gather(*coming)
            coming = [line.mget([f"k{n}"]) for n in range(50)]
            coming[7].cancel()
            return found, await asyncio.gather(*coming, return_exceptions=True)
        finally:
            await line.close()
            await client.aclose()

    found, read = asyncio.run(asked())
    assert found[:-1] == [[b"OK", n + 1] for n in range(50)]
    assert isinstance(found[-1][0], ResponseError)
    assert found[-1][1] == b"2"
    assert isinstance(read.pop(7), asyncio.CancelledError)
    assert read == [[[b"%d" % (n + 1)]] for n in range(50) if n != 7]


def test_a_line_that_is_closed_fails_who_waits(redis_url):
    async def closing():
        address = RedisAddress(redis_url)
        client = address.connect_async()
        line = Line(address, client)
        await line.mget(["a"])
        waiting = line.ask(b"*3\r\n$5\r\nBLPOP\r\n$4\r\nnone\r\n$1\r\n5\r\n", 1)
        await line.close()
        await client.aclose()
        await waiting

    with pytest.raises(ConnectionError):
        asyncio.run(closing())


ENTRIES = [
    ((f"d{n}", f"s{n % 3}", 1_000 + n, b'{"n":%d}' % n), b"made of %d" % n if n % 2 else None) for n in range(150)
]


def test_decisions_written_from_an_event_loop_are_found_as_those_of_a_thread(redis_url):
    async def written():
        writer = RedisDecisionWriter(RedisAddress(redis_url))
        try:
            await writer.append(ENTRIES)
            await writer.append([])
            await writer.append(ENTRIES[:70])
        finally:
            await writer.close()

    asyncio.run(written())
    log = RedisDecisions(RedisAddress(redis_url))
    try:
        assert log.get("d149") == b'{"n":149}'
        assert (log.inputs("d149"), log.inputs("d148")) == (b"made of 149", None)
        assert log.of_session("s1", 3) == [b'{"n":148}', b'{"n":145}', b'{"n":142}']
        assert len(log.recent(1_000)) == 150
    finally:
        log.close()


def test_decisions_that_a_server_refuses_are_not_taken_for_written(redis_url):
    async def written():
        writer = RedisDecisionWriter(RedisAddress(redis_url))
        try:
            await writer.append(ENTRIES[:2])
        finally:
            await writer.close()

    with Redis.from_url(redis_url) as client:
        client.set("salience:decisions", "no sorted set")
    with pytest.raises(PortError, match="WRONGTYPE"):
        asyncio.run(written())


def test_what_is_sent_in_one_text_is_done_and_a_refusal_is_raised_after_all_replies_are_read(redis_url):
    address = RedisAddress(redis_url)
    with address.connect() as client:
        send(address, client, [("SET", "a", b"\x00", "PX", 60_000), ("ZADD", "z", 3, "m")])
        with pytest.raises(PortError, match="WRONGTYPE"):
            send(address, client, [("ZADD", "a", 1, "m"), ("SET", "b", "2")])
        assert client.mget("a", "b") == [b"\x00", b"2"]
        assert client.zscore("z", "m") == 3
        assert 0 < client.pttl("a") <= 60_000


class Routing(Redis):
    """A client that knows itself where commands go, as that of a cluster does."""


def test_a_client_that_routes_sends_the_commands_itself_with_the_same_outcome(redis_url):
    address = RedisAddress(redis_url)
    with Routing.from_url(redis_url) as client:
        send(address, client, [("SET", "a", b"\x00"), ("ZADD", "z", 3, "m")])
        assert (client.get("a"), client.zscore("z", "m")) == (b"\x00", 3)
        with pytest.raises(PortError, match="WRONGTYPE"):
            send(address, client, [("ZADD", "a", 1, "m")])


def test_what_can_not_be_sent_names_the_server(redis_required, tmp_path):
    with RedisServer(tmp_path) as server:
        address = RedisAddress(server.url)
        client = address.connect()
        send(address, client, [("SET", "a", "1")])
    with client, pytest.raises(PortError, match=r"127\.0\.0\.1"):
        send(address, client, [("SET", "a", "2")])
