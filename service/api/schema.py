"""What goes over the wire: every request and response body. The OpenAPI document is generated from these types."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Annotated, TypeAlias

import msgspec
from msgspec import UNSET, Meta, UnsetType

from engine.activation import RuleFailure, RuleReport, ScoreAnswer
from engine.decision import Decision, Degradation, Outcome, PlacementDecision
from engine.event import RawEvent
from engine.values import EpochMs, Millis

Id: TypeAlias = Annotated[str, Meta(min_length=1, max_length=200, description="Printable, 1 to 200 characters.")]
JsonScalar: TypeAlias = bool | int | float | str | None
LARGEST_PROFILE = 1_000
"""Facts of one customer."""


# ------------------------------------------------------------------ events


class EventBatch(msgspec.Struct, frozen=True):
    """Events of one or of many sessions, in the order in which they happened.

    Attributes:
        sent_at: The sender's clock when it sent this, in ms: times are shifted by how far it is from ours, so that a shopper's
            wrong clock does no harm.
    """

    events: list[RawEvent]
    sent_at: EpochMs | UnsetType = UNSET


class RawBatch(msgspec.Struct, frozen=True):
    """`EventBatch` with each event still in JSON, so that one that does not fit does not spoil the others."""

    events: list[msgspec.Raw] | UnsetType = UNSET
    sent_at: EpochMs | UnsetType = UNSET


class EventOutcome(enum.StrEnum):
    """ACCEPTED: durably in the log. REFUSED: never will be. UNCONFIRMED: not known in time; send it again with its id."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNCONFIRMED = "unconfirmed"


