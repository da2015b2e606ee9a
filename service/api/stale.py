"""Sessions that this process has read lately: what it decides with while the state store is away."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

from engine.values import EpochMs, Millis

T = TypeVar("T")

CAPACITY = 5_000
"""Sessions of some KB each: 20 MB at most, and the shoppers of the last minutes on one process."""
STALE_MS: Millis = 5 * 60_000
"""A shopper's last five minutes still say who that is; an older state would be another visit's."""


class Lately(Generic[T]):
    """The latest of each session, bounded in number and age. Used from the event loop alone."""

    def __init__(self, capacity: int = CAPACITY, stale_ms: Millis = STALE_MS) -> None:
        self._capacity = capacity
        self._stale_ms = stale_ms
        self._kept: OrderedDict[tuple[str, str | None], tuple[EpochMs, T]] = OrderedDict()

    def keep(self, session_id: str, customer_id: str | None, found: T, now: EpochMs) -> None:
        """Remember what was read, as it was asked for: another customer's profile must never answer."""
        key = (session_id, customer_id)
        self._kept[key] = (now, found)
        self._kept.move_to_end(key)
        if len(self._kept) > self._capacity:
            self._kept.popitem(last=False)

    def find(self, session_id: str, customer_id: str | None, now: EpochMs) -> tuple[Millis, T] | None:
        """What was read last and how long ago; None where that is too long, or never was."""
        kept = self._kept.get((session_id, customer_id))
        if kept is None or now - kept[0] > self._stale_ms:
            return None
        return now - kept[0], kept[1]

    def forget(self, is_meant: Callable[[str | None, T], bool]) -> None:
        """Forget what is meant, by the customer it was asked for and by what was read."""
        for key in [key for key, (_, found) in self._kept.items() if is_meant(key[1], found)]:
            del self._kept[key]
