"""Redis ports: what they alone promise."""

from __future__ import annotations

import asyncio
import time
from contextlib import closing

import pytest
from redis import Redis
from redis.crc import key_slot

from connectors.redis_client import RedisAddress
from connectors.redis_layout import BUCKET_MS, BUCKETS
from connectors.redis_ports import RedisPorts
from connectors.redis_state import RedisState
from engine.ports import Applied, Cap, Claim, Output, OutputKind, PortError, SessionState, StateBatch
from tools.redis_server import RedisServer

NOW = 1_700_000_000_000
DAY_MS = 86_400_000


@pytest.fixture
def server(redis_url):
    with closing(Redis.from_url(redis_url)) as client:
        yield client


@pytest.fixture
def ports(redis_url) -> RedisPorts:
    return RedisPorts(redis_url, partitions=4, timeout_ms=10_000)


def a_batch(**parts) -> StateBatch:
    outputs = [Output("o", OutputKind.TRIGGER, "s", b"v", 1)]
    start = {"sessions": {"s": SessionState(b"x", 1, 5, "c")}, "seen": ["e"], "outputs": outputs, "watermark": 1}
    return StateBatch(2, 1, 0, 10, **{**start, **parts})


def test_all_keys_of_a_partition_and_all_keys_of_limits_share_a_slot(ports, server):
    with closing(ports.state()) as state:
        state.claim(2, 1)
        state.apply(a_batch())
    with closing(ports.limits()) as limits:
        caps = (Cap("a", 5, 1), Cap("b", 5, 1, sliding=1_000), Cap("c", 5, 1, bucket=NOW, expires=NOW + 1))
        limits.take([Claim("t", caps)], 1, NOW, 1_000)
    with closing(ports.tables()) as tables:
        tables.put("users", "k", b"v")
    keys = {key.decode() for key in server.scan_iter()}
    assert all(key.startswith("salience:{") for key in keys), keys
    slots: dict[str, set[int]] = {}
    for key in keys:
        slots.setdefault(key[: key.index("}")], set()).add(key_slot(key.encode()))
    assert set(slots) == {"salience:{p:2", "salience:{limits", "salience:{t:users"}
    assert all(len(found) == 1 for found in slots.values())


def test_no_script_reaches_over_slots(redis_required, tmp_path):
    """A server in cluster mode refuses a script or command whose keys lie in different slots."""
    with RedisServer(tmp_path, settings={"cluster-enabled": "yes"}) as server:
        with closing(Redis.from_url(server.url)) as client:
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            while b"cluster_state:ok" not in client.execute_command("CLUSTER", "INFO"):
                time.sleep(0.01)
        ports = RedisPorts(server.url.replace("redis:", "redis+cluster:"), partitions=4)
        with closing(ports.state()) as state:
            assert state.claim(2, 1) is not None
            assert state.apply(a_batch()) is Applied.APPLIED
            assert state.apply(a_batch(sessions={"s": SessionState(None, 2, None)})) is Applied.REWIND
            assert set(state.load(2, ["s", "t", "u"])) == {"s"}
            assert set(state.seen(2, ["e"])) == {"e"}
            assert list(state.due(2, 10, 10)) == ["s"]
            assert [session for session, _ in state.recent(10)] == ["s"]
            state.replace(state.copy(2))
            assert set(state.copy(2).sessions) == {"s"}
            assert list(state.regimes(2)) == []
        with closing(ports.limits()) as limits:
            caps = (Cap("a", 5, 1), Cap("b", 5, 1, sliding=1_000))
            claims = [Claim("t", caps), Claim("u", caps)]
            assert [verdict.granted for verdict in limits.take(claims, 2, NOW, 500)] == [True, True]
            assert limits.confirm("t", NOW + 1)
            assert limits.used(caps, NOW + 500) == [1, 1]
        with closing(ports.tables()) as tables:
            assert tables.put("users", "k", b"v") == 1
            assert list(tables.rows("users")) == ["k"]


def test_everything_but_profiles_tables_and_positions_expires_or_is_bounded(ports, server):
    with closing(ports.state()) as state:
        state.claim(2, 1)
        state.apply(a_batch())
    with closing(ports.limits()) as limits:
        caps = (Cap("a", 5, 1), Cap("b", 5, 1, sliding=1_000), Cap("c", 5, 1, bucket=NOW, expires=NOW + 1))
        limits.take([Claim("t", caps)], 1, NOW, 1_000)
    with closing(ports.decisions()) as decisions:
        decisions.append([("d", "s", NOW, b"{}")])
    with closing(ports.activity()) as activity:
        activity.add(1, {"k": 1})
    lasting = {key.decode().removeprefix("salience:") for key in server.scan_iter() if server.pttl(key) < 0}
    bounded = {"activity", "decisions"}
    of_partition = {f"{{p:2}}:{name}" for name in ("position", "due", "recent", "outbox", "seen:0")}
    assert lasting == bounded | of_partition


def test_a_partition_whose_replacing_was_cut_off_can_not_be_used_until_it_is_done(redis_url, monkeypatch):
    address = RedisAddress(redis_url, timeout_ms=10_000)
    with closing(RedisState(address, 4)) as state:
        state.claim(2, 1)
        state.apply(a_batch())
        copy = state.copy(2)
        with monkeypatch.context() as patched:
            patched.setattr("connectors.redis_copies.RedisCopies._finish", lambda *_: None)
            state.replace(copy)
        for use in (lambda: state.claim(2, 9), lambda: state.position(2), lambda: state.copy(2)):
            with pytest.raises(PortError, match="partition 2 is being replaced, by `salience rebuild`"):
                use()
        assert state.apply(a_batch()) is Applied.FENCED
        state.replace(copy)
        assert state.copy(2) == copy
        assert state.claim(2, 2) == copy.position, "the owner is fenced once, not at each try"


