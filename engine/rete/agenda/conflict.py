"""The conflict set by difference: from the quantities that changed to the rules that they made true.

For each quantity there is a trie of the conjuncts that look at it; a change walks only this one, and in it only along
the literals of the quantity that became true. Nothing is kept in a session.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from engine.rete.agenda.production import Production
from engine.rete.alpha.aggregates import Changed
from engine.rete.alpha.discrimination import MOST_VALUES, NEVER, End, Guards, Trie
from engine.rete.conditions.normal_form import Conjunct, Literal, Shape
from engine.rete.conditions.quantity import Quantity
from engine.rete.conditions.subjects import Presence
from engine.rete.conditions.truth import Values
from engine.values import EpochMs, Value


class ConflictIndex:
    """Which rules hold, and which became true by a change. Rules with scores are in `asking`, for their cheap part."""

    def __init__(self, productions: Sequence[Production], quantities: Sequence[Quantity]) -> None:
        self._defaults = [each.default for each in quantities]
        self._rank = _ranks(productions, quantities)
        self._by_quantity: dict[int, list[int]] = {}
        self._rising: dict[int, Trie] = {}
        self._whole_by_quantity: dict[int, list[int]] = {}
        plain = [each for each in productions if not each.asking]
        for production in productions:
            for index in production.reads:
                self._by_quantity.setdefault(index, []).append(production.index)
        for production in plain:
            for conjunct in production.conjuncts:
                if conjunct.whole is not None:
                    for index in conjunct.whole.reads:
                        self._whole_by_quantity.setdefault(index, []).append(production.index)
                else:
                    self._add_rising(production, conjunct)
        for trie in self._rising.values():
            trie.settle()
        # What must be so for a change of each quantity to make a rule true, as far as that can be said in a word; of one
        # that no rule looks at, something that never is.
        self.guards = [self._guards_of(each.index) for each in quantities]
        self.all = Holding(productions, self)
        self.asking = Holding([each for each in productions if each.asking], self)

    def _guards_of(self, index: int) -> Guards:
        if index in self._whole_by_quantity:
            return ()
        trie = self._rising.get(index)
        return trie.root.guards if trie is not None else ((index, None, NEVER),)

    def readers(self, index: int) -> Sequence[int]:
        """The productions that look at a quantity."""
        return self._by_quantity.get(index, ())

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
        whole = self._whole_by_quantity
        rising, defaults, get = self._rising, self._defaults, values.get
        for index, old in changed.items():
            trie = rising.get(index)
            if trie is not None and trie.may_rise(old, get(index, defaults[index])):
                for production, checks, is_certain in trie.reached(values, old):
                    if (not checks or _pass(checks, values, now)) and not found.get(production, False):
                        found[production] = is_certain
            if whole and index in whole:
                for production in whole[index]:
                    found.setdefault(production, False)
        return found

    def ordered(self, literals: Iterable[Literal]) -> list[Literal]:
        """Literals in the common order of the tries."""
        return sorted(literals, key=lambda literal: self._rank[literal.index])

    def trie(self) -> Trie:
        """An empty trie over these quantities."""
        return Trie(self._defaults)

    def _add_rising(self, production: Production, conjunct: Conjunct) -> None:
        """Put a conjunct into the trie of each quantity that it looks at."""
        indexed = self.ordered(literal for literal in conjunct.literals if is_indexed(literal))
        checks = tuple(literal for literal in conjunct.literals if not is_indexed(literal))
        is_only = len(production.conjuncts) == 1
        for literal in indexed:
            # Of several literals on one quantity, only one can be what rose: the others are looked at then.
            path = [each for each in indexed if each is literal or each.index != literal.index]
            rest = tuple(each for each in indexed if each is not literal and each.index == literal.index)
            is_certain = is_only and not (literal.shape == Shape.IS and len(literal.operand) > 1)
            self._trie_of(literal.index).add(path, End(production.index, (*checks, *rest), is_certain))
        for index in dict.fromkeys(index for literal in checks for index in literal.reads):
            # A literal that no index finds: everything else first, along the quantities that did not change.
            path = [each for each in indexed if each.index != index]
            rest = tuple(each for each in indexed if each.index == index)
            self._trie_of(index).add(path, End(production.index, (*checks, *rest), False))

    def _trie_of(self, index: int) -> Trie:
        found = self._rising.get(index)
        if found is None:
            found = self._rising[index] = Trie(self._defaults, index)
        return found


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
