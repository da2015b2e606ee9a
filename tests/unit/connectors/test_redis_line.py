"""What is kept of connections, and what goes out as one text: what breaks is noticed, and costs one call at most."""

from __future__ import annotations

import asyncio
import time

import pytest
from redis import Redis

from connectors.redis_client import RedisAddress
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