def test_ids_leave_by_buckets_and_never_before_24_hours(redis_url, server):
    """Whatever the watermark does, each id is known while the watermark is less than 24 hours further."""
    steps = [
        0,
        BUCKET_MS - 1,
        1,
        3 * BUCKET_MS,
        BUCKET_MS,
        BUCKET_MS,
        7 * BUCKET_MS,
        5,
        4 * BUCKET_MS - 5,
        60 * BUCKET_MS,
    ]
    with closing(RedisState(RedisAddress(redis_url, timeout_ms=10_000), 1)) as state:
        state.claim(0, 1)
        watermark, written = NOW, {}
        for number, step in enumerate(steps):
            watermark += step
            written[f"e{number}"] = watermark
            state.apply(StateBatch(0, 1, number, number + 1, {}, [f"e{number}"], [], watermark))
            known = set(state.seen(0, list(written)))
            for id_, time in written.items():
                if watermark - time < DAY_MS:
                    assert id_ in known
                if watermark - time >= BUCKETS * BUCKET_MS:
                    assert id_ not in known
    assert sum(server.scard(key) for key in server.scan_iter("*seen*")) == 1


def test_a_watermark_that_goes_back_forgets_nothing(redis_url):
    with closing(RedisState(RedisAddress(redis_url, timeout_ms=10_000), 1)) as state:
        state.claim(0, 1)
        for number, watermark in enumerate([NOW, NOW + DAY_MS // 2, NOW]):
            state.apply(StateBatch(0, 1, number, number + 1, {}, [f"e{number}"], [], watermark))
        assert set(state.seen(0, ["e0", "e1", "e2"])) == {"e0", "e1", "e2"}


def test_a_session_that_expired_is_not_due_for_ever(ports, server):
    with closing(ports.state()) as state:
        state.claim(2, 1)
        sessions = {f"s{i}": SessionState(b"x", 1, i) for i in range(6)}
        state.apply(a_batch(sessions=sessions))
        server.delete("salience:{p:2}:s:s0", "salience:{p:2}:s:s1", "salience:{p:2}:s:s3")
        assert list(state.due(2, 100, 2)) == ["s2", "s4"]
        assert list(state.due(2, 100, 10)) == ["s2", "s4", "s5"]
        assert [session for session, _ in state.recent(10)] == ["s2", "s4", "s5"]
        assert server.zcard("salience:{p:2}:due") == 3


def test_a_confirmed_act_stays_taken_when_its_reminder_is_met(ports, server):
    """The reminder of a hold is only looked at when its time comes: confirming and prolonging leave it alone."""
    cap = Cap("c", 2, 1)
    with closing(ports.limits()) as limits:
        limits.take([Claim("confirmed", (cap,)), Claim("prolonged", (cap,))], 2, NOW, 1_000)
        limits.confirm("confirmed", NOW + 1)
        limits.take([Claim("prolonged", (cap,))], 1, NOW + 500, 1_000)
        assert limits.used([cap], NOW + 1_000) == [2]
        assert limits.used([cap], NOW + 1_499) == [2]
        assert limits.used([cap], NOW + 1_500) == [1]
        assert server.zcard("salience:{limits}:h:e:c") == 0


def test_reads_of_one_turn_of_the_loop_share_a_round_trip(ports, server):
    async def work() -> None:
        state = ports.decision_state()
        await state.read("s", None)
        before = server.info("commandstats")["cmdstat_mget"]["calls"]
        await asyncio.gather(*(state.read(f"s{i}", "c") for i in range(50)))
        assert server.info("commandstats")["cmdstat_mget"]["calls"] == before + 1
        await state.close()

    asyncio.run(work())


def test_a_reader_that_gives_up_leaves_the_others_their_answer(ports):
    async def work() -> None:
        state = ports.decision_state()
        await state.put_grants("s", {"p": b"1"}, 60_000)
        tasks = [asyncio.create_task(state.read("s", None)) for _ in range(3)]
        await asyncio.sleep(0)
        tasks[1].cancel()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(found[1], asyncio.CancelledError)
        assert found[0] == found[2]
        await state.close()

    asyncio.run(work())


def test_user_password_and_options_stay_out_of_messages():
    address = RedisAddress("redis://ann:secret@127.0.0.1:1/3?client_name=secret", "secret")
    assert address.shown == "127.0.0.1:1"
    with (
        closing(RedisPorts(address.url, partitions=1, password="secret", patient_ms=50).tables()) as tables,
        pytest.raises(PortError) as caught,
    ):
        tables.version("t")
    assert "secret" not in str(caught.value)


def test_a_password_is_used_and_a_wrong_one_is_said(redis_required, tmp_path):
    with RedisServer(tmp_path, settings={"requirepass": "right"}) as server:
        with closing(RedisPorts(server.url, partitions=1, password="right").tables()) as tables:
            assert tables.version("t") == 0
        for password in ("wrong", None):
            with (
                closing(RedisPorts(server.url, partitions=1, password=password).tables()) as tables,
                pytest.raises(PortError, match="refuses user or password"),
            ):
                tables.version("t")


def test_an_address_that_is_none_is_refused_at_once():
    with pytest.raises(PortError, match="redis://"):
        RedisPorts("localhost:6379", partitions=1).tables()


def test_a_full_redis_is_named(redis_required, tmp_path):
    with (
        RedisServer(tmp_path, settings={"maxmemory": "1mb", "maxmemory-policy": "noeviction"}) as server,
        closing(RedisPorts(server.url, partitions=1).profiles()) as profiles,
        pytest.raises(PortError, match="is full; raise its maxmemory"),
    ):
        profiles.put({f"c{i}": bytes(1_000) for i in range(2_000)})
