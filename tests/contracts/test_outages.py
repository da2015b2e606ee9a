"""What the stores on real servers do when a server is gone, silent or back: a clear error in bounded time, and on again."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from typing import Any

import pytest
import redis
from kafka.errors import KafkaError

from connectors.kafka_client import KafkaAddress
from connectors.kafka_port import ClientOptions
from connectors.kafka_ports import KafkaPorts
from connectors.redis_ports import RedisPorts
from engine.ports import (
    Applied,
    Cap,
    Claim,
    NewRecord,
    Output,
    OutputKind,
    Place,
    PortError,
    SessionState,
    StateBatch,
    Turn,
)
from tests.contracts.backends import LIBRARIES
from tests.contracts.test_event_streams import append, collect, join
from tools.kafka.kafka_cluster import KafkaCluster
from tools.redis_server import RedisServer

CLAIM = Claim("t", (Cap("c", 1, 1),))

CALLS: dict[str, list[Any]] = {
    "state": [
        lambda port: port.claim(0, 1),
        lambda port: port.load(0, ["s"]),
        lambda port: port.seen(0, ["e"]),
        lambda port: port.apply(StateBatch(0, 1, 0, 1, {"s": SessionState(b"x", 1, 1)}, ["e"], [], 0)),
        lambda port: port.outbox(0),
        lambda port: port.trim(0, 1),
        lambda port: port.due(0, 1, 1),
        lambda port: port.recent(1),
    ],
    "limits": [
        lambda port: port.take([CLAIM], 1, 1, None),
        lambda port: port.confirm("t", 1),
        lambda port: port.used(CLAIM.caps, 1),
    ],
    "profiles": [lambda port: port.get(["c"]), lambda port: port.put({"c": b"{}"})],
    "decisions": [
        lambda port: port.append([("d", "s", 1, b"{}")]),
        lambda port: port.get("d"),
        lambda port: port.of_session("s", 1),
        lambda port: port.recent(1),
    ],
    "activity": [lambda port: port.add(1, {"k": 1}), lambda port: port.read(1)],
    "tables": [
        lambda port: port.get("t", "k"),
        lambda port: port.put("t", "k", b"v"),
        lambda port: port.rows("t"),
        lambda port: port.version("t"),
    ],
}


@pytest.fixture
def own_redis(redis_required, tmp_path):
    with RedisServer(tmp_path, settings={"appendonly": "yes"}) as server:
        yield server


def every_call(ports: RedisPorts) -> Any:
    for name, calls in CALLS.items():
        with closing(getattr(ports, name)()) as port:
            for call in calls:
                yield port, call


def test_every_call_names_a_redis_that_is_gone(own_redis):
    own_redis.kill()
    count = 0
    for port, call in every_call(RedisPorts(own_redis.url, partitions=2, patient_ms=200)):
        with pytest.raises(PortError, match=rf"Redis at 127\.0\.0\.1:{own_redis.port} can't be reached"):
            call(port)
        count += 1
    assert count == sum(map(len, CALLS.values()))


def test_every_call_gives_up_on_a_redis_that_is_silent(own_redis):
    os.kill(own_redis.pid, signal.SIGSTOP)
    try:
        for port, call in every_call(RedisPorts(own_redis.url, partitions=2, patient_ms=20)):
            with pytest.raises(PortError, match=r"did not answer within 20 ms"):
                call(port)
    finally:
        os.kill(own_redis.pid, signal.SIGCONT)


def test_every_call_works_at_once_after_redis_was_restarted(own_redis):
    """Connections are gone and scripts forgotten; neither is the caller's business."""
    ports = RedisPorts(own_redis.url, partitions=2)
    with ExitStack() as stack:
        opened = {name: stack.enter_context(closing(getattr(ports, name)())) for name in CALLS}
        for name, calls in CALLS.items():
            calls[0](opened[name])
        own_redis.stop()
        own_redis.start()
        for name, calls in CALLS.items():
            for call in calls:
                call(opened[name])


def test_reads_that_come_while_others_are_under_way_share_a_trip(own_redis):
    """The busier the process, the more of them: what a trip costs does not grow with the sessions that it reads."""
    ports = RedisPorts(own_redis.url, partitions=2)

    async def work() -> None:
        state = ports.decision_state()

        async def shopper(number: int) -> None:
            for _ in range(10):
                await state.read(f"s{number}", f"c{number}")

        await asyncio.gather(*map(shopper, range(50)))
        await state.close()

    asyncio.run(work())
    with closing(redis.Redis.from_url(own_redis.url)) as client:
        stats: Any = client.info("commandstats")
    assert stats["cmdstat_mget"]["calls"] <= 25  # 500 reads


