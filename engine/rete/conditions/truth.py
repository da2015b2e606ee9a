"""Conditions as functions of a session's values: Kleene's three-valued logic, and tests as single literals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

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
from engine.rete.conditions.existing import exists, rests_on
from engine.rete.conditions.quantity import Quantities, Quantity
from engine.rete.conditions.subjects import Presence
from engine.values import EpochMs, Truth, Value

Values: TypeAlias = Mapping[int, Value | None]
"""Values by the index of their quantity; what is absent has its default."""

ScoreTruth: TypeAlias = Callable[[ScoreTest], Truth]
Evaluate: TypeAlias = Callable[[Values, EpochMs, ScoreTruth], Truth]


def subject_of(condition: Test | Seen) -> Any:
    """What a leaf looks at."""
    return condition.subject if isinstance(condition, Test) else Presence(condition.of, condition.span)


def evaluator(condition: Condition, quantities: Quantities) -> Evaluate:
    """The truth of a whole condition; every quantity that it names must be in `quantities`."""
    if isinstance(condition, Segment):
        return evaluator(condition.condition, quantities)
    if isinstance(condition, Not):
        part = evaluator(condition.part, quantities)

        def negation(values: Values, now: EpochMs, score: ScoreTruth) -> Truth:
            truth = part(values, now, score)
            return None if truth is None else not truth

        return negation
    if isinstance(condition, All | AnyOf):
        return _junction(
            [evaluator(part, quantities) for part in condition.parts], decides=isinstance(condition, AnyOf)
        )
    if isinstance(condition, ScoreTest):
        return lambda values, now, score: score(condition)
    assert isinstance(condition, Test | Seen)  # the network form has no others
    leaf = leaf_truth(condition, quantities)
    return lambda values, now, score: leaf(values, now)


def _junction(parts: list[Evaluate], *, decides: bool) -> Evaluate:
    """`any` is decided by a true part, `all` by a false one; else an unknown part makes it unknown."""

    def junction(values: Values, now: EpochMs, score: ScoreTruth) -> Truth:
        result: Truth = not decides
        for part in parts:
            truth = part(values, now, score)
            if truth is decides:
                return decides
            if truth is None:
                result = None
        return result

    return junction


def leaf_truth(condition: Test | Seen, quantities: Quantities) -> Callable[[Values, EpochMs], Truth]:
    """The truth of a test or presence."""
    quantity = quantities.of(subject_of(condition))
    index, default = quantity.index, quantity.default
    if isinstance(condition, Seen):
        return lambda values, now: values.get(index, default)  # type: ignore[return-value]
    operator, operand = condition.operator, condition.operand
    if operator is Operator.EXISTS:
        return _exists(condition, quantities)
    if isinstance(operand, FactRef):
        return _against(quantity, operator, quantities.of(operand))
    clocked = operators.CLOCKED.get(operator)
    if clocked is not None:
        age: Any = operand

        def by_clock(values: Values, now: EpochMs) -> Truth:
            value: Any = values.get(index, default)
            return None if value is None else clocked(value, age, now)

        return by_clock
    test = operators.compiled(operator, operand)

    def steady(values: Values, now: EpochMs) -> Truth:
        value = values.get(index, default)
        return None if value is None else test(value)

    return steady


def _exists(test: Test, quantities: Quantities) -> Callable[[Values, EpochMs], Truth]:
    subject, wanted, vocabulary = test.subject, test.operand, quantities.vocabulary
    asked = {each: quantities.of(each) for each in rests_on(subject, vocabulary)}
    if isinstance(subject, FactRef) and list(asked) == [subject]:
        index, default = asked[subject].index, asked[subject].default
        return lambda values, now: (values.get(index, default) is not None) is wanted

    def truth(values: Values, now: EpochMs) -> Truth:
        found = exists(subject, vocabulary, lambda each: values.get(asked[each].index, asked[each].default))
        return None if found is None else found is wanted

    return truth


def _against(left: Quantity, operator: Operator, right: Quantity) -> Callable[[Values, EpochMs], Truth]:
    """A test whose right side is a fact too."""
    steady, clocked = operators.STEADY.get(operator), operators.CLOCKED.get(operator)

    def truth(values: Values, now: EpochMs) -> Truth:
        value: Any = values.get(left.index, left.default)
        operand: Any = values.get(right.index, right.default)
        if value is None or operand is None:
            return None
        if steady is not None:
            return steady(value, operand)
        assert clocked is not None
        return clocked(value, operand, now)

    return truth


def passes_score(test: ScoreTest, value: float, *, latched: bool) -> bool:
    """A score test on a model's answer; one that is true stays so until the answer passes `release`."""
    if operators.STEADY[test.operator](value, test.operand):
        return True
    if not latched or test.release is None:
        return False
    if test.operator in {Operator.ABOVE, Operator.AT_LEAST}:
        return value >= test.release
    if test.operator in {Operator.BELOW, Operator.AT_MOST}:
        return value <= test.release
    return False
