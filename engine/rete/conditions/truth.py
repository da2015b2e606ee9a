"""Conditions as functions of a session's values: Kleene's three-valued logic, and tests as single literals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from engine.language.tree import (
    FactRef,
    Operator,
    ScoreTest,
    Seen,
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


def subject_of(condition: Test | Seen) -> Any:
    """What a leaf looks at."""
    return condition.subject if isinstance(condition, Test) else Presence(condition.of, condition.span)


def leaf_truth(condition: Test | Seen, quantities: Quantities) -> Callable[[Values, EpochMs], Truth]:
    """The truth of a test or presence."""
    if isinstance(condition, Test) and condition.operator is Operator.EXISTS:
        return _exists(condition, quantities)
    quantity = quantities.of(subject_of(condition))
    index, default = quantity.index, quantity.default
    if isinstance(condition, Seen):
        return lambda values, now: values.get(index, default)  # type: ignore[return-value]
    operator, operand = condition.operator, condition.operand
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
