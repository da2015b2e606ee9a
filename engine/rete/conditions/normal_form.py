"""Conditions in disjunctive normal form: a rule holds exactly when one of its conjuncts has all its literals true.

Kleene's logic is a De Morgan lattice and distributive, so `not` can be pushed down to the tests and `all` multiplied
out over `any` without changing when the whole is true. A literal holds when its test is true or, below a `not`, when
its test is false and known.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import re2

from engine.language.tree import (
    All,
    AnyOf,
    Condition,
    FactRef,
    Not,
    Operator,
    ScoreTest,
    Seen,
    Segment,
    Test,
)
from engine.rete.conditions import operators
from engine.rete.conditions.existing import aggregate_of, rests_on
from engine.rete.conditions.literals import COMPARISONS, Holds, Literal, Shape
from engine.rete.conditions.quantity import Quantities, Quantity
from engine.rete.conditions.subjects import Joined, nothing
from engine.rete.conditions.truth import Values, leaf_truth, subject_of
from engine.rete.conditions.whole import Whole, decided
from engine.values import EpochMs

MOST_CONJUNCTS = 64
"""Beyond it a condition is evaluated as a whole: multiplying out `all` of ten `any` of two gives 1,024."""


@dataclass(slots=True, eq=False)
class Conjunct:
    """Literals that must all hold, the cheap ones first; then scores, each with the truth that it must have."""

    literals: tuple[Literal, ...]
    scores: tuple[tuple[ScoreTest, bool], ...] = ()
    whole: Whole | None = None


@dataclass(slots=True)
class _Reader:
    """Turns leaves into literals, each once."""

    quantities: Quantities
    made: dict[Hashable, Literal] = field(default_factory=dict)
    known: dict[tuple[Test | Seen, bool], list[list[Literal]]] = field(default_factory=dict)

    def literal(self, leaf: Test | Seen, wanted: bool) -> list[list[Literal]]:
        """A leaf that must be `wanted`, as alternatives of literals that hold together."""
        if isinstance(subject_of(leaf), Joined):
            return self._literal(leaf, wanted)  # to find one of so much again costs more than to make it
        found = self.known.get((leaf, wanted))
        if found is None:
            found = self.known[leaf, wanted] = self._literal(leaf, wanted)
        return found

    def _literal(self, leaf: Test | Seen, wanted: bool) -> list[list[Literal]]:
        if isinstance(leaf, Seen):
            return [[self._make(leaf, wanted, Shape.IS, (wanted,))]]
        operator, operand = leaf.operator, leaf.operand
        if operator is Operator.EXISTS:
            aggregate = aggregate_of(leaf.subject, self.quantities.vocabulary)
            if aggregate is not None and nothing(aggregate) is None:
                return self.literal(Seen(aggregate.of, aggregate.span), operand is wanted)
            return [[self._make(Test(leaf.subject, operator, operand is wanted), True, Shape.CHECK, None)]]
        if isinstance(operand, FactRef) or operator in operators.CLOCKED:
            return [[self._make(leaf, wanted, Shape.CHECK, None)]]
        if operator is Operator.BETWEEN:
            assert isinstance(operand, tuple)
            low = Test(leaf.subject, Operator.AT_LEAST, operand[0])
            high = Test(leaf.subject, Operator.AT_MOST, operand[1])
            if wanted:
                return [[*self.literal(low, True)[0], *self.literal(high, True)[0]]]
            return [*self.literal(low, False), *self.literal(high, False)]
        if operator in {Operator.BEFORE, Operator.AFTER}:
            plain = Operator.BELOW if operator is Operator.BEFORE else Operator.ABOVE
            return self.literal(Test(leaf.subject, plain, operand), wanted)
        if not wanted and operator in operators.OPPOSITE:
            return self.literal(Test(leaf.subject, operators.OPPOSITE[operator], operand), True)
        if operator in {Operator.ABOVE, Operator.AT_LEAST}:
            return [[self._make(leaf, True, Shape.ABOVE, (operand, operator is Operator.ABOVE))]]
        if operator in {Operator.BELOW, Operator.AT_MOST}:
            return [[self._make(leaf, True, Shape.BELOW, (operand, operator is Operator.BELOW))]]
        if operator is Operator.IS:
            return [[self._make(leaf, True, Shape.IS, (operand,))]]
        if operator is Operator.IS_ONE_OF:
            return [[self._make(leaf, True, Shape.IS, operand)]]
        return [[self._make(leaf, wanted, Shape.CHECK, None)]]

    def _make(self, leaf: Test | Seen, wanted: bool, shape: str, operand: Any) -> Literal:
        quantity = self.quantities.of(subject_of(leaf))
        meant: Hashable = leaf
        if isinstance(leaf, Test) and not isinstance(leaf.subject, FactRef):
            meant = (leaf.operator, leaf.operand)  # the index says of what
        key = (quantity.index, meant, wanted)
        found = self.made.get(key)
        if found is None:
            reads: tuple[int, ...] = (quantity.index,)
            age = None
            if isinstance(leaf, Test):
                if leaf.operator is Operator.EXISTS:
                    asked = rests_on(leaf.subject, self.quantities.vocabulary)
                    reads = tuple(dict.fromkeys((*reads, *(self.quantities.of(each).index for each in asked))))
                elif isinstance(leaf.operand, FactRef):
                    other = self.quantities.of(leaf.operand).index
                    reads = tuple(dict.fromkeys((*reads, other)))
                    if leaf.operator in operators.CLOCKED:
                        age = -1 - other
                elif leaf.operator in operators.CLOCKED:
                    assert isinstance(leaf.operand, int)
                    age = leaf.operand
            found = Literal(
                quantity.index, shape, operand, self._holds(leaf, wanted, shape, operand), reads, key, leaf, wanted, age
            )
            self.made[key] = found
        return found

    def _holds(self, leaf: Test | Seen, wanted: bool, shape: str, operand: Any) -> Holds:
        if shape != Shape.CHECK:
            return _compared(self.quantities.of(subject_of(leaf)), shape, operand)
        try:
            truth = leaf_truth(leaf, self.quantities)
        except re2.error as problem:
            message = f"{getattr(leaf, 'operand', '')!r} is not a pattern: {problem}"

            def broken(values: Values, now: EpochMs) -> bool:
                raise ValueError(message)

            return broken
        return lambda values, now: truth(values, now) is wanted


def _compared(quantity: Quantity, shape: str, operand: Any) -> Holds:
    """Whether a literal that an index finds holds, in one comparison."""
    index, default = quantity.index, quantity.default
    if shape == Shape.IS:
        return lambda values, now: values.get(index, default) in operand
    limit, is_strict = operand
    passes = COMPARISONS[shape == Shape.ABOVE, is_strict]

    def compared(values: Values, now: EpochMs) -> bool:
        value = values.get(index, default)
        return value is not None and passes(value, limit)

    return compared


Alternatives: TypeAlias = list[tuple[list[Literal], list[tuple[ScoreTest, bool]]]]


class NormalForm:
    """Makes the conjuncts of conditions over one set of quantities; equal literals are one object."""

    def __init__(self, quantities: Quantities) -> None:
        self.quantities = quantities
        self._reader = _Reader(quantities)

    def conjuncts(self, condition: Condition) -> tuple[Conjunct, ...]:
        """The disjunctive normal form, without repeats; one conjunct with a `Whole` where it would be too large."""
        if _size(condition, True) > MOST_CONJUNCTS:
            return (self._whole(condition),)
        made = []
        for literals, scores in self._expand(condition, True):
            unique = {literal.key: literal for literal in literals}
            made.append(Conjunct(tuple(unique.values()), tuple(dict.fromkeys(scores))))
        return tuple(made)

    def _expand(self, condition: Condition, wanted: bool) -> Alternatives:
        if isinstance(condition, Segment):
            return self._expand(condition.condition, wanted)
        if isinstance(condition, Not):
            return self._expand(condition.part, not wanted)
        if isinstance(condition, ScoreTest):
            return [([], [(condition, wanted)])]
        if isinstance(condition, All | AnyOf):
            parts = [self._expand(part, wanted) for part in condition.parts]
            if isinstance(condition, AnyOf) is wanted:
                return [alternative for part in parts for alternative in part]
            return _product(parts)
        assert isinstance(condition, Test | Seen)  # the network form has no others
        return [(literals, []) for literals in self._reader.literal(condition, wanted)]

    def _whole(self, condition: Condition) -> Conjunct:
        found = list(_wanted(condition, True))
        literals = {
            literal.key: literal
            for leaf, wanted in found
            if not isinstance(leaf, ScoreTest)
            for alternative in self._reader.literal(leaf, wanted)
            for literal in alternative
        }
        reads = tuple(dict.fromkeys(index for literal in literals.values() for index in literal.reads))
        scores = tuple(dict.fromkeys(leaf for leaf, _ in found if isinstance(leaf, ScoreTest)))
        return Conjunct(
            (), (), Whole(decided(condition, True, self._reader.literal), reads, scores, tuple(literals.values()))
        )


def _product(parts: Sequence[Alternatives]) -> Alternatives:
    result: Alternatives = [([], [])]
    for part in parts:
        result = [(literals + more, scores + further) for literals, scores in result for more, further in part]
    return result


def _size(condition: Condition, wanted: bool) -> int:
    """How many conjuncts multiplying out gives."""
    if isinstance(condition, Segment):
        return _size(condition.condition, wanted)
    if isinstance(condition, Not):
        return _size(condition.part, not wanted)
    if isinstance(condition, All | AnyOf):
        sizes = [_size(part, wanted) for part in condition.parts]
        if isinstance(condition, AnyOf) is wanted:
            return sum(sizes)
        product = 1
        for size in sizes:
            product = min(product * size, MOST_CONJUNCTS + 1) if size else 0
        return product
    if isinstance(condition, Test) and condition.operator is Operator.BETWEEN and not wanted:
        return 2
    return 1


def _wanted(condition: Condition, wanted: bool) -> Iterator[tuple[Test | Seen | ScoreTest, bool]]:
    """The leaves of a network form with the truth that helps it to become true, repeats included."""
    if isinstance(condition, Segment):
        yield from _wanted(condition.condition, wanted)
    elif isinstance(condition, Not):
        yield from _wanted(condition.part, not wanted)
    elif isinstance(condition, All | AnyOf):
        for part in condition.parts:
            yield from _wanted(part, wanted)
    else:
        assert isinstance(condition, Test | Seen | ScoreTest)
        yield condition, wanted


def leaves_of(condition: Condition) -> Iterator[Test | Seen | ScoreTest]:
    """The leaves of a network form in the order in which they are written, repeats included."""
    return (leaf for leaf, _ in _wanted(condition, True))
