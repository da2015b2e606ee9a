"""What an event may cost a rule, estimated from its structure: a number to compare rules by, not a time.

Counted are the places that an event of a type may have to touch for one rule alone: a quantity that it enters, each test of a
`where` and each test of the rule that no index finds, each way to hold that the quantity stands in; every kept event,
where a condition is joined with nothing or compares with a fact inside `where`. What rules share, they share.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from engine.language.selections import selections_in
from engine.language.tree import AttributeTest, BoundRef, FactRef, Operator, Selection
from engine.rete.agenda.conflict import is_indexed
from engine.rete.agenda.production import Production
from engine.rete.alpha.network import indexed
from engine.rete.compilation import Compiled
from engine.rete.conditions.quantity import Origin, Quantity, selections
from engine.rete.conditions.subjects import Joined


class Costs:
    """Estimates for the rules of one network."""

    def __init__(self, compiled: Compiled) -> None:
        self._compiled = compiled
        self._entering: dict[int, Mapping[str, int]] = {}

    def of(self, production: Production) -> dict[str, int]:
        """Places that an event touches at most, by the types of events that matter to the rule; the most first."""
        found: dict[str, int] = {}
        for index in production.reads:
            ways = sum(
                1 + sum(not is_indexed(each) for each in literals)
                for conjunct in production.conjuncts
                for literals in [conjunct.literals if conjunct.whole is None else conjunct.whole.literals]
                if any(index in literal.reads for literal in literals)
            )
            for event, places in self._entered(index).items():
                found[event] = found.get(event, 0) + places + ways
        return dict(sorted(found.items(), key=lambda each: (-each[1], each[0])))

    def _entered(self, index: int) -> Mapping[str, int]:
        """Places that an event touches for the value of a quantity."""
        if index not in self._entering:
            quantity, found = self._compiled.quantities.all[index], dict[str, int]()
            self._entering[index] = found
            for read in quantity.reads:
                for event, places in self._entered(read).items():
                    found[event] = found.get(event, 0) + places
            for event, places in self._own(quantity):
                found[event] = found.get(event, 0) + places
        return self._entering[index]

    def _own(self, quantity: Quantity) -> Iterator[tuple[str, int]]:
        subject, kept = quantity.subject, self._compiled.keep_events
        if isinstance(subject, FactRef):
            return
        if isinstance(subject, Joined):
            parts = [*subject.binders, *subject.rest]
            chosen = [selection for part in parts for selection in selections_in(part)]
            tied = [any(_is_tie(test) for test in selection.where) for selection in chosen]
            for selection, is_tied in zip(chosen, tied, strict=True):
                # One may be free: the others are tied to it.
                found = 1 if is_tied or sum(tied) >= len(chosen) - 1 else kept
                yield selection.event, found + _checks(selection)
            return
        for selection, _ in selections(subject):
            yield selection.event, (kept if quantity.origin is Origin.SCANNED else 1) + _checks(selection)
        if subject.span.since is not None:
            yield subject.span.since, 1


def _checks(selection: Selection) -> int:
    return sum(not indexed((test,)) for test in selection.where)


def _is_tie(test: AttributeTest) -> bool:
    return test.operator is Operator.IS and isinstance(test.operand, BoundRef)
