"""Kafka ports: what they alone promise, on a real broker."""

from __future__ import annotations

import re
import threading
import time
from contextlib import closing
from typing import Any

import pytest
from kafka import KafkaProducer

from connectors import kafka_source
from connectors.kafka_client import KafkaAddress
from connectors.kafka_events import KafkaEventLog
from connectors.kafka_port import ClientName, ClientOptions
from connectors.kafka_ports import KafkaPorts
from connectors.kafka_python import RepairedClient
from engine.ports import LogFullError, NewRecord, PortError, partition_of
from tests.contracts.backends import LIBRARIES
from tests.contracts.test_event_streams import WAIT_MS, append, collect, join, numbered

PARTITIONS = 4


@pytest.fixture(params=LIBRARIES)
def library(request):
    return request.param


@pytest.fixture
def make(kafka_cluster, kafka_prefix, library):
    """Make ports on topics of the test's own, with another number of partitions or another client, too."""

    def made(partitions: int = PARTITIONS, client: ClientName = library) -> KafkaPorts:
        options = ClientOptions(client)
        return KafkaPorts([kafka_cluster.bootstrap], partitions=partitions, prefix=kafka_prefix, options=options)

    return made


@pytest.fixture
def ports(make):
    ports = make()
    ports.topics().create()
    return ports


@pytest.fixture
def log(ports):
    with closing(ports.event_log()) as log:
        yield log


def test_appending_to_a_topic_with_other_partitions_fails(ports, make):
    answers: list[PortError | None] = []
    with closing(make(PARTITIONS + 1).event_log()) as log:
        log.append(numbered(1), answers.append)
        log.flush(WAIT_MS)
    assert "has 4 partitions, 5 are set" in str(answers[0])


def test_a_topic_that_is_missing_is_named(make, kafka_prefix):
    answers: list[PortError | None] = []
    with closing(make(2).event_log()) as log:
        log.append(numbered(1), answers.append)
        log.flush(WAIT_MS)
    assert f"topic {kafka_prefix}events is not there" in str(answers[0])


def test_a_record_that_is_too_large_fails_and_the_others_do_not(log):
    answers: list[PortError | None] = []
    log.append([NewRecord("k", bytes(2_000_000))], answers.append)
    log.flush(WAIT_MS)
    assert re.search("larger than the maximum request size|Message size too large", str(answers[0]))
    append(log, numbered(5))


def test_a_full_log_takes_nothing_of_the_call(library):
    """While it looks for a broker, a log can't write: what it takes, it has to hold."""
    address = KafkaAddress(["127.0.0.1:1"], options=ClientOptions(library, reach_ms=1_000))
    answers: list[PortError | None] = []
    small: list[dict[str, Any]] = [{"capacity": 10}, {"capacity_bytes": 100}]
    for limits in small:
        with closing(KafkaEventLog(address, PARTITIONS, **limits)) as log:
            log.append([NewRecord("k", b"123456789")] * 8, answers.append)
            with pytest.raises(LogFullError, match="8 records are on their way"):
                log.append([NewRecord("k", b"123456789")] * 3, answers.append)
            log.flush(WAIT_MS)
    assert len(answers) == 2


def test_a_callback_that_raises_stops_nobody(log, caplog):
    def broken(error: PortError | None) -> None:
        raise ValueError

    log.append(numbered(1), broken)
    append(log, numbered(1))
    log.flush(WAIT_MS)
    assert "a callback of append failed" in caplog.text


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd", None])
def test_records_of_other_writers_are_read_whatever_they_look_like(ports, kafka_cluster, kafka_prefix, codec):
    with closing(KafkaProducer(bootstrap_servers=[kafka_cluster.bootstrap], compression_type=codec)) as producer:
        topic = f"{kafka_prefix}events"
        producer.send(topic, key=None, value=b"no key" * 100, partition=0)
        producer.send(topic, key=b"\xff", value=b"no text" * 100, partition=0)
        producer.send(topic, key=b"k", value=None, partition=0)
        producer.flush(30)
    with closing(ports.event_source(kafka_prefix)) as source:
        join(source)
        found = collect(source, 3)[0]
    assert [(r.key, r.value) for r in found] == [("", b"no key" * 100), ("\ufffd", b"no text" * 100), ("k", b"")]


class Member:
    """A worker of its own thread, which polls until it is told to stop."""

    def __init__(self, ports: KafkaPorts, group: str) -> None:
        self.source = ports.event_source(group)
        self.read: list[tuple[int, int, int]] = []  # partition, generation, offset
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            for partition, records in self.source.poll(100, 100).items():
                generation = self.source.assignment()[partition]
                self.read += [(partition, generation, record.offset) for record in records]
        self.source.close()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


def wait_for(condition) -> None:
    deadline = time.monotonic() + WAIT_MS / 1000
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert condition()


