"""What should have come out: the engine run sequentially, without a fault, over the log as it is; and the comparison."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from connectors.kafka_client import KafkaAddress
from connectors.kafka_port import Message
from engine.ports import OutputKind, Record, SessionState
from service.worker.counts import Counts
from tests.faults.history import LATENESS_MS
from tests.unit.service.small_shop import sources
from tests.unit.service.worker import bench as bench_module
from tests.unit.service.worker.bench import Bench, loaded

Sent = Mapping[tuple[OutputKind, str], Sequence[tuple[str, bytes]]]
"""By kind and session: ids and values in order."""


@dataclass
class Difference:
    """How a run differs from the oracle's; all 0 where it does not.

    Attributes:
        state: Sessions whose stored bytes differ, or that are on one side only.
        duplicate: Outputs that are there more often than once.
        missing: Outputs of the oracle that are not there.
        phantom: Outputs that the oracle has not, or with another content.
        disordered: Sessions in which the same outputs have another order.
    """

    state: int = 0
    duplicate: int = 0
    missing: int = 0
    phantom: int = 0
    disordered: int = 0
    events: int = 0
    outputs: int = 0
    sessions: int = 0
    counts: Counts = field(default_factory=Counts)
    samples: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        """All differences."""
        return self.state + self.duplicate + self.missing + self.phantom + self.disordered

    def __str__(self) -> str:
        return (
            f"{self.state} states, {self.duplicate} duplicate, {self.missing} missing, {self.phantom} phantom, "
            f"{self.disordered} out of order"
        )


def read_topic(address: KafkaAddress, topic: str, partitions: int) -> Sequence[Message]:
    """All committed records; in order within each partition."""
    numbers = range(partitions)
    with closing(address.client.reader()) as reader:
        return reader.read(topic, reader.firsts(topic, numbers), reader.ends(topic, numbers), 120)


def sent(address: KafkaAddress, partitions: int) -> Sent:
    """What a read_committed reader finds in the topics of outputs."""
    found: dict[tuple[OutputKind, str], list[tuple[str, bytes]]] = defaultdict(list)
    for kind in OutputKind:
        for record in read_topic(address, address.topic(kind), partitions):
            identity = dict(record.headers)["id"].decode()
            found[kind, _text(record.key)].append((identity, record.value or b""))
    return found


def _text(key: bytes | None) -> str:
    return (key or b"").decode()


class Oracle:
    """The engine's own answer to a log."""

    def __init__(self, folder: Path, address: KafkaAddress, partitions: int) -> None:
        self._partitions = partitions
        self.counts = Counts()
        sent: dict[tuple[OutputKind, str], list[tuple[str, bytes]]] = defaultdict(list)
        self.sent: Sent = sent
        self.states: dict[int, Mapping[str, SessionState]] = {}
        self.keys: dict[int, set[str]] = defaultdict(set)
        by_partition: dict[int, list[Record]] = defaultdict(list)
        for record in read_topic(address, address.events, partitions):
            read = Record(record.partition, record.offset, _text(record.key), record.value or b"", record.time)
            by_partition[record.partition].append(read)
            self.keys[record.partition].add(read.key)
        assert bench_module.LATENESS == LATENESS_MS
        live = loaded(sources())
        for number, records in sorted(by_partition.items()):
            bench = Bench(folder / f"oracle-{time.monotonic_ns()}")
            try:
                partition = bench.partition(number=number)
                equipment = bench.equipment(live)
                for start in range(0, len(records), 997):
                    self.counts.add(partition.process(records[start : start + 997], equipment))
                for kind in OutputKind:
                    for output in bench.sent_all(kind):
                        sent[kind, output.key].append((output.id, output.value))
                self.states[number] = bench.state.load(number, sorted(self.keys[number]))
            finally:
                bench.close()

    def compare_outputs(self, outputs: Sent, alike: Callable[[bytes], bytes]) -> Difference:
        """Hold a run's outputs against this, without what `alike` takes out of each; and no states."""
        mine = {key: [(name, alike(value)) for name, value in each] for key, each in outputs.items()}
        self.sent = {key: [(name, alike(value)) for name, value in each] for key, each in self.sent.items()}
        return self.compare(self.states, mine)

    def compare(self, states: Mapping[int, Mapping[str, SessionState]], outputs: Sent) -> Difference:
        """Hold a run's states and outputs against this."""
        found = Difference(counts=self.counts, events=self.counts.read)
        for number, expected in self.states.items():
            mine = states[number]
            found.sessions += len(expected)
            differing = sorted(each for each in mine.keys() | expected.keys() if mine.get(each) != expected.get(each))
            found.state += len(differing)
            found.samples += [f"{number}/{each}: {mine.get(each)} for {expected.get(each)}" for each in differing[:3]]
        for key in self.sent.keys() | outputs.keys():
            mine_sent, theirs = Counter(outputs.get(key, ())), Counter(self.sent.get(key, ()))
            found.outputs += theirs.total()
            found.duplicate += sum(count - 1 for each, count in mine_sent.items() if each in theirs)
            found.phantom += sum(count for each, count in mine_sent.items() if each not in theirs)
            found.missing += sum(each not in mine_sent for each in theirs)
            if mine_sent == theirs and list(outputs[key]) != list(self.sent[key]):
                found.disordered += 1
        return found
