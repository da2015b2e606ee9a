"""Rules, offers and tests after every name, type and unit has been resolved."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from engine.language.tree_conditions import NOWHERE, BoundRef, Condition, FactRef, Place
from engine.language.tree_vocabulary import Vocabulary
from engine.values import EpochMs, Millis, Value


@dataclass(frozen=True, slots=True)
class Template:
    """Text with `{name}` holes.

    Attributes:
        parts: Alternates literal text and what a hole names, beginning and ending with text: a fact (`cart.value`), an
            attribute of a bound name (`seen.price`), a catalogue fact with its key (`product.stock of seen.product_id`).
        holes: What each hole names, in order: of `parts[1::2]`, resolved.
    """

    text: str
    parts: tuple[str, ...]
    holes: tuple[FactRef | BoundRef, ...] = field(default=(), compare=False)


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
        identity: The bound attributes that the rule uses, in conditions, payloads and the content of its offers, sorted by
            name and attribute (`$n.value` of an aggregate is none): their values tell its activations apart.
        lines: Lines of its file before its text. Places inside its condition count from there, so that a rule which
            only moved keeps its condition: `located` says where such a place is in the file.
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
    identity: tuple[BoundRef, ...] = ()
    lines: int = field(default=0, compare=False)  # how a file was read makes no other rule

    def located(self, place: Place) -> Place:
        """Where a place that its condition names is in the file; one in a segment is there already."""
        return place.below(self.lines) if place.file == self.place.file else place


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
        content: Parts of its content with their values (JSON), all holes filled.
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
    content: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RuleTest:
    """A test beside the rules.

    Attributes:
        scores: The models' answers; None: the model does not answer.
        later_scores: Those that change, with the moments from which they hold, in order.
        facts: Profile and request facts from the beginning.
        catalogue: What the catalogue says: values of its facts by key, from the beginning.
        profiling: False where the shopper objects to it.
    """

    name: str
    ruleset: str
    events: tuple[TestEvent, ...]
    scores: Mapping[str, float | None]
    facts: Mapping[str, Value]
    customer_id: str | None
    expect: tuple[Expectation, ...]
    place: Place
    catalogue: Mapping[str, Mapping[Value, Value]] = field(default_factory=dict)
    profiling: bool = True
    later_scores: Mapping[str, tuple[tuple[EpochMs, float | None], ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Program:
    """A whole checked bundle. `rules` are in order of acting."""

    vocabulary: Vocabulary
    offers: Mapping[str, Offer]
    segments: Mapping[str, Condition]
    rules: tuple[Rule, ...]
    tests: tuple[RuleTest, ...]
