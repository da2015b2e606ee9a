"""What a worker tells of itself by the second: fires and errors of rules by minute, its offsets, how far behind it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from engine.ports import Activity, EventSource, PortError
from engine.values import Millis
from service.clock import Clock
from service.worker.complaints import Complaints
from service.worker.counts import Counts

REPORT_S = 1.0
LAG_S = 2.0
LAG_MS: Millis = 300
"""So long evaluation waits for the ends of the log, which are for display only; brokers that can't say are left alone for a while."""
LAG_AGAIN_S = 10.0


class Figures:
    """Writes what was counted since the last time.

    Attributes:
        lag: Records behind the end of the log, over all partitions, when it was last asked.
    """

    def __init__(self, activity: Activity, source: EventSource, clock: Clock, complaints: Complaints) -> None:
        self.lag = 0
        self._activity = activity
        self._source = source
        self._clock = clock
        self._complaints = complaints
        self._told = Counts()
        self._tell_at = 0.0
        self._lag_at = 0.0

    def tell(self, counts: Counts, positions: Mapping[int, int], now: float, *, is_last: bool = False) -> None:
        """Write them where a second has passed, or the worker ends."""
        if now < self._tell_at and not is_last:
            return
        self._tell_at = now + REPORT_S
        told = self._told
        news = {f"fired/{rule}": n for rule, n in (counts.fired - told.fired).items()}
        news |= {f"error/{rule}": n for rule, n in (counts.errors - told.errors).items()}
        if applied := counts.applied - told.applied:
            news["events"] = applied
        try:
            if news:
                self._activity.add(self._clock() // 60_000, news)
            told.fired, told.errors, told.applied = Counter(counts.fired), Counter(counts.errors), counts.applied
            if positions and (now >= self._lag_at or is_last):
                self._lag_at = now + LAG_AGAIN_S
                self._source.commit(positions)
                ends = self._source.ends(LAG_MS)
                self._lag_at = now + LAG_S
                self.lag = sum(max(0, ends.get(number, 0) - position) for number, position in positions.items())
        except PortError as error:
            self._complaints.log("report", f"figures could not be written: {error}")
