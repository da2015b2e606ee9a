"""The conflict set by difference: from the quantities that changed to the rules that they made true.

For each quantity there is a trie of the conjuncts that look at it; a change walks only this one, and in it only along
the literals of the quantity that became true. Nothing is kept in a session.

In a trie, what all of its conjuncts ask comes first, then what became true: few conjuncts have it, where rules differ.
Where they are alike and differ in their limits on the quantity, one change passes many of these; they stand in their
place in the common order then: presences, what is found by equality, thresholds, the most varied last among each.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, final

from engine.rete.agenda.production import Production
from engine.rete.alpha.aggregates import Changed
from engine.rete.alpha.discrimination import MOST_VALUES, End, Guard, Trie
from engine.rete.conditions.literals import Literal, Shape
from engine.rete.conditions.normal_form import Conjunct
from engine.rete.conditions.quantity import Quantity
from engine.rete.conditions.subjects import Presence
from engine.rete.conditions.truth import Values
from engine.rete.conditions.whole import Whole
from engine.values import EpochMs, Value


@final
class Glance:
    """What can be said in a word of a change of a quantity, without a walk through its trie.

    Attributes:
        guards: What must be so for it to make a rule true.
        default: Of the quantity.
        end: Of the only rule that can become true, where it does so at one value and there is no more to it.
        value: That value.
        leaves: By its new value the rules that became true, where there is no more to it and they are several.
        trie: Else what finds them; None where that has to be asked of the index.
    """

    __slots__ = ("default", "end", "guards", "leaves", "trie", "value")

    def __init__(
        self,
        guards: tuple[Guard, ...],
        default: Value | None,
        leaves: dict[Value, tuple[End, ...]] | None = None,
        trie: Trie | None = None,
    ) -> None:
        self.guards = guards
        self.default: Any = default
        self.leaves: dict[Any, tuple[End, ...]] | None = leaves
        self.trie = trie
        self.value: Any = None
        self.end: End | None = None
        if leaves is not None and len(leaves) == 1:
            ((value, ends),) = leaves.items()
            if len(ends) == 1:
                self.value, self.end, self.leaves = value, ends[0], None


MOST_CHECKS = 16
"""So many literals of a quantity that no index finds are looked at when it changes, before anything else."""


class _Wanted(NamedTuple):
    """A conjunct for the trie of a quantity: its literal on it that may become true, the others in the common order."""

    risen: Literal
    others: list[Literal]
    end: End


class ConflictIndex:
    """Which rules hold, and which became true by a change. Rules with scores are in `asking`, for their cheap part."""

    def __init__(
        self, productions: Sequence[Production], quantities: Sequence[Quantity], defaults: Sequence[Value | None]
    ) -> None:
        self._defaults = defaults
        self._rank = _ranks(productions, quantities)
        self._by_quantity: dict[int, list[int]] = {}
        for production in productions:
            for index in production.reads:
                self._by_quantity.setdefault(index, []).append(production.index)
        wanted: dict[int, list[_Wanted]] = {}
        # By the quantities that they look at, the literals that no trie finds, each with a trie of what else they need;
        # under None all else, which is looked at last.
        self._checked: dict[int, dict[Literal | None, Trie]] = {}
        for production in productions:
            if not production.asking:
                for conjunct in production.conjuncts:
                    if conjunct.whole is not None:
                        self._want_whole(production, conjunct.whole, wanted)
                    else:
                        self._want(production, conjunct, wanted)
        self._rising = {index: self._risen_trie(index, found) for index, found in wanted.items()}
        for tries in self._checked.values():
            for trie in tries.values():
                trie.settle()
        self.glances: list[Glance | None] = [None] * len(quantities)
        for index in {*self._rising, *self._checked}:
            self.glances[index] = self._glance(index)
        self.all = Holding(productions, self)
        self.asking = Holding([each for each in productions if each.asking], self)

    def _glance(self, index: int) -> Glance | None:
        """None where no rule looks at the quantity."""
        default, trie = self._defaults[index], self._rising.get(index)
        if index in self._checked:
            return Glance((), default, None)
        if trie is None:
            return None
        leaves = trie.leaves()
        if leaves is None or any(end.checks or not end.is_certain for ends in leaves.values() for end in ends):
            return Glance(trie.root.guards, default, None, trie)
        return Glance(trie.root.guards, default, leaves)

    def readers(self, index: int) -> Sequence[int]:
        """The productions that look at a quantity."""
        return self._by_quantity.get(index, ())

    def candidates(self, changed: Iterable[int]) -> set[int]:
        """The productions that look at one of these quantities: for when an index can't tell."""
        found: set[int] = set()
        for index in changed:
            found.update(self._by_quantity.get(index, ()))
        return found

    def risen(self, changed: Changed, values: dict[int, Value | None], now: EpochMs) -> dict[int, bool | None]:
        """The productions without scores that may hold now and may not have held before the change.

        Returns:
            By production, whether it is certain that it did not hold before; it holds now, but where None stands: that
            has to be looked at. Raises what a literal raises.
        """
        found: dict[int, bool | None] = {}
        rising, checked, defaults = self._rising, self._checked, self._defaults
        for index, old in changed.items():
            trie = rising.get(index)
            ends: list[End] = []
            if trie is not None and trie.may_rise(old, values.get(index, defaults[index])):
                ends = trie.reached(values, old)
            if checked and index in checked:
                ends = [*ends, *self._reached_by_checks(checked[index], {index: old}, values, now)]
            for end in ends:
                if (not end.checks or _pass(end.checks, values, now)) and not found.get(end.production):
                    found[end.production] = end.is_certain
        return found

    def _reached_by_checks(
        self, tries: Mapping[Literal | None, Trie], old: Values, values: dict[int, Value | None], now: EpochMs
    ) -> Iterator[End]:
        for literal, trie in tries.items():
            if literal is None or (literal.holds(values, now) and not literal.holds(old, now)):
                yield from trie.reached(values)

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
            end = _end(production, (*checks, *rest), is_certain)
            wanted.setdefault(literal.index, []).append(_Wanted(literal, others, end))
        for literal in checks:
            more = tuple(each for each in checks if each is not literal)
            for index in literal.reads:
                tries = self._checked.setdefault(index, {})
                if len(literal.reads) == 1 and literal.age is None and (literal in tries or len(tries) < MOST_CHECKS):
                    trie = tries.setdefault(literal, Trie(self._defaults))
                    trie.add(indexed, _end(production, more, is_only))
                else:
                    trie = tries.setdefault(None, Trie(self._defaults))
                    trie.add(indexed, _end(production, checks, False))

    def _want_whole(self, production: Production, whole: Whole, wanted: dict[int, list[_Wanted]]) -> None:
        """A condition that is not multiplied out is looked at when one of its literals became true."""
        end = End(production.index, (), None)
        for literal in whole.literals:
            if is_indexed(literal):
                wanted.setdefault(literal.index, []).append(_Wanted(literal, [], end))
            else:
                for index in literal.reads:
                    self._checked.setdefault(index, {}).setdefault(None, Trie(self._defaults)).add((), end)

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


