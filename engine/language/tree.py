"""The checked tree: a ruleset after every name, type and unit has been resolved. What the network is compiled from.

Equality and hash of conditions leave their place aside, so equal conditions of different rules are equal values and
become one node of the network.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from engine.values import EpochMs, Millis, Value, ValueType


@dataclass(frozen=True, slots=True)
class Place:
    """Where something is written; `line` and `column` count from 1."""

    file: str
    line: int
    column: int


NOWHERE = Place("", 0, 0)


# ------------------------------------------------------------------ vocabulary


class FactSource(enum.StrEnum):
    """Who gives a fact its value."""

    PROFILE = "profile"
    REQUEST = "request"
    CATALOGUE = "catalogue"
    RULES = "rules"
    FEATURE = "feature"


@dataclass(frozen=True, slots=True)
class Expression:
    """Arithmetic over attributes of one event (`quantity * price`) or over facts and features.

    Attributes:
        text: As written, in canonical spacing.
        program: Postfix: names are `("name", x)`, constants `("value", x)`, operators `("op", "+")`.
        type: The type of the result; money results are rounded half to even to whole minor units.
    """

    text: str
    program: tuple[tuple[str, str | int | float], ...]
    type: ValueType


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute of an event type; a computed one has an expression over the others."""

    name: str
    type: ValueType
    computed: Expression | None = None


@dataclass(frozen=True, slots=True)
class EventType:
    """A declared event type."""

    name: str
    attributes: Mapping[str, Attribute]


@dataclass(frozen=True, slots=True)
class Fact:
    """A declared fact or feature.

    Attributes:
        by: For a catalogue fact, the attribute that its key comes from.
        aggregate: For a feature over events.
        computed: For a feature computed from other facts and features.
    """

    name: str
    type: ValueType
    source: FactSource
    by: str | None = None
    aggregate: Aggregate | None = None
    computed: Expression | None = None


@dataclass(frozen=True, slots=True)
class ScoreDef:
    """A model that rules may ask: its registry name and its deadline at a request."""

    name: str
    model: str
    deadline: Millis


