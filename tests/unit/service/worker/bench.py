"""A worker on SQLite files, driven round by round, with ports that fail when a test says so."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from connectors.embedded import Embedded
from engine.bundle import Bundle, Revision
from engine.event import RawEvent
from engine.ports import NewRecord, Output, OutputKind, PortError, Record
from models.scorer import Scorer
from service.loading import Loaded, compile_bundle
from service.worker.counts import Counts
from service.worker.emission import Emission
from service.worker.equipment import Equipment, Past
from service.worker.loop import Pace, Ports, Worker
from service.worker.messages import tick_record
from service.worker.partition import Partition
from service.worker.stores import Stores
from tests.unit.service.small_shop import Clock, sources

MINUTE = 60_000
LATENESS = MINUTE
NOON = 1_700_000_000_000


def loaded(
    files: Mapping[str, str] | None = None, number: int = 1, ancestry: Mapping[str, frozenset[str]] | None = None
) -> Loaded:
    """A revision, without models."""
    bundle = Bundle(dict(files or sources()))
    compiled = compile_bundle(bundle, ancestry or {})
    revision = Revision(number, bundle.hash, "anna", 0, "")
    return Loaded(revision, bundle, compiled.program, compiled.network, Scorer({}))


def event(
    kind: str, session: str, at: int, *, event_id: str | None = None, customer: str | None = None, **attributes: object
) -> bytes:
    """An event as a sender writes it; `at` is seconds after noon."""
    name = event_id or f"{session}-{kind}-{at}"
    return msgspec.json.encode(RawEvent(kind, session, name, NOON + at * 1000, customer, attributes))


def record(offset: int, value: bytes, partition: int = 0, key: str = "k") -> Record:
    """A record of the log, received long after noon."""
    return Record(partition, offset, key, value, NOON + 100 * MINUTE)


def records(values: Sequence[bytes]) -> list[Record]:
    return [record(offset, value) for offset, value in enumerate(values)]


class Failing:
    """A port whose calls fail while a test says so; `after` lets the call go through first."""

    def __init__(self, port: Any) -> None:
        self._port = port
        self.fails: dict[str, int] = {}
        self.after = False
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)
        if not callable(method):
            return method

        def call(*args: Any, **kwargs: Any) -> Any:
            self.calls.append(name)
            if self.fails.get(name, 0) > 0:
                self.fails[name] -= 1
                if self.after:
                    method(*args, **kwargs)
                raise PortError(f"{name} failed, as told")
            return method(*args, **kwargs)

        return call


class Bench:
    """Ports of a folder, a partition or a worker on them."""

    def __init__(self, folder: Path, partitions: int = 1) -> None:
        self.embedded = Embedded(folder, partitions)
        self.state = Failing(self.embedded.state())
        self.limits = Failing(self.embedded.limits())
        self.outputs = Failing(self.embedded.outputs())
        self.profiles = self.embedded.profiles()
        self.catalogue = Failing(self.embedded.catalogue())
        self.identities = Failing(self.embedded.identities())
        self.activity = self.embedded.activity()
        self.log = self.embedded.event_log()
        self.clock = Clock(NOON)
        self._opened: list[Any] = [
            self.state,
            self.limits,
            self.outputs,
            self.profiles,
            self.catalogue,
            self.identities,
            self.activity,
            self.log,
        ]
        self.emission: Emission | None = None

    def equipment(self, of: Loaded) -> Equipment:
        return Equipment.of(of, self.profiles, self.catalogue, self.clock, LATENESS)

    def partition(
        self,
        generation: int = 1,
        cache_bytes: int = 1 << 20,
        salt: str | None = None,
        number: int = 0,
        past: Past | None = None,
    ) -> Partition:
        if self.emission is None:
            self.emission = Emission(self.outputs)
        stores = Stores(self.state, self.limits, self.emission, self.identities, salt, past)
        partition = Partition(number, generation, stores, cache_bytes)
        partition.claim()
        return partition

    def worker(
        self, current: Callable[[], Loaded | None], elapsed: Callable[[], float] = time.monotonic, **pace: int
    ) -> Worker:
        source = self.embedded.event_source()
        self._opened.append(source)
        ports = Ports(
            source, self.log, self.state, self.outputs, self.limits, self.profiles, self.catalogue,
            self.identities, self.activity,
        )  # fmt: skip
        return Worker(
            ports, current, Pace(**({"poll_ms": 1, "lateness": LATENESS} | pace)), clock=self.clock, elapsed=elapsed
        )

    def append(self, values: Sequence[bytes]) -> None:
        keys = [msgspec.json.decode(each)["session_id"] if each[:1] == b"{" else "broken" for each in values]
        self.log.append([NewRecord(key, value) for key, value in zip(keys, values, strict=True)], lambda _: None)
        self.log.flush(10_000)

    def sent(self, kind: OutputKind = OutputKind.TRIGGER) -> list[Output]:
        """What went out, oldest first."""
        if self.emission is not None:
            assert self.emission.drain(10_000)
        return list(reversed(self.outputs.read(kind, 10_000)))

    def sent_all(self, kind: OutputKind) -> list[Output]:
        """As `sent`, of long runs."""
        assert self.emission is not None
        assert self.emission.drain(60_000)
        return list(reversed(self.outputs.read(kind, 10_000_000)))

    def bodies(self, kind: OutputKind = OutputKind.TRIGGER) -> list[dict[str, Any]]:
        return [msgspec.json.decode(each.value) for each in self.sent(kind)]

    def stored(self, session: str, partition: int = 0) -> Any:
        return self.state.load(partition, [session]).get(session)

    def close(self) -> None:
        if self.emission is not None:
            self.emission.close()
        for each in self._opened:
            each.close()


def until(condition: Callable[[], bool], act: Callable[[], object], seconds: float = 20.0) -> None:
    """Act until the condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came about"
        act()


LIVE = loaded()

LIMITED = """\
ruleset: r
owner: o
rules:
  - rule: told
    when: {event: seen, within: 1 second}
    then:
      - {trigger: told, payload: {}}
    limits: {per_customer: 2 per day, total: 5 per day}
"""


def views(session: str, *seconds: int, **more: Any) -> list[bytes]:
    return [event("seen", session, at, product="p", **more) for at in seconds]


def tick(seconds: int) -> bytes:
    return tick_record(0, 1, NOON + seconds * 1000).value


def run(bench: Bench, values: list[bytes], batch: int = 100, live: Any = LIVE) -> Counts:
    """All values from the beginning, in batches."""
    partition = bench.partition()
    counts = Counts()
    log = records(values)
    equipment = bench.equipment(live)
    for start in range(0, len(log), batch):
        counts.add(partition.process(log[start : start + batch], equipment))
    return counts
