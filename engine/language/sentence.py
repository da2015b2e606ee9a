"""Conditions, rules and values in plain English."""

from __future__ import annotations

from engine.language.tree import Vocabulary
from engine.units import duration_text, moment_text, money_text
from engine.values import Kind, Value, ValueType


def value_text(value: Value | None, value_type: ValueType, vocabulary: Vocabulary) -> str:
    """A value as people write it: `200.00 EUR`, `5 minutes`, `gold`, `no value` for None."""
    if value is None:
        return "no value"
    if isinstance(value, tuple):
        item = value_type.item if value_type.item is not None else value_type
        return ", ".join(value_text(each, item, vocabulary) for each in value) or "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    if value_type.kind is Kind.MONEY:
        return money_text(round(value), vocabulary.minor_units, vocabulary.currency)
    if value_type.kind is Kind.DURATION:
        return duration_text(round(value))
    if value_type.kind is Kind.TIMESTAMP:
        return moment_text(round(value))
    if isinstance(value, int):
        return str(value)
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else f"{value:.6g}"