def test_decisions_get_an_error_and_then_go_on(own_redis):
    async def work() -> None:
        state = RedisPorts(own_redis.url, partitions=2, timeout_ms=300).decision_state()
        await state.read("s", "c")
        own_redis.kill()
        answers = await asyncio.gather(*(state.read("s", "c") for _ in range(100)), return_exceptions=True)
        assert {type(answer) for answer in answers} == {PortError}
        for call in (state.take([CLAIM], 1, 1, None), state.confirm("t", 1), state.put_grants("s", {"p": b""}, 1)):
            with pytest.raises(PortError, match="can't be reached"):
                await call
        own_redis.start()
        assert (await state.read("s", "c")).state is None
        assert (await state.take([CLAIM], 1, 1, None))[0].granted
        os.kill(own_redis.pid, signal.SIGSTOP)
        try:
            with pytest.raises(PortError, match="did not answer within 300 ms"):
                await state.read("s", "c")
        finally:
            os.kill(own_redis.pid, signal.SIGCONT)
        await state.close()

    asyncio.run(work())


def test_a_state_that_redis_lost_asks_its_writer_to_rewind(own_redis):
    with closing(RedisPorts(own_redis.url, partitions=2).state()) as state:
        state.claim(0, 3)
        assert state.apply(StateBatch(0, 3, 0, 10, {}, [], [], 0)) is Applied.APPLIED
        state._redis.flushall()
        assert state.apply(StateBatch(0, 3, 10, 20, {}, [], [], 0)) is Applied.REWIND
        position = state.claim(0, 3)
        assert position is not None
        assert position.offset == 0


# -------------------------------------------------------------------------------------------------------- Kafka


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_kafka_that_is_gone_is_named(library):
    """Nothing listens there; no call takes longer than the time set for reaching a broker."""
    ports = KafkaPorts(["127.0.0.1:1"], partitions=2, options=ClientOptions(library, reach_ms=200))
    message = r"Kafka at 127\.0\.0\.1:1: .* failed"
    answers: list[PortError | None] = []
    with closing(ports.event_log()) as log:
        log.append([NewRecord("k", b"")] * 3, answers.append)
        log.flush(10_000)
    (answer,) = answers
    with pytest.raises(PortError, match=message):
        raise answer or AssertionError
    with closing(ports.event_source()) as source:
        for call in (lambda: source.poll(1, 10), source.ends, lambda: source.pause([0])):
            with pytest.raises(PortError, match=message):
                call()
    with closing(ports.outputs()) as outputs:
        with pytest.raises(PortError, match=message):
            outputs.claim(0)
        with pytest.raises(PortError, match=message):
            outputs.read(OutputKind.TRIGGER, 1)
    with pytest.raises(PortError, match=message):
        ports.topics().create()


@pytest.mark.kafka
@pytest.mark.timeout(300)  # a broker is started twice, and a producer gives up in between
@pytest.mark.usefixtures("kafka_required")
@pytest.mark.parametrize("library", LIBRARIES)
def test_log_source_and_outputs_go_on_when_the_broker_is_back(tmp_path, library):
    with KafkaCluster(tmp_path) as cluster, ExitStack() as stack:
        ports = KafkaPorts([cluster.bootstrap], partitions=4, options=ClientOptions(library))
        ports.topics().create()
        log = stack.enter_context(closing(ports.event_log()))
        source = stack.enter_context(closing(ports.event_source()))
        outputs = stack.enter_context(closing(ports.outputs()))
        append(log, [NewRecord("a", b"before")])
        join(source)
        collect(source, 1)
        turn = outputs.claim(0)
        outputs.send(0, turn.token, [Output("1", OutputKind.TRIGGER, "k", b"", 0)])

        cluster.kill(1)
        answers: list[PortError | None] = []
        log.append([NewRecord("a", b"lost")], answers.append)
        log.flush(60_000)
        assert isinstance(answers[0], PortError)
        with pytest.raises(PortError):
            outputs.send(0, turn.token, [Output("2", OutputKind.TRIGGER, "k", b"", 1)])
        with suppress(PortError):
            source.poll(10, 500)

        cluster.restart(1)
        deadline = time.monotonic() + 60
        answers.clear()
        while None not in answers and time.monotonic() < deadline:
            log.append([NewRecord("a", b"after")], answers.append)
            log.flush(30_000)
        assert answers[-1] is None
        turn = outputs.claim(0)
        assert turn.out == Place(0, 1)
        outputs.send(0, turn.token, [Output("3", OutputKind.TRIGGER, "k", b"", 2)])
        found: list[bytes] = []
        while b"after" not in found and time.monotonic() < deadline:
            with suppress(PortError):
                found += [r.value for records in source.poll(10, 500).values() for r in records]
        assert b"after" in found
        assert outputs.read(OutputKind.TRIGGER, 10)[0].id == "3"


