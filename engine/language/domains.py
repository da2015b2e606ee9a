"""Sets of values that a subject may have under several tests: what proves that a condition can never hold."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from engine.language.tree import BoundRef, FactRef, Operand, Operator
from engine.values import Kind, Scalar, Value, ValueType

_WHOLE = frozenset({Kind.INTEGER, Kind.MONEY, Kind.TIMESTAMP, Kind.DURATION})
_COMPLEMENTS = {
    Operator.IS: Operator.IS_NOT,
    Operator.IS_NOT: Operator.IS,
    Operator.IS_ONE_OF: Operator.IS_NONE_OF,
    Operator.IS_NONE_OF: Operator.IS_ONE_OF,
    Operator.ABOVE: Operator.AT_MOST,
    Operator.AT_MOST: Operator.ABOVE,
    Operator.BELOW: Operator.AT_LEAST,
    Operator.AT_LEAST: Operator.BELOW,
}


def complement(operator: Operator) -> Operator | None:
    """The test that holds, of a value that is there, exactly where this one does not; None where there is none."""
    return _COMPLEMENTS.get(operator)


@dataclass(frozen=True, slots=True)
class Domain:
    """Values still possible: between `low` and `high`, of those `allowed` (None: of all), none of those `excluded`.

    Bounds are included where the values are whole, and otherwise unless `low_open` or `high_open`.
    """

    type: ValueType
    low: float = -math.inf
    high: float = math.inf
    low_open: bool = False
    high_open: bool = False
    allowed: frozenset[Scalar] | None = None
    excluded: frozenset[Scalar] = frozenset()

    @classmethod
    def of(cls, value_type: ValueType, *, is_natural: bool = False, least: int = 0) -> Domain:
        """All values of a type; `is_natural`: a number of events, which is never below `least`."""
        if value_type.kind is Kind.CHOICE:
            return cls(value_type, allowed=frozenset(value_type.choices))
        if value_type.kind is Kind.BOOLEAN:
            return cls(value_type, allowed=frozenset({True, False}))
        if is_natural or value_type.kind is Kind.DURATION:
            return cls(value_type, low=least)
        return cls(value_type)

    def narrowed(self, operator: Operator, operand: Operand) -> Domain | None:
        """Under one more test; None where nothing certain can be said about it."""
        if isinstance(operand, FactRef | BoundRef):
            return None
        if operator is Operator.IS:
            return self._only(frozenset({_scalar(operand)}))
        if operator is Operator.IS_NOT:
            return replace(self, excluded=self.excluded | {_scalar(operand)})
        if operator is Operator.IS_ONE_OF and isinstance(operand, tuple):
            return self._only(frozenset(operand))
        if operator is Operator.IS_NONE_OF and isinstance(operand, tuple):
            return replace(self, excluded=self.excluded | frozenset(operand))
        if operator is Operator.BETWEEN and isinstance(operand, tuple):
            low, high = operand
            above = self.narrowed(Operator.AT_LEAST, low)
            return above.narrowed(Operator.AT_MOST, high) if above is not None else None
        if isinstance(operand, str | tuple):
            return None
        if operator in {Operator.ABOVE, Operator.AFTER}:
            return self._above(operand, is_open=True)
        if operator is Operator.AT_LEAST:
            return self._above(operand, is_open=False)
        if operator in {Operator.BELOW, Operator.BEFORE}:
            return self._below(operand, is_open=True)
        if operator is Operator.AT_MOST:
            return self._below(operand, is_open=False)
        return None

    @property
    def is_empty(self) -> bool:
        """Whether no value is possible. May be False for an empty domain, never True for another."""
        if self.allowed is not None:
            return not any(self._contains(value) for value in self.allowed)
        if self.low > self.high or (self.low == self.high and (self.low_open or self.high_open)):
            return True
        if self.low == self.high:
            return self.low in self.excluded
        return False

    def _contains(self, value: Scalar) -> bool:
        if value in self.excluded:
            return False
        if isinstance(value, str | bool):
            return True
        return not (
            value < self.low
            or value > self.high
            or (value == self.low and self.low_open)
            or (value == self.high and self.high_open)
        )

    def _only(self, values: frozenset[Scalar]) -> Domain:
        return replace(self, allowed=values if self.allowed is None else self.allowed & values)

    def _above(self, bound: float, *, is_open: bool) -> Domain:
        if is_open and self.type.kind in _WHOLE:
            bound, is_open = bound + 1, False
        if bound < self.low or (bound == self.low and not is_open):
            return self
        return replace(self, low=bound, low_open=is_open)

    def _below(self, bound: float, *, is_open: bool) -> Domain:
        if is_open and self.type.kind in _WHOLE:
            bound, is_open = bound - 1, False
        if bound > self.high or (bound == self.high and not is_open):
            return self
        return replace(self, high=bound, high_open=is_open)


def _scalar(value: Value) -> Scalar:
    assert not isinstance(value, tuple)  # `is` compares single values
    return value
