"""The tests that a rule is made of, and how an index finds those that a value passes."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from operator import ge, gt, le, lt
from typing import Any, Final, TypeAlias

from engine.language.tree import Seen, Test
from engine.rete.conditions.truth import Values
from engine.values import EpochMs

Holds: TypeAlias = Callable[[Values, EpochMs], bool]


COMPARISONS: dict[tuple[bool, bool], Callable[[Any, Any], bool]] = {
    (True, True): gt,
    (True, False): ge,
    (False, True): lt,
    (False, False): le,
}
"""By whether it is upward and whether it is strict."""


class Shape:
    """How a literal is found in an index."""

    IS: Final = "is"  # by hash of the value: `operand` is a tuple of values
    ABOVE: Final = "above"  # by bisection: `operand` is (limit, whether the limit itself is outside)
    BELOW: Final = "below"
    CHECK: Final = "check"  # looked at one by one


@dataclass(slots=True, eq=False)
class Literal:
    """A test, or the opposite of one, on a quantity.

    Attributes:
        index: The quantity.
        shape: One of `Shape`.
        operand: What the index needs, see `Shape`.
        holds: Whether it is true of these values.
        reads: All quantities that it looks at.
        key: Equal for equal literals of one network.
        leaf: What it was made from.
        wanted: The truth that this must have.
        age: For a test against the clock: the length, or the index of the quantity that gives it, negated less one.
    """

    index: int
    shape: str
    operand: Any
    holds: Holds
    reads: tuple[int, ...]
    key: Hashable
    leaf: Test | Seen
    wanted: bool
    age: int | None = None
