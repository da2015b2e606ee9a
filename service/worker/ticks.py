"""Time in partitions in which nothing comes: it passes by records of the log, so that a replay sees it pass at the same place."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from engine.ports import EventLog, PortError
from engine.values import Millis
from service.worker.complaints import Complaints
from service.worker.holdings import Holding
from service.worker.messages import tick_record

logger = logging.getLogger("salience.service.worker")

TICK_S = 1.0
TICK_AGAIN_S = 10.0


class Ticks:
    """Writes ticks where they are due.

    Args:
        log: Where they go.
        idle_ms: After so long without a record a partition gets one, if a session waits for time to pass.
        lateness: Allowed lateness.
        complaints: Where failures are told.
    """

    def __init__(self, log: EventLog, idle_ms: Millis, lateness: Millis, complaints: Complaints) -> None:
        self._log = log
        self._idle_ms = idle_ms
        self._lateness = lateness
        self._complaints = complaints
        self._look_at = 0.0

    def write(self, holdings: Iterable[Holding], now: float) -> None:
        """Where nothing comes and a session waits for time to pass, write a record that says what time it is.

        It is the time of the latest event and what went by since, so that a recording of last year keeps its time.
        """
        if now < self._look_at:
            return
        self._look_at = now + min(TICK_S, self._idle_ms / 1000)
        for holding in holdings:
            partition = holding.partition
            idle_ms = int((now - holding.heard) * 1000)
            if idle_ms < self._idle_ms or not holding.is_owned or not partition.watermark:
                continue
            if holding.ticked is not None and now < holding.ticked + TICK_AGAIN_S:
                continue  # one is on its way; its arrival ends the silence
            until = partition.watermark + idle_ms
            try:
                if partition.is_due(until):
                    record = tick_record(partition.number, self._log.partitions, until + self._lateness)
                    self._log.append([record], _log_failure)
                    holding.ticked = now
            except PortError as error:
                self._complaints.log("tick", f"time could not be written to partition {partition.number}: {error}")


def _log_failure(error: PortError | None) -> None:
    if error is not None:
        logger.warning("a tick could not be written, the next will be: %s", error)
