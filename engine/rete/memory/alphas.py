"""The alpha memories of a session: the kept events that pass a selection, in order, and by the values that join them.

Made from the retained events when something has to be joined, kept up to date from then on, never stored.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import TypeAlias

from engine.values import EpochMs, Value

Position: TypeAlias = tuple[EpochMs, int]
"""Time and number of arrival: the order of events."""

Entry: TypeAlias = tuple[EpochMs, int, dict[str, Value]]
"""A kept event: its position and its attributes. No two have one position, so that attributes are never compared."""

NONE: Sequence[Entry] = ()


class AlphaMemory:
    """The events that pass one selection."""

    __slots__ = ("_buckets", "entries")

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self._buckets: dict[str, dict[Value | None, list[Entry]]] = {}

    def add(self, entry: Entry) -> None:
        """Put an event in its place; it arrived after all of its time."""
        _place(self.entries, entry)
        for attribute, buckets in self._buckets.items():
            _place(buckets.setdefault(entry[2].get(attribute), []), entry)

    def drop_oldest(self) -> None:
        """Forget the first event."""
        entry = self.entries.pop(0)
        for attribute, buckets in self._buckets.items():
            value = entry[2].get(attribute)
            bucket = buckets[value]
            del bucket[0]
            if not bucket:
                del buckets[value]

    def bucket(self, attribute: str, value: Value | None) -> Sequence[Entry]:
        """The events with this value of an attribute (None: without one), in order."""
        buckets = self._buckets.get(attribute)
        if buckets is None:
            buckets = {}
            for entry in self.entries:
                buckets.setdefault(entry[2].get(attribute), []).append(entry)
            self._buckets[attribute] = buckets  # in one go: another view may read the same memory
        return buckets.get(value, NONE)


_EMPTY = AlphaMemory()


class Alphas:
    """All alpha memories of a session, by the number of the selection in its network."""

    __slots__ = ("_memories", "_next")

    def __init__(self) -> None:
        self._memories: dict[int, AlphaMemory] = {}
        self._next = 0

    def add(self, numbers: Iterable[int], time: EpochMs, attributes: dict[str, Value]) -> None:
        """Take in the next event to arrive, with the selections that it passes."""
        entry = (time, self._next, attributes)
        self._next += 1
        for number in numbers:
            memory = self._memories.get(number)
            if memory is None:
                memory = self._memories[number] = AlphaMemory()
            memory.add(entry)

    def drop_oldest(self, numbers: Iterable[int]) -> None:
        """Forget the first event of these selections."""
        for number in numbers:
            self._memories[number].drop_oldest()

    def __getitem__(self, number: int) -> AlphaMemory:
        return self._memories.get(number, _EMPTY)

    def between(self, number: int, begin: EpochMs, end: EpochMs) -> Sequence[Entry]:
        """Those of a selection with `begin <= time <= end`."""
        entries = self[number].entries
        return entries[bisect_left(entries, (begin,)) : bisect_left(entries, (end + 1,))]

    def first_after(self, number: int, time: EpochMs) -> EpochMs | None:
        """The time of the first of a selection that is later than `time`."""
        entries = self[number].entries
        at = bisect_left(entries, (time + 1,))
        return entries[at][0] if at < len(entries) else None


def _place(entries: list[Entry], entry: Entry) -> None:
    if not entries or entries[-1] < entry:
        entries.append(entry)
    else:
        entries.insert(bisect_left(entries, entry), entry)
