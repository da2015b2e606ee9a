"""Appending rows to the event log: at their own pace, N times it, or as fast as the log takes them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from engine.ports import EventLog, LogFullError, NewRecord, PortError
from engine.values import EpochMs, Millis
from service.replay.events import RowReader
from service.replay.rows import Row

BATCH = 500
IN_FLIGHT = 20_000
"""Records appended and not yet durable, at most: some 10 MB."""
WAIT_S = 0.02
LONGEST_SLEEP_S = 0.5  # so that a stop is obeyed soon
FLUSH_MS = 60_000


@dataclass(slots=True)
class FeedReport:
    """What was fed.

    Attributes:
        rows: Rows read.
        appended: Records that are durable in the log.
        skipped: Rows that the mapping leaves out, by rule.
        incomplete: Rows fed without a session or a readable time: they become dead letters.
        waited: How often the log was full.
        seconds: Wall time.
        shift: Added to every time of the recording.
        first: Event time of the first row before the shift, `last` that of the latest.
    """

    rows: int = 0
    appended: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    incomplete: int = 0
    waited: int = 0
    seconds: float = 0.0
    shift: Millis = 0
    first: EpochMs | None = None
    last: EpochMs | None = None


class Feed:
    """Feeds one recording.

    Args:
        log: Where to.
        reader: Makes records of rows.
        speed: 1 for the recording's own pace, N for N times it, None for as fast as can be.
        on_rows: Told how many rows were read since the last call.
        stop: Set it to end early; what was taken is still made durable.
    """

    def __init__(
        self,
        log: EventLog,
        reader: RowReader,
        *,
        speed: float | None = None,
        on_rows: Callable[[int], None] | None = None,
        stop: threading.Event | None = None,
    ) -> None:
        self._log = log
        self._reader = reader
        self._speed = speed
        self._on_rows = on_rows
        self._stop = stop or threading.Event()
        self._changed = threading.Condition()
        self._in_flight = 0
        self._failed: PortError | None = None
        self._report = FeedReport(shift=reader.shift)
        self._began = 0.0

    def run(self, rows: Iterable[Row]) -> FeedReport:
        """Feed all rows; returns when all are durable.

        Raises:
            PortError: The log failed. Ids are deterministic, so feed again: what is there already counts once.
            RecordingError: The recording can't be read to its end; what was before is in the log.
        """
        self._began = time.monotonic()
        report = self._report
        batch: list[NewRecord] = []
        told = 0
        try:
            for row in rows:
                if self._stop.is_set():
                    break
                report.rows += 1
                prepared = self._reader.prepare(row)
                if prepared is not None:
                    if prepared.time is not None:
                        if report.first is None:
                            report.first = prepared.time
                        report.last = max(prepared.time, report.last or prepared.time)
                        if self._speed is not None and self._is_early(prepared.time):
                            self._append(batch)
                            batch = []
                            self._wait_for(prepared.time)
                    batch.append(prepared.record)
                if len(batch) >= BATCH:
                    self._append(batch)
                    batch = []
                if self._on_rows is not None and report.rows - told >= 100:
                    self._on_rows(report.rows - told)
                    told = report.rows
            self._append(batch)
        finally:
            self._settle()
            if self._on_rows is not None:
                self._on_rows(report.rows - told)
            report.skipped = dict(self._reader.skipped)
            report.incomplete = self._reader.incomplete
            report.seconds = time.monotonic() - self._began
        if self._failed is not None:
            raise self._failed
        return report

    def _is_early(self, moment: EpochMs) -> bool:
        return self._due_at(moment) > time.monotonic()

    def _due_at(self, moment: EpochMs) -> float:
        assert self._speed is not None
        assert self._report.first is not None
        return self._began + (moment - self._report.first) / 1000 / self._speed

    def _wait_for(self, moment: EpochMs) -> None:
        while (left := self._due_at(moment) - time.monotonic()) > 0:
            if self._stop.wait(min(left, LONGEST_SLEEP_S)):
                return

    def _append(self, batch: list[NewRecord]) -> None:
        """Hand a batch over, waiting while too much is on its way or the log is full."""
        if not batch:
            return
        size = len(batch)

        def done(error: PortError | None) -> None:
            with self._changed:
                self._in_flight -= size
                if error is None:
                    self._report.appended += size
                elif self._failed is None:
                    self._failed = error
                self._changed.notify_all()

        with self._changed:
            self._changed.wait_for(lambda: self._in_flight < IN_FLIGHT or self._failed is not None)
            if self._failed is not None:
                raise self._failed
            self._in_flight += size
        while True:
            try:
                self._log.append(batch, done)
            except LogFullError:
                self._report.waited += 1
                time.sleep(WAIT_S)
            except PortError:
                with self._changed:
                    self._in_flight -= size
                raise
            else:
                return

    def _settle(self) -> None:
        """Wait until everything that was taken is durable."""
        try:
            self._log.flush(FLUSH_MS)
        except PortError as error:
            self._failed = self._failed or error
        with self._changed:
            self._changed.wait_for(lambda: self._in_flight <= 0, 5.0)
