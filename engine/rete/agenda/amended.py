"""A conflict index over rules of which a few changed: the one over all as they were, and another over those."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from engine.rete.agenda.conflict import ConflictIndex, Glance, Holding
from engine.rete.agenda.production import Production
from engine.rete.alpha.aggregates import Changed
from engine.rete.conditions.quantity import Quantity
from engine.values import EpochMs, Value

Rank: TypeAlias = Callable[[int], int]
"""The place of a production in order of acting, below 0 for one that is gone."""


@dataclass(frozen=True, slots=True, eq=False)
class Base:
    """What an amended network stands on.

    Attributes:
        index: Over all rules as they were.
        changed: The rules that changed since, are new or gone, by index.
        reads: The quantities that they looked at.
    """

    index: ConflictIndex
    changed: frozenset[int]
    reads: frozenset[int]


class AmendedIndex(ConflictIndex):
    """An index over all rules as they were, with another over those that changed."""

    def __init__(
        self,
        base: Base,
        productions: Sequence[Production],
        quantities: Sequence[Quantity],
        defaults: Sequence[Value | None],
        rank: Rank,
    ) -> None:
        """`productions` as they are now."""
        self.base = base
        self._changed = base.changed
        own = sorted((index for index in base.changed if rank(index) >= 0), key=rank)
        self._own = ConflictIndex([productions[index] for index in own], quantities, defaults)
        self.glances = [*base.index.glances, *self._own.glances[len(base.index.glances) :]]
        for index in base.reads.union(*(productions[each].reads for each in base.changed)):
            self.glances[index] = Glance((), defaults[index], None)
        self.all = _Amended(base.index.all, self._own.all, base.changed, rank)
        self.asking = _Amended(base.index.asking, self._own.asking, base.changed, rank)

    def readers(self, index: int) -> Sequence[int]:
        """The productions that look at a quantity, perhaps with some that did."""
        return [*self.base.index.readers(index), *self._own.readers(index)]

    def candidates(self, changed: Iterable[int]) -> set[int]:
        """See `ConflictIndex`."""
        changed = tuple(changed)
        return self.base.index.candidates(changed) | self._own.candidates(changed)

    def risen(self, changed: Changed, values: dict[int, Value | None], now: EpochMs) -> dict[int, bool | None]:
        """See `ConflictIndex`."""
        found = self.base.index.risen(changed, values, now)
        for index in self._changed.intersection(found):
            del found[index]
        found.update(self._own.risen(changed, values, now))
        return found


class _Amended(Holding):
    """Which productions may hold, as `Holding` says it."""

    def __init__(self, base: Holding, own: Holding, changed: frozenset[int], rank: Rank) -> None:
        self._base = base
        self._own = own
        self._changed = changed
        self._rank = rank

    def candidates(self, values: dict[int, Value | None]) -> list[int]:
        """In order of acting."""
        found = {*self._base.candidates(values)}.difference(self._changed)
        return sorted(found.union(self._own.candidates(values)), key=self._rank)