class EventVerdict(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of one event.

    Attributes:
        id: The event's id; one was made where it had none. None where it could not be read.
        code: Why it was refused; stable.
        field: JSON pointer into the event.
    """

    id: str | None
    verdict: EventOutcome
    code: str | None = None
    field: str | None = None
    detail: str | None = None


class EventsAnswer(msgspec.Struct, frozen=True):
    """A verdict for each event, in their order."""

    accepted: int
    refused: int
    events: list[EventVerdict]


# ------------------------------------------------------------------ decide


class DecideRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a storefront asks.

    Attributes:
        customer_id: Where the shopper is signed in.
        placements: Names that the vocabulary declares; a name that it does not declare gets an error item.
        context: Request facts (`{"context.page": "cart"}` or nested), as JSON.
        events: They ride along: the decision sees them, and they are appended to the event log.
        explain: Add what lost, the scores, and for each rule how far it is from holding. Needs the scope read.
        deadline_ms: Answer by then; the setting api.deadline_ms stands where it is shorter.
        sent_at: As in `EventBatch`.
    """

    session_id: Id
    placements: Annotated[list[Id], Meta(min_length=1, max_length=50)]
    customer_id: Id | None = None
    context: dict[str, object] = {}
    events: list[RawEvent] = []
    explain: bool = False
    deadline_ms: Annotated[int, Meta(ge=1, le=60_000)] | None = None
    sent_at: EpochMs | None = None


class RawDecideRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`DecideRequest` with the events still in JSON."""

    session_id: Id
    placements: Annotated[list[Id], Meta(min_length=1, max_length=50)]
    customer_id: Id | None = None
    context: dict[str, object] = {}
    events: list[msgspec.Raw] = []
    explain: bool = False
    deadline_ms: Annotated[int, Meta(ge=1, le=60_000)] | None = None
    sent_at: EpochMs | None = None


class PlacementError(msgspec.Struct, frozen=True):
    """Why a placement has no answer: `unknown-placement`."""

    code: str
    detail: str


class OfferAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """An offer to show.

    Attributes:
        content: As the offer declares it, holes filled.
        rule: The rule that nominated it; absent for the fallback.
        reasons: The rule's conditions as sentences with their actual values. Only for keys with the scope read.
        token: Confirms the exposure; absent where nothing was taken from a limit.
    """

    offer: str
    content: object
    rule: str | None = None
    reasons: tuple[str, ...] = ()
    token: str | None = None


class PlacementAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer for one placement: either `outcome` and `offers`, or `error`.

    Attributes:
        valid_until: The earliest moment (ms) at which the answer can change with no new event; absent: only an event,
            another context or a new revision changes it.
    """

    outcome: Outcome | None = None
    offers: tuple[OfferAnswer, ...] = ()
    valid_until: EpochMs | None = None
    error: PlacementError | None = None


class Warned(msgspec.Struct, frozen=True):
    """Something in the request that was left out; the rest was decided."""

    field: str
    code: str
    detail: str


class Explanation(msgspec.Struct, frozen=True):
    """Why, in full.

    Attributes:
        placements: With the candidates that lost and to what, and the reasons as trees.
        rules: For each rule that nominates for the placements asked: whether it holds, and how far it is from holding.
        scores: What models were asked and answered.
        failures: Rules whose evaluation failed; the others were decided.
    """

    placements: tuple[PlacementDecision, ...]
    rules: tuple[RuleReport, ...]
    scores: tuple[tuple[str, ScoreAnswer], ...]
    failures: tuple[RuleFailure, ...]


class DecideAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a storefront is told; always with HTTP 200 when the fault is ours.

    Attributes:
        decision_id: For the exposure, and to ask why.
        revision: Of the ruleset; 0 where none is live yet.
        models: Version of each model that a score came from, by score.
        placements: By name, each that was asked.
        degraded: What was not there for this decision: `state_unavailable`, `limits_unavailable`, `no_ruleset`, ...
        events: A verdict for each event that rode along, in their order.
    """

    decision_id: str
    session_id: str
    time: EpochMs
    revision: int
    bundle: str
    models: Mapping[str, str]
    placements: Mapping[str, PlacementAnswer]
    degraded: tuple[Degradation, ...]
    valid_until: EpochMs | None = None
    events: tuple[EventVerdict, ...] = ()
    warnings: tuple[Warned, ...] = ()
    explain: Explanation | None = None


# ------------------------------------------------------------------ exposures, customers, why


class ExposureRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The shopper has really seen what was decided.

    Attributes:
        decision_id: As answered.
        session_id: The session that it was decided for.
        placements: Placements that came into view, each with the tokens of the offers seen; without tokens: an empty list.
    """

    decision_id: Id
    session_id: Id
    placements: Annotated[dict[Id, Annotated[list[Id], Meta(max_length=50)]], Meta(min_length=1, max_length=50)]


class ExposureAnswer(msgspec.Struct, frozen=True):
    """For each token whether its limits are now taken for good; false: it took nothing, or was given back before."""

    confirmed: Mapping[str, bool]


class Exposure(msgspec.Struct, frozen=True, tag_field="kind", tag="exposure"):
    """An exposure as it is kept in the decision log, beside the decisions."""

    id: str
    decision_id: str
    session_id: str
    time: EpochMs
    placements: Mapping[str, list[str]]


class CustomerAnswer(msgspec.Struct, frozen=True):
    """What was stored: the facts that the vocabulary declares with `from: profile`. The others are named in `warnings`."""

    customer_id: str
    stored: int
    warnings: tuple[Warned, ...]


class SessionWhy(msgspec.Struct, frozen=True):
    """Why a session sees what it sees, as of now.

    Attributes:
        time: The moment for which rules were evaluated: the later of now and the session's clock.
        known: False where the stream has no state of this session: never seen, or ended.
        rules: Every rule: whether it holds, which conditions fail, and how far they are from holding.
        decisions: Latest first.
    """

    session_id: str
    customer_id: str | None
    time: EpochMs
    known: bool
    revision: int
    bundle: str
    rules: tuple[RuleReport, ...]
    failures: tuple[RuleFailure, ...]
    scores: tuple[tuple[str, ScoreAnswer], ...]
    valid_until: EpochMs | None
    decisions: tuple[Decision, ...]


# ------------------------------------------------------------------ health


class Health(msgspec.Struct, frozen=True):
    """The process answers."""

    status: str


class Readiness(msgspec.Struct, frozen=True):
    """The process can decide. `degraded` names what is missing; it answers with fallbacks meanwhile."""

    status: str
    revision: int
    bundle: str
    age_ms: Millis
    degraded: tuple[Degradation, ...]
