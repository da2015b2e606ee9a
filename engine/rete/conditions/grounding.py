"""One combination of a rule as conditions without bound names: for reports, which look at one at a time.

Each bound name is replaced by what it is bound to: `product_viewed as seen` asks for a view of that product.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeAlias

from engine.activation import Catalogue
from engine.language.tree import (
    NOWHERE,
    Absence,
    Aggregate,
    AttributeTest,
    BoundRef,
    FactRef,
    Keyed,
    Operator,
    Seen,
    Selection,
    Sequence,
    SequenceStep,
    Test,
)
from engine.values import Value

Bound: TypeAlias = Mapping[BoundRef, Value | None]
"""What is bound; None is a missing attribute. What is absent nothing could be bound to."""

NEVER: Value = ()
"""What no value is one of."""


class UnboundError(Exception):
    """Nothing is bound to a name: no event that it could stand for is there. `name` is the name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"nothing is bound to {name}")
        self.name = name


class Grounding:
    """Replaces bound names by what they are bound to."""

    def __init__(self, bound: Bound, catalogue: Catalogue | None) -> None:
        self.bound = bound
        self._catalogue = catalogue

    def value(self, operand: Any) -> Any:
        """A right side without bound names; None where it is unknown. Raises `UnboundError`."""
        if isinstance(operand, BoundRef):
            if operand not in self.bound:
                raise UnboundError(operand.name)
            return self.bound[operand]
        if isinstance(operand, FactRef) and operand.of is not None:
            key = self.value(operand.of)
            return None if key is None or self._catalogue is None else self._catalogue(operand.fact, key)
        return operand

    def test(self, test: Test) -> Test:
        """A test; one whose subject is a fact of a thing keeps it."""
        subject: Any = test.subject
        if isinstance(subject, Aggregate):
            subject = self.aggregate(subject)
        return Test(subject, test.operator, self.value(test.operand), NOWHERE)

    def aggregate(self, aggregate: Aggregate, key: AttributeTest | None = None) -> Aggregate:
        """An aggregate; with `key`, of the events of one key."""
        minus = None if aggregate.minus is None else self._selection(aggregate.minus, key)
        return replace(aggregate, of=self._selection(aggregate.of, key), minus=minus)

    def seen(self, seen: Seen) -> Seen:
        """An event; a bound one is asked for by what is used of it."""
        return Seen(self._own(seen.of, seen.bind), seen.span)

    def sequence(self, sequence: Sequence) -> Sequence:
        """A sequence, likewise."""
        steps = tuple(SequenceStep(self._own(step.of, step.bind)) for step in sequence.steps)
        return Sequence(steps, sequence.span)

    def outside(self, sequence: Sequence) -> Sequence:
        """A sequence with what others bind in place, and its own names left open."""
        own = {step.bind for step in sequence.steps}
        steps = []
        for step in sequence.steps:
            where = tuple(
                test if isinstance(test.operand, BoundRef) and test.operand.name in own else self._where(test)
                for test in step.of.where
            )
            steps.append(SequenceStep(replace(step.of, where=where), step.bind))
        return Sequence(tuple(steps), sequence.span)

    def absence(self, absence: Absence) -> Absence:
        """An absence."""
        of, after = self._selection(absence.of), self._selection(absence.after)
        return replace(absence, of=of, after=after, place=NOWHERE)

    def keyed(self, keyed: Keyed) -> Keyed:
        """An aggregate for each key, not yet for the bound one."""
        tests = tuple((operator, self.value(operand)) for operator, operand in keyed.tests)
        return replace(keyed, aggregate=self.aggregate(keyed.aggregate), tests=tests, place=NOWHERE)

    def _own(self, selection: Selection, name: str | None) -> Selection:
        found = self._selection(selection)
        own = [(ref.attribute, value) for ref, value in self.bound.items() if name is not None and ref.name == name]
        tests = [
            AttributeTest(attribute, Operator.EXISTS, False)
            if value is None
            else AttributeTest(attribute, Operator.IS, value)
            for attribute, value in own
        ]
        return replace(found, where=(*found.where, *tests))

    def _selection(self, selection: Selection, key: AttributeTest | None = None) -> Selection:
        where = tuple(self._where(test) for test in selection.where)
        return replace(selection, where=where if key is None else (*where, key))

    def _where(self, test: AttributeTest) -> AttributeTest:
        if not isinstance(test.operand, BoundRef | FactRef) or (
            isinstance(test.operand, FactRef) and test.operand.of is None
        ):
            return test
        value = self.value(test.operand)
        if value is None:  # nothing matches what is missing
            return AttributeTest(test.attribute, Operator.IS_ONE_OF, NEVER)
        return AttributeTest(test.attribute, test.operator, value)
