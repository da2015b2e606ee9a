"""The syntax tree: what the files say, part by part, before any name or type is looked up.

Values stay nodes, because what `200` means depends on the type of what it is compared with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from engine.language.nodes import Mapping, Node, Scalar
from engine.language.source import Extent
from engine.language.tree import Aggregation, Operator

# ------------------------------------------------------------------ conditions


@dataclass(frozen=True, slots=True)
class TestSyntax:
    """`at_least: 200`."""

    __test__ = False  # not a pytest class

    operator: Operator
    key: Scalar
    operand: Node


@dataclass(frozen=True, slots=True)
class WhereSyntax:
    """One attribute of a `where` with its tests; `category: shoes` is the test `is`."""

    attribute: Scalar
    tests: tuple[TestSyntax, ...]


@dataclass(frozen=True, slots=True)
class SpanSyntax:
    """`within: 5 minutes` or `since: purchase`; the checker refuses both together."""

    within: Node | None
    since: Node | None


@dataclass(frozen=True, slots=True)
class AggregateSyntax:
    """`{sum: cart_added.amount, minus: ..., where: ..., since: ...}`."""

    extent: Extent
    function: Aggregation
    target: Scalar
    minus: Scalar | None
    where: tuple[WhereSyntax, ...]
    span: SpanSyntax


@dataclass(frozen=True, slots=True)
class GroupSyntax:
    """`all` or `any`. `is_whole` is False where a part could not be read: the others are still checked."""

    extent: Extent
    is_all: bool
    parts: tuple[ConditionSyntax, ...]
    is_whole: bool = True


@dataclass(frozen=True, slots=True)
class NotSyntax:
    """`not`."""

    extent: Extent
    part: ConditionSyntax


@dataclass(frozen=True, slots=True)
class AlwaysSyntax:
    """`when: always`."""

    extent: Extent


@dataclass(frozen=True, slots=True)
class FactSyntax:
    """Tests on a fact or feature. `is_whole` is False where a key was refused, here and in the other tests."""

    extent: Extent
    name: Scalar
    tests: tuple[TestSyntax, ...]
    of: Node | None = None
    is_whole: bool = True


@dataclass(frozen=True, slots=True)
class SeenSyntax:
    """`event`, with the name that it binds, if any."""

    extent: Extent
    event: Scalar
    where: tuple[WhereSyntax, ...]
    span: SpanSyntax
    bind: Scalar | None = None


@dataclass(frozen=True, slots=True)
class AggregateTestSyntax:
    """Tests on an aggregate, of all events or for each value of an attribute (`per`)."""

    extent: Extent
    aggregate: AggregateSyntax
    tests: tuple[TestSyntax, ...]
    per: Scalar | None = None
    bind: Scalar | None = None
    take: Scalar | None = None
    is_whole: bool = True


@dataclass(frozen=True, slots=True)
class StepSyntax:
    """An event of a sequence or an absence: `{event: cart_added, where: {...}, as: added}`, or only its name."""

    extent: Extent
    event: Scalar
    where: tuple[WhereSyntax, ...] = ()
    bind: Scalar | None = None


@dataclass(frozen=True, slots=True)
class SequenceSyntax:
    """`sequence`. `is_whole` is False where a step could not be read: the others are still checked."""

    extent: Extent
    steps: tuple[StepSyntax, ...]
    span: SpanSyntax
    is_whole: bool = True


@dataclass(frozen=True, slots=True)
class AbsenceSyntax:
    """`absence`."""

    extent: Extent
    of: StepSyntax
    after: StepSyntax
    duration: Node
    until: Node | None


@dataclass(frozen=True, slots=True)
class ScoreSyntax:
    """Tests on a score."""

    extent: Extent
    score: Scalar
    tests: tuple[TestSyntax, ...]
    if_unavailable: Scalar | None
    release_below: Node | None
    release_above: Node | None
    is_whole: bool = True


@dataclass(frozen=True, slots=True)
class SegmentSyntax:
    """`segment`."""

    extent: Extent
    name: Scalar


LeafSyntax: TypeAlias = FactSyntax | SeenSyntax | AggregateTestSyntax | ScoreSyntax | SegmentSyntax


@dataclass(frozen=True, slots=True)
class AlikeSyntax:
    """A condition that was read where the same was written before. Places in `meant` are not those of this one."""

    extent: Extent
    meant: LeafSyntax


ConditionSyntax: TypeAlias = (
    GroupSyntax | NotSyntax | AlwaysSyntax | LeafSyntax | SequenceSyntax | AbsenceSyntax | AlikeSyntax
)


# ------------------------------------------------------------------ ruleset files


@dataclass(frozen=True, slots=True)
class OfferActionSyntax:
    """`{offer: x, placement: y}`."""

    extent: Extent
    offer: Scalar
    placement: Scalar


@dataclass(frozen=True, slots=True)
class TriggerActionSyntax:
    """`{trigger: x, payload: {...}}`."""

    extent: Extent
    name: Scalar
    payload: Node | None


@dataclass(frozen=True, slots=True)
class AssertActionSyntax:
    """`{assert: x, value: y}`."""

    extent: Extent
    fact: Scalar
    value: Node | None


ActionSyntax: TypeAlias = OfferActionSyntax | TriggerActionSyntax | AssertActionSyntax


@dataclass(frozen=True, slots=True)
class ScheduleSyntax:
    """`{from, until, timezone, on, between}`."""

    extent: Extent
    start: Scalar | None
    until: Scalar | None
    timezone: Scalar | None
    days: tuple[Scalar, ...]
    between: tuple[Scalar, Scalar] | None


@dataclass(frozen=True, slots=True)
class LimitsSyntax:
    """`{per_session: 1, per_customer: [1 per day, 3 per week], total: ..., budget: ...}`."""

    extent: Extent
    counts: tuple[tuple[Scalar, tuple[Scalar, ...]], ...]
    budget: Node | None


@dataclass(frozen=True, slots=True)
class RuleSyntax:
    """One rule. `when` is None where it is missing or broken, which has been reported."""

    extent: Extent
    name: Scalar
    note: str
    priority: Node | None
    enabled: Node | None
    schedule: ScheduleSyntax | None
    when: ConditionSyntax | None
    actions: tuple[ActionSyntax, ...]
    limits: LimitsSyntax | None
    holdout: Node | None


@dataclass(frozen=True, slots=True)
class TestEventSyntax:
    """`{at: 10:00:00, cart_added: {...}}`."""

    __test__ = False

    extent: Extent
    at: Scalar
    type: Scalar
    attributes: Mapping | None


@dataclass(frozen=True, slots=True)
class ExpectSyntax:
    """One expectation of a test."""

    extent: Extent
    at: Scalar
    placement: Scalar | None
    offer: Scalar | None
    trigger: Scalar | None
    no_trigger: Scalar | None
    facts: Mapping | None
    because: str | None
    content: Mapping | None


@dataclass(frozen=True, slots=True)
class RuleTestSyntax:
    """A test beside the rules."""

    extent: Extent
    name: Scalar
    date: Scalar | None
    customer: Scalar | None
    events: tuple[TestEventSyntax, ...]
    facts: Mapping | None
    scores: Mapping | None
    catalogue: Mapping | None
    profiling: Node | None
    expect: tuple[ExpectSyntax, ...]


@dataclass(frozen=True, slots=True)
class RulesetSyntax:
    """A file of rules and tests. None stands for a rule that could not be read: the others keep their positions."""

    file: str
    name: Scalar
    owner: str
    rules: tuple[RuleSyntax | None, ...]
    tests: tuple[RuleTestSyntax, ...]


# ------------------------------------------------------------------ vocabulary, offers, segments


@dataclass(frozen=True, slots=True)
class TypeSyntax:
    """A type: a word, the words of a choice, or (computed) a word and an expression."""

    extent: Extent
    word: Scalar | None
    choices: tuple[Scalar, ...] = ()
    expression: Scalar | None = None


@dataclass(frozen=True, slots=True)
class EventTypeSyntax:
    """A declared event type."""

    name: Scalar
    attributes: tuple[tuple[Scalar, TypeSyntax], ...]


@dataclass(frozen=True, slots=True)
class FactDeclaration:
    """A declared fact."""

    name: Scalar
    type: TypeSyntax | None
    source: Scalar
    by: Scalar | None


@dataclass(frozen=True, slots=True)
class FeatureDeclaration:
    """A declared feature: an aggregate, or a computed type."""

    name: Scalar
    definition: AggregateSyntax | TypeSyntax


@dataclass(frozen=True, slots=True)
class ScoreDeclaration:
    """A declared score."""

    name: Scalar
    model: Scalar
    within: Scalar | None


@dataclass(frozen=True, slots=True)
class PlacementDeclaration:
    """A declared placement."""

    name: Scalar
    slots: Node | None
    fallback: Scalar | None
    within: Scalar | None


@dataclass(frozen=True, slots=True)
class VocabularySyntax:
    """vocabulary.yaml."""

    extent: Extent
    currency: Scalar | None
    timezone: Scalar | None
    session_timeout: Scalar | None
    keep_events: Node | None
    events: tuple[EventTypeSyntax, ...]
    facts: tuple[FactDeclaration, ...]
    features: tuple[FeatureDeclaration, ...]
    scores: tuple[ScoreDeclaration, ...]
    placements: tuple[PlacementDeclaration, ...]


@dataclass(frozen=True, slots=True)
class OfferSyntax:
    """One offer of offers.yaml."""

    extent: Extent
    id: Scalar
    note: str
    content: Node | None
    cost: Node | None
    value: Node | None
    propensity: Scalar | None
    weight: Node | None
    lever: Node | None
    eligible: ConditionSyntax | None
    group: Scalar | None
    limits: LimitsSyntax | None
    holdout: Node | None


@dataclass(frozen=True, slots=True)
class SegmentDeclaration:
    """One named condition of segments.yaml."""

    name: Scalar
    condition: ConditionSyntax
