"""The worker's loop: poll, keep what the group gave, evaluate, send, let time pass."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from engine.facts import FactStore
from engine.identity import Identities
from engine.ports import Activity, EventLog, EventSource, LimitStore, OutputLog, PortError, StateStore
from engine.values import Millis
from service.clock import Clock, wall_ms
from service.loading import Loaded
from service.worker.backlog import Backlog
from service.worker.counts import Counts
from service.worker.emission import Emission
from service.worker.messages import tick_record
from service.worker.partition import Equipment, Partition, Past, Standing, Stores
from service.worker.watchdog import Watchdog

logger = logging.getLogger("salience.service.worker")

Answer = TypeVar("Answer")

CACHE_BYTES = 256 << 20
"""Working memories kept in the process, over all partitions: some 130,000 sessions of 2 KB."""

OUTBOX_FULL = 20_000
"""So many outputs may wait to be sent before nothing more is read: 10 MB."""

BACKOFF_FIRST_S = 0.05
BACKOFF_LAST_S = 2.0
REPORT_S = 1.0
TICK_S = 1.0
TICK_AGAIN_S = 10.0
LAG_S = 2.0
LAG_MS: Millis = 300
"""So long evaluation waits for the ends of the log, which are for display only; brokers that can't say are left alone for a while."""
LAG_AGAIN_S = 10.0
DRAIN_MS: Millis = 5_000

CLAIMING_S = 10.0
"""So long at most the claims of one turn may take: the membership in the group is kept by polling in between."""

AT_ONCE = 4
"""Partitions that are claimed, or worked on, at once: of these one is evaluated, the others wait for brokers or the state store."""

CHECK_S = 2.0
"""A partition without traffic looks so often whether its stored state went back, by a restart of the store."""


@dataclass(frozen=True, slots=True)
class Ports:
    """What the worker talks to."""

    source: EventSource
    log: EventLog
    state: StateStore
    outputs: OutputLog
    limits: LimitStore
    profiles: FactStore
    catalogue: FactStore
    identities: Identities
    activity: Activity


@dataclass(frozen=True, slots=True)
class Pace:
    """How much at once and how often; see the settings `worker.*`.

    Attributes:
        batch: Records of a partition in one write, at most.
        poll_ms: How long to wait for records.
        lateness: Allowed lateness.
        idle_ms: After so long without a record a partition gets a tick, if a session waits for time to pass.
        cache_bytes: For working memories, over all partitions.
    """

    batch: int = 500
    poll_ms: Millis = 100
    lateness: Millis = 60_000
    idle_ms: Millis = 10_000
    cache_bytes: int = CACHE_BYTES


