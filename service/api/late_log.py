"""An event log that may be away when the process starts: decisions go on, events are refused until it is there."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from engine.ports import EventLog, NewRecord, PortError
from engine.values import Millis

log = logging.getLogger("salience.api.late_log")

PATIENCE_S = 1.0
"""At a start, so long for a log that says nothing: decisions need none."""
AGAIN_S = 1.0


class LateEventLog:
    """Opens a log, and where that fails goes on trying in a thread.

    Args:
        opening: Opens the log, or raises `PortError`. What it opens is closed by whoever gave it.
    """

    def __init__(self, opening: Callable[[], EventLog]) -> None:
        self._opening = opening
        self._opened: EventLog | None = None
        self._problem = "not opened yet"
        self._stop = threading.Event()
        self._tried = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Try in a thread until it is there, and wait for that a moment."""
        self._thread = threading.Thread(target=self._go_on, name="event log", daemon=True)
        self._thread.start()
        self._tried.wait(PATIENCE_S)
        if self._opened is None:
            log.warning("the event log can't be reached, events are refused until it can: %s", self._problem)

    @property
    def partitions(self) -> int:
        """Of the log that was opened; raises `PortError` before."""
        return self._log().partitions

    def append(self, records: Sequence[NewRecord], done: Callable[[PortError | None], None]) -> None:
        """As `EventLog.append`; raises `PortError` while there is no log."""
        self._log().append(records, done)

    def flush(self, timeout_ms: Millis) -> None:
        """As `EventLog.flush`."""
        if self._opened is not None:
            self._opened.flush(timeout_ms)

    def close(self) -> None:
        """End the thread. The log itself is closed by who opened it."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _log(self) -> EventLog:
        if self._opened is None:
            raise PortError(f"the event log can't be reached: {self._problem}")
        return self._opened

    def _try(self) -> bool:
        try:
            self._opened = self._opening()
        except PortError as error:
            self._problem = str(error)
            return False
        return True

    def _go_on(self) -> None:
        is_there = self._try()
        self._tried.set()
        if is_there:
            return
        while not self._stop.wait(AGAIN_S):
            if self._try():
                log.info("the event log is there")
                return
