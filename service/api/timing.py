"""Where the time of a call went, for the header Server-Timing."""

from __future__ import annotations

import time
from functools import lru_cache


class Timing:
    """Where the time of a call went, for the header Server-Timing."""

    __slots__ = ("_last", "_spent", "started")

    def __init__(self) -> None:
        self.started = self._last = time.perf_counter()
        self._spent: dict[str, float] = {}

    def mark(self, part: str) -> None:
        """The time since the last mark went into this part."""
        now = time.perf_counter()
        self._spent[part] = self._spent.get(part, 0.0) + 1000 * (now - self._last)
        self._last = now

    @property
    def total_s(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self.started

    def header(self) -> bytes:
        """The header's value, in milliseconds."""
        return _shape(*self._spent) % (*self._spent.values(), 1000 * self.total_s)


@lru_cache(maxsize=256)  # of each endpoint some: which parts there are is known by the code
def _shape(*parts: str) -> bytes:
    """The header for parts in this order, a place for the milliseconds of each, and of the whole."""
    return ", ".join(f"{part};dur=%.2f" for part in (*parts, "total")).encode()