class Worker:
    """One member of the group of workers; `run` is its whole life.

    Args:
        ports: Made and closed by the caller, but for `source`, which is closed at the end so that the others take over.
        current: What to evaluate with, taken once for each round; None: nothing is read.
        pace: Sizes and times.
        salt: Of the holdouts; None: nobody is held out.
        past: What a replay is evaluated with; None: with what is current.
        clock: The wall clock, for minutes of counters.
        elapsed: Seconds that only grow, for waiting and idleness.
        watchdog: Ends the process when a call of a client does not return; None: nothing does.
    """

    def __init__(
        self,
        ports: Ports,
        current: Callable[[], Loaded | None],
        pace: Pace,
        *,
        salt: str | None = None,
        past: Past | None = None,
        clock: Clock = wall_ms,
        elapsed: Callable[[], float] = time.monotonic,
        watchdog: Watchdog | None = None,
    ) -> None:
        self.counts = Counts()
        self._elapsed = elapsed
        self._ports = ports
        self._current = current
        self._pace = pace
        self._clock = clock
        self._watchdog = watchdog or Watchdog(None)
        self._emission = Emission(ports.outputs, self._watchdog)
        self._stores = Stores(ports.state, ports.limits, self._emission, ports.identities, salt, past)
        self._partitions: dict[int, Partition] = {}
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="partitions")
        self._backlog: dict[int, Backlog] = {}
        self._equipment: Equipment | None = None
        self._stop = threading.Event()
        self._is_paused = False
        self._retry_at: dict[int, float] = {}
        self._backoff: dict[int, float] = {}
        self._heard: dict[int, float] = {}
        self._ticked: dict[int, float] = {}
        self._checked: dict[int, float] = {}
        self._tick_at = 0.0
        self._reported = Counts()
        self._report_at = 0.0
        self._lag_at = 0.0
        self._lag = 0
        self._busy = 0.0
        self._complained: dict[str, float] = {}
        self.problem = ""

    def stop(self) -> None:
        """Make `run` finish its batch, send what waits and leave the group. Safe to call from a signal's handler."""
        self._stop.set()

    def report(self) -> Mapping[str, int]:
        """Counters for the heartbeat, with the lag, what waits, and the time spent on evaluating and writing."""
        return {
            **self.counts.numbers(),
            "lag": self._lag,
            "partitions": len(self._partitions),
            "outputs_waiting": self._emission.waiting,
            "busy_ms": round(self._busy * 1000),
        }

    def run(self) -> None:
        """Work until `stop`. Failures of ports are tried again for ever; nothing is lost by them."""
        try:
            while not self._stop.is_set():
                self.round()
        finally:
            self._finish()

    def round(self) -> None:
        """One turn: poll, evaluate all that came, see to everything else."""
        equipment = self._equip()
        if equipment is None:
            self._stop.wait(self._pace.poll_ms / 1000)
            return
        try:
            self._poll()
        except PortError as error:
            self._complain("events", f"the event log can't be read, trying again: {error}")
            self._stop.wait(BACKOFF_FIRST_S * 4)
            return
        began = self._elapsed()
        self._work(equipment)
        self._busy += self._elapsed() - began
        self._trim()
        self._press_back()
        self._tick()
        self._report()

    # -------------------------------------------------------------- reading

    def _equip(self) -> Equipment | None:
        """What to evaluate with this turn: a reload takes place here, between batches."""
        loaded = self._current()
        if loaded is None:
            return None
        if self._equipment is None or self._equipment.loaded is not loaded:
            ports = self._ports
            self._equipment = Equipment.of(loaded, ports.profiles, ports.catalogue, self._clock, self._pace.lateness)
        return self._equipment

    def _poll(self) -> None:
        waits = any(self._backlog.values())
        limit = self._pace.batch * max(1, len(self._partitions))
        with self._watchdog.watching("reading the event log"):
            polled = self._ports.source.poll(limit, 0 if waits else self._pace.poll_ms)
        moved = self._follow_assignment()
        now = self._elapsed()
        for number, records in polled.items():
            partition = self._partitions.get(number)
            if partition is not None and partition.standing is Standing.OWNED and records and number not in moved:
                self._heard[number] = now
                self._ticked.pop(number, None)
                self._backlog.setdefault(number, Backlog()).add(records)

    def _follow_assignment(self) -> set[int]:
        """Take up what the group gave, let go of what it took; the partitions that are read from elsewhere now."""
        assigned = self._ports.source.assignment()
        for number in [each for each in self._partitions if each not in assigned]:
            self._partitions.pop(number).reset()
            self._forget(number)
        due: list[Partition] = []
        for number, generation in assigned.items():
            partition = self._partitions.get(number)
            is_claim_due = partition is None or partition.standing is Standing.UNCLAIMED
            if partition is None:
                cache = self._pace.cache_bytes // max(1, len(assigned))
                partition = self._partitions[number] = Partition(number, generation, self._stores, cache)
                self._heard[number] = self._elapsed()
            elif partition.generation != generation:
                is_claim_due = True
                partition.generation = generation
                if partition.standing is Standing.FENCED:
                    partition.standing = Standing.UNCLAIMED
            if is_claim_due or self._emission.has_failed(number) or self._is_check_due(partition):
                due.append(partition)
        return self._claim_all(due)

    def _claim_all(self, due: Sequence[Partition]) -> set[int]:
        """Claim, several at once: each may wait for another broker. The partitions that are read from elsewhere now."""
        moved: set[int] = set()
        began = self._elapsed()
        while due:
            if self._elapsed() - began > CLAIMING_S:
                # The rest after the next poll. What this one brought of it is read again.
                for partition in due:
                    partition.reset()
                return moved.union(each.number for each in due)
            now, due = due[:AT_ONCE], due[AT_ONCE:]
            moved.update(
                partition.number for partition, is_kept in zip(now, self._claim(now), strict=True) if not is_kept
            )
        return moved

    def _is_check_due(self, partition: Partition) -> bool:
        number = partition.number
        return not self._backlog.get(number) and self._elapsed() - self._checked.get(number, 0.0) > CHECK_S

    def _claim(self, partitions: Sequence[Partition]) -> list[bool]:
        """Own them from where their states stand, where that fails later again; whether reading each just goes on."""
        now = self._elapsed()
        ready = [each for each in partitions if now >= self._retry_at.get(each.number, 0.0)]
        self._checked.update((each.number, now) for each in ready)
        answers = zip(ready, self._beside(_claimed, ready), strict=True)
        kept = {partition.number: self._take(partition, answer) for partition, answer in answers}
        return [kept.get(each.number, each.standing is Standing.OWNED) for each in partitions]

    def _take(self, partition: Partition, claimed: bool | PortError) -> bool:
        """What follows from a claim; whether reading just goes on."""
        number = partition.number
        if isinstance(claimed, PortError):
            self._failed(partition, claimed)
            return False
        if claimed:
            return True
        self._backlog.pop(number, None)
        if partition.standing is Standing.FENCED:
            self._complain(f"fence {number}", f"partition {number} belongs to a newer worker")
            return False
        try:
            self._ports.source.seek(number, partition.position)
            self._ports.source.resume([number])
        except PortError as error:
            self._failed(partition, error)
        return False

    # -------------------------------------------------------------- evaluating

    def _work(self, equipment: Equipment) -> None:
        """Evaluate what came, several partitions beside one another; what follows from it is done here, one by one."""
        owned = [each for each in self._partitions.values() if each.standing is Standing.OWNED]
        now = self._elapsed()
        self._checked.update((each.number, now) for each in owned)
        for partition, (counts, error) in zip(
            owned, self._beside(lambda each: self._worked(each, equipment), owned), strict=True
        ):
            number = partition.number
            self.counts.add(counts)
            self._name_failures(counts)
            if error is not None:
                self._failed(partition, error)
            elif partition.standing is Standing.OWNED:
                self._backoff.pop(number, None)
            else:
                self._backlog.pop(number, None)

    def _worked(self, partition: Partition, equipment: Equipment) -> tuple[Counts, PortError | None]:
        """Evaluate all that came of a partition, in any thread: what it brought, and what it met."""
        counts = Counts()
        backlog = self._backlog.get(partition.number, Backlog())
        try:
            while partition.standing is Standing.OWNED:
                counts.add(partition.process(backlog.batch(self._pace.batch, partition.position), equipment))
                if partition.standing is Standing.OWNED:
                    backlog.done()
                if not backlog or self._stop.is_set():
                    break
        except PortError as error:
            return counts, error
        return counts, None

    def _beside(self, act: Callable[[Partition], Answer], partitions: Sequence[Partition]) -> Iterator[Answer]:
        """Do it for some partitions at once, each in a thread, where there are several."""
        return map(act, partitions) if len(partitions) < 2 else self._threads.map(act, partitions)

    def _failed(self, partition: Partition, error: PortError) -> None:
        """Go back to what is stored, after a pause; the partition is read again from there, so nothing is lost."""
        number = partition.number
        partition.reset()
        self._backlog.pop(number, None)
        self.counts.rewinds += 1
        backoff = self._backoff.get(number, BACKOFF_FIRST_S)
        self._backoff[number] = min(2 * backoff, BACKOFF_LAST_S)
        self._retry_at[number] = self._elapsed() + backoff
        self._complain("stores", f"partition {number} waits, trying again: {error}")
        try:
            self._ports.source.pause([number])
        except PortError as also:
            logger.info("partition %d could not be paused: %s", number, also)

    def _forget(self, number: int) -> None:
        for kept in (self._backlog, self._retry_at, self._backoff, self._heard, self._ticked, self._checked):
            kept.pop(number, None)

    # -------------------------------------------------------------- everything else

    def _trim(self) -> None:
        for number, below in self._emission.sent().items():
            partition = self._partitions.get(number)
            if partition is None or partition.standing is not Standing.OWNED:
                continue
            try:
                self._ports.state.trim(number, below)
            except PortError as error:
                self._complain("trim", f"the outbox of partition {number} could not be trimmed: {error}")

    def _press_back(self) -> None:
        """Read nothing more while too much waits to be sent; the membership is kept by polling on."""
        owned = [each.number for each in self._partitions.values() if each.standing is Standing.OWNED]
        waiting = self._emission.waiting
        if not self._is_paused and waiting > OUTBOX_FULL:
            logger.warning("%d outputs wait to be sent: reading pauses", waiting)
            self._ports.source.pause(owned)
            self._is_paused = True
        elif self._is_paused and waiting < OUTBOX_FULL // 2:
            logger.info("reading goes on")
            self._ports.source.resume(owned)
            self._is_paused = False

    def _tick(self) -> None:
        """Where nothing comes and a session waits for time to pass, write a record that says what time it is.

        It is the time of the latest event and what went by since, so that a recording of last year keeps its time.
        """
        now = self._elapsed()
        if now < self._tick_at:
            return
        self._tick_at = now + min(TICK_S, self._pace.idle_ms / 1000)
        for number, partition in self._partitions.items():
            idle_ms = int((now - self._heard.get(number, now)) * 1000)
            if idle_ms < self._pace.idle_ms or partition.standing is not Standing.OWNED or not partition.watermark:
                continue
            if now < self._ticked.get(number, -TICK_AGAIN_S) + TICK_AGAIN_S:
                continue  # one is on its way; its arrival ends the silence
            until = partition.watermark + idle_ms
            try:
                if partition.is_due(until):
                    record = tick_record(number, self._ports.log.partitions, until + self._pace.lateness)
                    self._ports.log.append([record], _log_failure)
                    self._ticked[number] = now
            except PortError as error:
                self._complain("tick", f"time could not be written to partition {number}: {error}")

    def _report(self) -> None:
        now = self._elapsed()
        if now < self._report_at:
            return
        self._report_at = now + REPORT_S
        fired = self.counts.fired - self._reported.fired
        errors = self.counts.errors - self._reported.errors
        counts = {f"fired/{rule}": n for rule, n in fired.items()} | {f"error/{rule}": n for rule, n in errors.items()}
        if applied := self.counts.applied - self._reported.applied:
            counts["events"] = applied
        try:
            if counts:
                self._ports.activity.add(self._clock() // 60_000, counts)
            self._reported.fired = Counter(self.counts.fired)
            self._reported.errors = Counter(self.counts.errors)
            self._reported.applied = self.counts.applied
            positions = {p.number: p.position for p in self._partitions.values() if p.standing is Standing.OWNED}
            if positions and now >= self._lag_at:
                self._lag_at = now + LAG_AGAIN_S
                self._ports.source.commit(positions)
                ends = self._ports.source.ends(LAG_MS)
                self._lag_at = now + LAG_S
                self._lag = sum(max(0, ends.get(number, 0) - position) for number, position in positions.items())
        except PortError as error:
            self._complain("report", f"figures could not be written: {error}")

    def _name_failures(self, counts: Counts) -> None:
        for rule, number in counts.errors.items():
            self._complain(f"rule {rule}", f"rule {rule} failed {number} times; the other rules went on")

    def _complain(self, about: str, message: str) -> None:
        """Log a failure, the same one at most every 10 s."""
        now = self._elapsed()
        if now >= self._complained.get(about, 0.0):
            self._complained[about] = now + 10
            logger.warning("%s", message)

    def _finish(self) -> None:
        if not self._emission.drain(DRAIN_MS) and self._emission.waiting:
            logger.warning(
                "%d outputs were not sent; they are in the outbox for the next worker", self._emission.waiting
            )
        self._trim()
        self._threads.shutdown()
        self._emission.close()
        self._report_at = 0.0
        self._lag_at = 0.0
        self._report()
        try:
            self._ports.source.close()
        except PortError as error:
            logger.info("could not leave the group in order: %s", error)


def _claimed(partition: Partition) -> bool | PortError:
    """Claim one, in any thread."""
    try:
        return partition.claim()
    except PortError as error:
        return error


def _log_failure(error: PortError | None) -> None:
    if error is not None:
        logger.warning("a tick could not be written, the next will be: %s", error)
