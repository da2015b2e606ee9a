"""A Redis Cluster: who is asked, and what slots that move and masters that die do to the stores."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
import redis
from redis.crc import key_slot
from redis.exceptions import AskError, MovedError, NoScriptError, TryAgainError

from connectors.redis_client import RedisAddress
from connectors.redis_cluster import ASKING, Command, Slots, routed
from connectors.redis_layout import partition_key
from connectors.redis_ports import RedisPorts
from connectors.redis_restart import MARK_SHA
from engine.ports import (
    Applied,
    Cap,
    Claim,
    Output,
    OutputKind,
    PortError,
    Position,
    SessionState,
    StateBatch,
    StateStore,
)
from engine.regime import Regime
from tools.redis_cluster import RedisCluster, wait_for
from tools.redis_server import RedisServer

A, B, C = ("a", 1), ("b", 1), ("c", 1)
GET: Command = (("GET", "k"), {})
POSITION = partition_key("salience:", 0, "position")


def slots() -> Slots:
    made = Slots([A])
    made.take(A, [(0, 16_383, (b"", 1, b"id"))])
    return made


# ------------------------------------------------------------------------------------------------- who is asked


def test_a_slot_that_has_moved_is_asked_for_where_it_is_from_now_on():
    known = slots()
    steps = routed(known, [GET])
    assert next(steps) == {A: [GET]}
    assert steps.send({A: [MovedError(f"{key_slot(b'k')} b:1")]}) == {B: [GET]}
    with pytest.raises(StopIteration) as done:
        steps.send({B: [b"v"]})
    assert done.value.value == [b"v"]
    assert next(routed(known, [GET])) == {B: [GET]}
    assert next(routed(known, [(("GET", "other"), {})])) == {A: [(("GET", "other"), {})]}


def test_of_a_slot_on_its_way_one_command_is_asked_of_the_other_node_even_of_one_without_slots():
    known = slots()
    steps = routed(known, [GET, (("GET", "other"), {})])
    next(steps)
    assert steps.send({A: [AskError(f"{key_slot(b'k')} b:1"), b"o"]}) == {B: [ASKING, GET]}
    with pytest.raises(StopIteration) as done:
        steps.send({B: [b"OK", b"v"]})
    assert done.value.value == [b"v", b"o"]
    assert next(routed(known, [GET])) == {A: [GET]}


def test_keys_that_are_on_two_nodes_are_asked_for_again_after_a_moment_a_few_times_only():
    steps = routed(slots(), [GET])
    waits = 0
    step: Any = next(steps)
    with pytest.raises(StopIteration) as done:  # noqa: PT012  # it ends when it has tried often enough
        while True:
            waits += isinstance(step, float)
            step = steps.send({} if isinstance(step, float) else {A: [TryAgainError("TRYAGAIN")]})
    assert waits > 1
    assert isinstance(done.value.value[0], TryAgainError)


def test_a_script_that_a_node_does_not_know_goes_along():
    known = slots()
    known.scripts["sha"] = "return 1"
    steps = routed(known, [(("EVALSHA", "sha", 1, "k", "x"), {})])
    next(steps)
    assert steps.send({A: [NoScriptError("NOSCRIPT")]}) == {A: [(("EVAL", "return 1", 1, "k", "x"), {})]}


def test_after_a_node_did_not_answer_another_one_is_asked_who_has_what_and_nothing_is_sent_twice():
    known = Slots([A, B])
    known.take(A, [(0, 16_383, (b"a", 1, b"id"), (b"b", 1, b"id"))])
    steps = routed(known, [(("SET", "k", "v"), {})])
    next(steps)
    with pytest.raises(redis.ConnectionError):
        steps.send({A: redis.ConnectionError("gone")})
    steps = routed(known, [GET])
    assert next(steps) == {B: [(("CLUSTER SLOTS",), {})]}
    assert steps.send({B: [[(0, 16_383, (b"b", 1, b"id"))]]}) == {B: [GET]}


def test_commands_of_many_slots_go_to_their_nodes_in_one_step_and_come_back_in_order():
    known = Slots([A])
    half = 8_192
    known.take(A, [(0, half - 1, (b"b", 1, b"id")), (half, 16_383, (b"c", 1, b"id"))])
    commands: list[Command] = [(("GET", f"k{n}"), {}) for n in range(20)]
    steps = routed(known, commands)
    sent: Any = next(steps)
    assert set(sent) == {B, C}
    with pytest.raises(StopIteration) as done:
        steps.send({node: [arguments[1] for arguments, _ in asked] for node, asked in sent.items()})
    assert done.value.value == [f"k{n}" for n in range(20)]


# ---------------------------------------------------------------------------------------------- addresses, errors


def test_an_address_names_nodes_and_keeps_user_and_options_for_each():
    address = RedisAddress("rediss+cluster://anna@r1:7000,r2,[::1]:7001?ssl_ca_certs=ca.pem")
    assert address.shown == "r1:7000,r2:6379,::1:7001"
    with closing(address.connect()) as client:
        node = client._connect(("10.0.0.9", 7002))  # type: ignore[attr-defined]  # how it reaches one that it heard of
        options = node.connection_pool.connection_kwargs
        assert (options["host"], options["port"], options["username"]) == ("10.0.0.9", 7002, "anna")
        assert options["ssl_ca_certs"] == "ca.pem"


def test_an_address_without_a_node_is_refused():
    with pytest.raises(PortError, match="names no node"):
        RedisAddress("redis+cluster:///0").connect()


def test_a_server_that_is_no_cluster_is_named(redis_server):
    ports = RedisPorts(f"redis+cluster://127.0.0.1:{redis_server.port}", partitions=1)
    with closing(ports.state()) as state, pytest.raises(PortError, match="cluster support disabled"):
        state.position(0)


def test_a_node_that_is_addressed_as_a_server_of_its_own_says_how_to_name_it(redis_cluster):
    url = f"redis://127.0.0.1:{redis_cluster.servers[0].port}"
    with (
        closing(RedisPorts(url, partitions=9).state()) as state,
        pytest.raises(PortError, match=r"is a node of a cluster: name it as redis\+cluster://127"),
    ):
        [state.position(number) for number in range(9)]


@pytest.mark.usefixtures("redis_required")
def test_a_cluster_that_is_gone_is_named_and_found_when_it_is_there(tmp_path):
    cluster = RedisCluster(tmp_path, replicas=0)
    ports = RedisPorts(cluster.url, partitions=1, patient_ms=2_000)
    with closing(ports.state()) as state:
        with pytest.raises(PortError, match=r"Redis at 127.0.0.1:\d+,.*none of its nodes answers"):
            state.position(0)
        with cluster:
            assert state.position(0) == Position(0, 0)


# --------------------------------------------------------------------------------------- slots that move, failover


@pytest.fixture(scope="module")
def cluster(redis_required, tmp_path_factory) -> Iterator[RedisCluster]:
    with RedisCluster(tmp_path_factory.mktemp("cluster")) as made:
        yield made


@pytest.fixture
def ports(cluster) -> RedisPorts:
    cluster.flush()
    return RedisPorts(cluster.url, partitions=1)


def a_batch(first: int, last: int) -> StateBatch:
    """Events `first` to before `last`, each of a session of its own that is due at once."""
    sessions = {f"s{number}": SessionState(b"%d" % last, last, number) for number in range(first, last)}
    outputs = [Output("o", OutputKind.TRIGGER, "s1", b"v", first)]
    regime = Regime(first, 0, 1, "bundle", {}, 0)
    seen = [f"e{number}" for number in range(first, last)]
    return StateBatch(0, 1, first, last, sessions, seen, outputs, last, regime=regime)


ORDERS = pytest.mark.parametrize("order", [lambda each: each, lambda each: b"}:s:" in each or b"}:t:" in each])


@ORDERS
def test_while_a_slot_moves_a_partition_says_what_is_so_or_nothing(cluster, ports, order):
    """After each single key: what a store answers is right, or an error. A session is never gone, nor a timer."""
    seen: dict[str, int] = {"right": 0, "refused": 0}

    def look(state: StateStore) -> None:
        calls = [
            lambda: state.due(0, 100, 100) == [f"s{n}" for n in range(10)],
            lambda: set(state.load(0, [f"s{n}" for n in range(10)])) == {f"s{n}" for n in range(10)},
            lambda: set(state.load(0, ["s7"])) == {"s7"},
            lambda: state.seen(0, ["e3", "x"]) == {"e3"},
            lambda: state.position(0).offset == 10,
            lambda: set(state.copy(0).sessions) == {f"s{n}" for n in range(10)},
        ]
        for is_right in calls:
            try:
                assert is_right()
                seen["right"] += 1
            except PortError:
                seen["refused"] += 1

    with closing(ports.state()) as state:
        state.claim(0, 1)
        assert state.apply(a_batch(0, 10)) is Applied.APPLIED
        cluster.move(POSITION, between=lambda: look(state), order=order)
        assert seen["right"]
        assert seen["refused"]
        before = dict(seen)
        look(state)
        assert seen == {"right": before["right"] + 6, "refused": before["refused"]}
        assert state.apply(a_batch(10, 12)) is Applied.APPLIED
        assert state.apply(a_batch(10, 12)) is Applied.REWIND


@ORDERS
def test_while_their_slot_moves_what_was_taken_for_good_is_not_given_back(cluster, ports, order):
    """Whether a hold was confirmed is read from a key that a script does not name, and that may be on the other node."""
    caps = (Cap("a", 8, 1, sliding=60_000),)
    seen = {"right": 0, "refused": 0}

    def look(limits, now: int) -> None:
        try:
            assert limits.used(caps, now) == [8]
            seen["right"] += 1
        except PortError:
            seen["refused"] += 1

    with closing(ports.limits()) as limits:
        tokens = [f"t{number}" for number in range(8)]
        assert all(each.granted for each in limits.take([Claim(each, caps) for each in tokens], 8, 1_000, 500))
        assert all(limits.confirm(each, 1_001) for each in tokens)
        # the holds have run out meanwhile
        cluster.move("salience:{limits}", between=lambda: look(limits, 1_600), order=order)
        assert seen["refused"]
        look(limits, 1_700)
        assert seen["right"]
        assert not limits.take([Claim("more", caps)], 1, 1_800, 500)[0].granted


def test_decisions_are_read_while_a_master_dies_and_after(cluster, ports):
    """The asynchronous client: errors in between, then the replica's answer; the same client throughout."""
    key = partition_key("salience:", 0, "s:s1")
    with closing(ports.state()) as state:
        state.claim(0, 1)
        state.apply(a_batch(0, 3))
    wait_for(lambda: cluster.command(cluster.replica(key), "DBSIZE") == cluster.command(cluster.master(key), "DBSIZE"))

    async def read() -> None:
        decisions = RedisPorts(cluster.url, partitions=1, timeout_ms=2_000).decision_state()
        view = await decisions.read("s1", "c1")
        assert view.state is not None
        killed = await asyncio.to_thread(cluster.fail_over, key)
        for attempt in range(50):
            try:
                view = await decisions.read("s1", "c1", ["e1", "x"])
                break
            except PortError:
                assert attempt < 49
        assert view.state is not None
        assert view.state.snapshot == b"3"
        assert view.seen == {"e1"}
        verdicts = await decisions.take([Claim("t", (Cap("c", 1, 1),))], 1, 1, None)
        assert [each.granted for each in verdicts] == [True]
        await decisions.close()
        killed.start()
        cluster.wait_until_whole()

    asyncio.run(read())


def test_a_node_that_has_just_become_a_master_gets_scripts_and_a_new_file(cluster, ports):
    """What a crash of it may tear later is guarded as on any server that starts."""
    with closing(ports.state()) as state:
        state.claim(0, 1)
        state.apply(a_batch(0, 3))
        follower: RedisServer = cluster.replica(POSITION)
        wait_for(lambda: cluster.command(follower, "INFO", "replication").count(b"master_link_status:up") == 1)
        killed = cluster.fail_over(POSITION)
        for attempt in range(50):
            try:
                position = state.position(0)
                break
            except PortError:
                assert attempt < 49
        batch = a_batch(position.offset, position.offset + 2)
        assert state.apply(batch) is Applied.APPLIED
    assert cluster.command(follower, "SCRIPT", "EXISTS", MARK_SHA) == [1]
    killed.start()
    cluster.wait_until_whole()
