"""Values, their types and three-valued truth: what facts, attributes and operands are made of."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TypeAlias

EpochMs: TypeAlias = int
"""A moment: milliseconds since 1970-01-01T00:00 UTC."""

Millis: TypeAlias = int
"""A length of time in milliseconds, never negative."""

Truth: TypeAlias = bool | None
"""Kleene's three values; None is unknown."""

Scalar: TypeAlias = bool | int | float | str
Value: TypeAlias = Scalar | tuple[Scalar, ...]
"""A known value. Money is an int in minor units of the vocabulary's one currency, a timestamp is `EpochMs`, a duration
`Millis`, a list a tuple. A fact or attribute without a value is None, which is not a `Value`."""


class Kind(enum.StrEnum):
    """The kinds of value that the vocabulary can declare."""

    TEXT = "text"
    CHOICE = "choice"
    INTEGER = "integer"
    NUMBER = "number"
    MONEY = "money"
    BOOLEAN = "boolean"
    TIMESTAMP = "timestamp"
    DURATION = "duration"
    LIST = "list"


@dataclass(frozen=True, slots=True)
class ValueType:
    """A declared type: `choices` for a choice, `item` for a list."""

    kind: Kind
    choices: tuple[str, ...] = ()
    item: ValueType | None = None

    @property
    def is_ordered(self) -> bool:
        """Whether above, below and between have a meaning."""
        return self.kind in ORDERED


ORDERED = frozenset({Kind.INTEGER, Kind.NUMBER, Kind.MONEY, Kind.TIMESTAMP, Kind.DURATION})
NUMERIC = frozenset({Kind.INTEGER, Kind.NUMBER, Kind.MONEY, Kind.DURATION})