def _end(production: Production, checks: tuple[Literal, ...], is_certain: bool) -> End:
    """A production that could not be compiled has to be looked at, to say so."""
    messages = production.messages if production.is_prompt else None
    return End(
        production.index, checks, is_certain if production.broken is None else None, production.rule.id, messages
    )


class Holding:
    """Which of some productions may hold now: their indexed and checked literals do; scores are not looked at.

    What most of them look at comes first: a hundred windows that a rule each looks at are looked at only where the one
    total that all rules look at lets them hold.
    """

    def __init__(self, productions: Sequence[Production], index: ConflictIndex) -> None:
        self._trie = index.trie()
        self._rest: list[int] = []
        looked_at = Counter(read for production in productions for read in production.reads)
        for production in productions:
            if production.broken is not None or any(each.whole is not None for each in production.conjuncts):
                self._rest.append(production.index)
                continue
            for conjunct in production.conjuncts:
                indexed = index.ordered(literal for literal in conjunct.literals if is_indexed(literal))
                indexed.sort(key=lambda literal: -looked_at[literal.index])
                checks = tuple(literal for literal in conjunct.literals if not is_indexed(literal))
                self._trie.add(indexed, End(production.index, checks, False))
        self._trie.settle()

    def candidates(self, values: dict[int, Value | None]) -> list[int]:
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


def _ranks(productions: Iterable[Production], quantities: Sequence[Quantity]) -> dict[int, tuple[int, int, int]]:
    """The common order of quantities: presences, equalities, thresholds; within each, the most varied last."""
    operands: dict[int, set[object]] = {}
    is_ladder: dict[int, bool] = {}
    for production in productions:
        for literal in production.literals:
            if is_indexed(literal):
                operands.setdefault(literal.index, set()).add(literal.operand)
                is_ladder[literal.index] = is_ladder.get(literal.index, False) or literal.shape != Shape.IS
    return {
        index: (
            0 if isinstance(quantities[index].subject, Presence) else 2 if is_ladder[index] else 1,
            len(each),
            index,
        )
        for index, each in operands.items()
    }
