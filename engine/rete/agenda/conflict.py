"""The conflict set by difference: from the quantities that changed to the rules that they made true.

For each quantity there is a trie of the conjuncts that look at it; a change walks only this one, and in it only along
the literals of the quantity that became true. Nothing is kept in a session.

In a trie, what all of its conjuncts ask comes first, then what became true: few conjuncts have it, where rules differ.
Where they are alike and differ in their limits on the quantity, one change passes many of these; they stand in their
place in the common order then: presences, what is found by equality, thresholds, the most varied last among each.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from engine.rete.agenda.production import Production
from engine.rete.alpha.aggregates import Changed
from engine.rete.alpha.discrimination import MOST_VALUES, End, Guards, Trie
from engine.rete.conditions.normal_form import Conjunct, Literal, Shape, Whole
from engine.rete.conditions.quantity import Quantity
from engine.rete.conditions.subjects import Presence
from engine.rete.conditions.truth import Values
from engine.values import EpochMs, Value


class _Wanted(NamedTuple):
    """A conjunct for the trie of a quantity: its literal on it that may become true, the others in the common order."""

    risen: Literal
    others: list[Literal]
    end: End


class ConflictIndex:
    """Which rules hold, and which became true by a change. Rules with scores are in `asking`, for their cheap part."""

    def __init__(self, productions: Sequence[Production], quantities: Sequence[Quantity]) -> None:
        self._defaults = [each.default for each in quantities]
        self._rank = _ranks(productions, quantities)
        self._by_quantity: dict[int, list[int]] = {}
        for production in productions:
            for index in production.reads:
                self._by_quantity.setdefault(index, []).append(production.index)
        wanted: dict[int, list[_Wanted]] = {}
        # What no index finds, by the quantities that it looks at: everything else first.
        self._blind: dict[int, Trie] = {}
        for production in productions:
            if not production.asking:
                for conjunct in production.conjuncts:
                    if conjunct.whole is not None:
                        self._want_whole(production, conjunct.whole, wanted)
                    else:
                        self._want(production, conjunct, wanted)
        self._rising = {index: self._risen_trie(index, found) for index, found in wanted.items()}
        for trie in self._blind.values():
            trie.settle()
        # What must be so for a change of each quantity to make a rule true, as far as that can be said in a word.
        self.guards = [self._guards_of(each.index) for each in quantities]
        self.all = Holding(productions, self)
        self.asking = Holding([each for each in productions if each.asking], self)

    def _guards_of(self, index: int) -> Guards | None:
        """None where no rule looks at the quantity."""
        if index in self._blind:
            return ()
        trie = self._rising.get(index)
        return None if trie is None else trie.root.guards

    def candidates(self, changed: Iterable[int]) -> set[int]:
        """The productions that look at one of these quantities: for when an index can't tell."""
        found: set[int] = set()
        for index in changed:
            found.update(self._by_quantity.get(index, ()))
        return found

    def risen(self, changed: Changed, values: Mapping[int, Value | None], now: EpochMs) -> dict[int, bool]:
        """The productions without scores that hold now and may not have held before the change.

        Returns:
            By production, whether it is certain that it did not hold before. Raises what a literal raises.
        """
        found: dict[int, bool] = {}
        rising, blind, defaults, get = self._rising, self._blind, self._defaults, values.get
        for index, old in changed.items():
            trie = rising.get(index)
            if trie is not None and trie.may_rise(old, get(index, defaults[index])):
                for production, checks, is_certain in trie.reached(values, old):
                    if (not checks or _pass(checks, values, now)) and not found.get(production, False):
                        found[production] = is_certain
            if blind and index in blind:
                for production, checks, _ in blind[index].reached(values):
                    if not checks or _pass(checks, values, now):
                        found.setdefault(production, False)
        return found

    def ordered(self, literals: Iterable[Literal]) -> list[Literal]:
        """Literals in the common order of the tries."""
        return sorted(literals, key=lambda literal: self._rank[literal.index])

    def trie(self) -> Trie:
        """An empty trie over these quantities."""
        return Trie(self._defaults)

    def _want(self, production: Production, conjunct: Conjunct, wanted: dict[int, list[_Wanted]]) -> None:
        """Note a conjunct for each quantity that it looks at."""
        indexed = self.ordered(literal for literal in conjunct.literals if is_indexed(literal))
        checks = tuple(literal for literal in conjunct.literals if not is_indexed(literal))
        is_only = len(production.conjuncts) == 1
        for literal in indexed:
            # Of several literals on one quantity, only one can be what rose: the others are looked at then.
            others = [each for each in indexed if each.index != literal.index]
            rest = tuple(each for each in indexed if each is not literal and each.index == literal.index)
            is_certain = is_only and not (literal.shape == Shape.IS and len(literal.operand) > 1)
            end = End(production.index, (*checks, *rest), is_certain)
            wanted.setdefault(literal.index, []).append(_Wanted(literal, others, end))
        for index in dict.fromkeys(index for literal in checks for index in literal.reads):
            self._blind_trie(index).add(indexed, End(production.index, checks, False))

    def _want_whole(self, production: Production, whole: Whole, wanted: dict[int, list[_Wanted]]) -> None:
        """A condition that is not multiplied out is looked at when any of its literals became true."""
        end = End(production.index, (), False)
        for literal in whole.literals:
            if is_indexed(literal):
                wanted.setdefault(literal.index, []).append(_Wanted(literal, [], end))
            else:
                for index in literal.reads:
                    self._blind_trie(index).add((), end)

    def _blind_trie(self, index: int) -> Trie:
        return self._blind.setdefault(index, Trie(self._defaults))

    def _risen_trie(self, index: int, wanted: list[_Wanted]) -> Trie:
        shared = set(wanted[0].others)
        limits, ways = set(), set()
        for risen, others, _ in wanted:
            shared.intersection_update(others)
            if risen.shape != Shape.IS:
                limits.add(risen.operand)
                ways.add(tuple(others))
        is_first = len(limits) <= len(ways)
        trie, rank = Trie(self._defaults, index), self._rank[index]
        for risen, others, end in wanted:
            first = [each for each in others if each in shared]
            rest = [each for each in others if each not in shared]
            at = 0
            if risen.shape != Shape.IS and not is_first:
                at = sum(self._rank[each.index] < rank for each in rest)
            trie.add([*first, *rest[:at], risen, *rest[at:]], end)
        return trie.settle()


