"""Failures that last, logged now and then."""

from __future__ import annotations

import logging
from collections.abc import Callable

logger = logging.getLogger("salience.service.worker")

AGAIN_S = 10.0


class Complaints:
    """Logs warnings, those about the same thing at most every 10 s."""

    def __init__(self, elapsed: Callable[[], float]) -> None:
        self._elapsed = elapsed
        self._silent_until: dict[str, float] = {}

    def log(self, about: str, message: str) -> None:
        """Log it, or not."""
        now = self._elapsed()
        if now >= self._silent_until.get(about, 0.0):
            self._silent_until[about] = now + AGAIN_S
            logger.warning("%s", message)
