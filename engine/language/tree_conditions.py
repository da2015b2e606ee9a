"""Conditions after every name, type and unit has been resolved.

Equality and hash leave the place aside, so equal conditions of different rules are equal values and become one node of
the network.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TypeAlias

from engine.values import Millis, Value, ValueType


@dataclass(frozen=True, slots=True)
class Place:
    """Where something is written; `line` and `column` count from 1."""

    file: str
    line: int
    column: int

    def below(self, lines: int) -> Place:
        """The same so many lines further down."""
        return Place(self.file, self.line + lines, self.column)


NOWHERE = Place("", 0, 0)


class Operator(enum.StrEnum):
    """The tests of the language, by their written names."""

    IS = "is"
    IS_NOT = "is_not"
    IS_ONE_OF = "is_one_of"
    IS_NONE_OF = "is_none_of"
    ABOVE = "above"
    AT_LEAST = "at_least"
    BELOW = "below"
    AT_MOST = "at_most"
    BETWEEN = "between"
    MATCHES = "matches"
    STARTS_WITH = "starts_with"
    ENDS_WITH = "ends_with"
    CONTAINS = "contains"
    EXISTS = "exists"
    BEFORE = "before"
    AFTER = "after"
    OLDER_THAN = "older_than"
    WITHIN_LAST = "within_last"


class Aggregation(enum.StrEnum):
    """Functions over the events of a span."""

    COUNT = "count"
    SUM = "sum"
    AVERAGE = "average"
    MINIMUM = "minimum"
    MAXIMUM = "maximum"
    DISTINCT = "distinct"
    FIRST = "first"
    LAST = "last"


@dataclass(frozen=True, slots=True)
class BoundRef:
    """The value of an attribute of a bound name: `$seen.product_id`."""

    name: str
    attribute: str


@dataclass(frozen=True, slots=True)
class FactRef:
    """The value of a fact or feature, as subject or as the right side of a test.

    Attributes:
        of: For a catalogue fact, where its key comes from (`of: $liked.product_id`).
    """

    fact: str
    of: BoundRef | None = None


Operand: TypeAlias = Value | FactRef | BoundRef
"""The right side, already typed: `between` has a tuple (low, high), `is_one_of` and `is_none_of` a tuple in sorted
order without repeats, `exists` a bool, `older_than` and `within_last` `Millis`, money minor units."""


@dataclass(frozen=True, slots=True)
class AttributeTest:
    """One test of a `where`; several tests of a `where` must all hold."""

    attribute: str
    operator: Operator
    operand: Operand


@dataclass(frozen=True, slots=True)
class Span:
    """Which events count: the session's when both are None; else those of a window or since an event.

    Attributes:
        window: Those of the last `window` ms: `now - window < time <= now`.
        since: Those after the latest event of this type, in order of time, then arrival; all where there is none.
    """

    window: Millis | None = None
    since: str | None = None


@dataclass(frozen=True, slots=True)
class Selection:
    """Events of a type that pass a `where` (sorted by attribute, operator), and the attribute of interest, if any."""

    event: str
    attribute: str | None = None
    where: tuple[AttributeTest, ...] = ()


@dataclass(frozen=True, slots=True)
class Aggregate:
    """A function over selected events of a span; `minus` (sum and count only) is subtracted.

    A feature and an aggregate written in a condition that mean the same are equal.
    """

    function: Aggregation
    of: Selection
    span: Span
    type: ValueType
    minus: Selection | None = None


Subject: TypeAlias = FactRef | Aggregate
"""Of a `Test`. A `FactRef` to a feature means its aggregate; the network resolves it through the vocabulary."""


@dataclass(frozen=True, slots=True)
class All:
    """Every part holds."""

    parts: tuple[Condition, ...]
    place: Place = field(default=NOWHERE, compare=False)


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one part holds."""

    parts: tuple[Condition, ...]
    place: Place = field(default=NOWHERE, compare=False)


@dataclass(frozen=True, slots=True)
class Not:
    """The part does not hold (unknown stays unknown)."""

    part: Condition
    place: Place = field(default=NOWHERE, compare=False)


@dataclass(frozen=True, slots=True)
class Test:
    """A test on a fact, a feature or an aggregate. Two tests in one mapping become an `All` of two."""

    __test__ = False  # not a pytest class

    subject: Subject
    operator: Operator
    operand: Operand
    place: Place = field(default=NOWHERE, compare=False)


@dataclass(frozen=True, slots=True)
class Seen:
    """At least one selected event lies in the span; never unknown. With `bind`, one combination for each such event."""

    of: Selection
    span: Span
    bind: str | None = None
    place: Place = field(default=NOWHERE, compare=False)


class IfUnavailable(enum.StrEnum):
    """What a score test is when its model does not answer."""

    SKIP = "skip"
    ASSUME_TRUE = "assume true"
    ASSUME_FALSE = "assume false"
    LAST_KNOWN = "last known"


@dataclass(frozen=True, slots=True)
class ScoreTest:
    """A test on a model's answer, looked up only when the cheaper conditions of its rule hold.

    Attributes:
        release: Hysteresis: once true it stays true until the score is below (for above and at_least) or above (for
            below and at_most) this value; None without.
        last_known: For `LAST_KNOWN`: how old the answer used instead may be.
    """

    score: str
    operator: Operator
    operand: Operand
    if_unavailable: IfUnavailable
    release: float | None = None
    last_known: Millis | None = None
    place: Place = field(default=NOWHERE, compare=False)


@dataclass(frozen=True, slots=True)
class Keyed:
    """An aggregate for each value of an attribute (`per`): holds once for each key whose value passes all tests.

    Attributes:
        per: The attribute; events without a value for it belong to no key.
        tests: What the aggregate of a key must pass.
        bind: `$bind.<per>` is the key, `$bind.value` the aggregate's value.
        take_highest: Of the keys that pass only the one with the highest value, the earliest to reach it.
    """

    aggregate: Aggregate
    per: str
    tests: tuple[tuple[Operator, Operand], ...]
    bind: str | None = None
    take_highest: bool = False
    place: Place = field(default=NOWHERE, compare=False)


@dataclass(frozen=True, slots=True)
class SequenceStep:
    """One event of a sequence, and the name that it is bound to."""

    of: Selection
    bind: str | None = None


@dataclass(frozen=True, slots=True)
class Sequence:
    """Such events lie in the span in strictly this order; one combination for each set of bound values that are used."""

    steps: tuple[SequenceStep, ...]
    span: Span
    place: Place = field(default=NOWHERE, compare=False)


@dataclass(frozen=True, slots=True)
class Absence:
    """The latest `after` event is at least `duration` old, no `of` event followed it, and it is younger than `until`."""

    of: Selection
    after: Selection
    duration: Millis
    until: Millis | None = None
    place: Place = field(default=NOWHERE, compare=False)


@dataclass(frozen=True, slots=True)
class Segment:
    """A named condition of segments.yaml, resolved; equal wherever it is used."""

    name: str
    condition: Condition = field(hash=False)  # a large segment that many rules use is not hashed again for each
    place: Place = field(default=NOWHERE, compare=False)


Condition: TypeAlias = All | AnyOf | Not | Test | Seen | ScoreTest | Segment | Keyed | Sequence | Absence
