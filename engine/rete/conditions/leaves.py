"""The truth of a single test for a value read from anywhere: for conditions that no network has compiled."""

from __future__ import annotations

from typing import Any

from engine.activation import FactReader
from engine.language.tree import FactRef, Operator, Seen, Test
from engine.rete.conditions import operators
from engine.values import EpochMs, Truth, Value


def leaf_value_truth(leaf: Test | Seen, value: Value | None, fact: FactReader, now: EpochMs) -> Truth:
    """Kleene's truth of a test on `value`; `fact` reads the right side where that is a fact."""
    if isinstance(leaf, Seen):
        return value  # type: ignore[return-value]
    operand: Any = leaf.operand
    if leaf.operator is Operator.EXISTS:
        return (value is not None) is operand
    if isinstance(operand, FactRef):
        operand = fact(operand.fact)
    if value is None or operand is None:
        return None
    clocked = operators.CLOCKED.get(leaf.operator)
    if clocked is not None:
        return clocked(value, operand, now)  # type: ignore[arg-type]
    return operators.STEADY[leaf.operator](value, operand)