class Holding:
    """Which of some productions may hold now: their indexed and checked literals do; scores are not looked at."""

    def __init__(self, productions: Sequence[Production], index: ConflictIndex) -> None:
        self._trie = index.trie()
        self._rest: list[int] = []
        for production in productions:
            if production.broken is not None or any(each.whole is not None for each in production.conjuncts):
                self._rest.append(production.index)
                continue
            for conjunct in production.conjuncts:
                indexed = index.ordered(literal for literal in conjunct.literals if is_indexed(literal))
                checks = tuple(literal for literal in conjunct.literals if not is_indexed(literal))
                self._trie.add(indexed, End(production.index, checks, False))
        self._trie.settle()

    def candidates(self, values: Values) -> list[int]:
        """Their indices in order of acting; a production that is not among them does not hold."""
        found = {end.production for end in self._trie.reached(values)}
        return sorted(found.union(self._rest)) if self._rest else sorted(found)


def is_indexed(literal: Literal) -> bool:
    """Whether a trie finds the literal."""
    if literal.shape == Shape.IS:
        return len(literal.operand) <= MOST_VALUES
    return literal.shape != Shape.CHECK


def _pass(checks: Iterable[Literal], values: Values, now: EpochMs) -> bool:
    return all(literal.holds(values, now) for literal in checks)


def _ranks(productions: Iterable[Production], quantities: Sequence[Quantity]) -> list[tuple[int, int, int]]:
    """The common order of quantities: presences, equalities, thresholds; within each, the most varied last."""
    operands: dict[int, set[object]] = {}
    is_ladder: dict[int, bool] = {}
    for production in productions:
        for literal in production.literals:
            if is_indexed(literal):
                operands.setdefault(literal.index, set()).add(literal.operand)
                is_ladder[literal.index] = is_ladder.get(literal.index, False) or literal.shape != Shape.IS
    return [
        (
            0 if isinstance(each.subject, Presence) else 2 if is_ladder.get(each.index) else 1,
            len(operands.get(each.index, ())),
            each.index,
        )
        for each in quantities
    ]
