"""How far a known value is from what a test asks for, in the units of the fact."""

from __future__ import annotations

from typing import Any

from engine.language.sentence import value_text
from engine.language.tree import BoundRef, FactRef, Operator, Test
from engine.rete.conditions import operators
from engine.rete.moment import Moment
from engine.units import rough_duration
from engine.values import EpochMs, Kind, Value, ValueType


def distance_of(view: Moment, test: Test, value: Value | None, kind: ValueType, *, wanted: bool) -> str | None:
    """How far a known value is from making the test what is wanted, in the units of the fact."""
    vocabulary = view.compiled.program.vocabulary
    operand: Any = view.fact(test.operand.fact) if isinstance(test.operand, FactRef) else test.operand
    if value is None or operand is None or test.operator is Operator.EXISTS:
        return None
    operator: Operator = test.operator
    if operator in operators.CLOCKED:
        return _in_time(operator, value, operand, view.now, wanted=wanted)
    if not wanted:
        if operator not in operators.OPPOSITE or operator in {Operator.IS, Operator.IS_ONE_OF}:
            return None
        operator = operators.OPPOSITE[operator]
    if not kind.is_ordered or kind.kind is Kind.TIMESTAMP or isinstance(value, str | tuple | bool):
        return None
    limit = _limit(operator, value, operand)
    if limit is None:
        return None
    away = limit - value
    if kind.kind is not Kind.NUMBER and operator in {Operator.ABOVE, Operator.BELOW}:
        away += 1 if operator is Operator.ABOVE else -1  # whole units: above 2 needs 3
    word = "more" if away > 0 or (away == 0 and operator is Operator.ABOVE) else "less"
    away = abs(round(away, 6))
    return (
        f"{value_text(away, kind, vocabulary)} {word}" if away else f"{word} than {value_text(value, kind, vocabulary)}"
    )


def how_far(view: Moment, test: Test, value: Value | None) -> float:
    """The same as a number, to compare by; 0 where it can't be told."""
    operand: Any = view.fact(test.operand.fact) if isinstance(test.operand, FactRef) else test.operand
    known: Any = value
    if known is None or operand is None or isinstance(known, str | tuple | bool):
        return 0
    limit = _limit(test.operator, known, operand)
    return 0 if limit is None else abs(limit - known)


def _limit(operator: Operator, value: Any, operand: Any) -> Any:
    if operator is Operator.BETWEEN:
        return operand[0] if value < operand[0] else operand[1]
    if operator in {Operator.ABOVE, Operator.AT_LEAST, Operator.BELOW, Operator.AT_MOST, Operator.IS}:
        return operand
    return None


def _in_time(operator: Operator, value: Any, age: Any, now: EpochMs, *, wanted: bool) -> str | None:
    if value > now and wanted:
        return f"{rough_duration(value - now if operator is Operator.WITHIN_LAST else value + age - now)} to go"
    old, needs = rough_duration(now - value), rough_duration(age)
    if (operator is Operator.OLDER_THAN) is wanted:
        return f"{rough_duration(max(0, value + age - now))} to go: {old} ago, needs {needs}"
    return f"{old} ago, needs less than {needs}"


def operand_name(operand: Any) -> str | None:
    """What stands on the right side, where that is a fact or a bound name."""
    if isinstance(operand, BoundRef):
        return f"{operand.name}.{operand.attribute}"
    return operand.fact if isinstance(operand, FactRef) else None