@dataclass(frozen=True, slots=True)
class Placement:
    """A spot in the storefront. `fallback` is an offer id; `deadline` None means the setting's."""

    name: str
    slots: int
    fallback: str
    deadline: Millis | None = None


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Everything that rules may name.

    Attributes:
        minor_units: How many decimals the currency has (EUR 2, JPY 0).
        timezone: The shop's: of calendar limits and local times that name no zone of their own.
    """

    currency: str
    minor_units: int
    session_timeout: Millis
    keep_events: int
    events: Mapping[str, EventType]
    facts: Mapping[str, Fact]
    scores: Mapping[str, ScoreDef]
    placements: Mapping[str, Placement]
    timezone: str = "UTC"


# ------------------------------------------------------------------ conditions


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


Condition: TypeAlias = All | AnyOf | Not | Test | Seen | ScoreTest | Segment
"""`Keyed`, `Sequence` and `Absence` join this union when the engine evaluates them."""


# ------------------------------------------------------------------ rules


@dataclass(frozen=True, slots=True)
class Template:
    """Text with `{name}` holes. `parts` alternates literal text and fact names, beginning and ending with text."""

    text: str
    parts: tuple[str, ...]


Payload: TypeAlias = Value | Template | tuple[tuple[str, "Payload"], ...] | list["Payload"] | None
"""JSON-like content: an object is a tuple of (key, payload) pairs, an array a list, text with holes a `Template`."""


@dataclass(frozen=True, slots=True)
class OfferAction:
    """Nominate an offer for a placement."""

    offer: str
    placement: str


@dataclass(frozen=True, slots=True)
class TriggerAction:
    """A message on the trigger topic."""

    name: str
    payload: Payload


@dataclass(frozen=True, slots=True)
class AssertAction:
    """A derived fact has this value as long as the rule holds."""

    fact: str
    value: Value


Action: TypeAlias = OfferAction | TriggerAction | AssertAction


class LimitScope(enum.StrEnum):
    """Over what a limit counts acts."""

    SESSION = "session"
    CUSTOMER = "customer"
    TOTAL = "total"


class CalendarUnit(enum.StrEnum):
    """Calendar periods, in the time zone of the limit; weeks begin on Monday."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `most` acts in a scope: ever (both None), in the last `sliding` ms, or in a calendar period."""

    scope: LimitScope
    most: int
    sliding: Millis | None = None
    calendar: CalendarUnit | None = None
    timezone: str = "UTC"


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a rule may act.

    Attributes:
        start: Open from this moment on; None: always was.
        until: Open before this moment; None: for good.
        days: 0 (Monday) to 6, sorted; empty: every day.
        between: Minutes of the local day, [from, until); a pair whose end is not after its start runs past midnight and
            belongs to the day on which it starts.
    """

    start: EpochMs | None = None
    until: EpochMs | None = None
    timezone: str = "UTC"
    days: tuple[int, ...] = ()
    between: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """A checked rule.

    Attributes:
        id: `ruleset.rule`, unique in the bundle.
        order: Place in the order of acting: (-priority, position in the file, file).
        digest: Structural hash of what the rule means (not of its note, place or owner); a rule whose digest did not
            change is not new after a reload. The enable switch and the schedule are part of it.
        holdout: Share held out, 0 to 1.
        budget: Minor units, or None.
    """

    id: str
    name: str
    ruleset: str
    owner: str
    note: str
    priority: int
    enabled: bool
    schedule: Schedule | None
    when: Condition
    actions: tuple[Action, ...]
    limits: tuple[Limit, ...]
    budget: int | None
    holdout: float
    order: tuple[int, int, str]
    digest: str
    place: Place


@dataclass(frozen=True, slots=True)
class Offer:
    """What can be shown.

    Attributes:
        content: Typed blocks for the storefront, with holes for facts.
        cost: Minor units that one act costs; summed by a rule's budget.
        value: Minor units of expected gain, for the rank; None counts as 1.
        propensity: Name of the score to rank by, or None.
        weight: Context weight, above 0.
        lever: Business lever, above 0.
        eligible: A further condition, or None.
        group: Exclusion group: of the offers of one group at most one is shown in a decision.
        limits: Caps over all rules that nominate it.
        holdout: Share held out, 0 to 1.
    """

    id: str
    note: str
    content: Payload
    cost: int
    value: int | None
    propensity: str | None
    weight: float
    lever: float
    eligible: Condition | None
    group: str | None
    limits: tuple[Limit, ...]
    holdout: float
    place: Place


@dataclass(frozen=True, slots=True)
class TestEvent:
    """An event of a test beside the rules; raw attributes as written."""

    __test__ = False

    at: EpochMs
    type: str
    attributes: Mapping[str, object]
    place: Place


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a test expects at a moment: an offer in a placement (or the fallback), or a trigger, or none of them.

    Attributes:
        offer: The expected winner of `placement` (the first slot).
        trigger: A trigger that must have been sent by then (and after the expectation before it).
        no_trigger: A trigger that must not have been sent by then.
        facts: Derived facts and features with their expected values at that moment.
        because: Words for the reader, kept with the result; where it names a condition's event or fact, the report
            of the nearest failing condition must name it too.
    """

    at: EpochMs
    placement: str | None = None
    offer: str | None = None
    trigger: str | None = None
    no_trigger: str | None = None
    facts: Mapping[str, Value | None] = field(default_factory=dict)
    because: str | None = None
    place: Place = NOWHERE


@dataclass(frozen=True, slots=True)
class RuleTest:
    """A test beside the rules.

    Attributes:
        scores: The models' answers; None: the model does not answer.
        facts: Profile and request facts from the beginning.
    """

    name: str
    ruleset: str
    events: tuple[TestEvent, ...]
    scores: Mapping[str, float | None]
    facts: Mapping[str, Value]
    customer_id: str | None
    expect: tuple[Expectation, ...]
    place: Place


@dataclass(frozen=True, slots=True)
class Program:
    """A whole checked bundle. `rules` are in order of acting."""

    vocabulary: Vocabulary
    offers: Mapping[str, Offer]
    segments: Mapping[str, Condition]
    rules: tuple[Rule, ...]
    tests: tuple[RuleTest, ...]
