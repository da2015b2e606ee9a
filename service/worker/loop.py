"""The worker's loop: poll, keep what the group gave, evaluate, send, let time pass."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from engine.facts import FactStore
from engine.identity import Identities
from engine.ports import Activity, EventLog, EventSource, LimitStore, OutputLog, PortError, StateStore
from engine.values import Millis
from service.clock import Clock, wall_ms
from service.loading import Loaded
from service.worker.beside import Beside
from service.worker.complaints import Complaints
from service.worker.counts import Counts
from service.worker.emission import Emission
from service.worker.equipment import Equipment, Past
from service.worker.figures import Figures
from service.worker.holdings import Holding, Holdings
from service.worker.stores import Stores
from service.worker.ticks import Ticks
from service.worker.watchdog import Watchdog

logger = logging.getLogger("salience.service.worker")

CACHE_BYTES = 256 << 20
"""Working memories kept in the process, over all partitions: some 130,000 sessions of 2 KB."""

OUTBOX_FULL = 20_000
"""So many outputs may wait to be sent before nothing more is read: 10 MB."""

UNREADABLE_S = 0.2
"""After so long a log that can't be read is tried again."""

DRAIN_MS: Millis = 5_000


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
        self._beside = Beside()
        self._complaints = complaints = Complaints(elapsed)
        self._emission = Emission(ports.outputs, self._watchdog)
        stores = Stores(ports.state, ports.limits, self._emission, ports.identities, salt, past)
        self._holdings = Holdings(
            ports.source, stores, pace.cache_bytes, self._beside, elapsed, complaints, self.counts
        )
        self._ticks = Ticks(ports.log, pace.idle_ms, pace.lateness, complaints)
        self._figures = Figures(ports.activity, ports.source, clock, complaints)
        self._equipment: Equipment | None = None
        self._stop = threading.Event()
        self._is_paused = False
        self._busy = 0.0

    def stop(self) -> None:
        """Make `run` finish its batch, send what waits and leave the group. Safe to call from a signal's handler."""
        self._stop.set()

    def report(self) -> Mapping[str, int]:
        """Counters for the heartbeat, with the lag, what waits, and the time spent on evaluating and writing."""
        return {
            **self.counts.numbers(),
            "lag": self._figures.lag,
            "partitions": len(self._holdings),
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
            self._complaints.log("events", f"the event log can't be read, trying again: {error}")
            self._stop.wait(UNREADABLE_S)
            return
        began = self._elapsed()
        self._work(equipment)
        self._busy += self._elapsed() - began
        self._trim()
        self._press_back()
        self._ticks.write(self._holdings, self._elapsed())
        self._figures.tell(self.counts, self._positions(), self._elapsed())

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
        waits = any(each.backlog for each in self._holdings)
        limit = self._pace.batch * max(1, len(self._holdings))
        with self._watchdog.watching("reading the event log"):
            polled = self._ports.source.poll(limit, 0 if waits else self._pace.poll_ms)
        moved = self._holdings.follow()
        now = self._elapsed()
        for number, records in polled.items():
            holding = self._holdings.get(number)
            if holding is not None and holding.is_owned and records and number not in moved:
                holding.heard, holding.ticked = now, None
                holding.backlog.add(records)

    # -------------------------------------------------------------- evaluating

    def _work(self, equipment: Equipment) -> None:
        """Evaluate what came, several partitions beside one another; what follows from it is done here, one by one."""
        owned = self._holdings.owned()
        worked = self._beside.each(lambda each: self._worked(each, equipment), owned)
        for holding, (counts, error) in zip(owned, worked, strict=True):
            holding.checked = self._elapsed()
            self.counts.add(counts)
            for rule, number in counts.errors.items():
                self._complaints.log(f"rule {rule}", f"rule {rule} failed {number} times; the other rules went on")
            if error is not None:
                self._holdings.failed(holding, error)
            elif holding.is_owned:
                holding.has_succeeded()
            else:
                holding.drop_backlog()

    def _worked(self, holding: Holding, equipment: Equipment) -> tuple[Counts, PortError | None]:
        """Evaluate all that came of a partition, in any thread: what it brought, and what it met."""
        counts = Counts()
        partition, backlog = holding.partition, holding.backlog
        try:
            while holding.is_owned:
                counts.add(partition.process(backlog.batch(self._pace.batch, partition.position), equipment))
                if holding.is_owned:
                    backlog.done()
                if not backlog or self._stop.is_set():
                    break
        except PortError as error:
            return counts, error
        return counts, None

    # -------------------------------------------------------------- everything else

    def _trim(self) -> None:
        for number, below in self._emission.sent().items():
            holding = self._holdings.get(number)
            if holding is None or not holding.is_owned:
                continue
            try:
                self._ports.state.trim(number, below)
            except PortError as error:
                self._complaints.log("trim", f"the outbox of partition {number} could not be trimmed: {error}")

    def _press_back(self) -> None:
        """Read nothing more while too much waits to be sent; the membership is kept by polling on."""
        owned = [each.partition.number for each in self._holdings.owned()]
        waiting = self._emission.waiting
        if not self._is_paused and waiting > OUTBOX_FULL:
            logger.warning("%d outputs wait to be sent: reading pauses", waiting)
            self._ports.source.pause(owned)
            self._is_paused = True
        elif self._is_paused and waiting < OUTBOX_FULL // 2:
            logger.info("reading goes on")
            self._ports.source.resume(owned)
            self._is_paused = False

    def _positions(self) -> Mapping[int, int]:
        return {each.partition.number: each.partition.position for each in self._holdings.owned()}

    def _finish(self) -> None:
        if not self._emission.drain(DRAIN_MS) and self._emission.waiting:
            logger.warning(
                "%d outputs were not sent; they are in the outbox for the next worker", self._emission.waiting
            )
        self._trim()
        self._beside.close()
        self._emission.close()
        self._figures.tell(self.counts, self._positions(), self._elapsed(), is_last=True)
        try:
            self._ports.source.close()
        except PortError as error:
            logger.info("could not leave the group in order: %s", error)
