"""A Redis that crashed in the midst of a batch, and crashes again: nothing of the torn batch comes back."""

from __future__ import annotations

import asyncio
import os
from contextlib import closing
from pathlib import Path

import pytest
from redis import Redis

from connectors.redis_client import RedisAddress
from connectors.redis_ports import RedisPorts
from engine.ports import Applied, Cap, Claim, Position, SessionState, StateBatch, StateStore
from tools.redis_server import RedisServer, RedisServerError

pytestmark = pytest.mark.redis

SETTINGS = {"appendonly": "yes", "appendfsync": "everysec", "aof-load-truncated": "yes"}


@pytest.fixture
def server(redis_required, tmp_path):
    with RedisServer(tmp_path, settings=SETTINGS) as server:
        yield server


def file_of(server: RedisServer) -> Path:
    """The append-only file that is written to."""
    return max(server.directory.glob("appendonlydir/*.incr.aof"), key=lambda each: int(each.name.split(".")[-3]))


def rewritten(server: RedisServer) -> None:
    """Wait until no rewriting is on its way."""
    with closing(Redis.from_url(server.url)) as client:
        while client.info("persistence")["aof_rewrite_in_progress"]:
            pass


def a_batch(first: int, last: int) -> StateBatch:
    """Events `first` to before `last`, each of a session of its own, whose state names the batch's end."""
    sessions = {f"s{number}": SessionState(b"as of %d" % last, last, None) for number in range(first, last)}
    return StateBatch(0, 1, first, last, sessions, [f"e{number}" for number in range(first, last)], [], last)


def claimed(state: StateStore) -> Position:
    position = state.claim(0, 1)
    assert position is not None
    return position


def test_the_end_of_a_torn_batch_does_not_join_the_next_one(server):
    """The second batch is shorter, as batches of a replay are: what is not in it must be as before the torn one."""
    _tear_a_batch(server)
    with closing(RedisPorts(server.url, partitions=1).state()) as state:
        assert claimed(state).offset == 4
        assert state.apply(a_batch(4, 5)) is Applied.APPLIED
    rewritten(server)
    _crash(server)
    _assert_stands_at_five(server)


def test_nor_where_redis_crashes_before_its_new_file_is_done(server):
    """Its next start ends after it has mended the former file; the one after that is good."""
    _tear_a_batch(server)
    with closing(Redis.from_url(server.url)) as client:
        client.config_set("rdb-key-save-delay", 10_000_000)  # rewriting takes 10 s a key
    with closing(RedisPorts(server.url, partitions=1).state()) as state:
        assert claimed(state).offset == 4
        assert state.apply(a_batch(4, 5)) is Applied.APPLIED
    server.kill()
    with pytest.raises(RedisServerError, match="the truncated file is not the last file"):
        server.start()
    server.start()
    _assert_stands_at_five(server)


def test_nor_after_another_store_has_written(server):
    """Limits are taken by the decision API, perhaps before a worker is there; asynchronously, too."""
    _tear_a_batch(server)

    async def take() -> None:
        state = RedisPorts(server.url, partitions=1, timeout_ms=10_000).decision_state()
        await state.take([Claim("t", (Cap("a", 5, 1), Cap("b", 5, 1)))], 1, 1, None)
        await state.close()

    asyncio.run(take())
    rewritten(server)
    _crash(server)
    with closing(RedisPorts(server.url, partitions=1).state()) as state:
        assert claimed(state).offset == 4
        assert sorted(state.load(0, [f"s{number}" for number in range(10)])) == ["s0", "s1", "s2", "s3"]


def test_one_new_file_for_each_start_of_the_server(server):
    address = RedisAddress(server.url)
    for _ in range(3):
        with closing(address.connect()) as client:
            client.set("a", "b")
        rewritten(server)
    assert file_of(server).name.split(".")[-3] == "2"
    _crash(server)
    with closing(address.connect()) as client:
        assert client.get("a") == b"b"
    rewritten(server)
    assert file_of(server).name.split(".")[-3] == "3"


def test_a_user_who_may_not_rewrite_is_told_and_goes_on(server, caplog):
    with closing(Redis.from_url(server.url)) as client:
        client.execute_command("ACL", "SETUSER", "anna", "on", "nopass", "~*", "&*", "+@all", "-bgrewriteaof")
    with closing(RedisAddress(server.url.replace("//", "//anna:x@")).connect()) as client:
        client.set("a", "b")
    assert "allow BGREWRITEAOF" in caplog.text


def _tear_a_batch(server: RedisServer) -> None:
    """Crash so that the file ends within the writes of a batch, of which four sessions are whole; start again."""
    with closing(RedisPorts(server.url, partitions=1).state()) as state:
        claimed(state)
        assert state.apply(a_batch(0, 4)) is Applied.APPLIED
        rewritten(server)
        file = file_of(server)
        before = file.stat().st_size
        assert state.apply(a_batch(4, 10)) is Applied.APPLIED
    torn = file.read_bytes().index(b":s:s8", before)
    server.kill()
    os.truncate(file, torn + 2)
    server.start()


def _crash(server: RedisServer) -> None:
    server.kill()
    server.start()


def _assert_stands_at_five(server: RedisServer) -> None:
    with closing(RedisPorts(server.url, partitions=1).state()) as state:
        assert claimed(state).offset == 5
        found = state.load(0, [f"s{number}" for number in range(10)])
    assert {each: found[each].snapshot for each in found} == {
        "s0": b"as of 4", "s1": b"as of 4", "s2": b"as of 4", "s3": b"as of 4", "s4": b"as of 5"
    }  # fmt: skip
