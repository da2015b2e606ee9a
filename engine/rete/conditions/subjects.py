"""What quantities over events are about, beside aggregates: presences, and conditions that are joined by bound names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from engine.language.tree import (
    Aggregate,
    Aggregation,
    BoundRef,
    Condition,
    Keyed,
    Seen,
    Selection,
    Sequence,
    Span,
)
from engine.values import Kind, Value

COUNTING = frozenset({Aggregation.COUNT, Aggregation.DISTINCT})

Binder: TypeAlias = Seen | Keyed | Sequence
"""A condition that binds names; where nothing is bound, it only asks whether there is one."""


@dataclass(frozen=True, slots=True)
class Presence:
    """The subject of `{event: ...}`: whether a selected event lies in the span."""

    of: Selection
    span: Span


@dataclass(frozen=True, slots=True)
class Joined:
    """Conditions that must hold together for one combination of what is bound; its value is their truth.

    True where some combination makes all of them true, else unknown where one leaves it open, else false. A sequence,
    an absence and an aggregate per key that bind nothing are joined with nothing.

    Attributes:
        binders: What binds, in the order in which it is written; names that nothing uses are left out.
        rest: What looks at bound names, and binds none.
        identity: The bound attributes that tell combinations apart, sorted by name and attribute.

    Places are left out of all conditions, so that equal ones are one quantity.
    """

    binders: tuple[Binder, ...]
    rest: tuple[Condition, ...]
    identity: tuple[BoundRef, ...]


def nothing(subject: Aggregate | Presence | Joined) -> Value | None:
    """The value over no events."""
    if not isinstance(subject, Aggregate):
        return False
    if subject.function in COUNTING:
        return 0
    if subject.function is Aggregation.SUM:
        return 0.0 if subject.type.kind is Kind.NUMBER else 0
    return None
