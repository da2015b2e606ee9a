"""What each test of the language means: functions of a known value, an operand and the moment of the evaluation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import re2

from engine.language.tree import Operator
from engine.values import EpochMs, Millis

Test2: TypeAlias = Callable[[Any, Any], bool]
"""A test of two known values that does not depend on the clock: (value, operand)."""


def _contains(value: Any, operand: Any) -> bool:
    """Text contains a text, a list an item."""
    return operand in value


def _matches(value: Any, operand: Any) -> bool:
    """RE2, the whole value: linear in the text, whatever the pattern."""
    return re2.fullmatch(operand, value) is not None


STEADY: dict[Operator, Test2] = {
    Operator.IS: lambda value, operand: value == operand,
    Operator.IS_NOT: lambda value, operand: value != operand,
    Operator.IS_ONE_OF: lambda value, operand: value in operand,
    Operator.IS_NONE_OF: lambda value, operand: value not in operand,
    Operator.ABOVE: lambda value, operand: value > operand,
    Operator.AT_LEAST: lambda value, operand: value >= operand,
    Operator.BELOW: lambda value, operand: value < operand,
    Operator.AT_MOST: lambda value, operand: value <= operand,
    Operator.BETWEEN: lambda value, operand: operand[0] <= value <= operand[1],
    Operator.MATCHES: _matches,
    Operator.STARTS_WITH: lambda value, operand: value.startswith(operand),
    Operator.ENDS_WITH: lambda value, operand: value.endswith(operand),
    Operator.CONTAINS: _contains,
    Operator.BEFORE: lambda value, operand: value < operand,
    Operator.AFTER: lambda value, operand: value > operand,
}
"""The tests that the clock does not change. `EXISTS` is not among them: it also answers for a missing value."""


def is_older(value: EpochMs, age: Millis, now: EpochMs) -> bool:
    """`older_than`: what has left the window of this length, so that it is the opposite of `is_recent` for the past."""
    return value <= now - age


def is_recent(value: EpochMs, age: Millis, now: EpochMs) -> bool:
    """`within_last`: inside the window `now - age < value <= now`."""
    return now - age < value <= now


CLOCKED: dict[Operator, Callable[[EpochMs, Millis, EpochMs], bool]] = {
    Operator.OLDER_THAN: is_older,
    Operator.WITHIN_LAST: is_recent,
}
"""The tests that the clock changes."""

OPPOSITE: dict[Operator, Operator] = {
    Operator.IS: Operator.IS_NOT,
    Operator.IS_NOT: Operator.IS,
    Operator.IS_ONE_OF: Operator.IS_NONE_OF,
    Operator.IS_NONE_OF: Operator.IS_ONE_OF,
    Operator.ABOVE: Operator.AT_MOST,
    Operator.AT_MOST: Operator.ABOVE,
    Operator.BELOW: Operator.AT_LEAST,
    Operator.AT_LEAST: Operator.BELOW,
}
"""`not` of a test on a known value is again a test; the others keep their `not`."""


def compiled(operator: Operator, operand: Any) -> Callable[[Any], bool]:
    """The test as a function of the value alone, with its pattern compiled.

    Raises:
        re2.error: The pattern is none; the checker refuses it before.
    """
    if operator is Operator.MATCHES:
        fullmatch = re2.compile(operand).fullmatch
        return lambda value: fullmatch(value) is not None
    test = STEADY[operator]
    return lambda value: test(value, operand)