@pytest.mark.parametrize("other", LIBRARIES)
def test_two_members_share_the_partitions_and_the_one_that_stays_takes_all(ports, make, other, log, kafka_prefix):
    """Of one client or of both, as while workers go over from one to the other."""
    members = [Member(ports, kafka_prefix), Member(make(client=other), kafka_prefix)]
    first, second = members
    try:
        wait_for(lambda: first.source.assignment() and second.source.assignment())
        wait_for(lambda: len({*first.source.assignment().values(), *second.source.assignment().values()}) == 1)
        shares = first.source.assignment(), second.source.assignment()
        assert set(shares[0]) | set(shares[1]) == set(range(PARTITIONS))
        assert not set(shares[0]) & set(shares[1])
        append(log, numbered(100, keys=20))
        wait_for(lambda: len(first.read) + len(second.read) == 100)
        second.stop()
        wait_for(lambda: len(first.source.assignment()) == PARTITIONS)
        assert min(first.source.assignment().values()) > max(shares[1].values())
        moved = {partition for partition, _, _ in second.read}
        wait_for(lambda: {p for p, g, _ in first.read if g > max(shares[0].values())} == moved)
        kept = [offset for p, g, offset in first.read if p in shares[0]]
        assert len(kept) == sum(partition_of(r.key, PARTITIONS) in shares[0] for r in numbered(100, keys=20)), (
            "a partition that is kept goes on where it was"
        )
    finally:
        first.stop()
        second.stop()


def test_a_member_that_never_joins_is_made_anew(ports, kafka_prefix, monkeypatch, caplog):
    monkeypatch.setattr(kafka_source, "JOIN_S", 0.0)
    with closing(ports.event_source(kafka_prefix)) as source:
        source._open()
        before = source._member
        join(source)
        assert source._member is not before
    assert "joining group" in caplog.text


def test_a_spare_member_is_left_alone(ports, kafka_prefix, monkeypatch):
    with closing(ports.event_source(kafka_prefix)) as source:
        join(source)
        before = source._member
        monkeypatch.setattr(kafka_source, "JOIN_S", 0.0)
        monkeypatch.setattr(KafkaAddress, "members", lambda self, group: PARTITIONS)
        source._view = {}
        source.poll(1, 0)
        assert source._member is before


def test_the_generation_grows_also_when_kafka_has_forgotten_the_group(ports, kafka_cluster, kafka_prefix, monkeypatch):
    """After a week without a worker the group counts from 1 again; the state store must not take that for a zombie."""
    today = int(time.time() // 86_400)
    with closing(ports.event_source(kafka_prefix)) as source:
        join(source)
    with closing(ports.event_source(kafka_prefix)) as source:
        before = set(join(source).values())
        monkeypatch.setattr(kafka_source, "_day", lambda: today + 8)
        source.poll(10, 100)
        assert set(source.assignment().values()) == before, "a generation has one number, over midnight, too"
    with closing(KafkaAddress([kafka_cluster.bootstrap]).admin()) as admin:
        admin.delete_groups([kafka_prefix])
    with closing(ports.event_source(kafka_prefix)) as source:
        after = set(join(source).values())
    assert min(after) % 2**32 < max(before) % 2**32
    assert min(after) > max(before)


def test_the_group_is_told_offsets_for_displays(ports, log, kafka_prefix, kafka_cluster):
    append(log, numbered(20))
    with closing(ports.event_source(kafka_prefix)) as source:
        join(source)
        collect(source, 20)
        source.commit({0: 3})
        address = KafkaAddress([kafka_cluster.bootstrap], kafka_prefix)

        def committed() -> set[int]:
            with closing(address.admin()) as admin:
                offsets = admin.list_group_offsets([kafka_prefix])[kafka_prefix]
                return {found.offset for partition, found in offsets.items()}

        wait_for(lambda: committed() == {3})


def test_a_join_that_a_poll_did_not_wait_out_is_not_forgotten(kafka_cluster, kafka_prefix):
    """kafka-python takes no notice of the answer where it joined since the metadata changed, and beats no more."""
    ports = KafkaPorts([kafka_cluster.bootstrap], partitions=PARTITIONS, prefix=kafka_prefix)
    ports.topics().create()
    with closing(ports.event_source(kafka_prefix)) as source:
        before = set(join(source).values())
        coordinator = source._member._consumer._coordinator  # type: ignore[union-attr]
        coordinator._assignment_snapshot = {}
        source.poll(1, 1)
        assert coordinator.rejoining
        wait_for(lambda: source.poll(1, 10) == {} and set(source.assignment().values()) != before)
        assert not coordinator.rejoining


def test_a_broker_that_is_gone_is_not_ready_rather_than_an_error():
    """The sender tries a request again when it hears False, and drops it for good when it hears an error."""
    with closing(RepairedClient(bootstrap_servers=["127.0.0.1:1"], bootstrap_timeout_ms=100)) as client:
        assert client.await_ready(0, timeout_ms=50) is False
