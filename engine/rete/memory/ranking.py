"""What a session keeps of `take: highest` from one step to the next: the keys that pass, by value.

An event changes the value of its own key, and so does an event that leaves the window; all others stand as they stood.
Never stored: made from the alpha memories when it is needed, and made again where it can't be followed up.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import Any, NamedTuple, TypeAlias

from engine.rete.memory.alphas import Alphas, Position
from engine.values import Truth, Value

FEW = 16
"""So many ranks that count no more may lie in a heap whatever its size."""


class Ranking:
    """One `take: highest` of a network; equal to nothing but itself.

    Attributes:
        per: The attribute that is the key.
    """

    __slots__ = ("per",)

    def __init__(self, per: str) -> None:
        self.per = per


class RankedKey(NamedTuple):
    """How a key stands: its value, where that was reached, and where its first event lies."""

    key: Value
    value: Value | None
    reached: Position
    first: Position

    @property
    def rank(self) -> Rank:
        """Lower is better: the higher value, then the one that was reached earlier; without a value last."""
        value: Any = self.value
        return (value is None, 0 if value is None else -value, self.reached)


Rank: TypeAlias = tuple[bool, Any, Position]


class RankedKeys:
    """The keys of a ranking in a session.

    Attributes:
        alphas: What they were made from.
        begin: Where the span began when they were last brought up to date.
        dirty: Keys of which an event came or went since.
        unknown: Keys of which it is not known whether they pass.
    """

    __slots__ = ("_heap", "_of_key", "alphas", "begin", "dirty", "unknown")

    def __init__(self, alphas: Alphas, begin: tuple[int, ...]) -> None:
        self.alphas = alphas
        self.begin = begin
        self.dirty: set[Value] = set()
        self.unknown: set[Value] = set()
        self._of_key: dict[Value, RankedKey] = {}
        self._heap: list[tuple[Rank, Value]] = []  # of keys that passed; a rank that is not the key's counts no more

    def put(self, key: Value, truth: Truth, ranked: RankedKey | None) -> None:
        """Note how a key stands now, whether it passes, and (None) that it has no events any more."""
        self.unknown.discard(key)
        self._of_key.pop(key, None)
        if ranked is None or truth is False:
            return
        if truth is None:
            self.unknown.add(key)
            return
        self._of_key[key] = ranked
        heappush(self._heap, (ranked.rank, key))
        if len(self._heap) > 2 * len(self._of_key) + FEW:
            self._heap = [(each.rank, each.key) for each in self._of_key.values()]
            heapify(self._heap)

    def best(self) -> RankedKey | None:
        """The highest that passes."""
        heap, of_key = self._heap, self._of_key
        while heap:
            rank, key = heap[0]
            ranked = of_key.get(key)
            if ranked is not None and ranked.rank == rank:
                return ranked
            heappop(heap)
        return None