@pytest.mark.kafka
@pytest.mark.timeout(900)  # three brokers are started, and three times one of them again
@pytest.mark.usefixtures("kafka_required")
@pytest.mark.parametrize("library", LIBRARIES)
def test_marks_of_transactions_that_brokers_left_out_are_written(tmp_path, library, monkeypatch):
    """A transaction is decided while a partition has no leader: Kafka leaves out its mark, and says nothing of it."""
    with KafkaCluster(tmp_path, brokers=3) as cluster, ExitStack() as stack:
        address = KafkaAddress(cluster.bootstrap.split(","))
        ports = KafkaPorts(address.bootstrap, partitions=4, options=ClientOptions(library))
        ports.topics().create()
        outputs = stack.enter_context(closing(ports.outputs()))
        admin = stack.enter_context(closing(address.admin()))

        def leaders() -> dict[tuple[str, int], int]:
            topics = described()
            while topics is None:
                topics = described()
            return {(t["name"], p["partition_index"]): p["leader_id"] for t in topics for p in t["partitions"]}

        def described() -> list[Any] | None:
            with suppress(KafkaError):  # it may have asked the one that was killed
                return list(admin.describe_topics([address.positions, "__transaction_state"]))
            return None

        def leave_without_leader() -> int:
            broker = leaders()[address.positions, 0]
            cluster.kill(broker)
            wait_until(lambda: leaders()[address.positions, 0] == -1)
            wait_until(lambda: -1 not in [each for (topic, _), each in leaders().items() if topic != address.positions])
            return broker

        def claimed() -> Turn:
            """A broker that is just back may refuse for a moment, as workers know."""
            turns: list[Turn] = []

            def is_claimed() -> bool:
                with suppress(PortError):
                    turns.append(outputs.claim(0))
                return bool(turns)

            wait_until(is_claimed)
            return turns[0]

        def send_without_leader(number: int, then: Callable[[Callable[[], None]], None]) -> int:
            """The records are there when the leader dies; what follows decides."""
            turn = claimed()
            transactor = outputs._senders[0].transactor
            commit, killed = transactor.commit, []

            def late() -> None:
                killed.append(leave_without_leader())
                then(commit)

            monkeypatch.setattr(transactor, "commit", late)
            with suppress(PortError):
                outputs.send(0, turn.token, [Output(str(number), OutputKind.TRIGGER, "k", b"", number)])
            return killed[0]

        def fail(_: Callable[[], None]) -> None:
            raise KafkaError("the worker dies")

        def is_settled() -> bool:
            return outputs.settle(0, outputs._senders[0].token)

        cluster.restart(send_without_leader(0, lambda commit: commit()))
        wait_until(lambda: leaders()[address.positions, 0] != -1)
        wait_until(is_settled)
        assert [each.id for each in outputs.read(OutputKind.TRIGGER, 10)] == ["0"]
        cluster.restart(send_without_leader(1, lambda commit: commit()))
        assert claimed().out == Place(1, 1)
        killed = send_without_leader(2, fail)
        with pytest.raises(PortError):
            outputs.claim(0)  # undoes it, with no mark to be written
        cluster.restart(killed)
        assert claimed().out == Place(1, 1)
        outputs.send(0, claimed().token, [Output("3", OutputKind.TRIGGER, "k", b"", 3)])
        assert [each.id for each in outputs.read(OutputKind.TRIGGER, 10)] == ["3", "1", "0"]
        assert claimed().out == Place(3, 1)


def wait_until(condition: Callable[[], bool], seconds: float = 180.0) -> None:
    """Wait for it, at most so long."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
