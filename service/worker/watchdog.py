"""Ends a process in which a call of a client library does not return: whoever started it starts it again.

Whatever such a call would have done is safe to lose: state and outputs are reconciled at the next claim.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

logger = logging.getLogger("salience.service.worker.watchdog")

LIMIT_S = 30
"""Longer than the clients' own limits add up to for one call."""

EXIT_CODE = 70


def end_process() -> None:
    """End at once: a thread that hangs in a client can't be waited for."""
    os._exit(EXIT_CODE)


class Watchdog:
    """Looks every second at the calls on their way.

    It counts its own looks instead of asking a clock, so that a process that was stopped for a while and goes on is
    not taken for one that hangs.

    Args:
        end: Called once when a call lasts too long; None: nothing is watched.
        limit_s: How long a call may last.
        step_s: How often to look.
    """

    def __init__(self, end: Callable[[], None] | None, *, limit_s: float = LIMIT_S, step_s: float = 1.0) -> None:
        self._end = end
        self._looks = max(1, round(limit_s / step_s))
        self._step_s = step_s
        self._calls: dict[object, tuple[str, int]] = {}
        self._look = 0
        self._stopped = threading.Event()
        if end is not None:
            threading.Thread(target=self._run, name="watchdog", daemon=True).start()

    @contextmanager
    def watching(self, doing: str) -> Iterator[None]:
        """Watch one call."""
        call = object()
        self._calls[call] = (doing, self._look)
        try:
            yield
        finally:
            del self._calls[call]

    def stop(self) -> None:
        """Watch no more."""
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.wait(self._step_s):
            self._look += 1
            for doing, since in list(self._calls.values()):
                if self._look - since > self._looks and self._end is not None:
                    logger.critical("%s does not return: this process ends, to be started again", doing)
                    self._end()
                    return
