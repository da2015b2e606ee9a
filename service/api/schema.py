"""What goes over the wire: every request and response body. The OpenAPI document is generated from these types."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Annotated, TypeAlias

import msgspec
from msgspec import UNSET, Meta, UnsetType

from engine.activation import RuleFailure, RuleReport, ScoreAnswer
from engine.decision import Decision, Degradation, Lost, Outcome, Shown
from engine.event import RawEvent
from engine.values import EpochMs, Millis
from service.api.problems import Problem

Id: TypeAlias = Annotated[str, Meta(min_length=1, max_length=200, description="Printable, 1 to 200 characters.")]
Moment: TypeAlias = Annotated[float, Meta(ge=0, le=1e14, description="Milliseconds since 1970, UTC.")]
"""A number, as JSON has no other: some clocks tell fractions."""
Patience: TypeAlias = Annotated[float, Meta(ge=1, le=60_000, description="Milliseconds.")]
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
    sent_at: Moment | UnsetType = UNSET


class RawBatch(msgspec.Struct, frozen=True):
    """`EventBatch` with each event still in JSON, so that one that does not fit does not spoil the others."""

    events: list[msgspec.Raw] | UnsetType = UNSET
    sent_at: Moment | UnsetType = UNSET


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
        customer_id: Who is signed in; null: nobody any more; absent: whoever the session belongs to.
        placements: Names that the vocabulary declares; a name that it does not declare gets an error item.
        context: Request facts (`{"context.page": "cart"}` or nested), as JSON.
        events: They ride along: the decision sees them, and they are appended to the event log.
        explain: Add what lost, the scores, and for each rule how far it is from holding. Needs the scope read.
        deadline_ms: Answer by then; the setting api.deadline_ms stands where it is shorter.
        sent_at: As in `EventBatch`.
        preview: A token of `salience preview`: decide as it says, and touch nothing.
    """

    session_id: Id
    placements: Annotated[list[Id], Meta(min_length=1, max_length=50)]
    customer_id: Id | UnsetType | None = UNSET
    context: dict[str, object] = {}
    events: list[RawEvent] = []
    explain: bool = False
    deadline_ms: Patience | None = None
    sent_at: Moment | None = None
    preview: str | None = None


class RawDecideRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`DecideRequest` with the events still in JSON."""

    session_id: Id
    placements: Annotated[list[Id], Meta(min_length=1, max_length=50)]
    customer_id: Id | UnsetType | None = UNSET
    context: dict[str, object] = {}
    events: list[msgspec.Raw] = []
    explain: bool = False
    deadline_ms: Patience | None = None
    sent_at: Moment | None = None
    preview: str | None = None


class PlacementError(msgspec.Struct, frozen=True):
    """Why a placement has no answer: `unknown-placement`."""

    code: str
    detail: str


class PlacementAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer for one placement: either `outcome` with `offers`, or `error`.

    Attributes:
        offers: Best first; with the fallback where nothing else is shown. `reasons` (the rule's conditions with their
            actual values) and `rank` are for keys with the scope read.
        lost: With `explain`: candidates that are not shown, and what each lost to.
        valid_until: The earliest moment (ms) at which the answer can change with no new event; absent: only an event,
            another context or a new revision changes it.
    """

    placement: str
    offers: tuple[Shown, ...]
    outcome: Outcome | None = None
    lost: tuple[Lost, ...] = ()
    valid_until: EpochMs | None = None
    error: PlacementError | None = None


class Warned(msgspec.Struct, frozen=True):
    """Something in the request that was left out; the rest was decided."""

    field: str
    code: str
    detail: str


class PreviewMark(msgspec.Struct, frozen=True):
    """The mark of a preview.

    Attributes:
        until: The token's end, ms.
        forced: What the token set: `time`, names of facts, `segment ...`, `score ...`, `event ...`.
    """

    until: EpochMs
    forced: tuple[str, ...]


class DecideAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a storefront is told; always with HTTP 200 when the fault is ours.

    Attributes:
        decision_id: For the exposure, and to ask why.
        revision: Of the ruleset; 0 where none is live yet.
        models: Version of each model that a score came from, by score.
        placements: Each that was asked, once, in the order asked.
        degraded: What was not there for this decision: `state_unavailable`, `limits_unavailable`, `no_ruleset`, ...
        valid_until: The earliest of the placements'.
        evaluated_at: Where an evaluation made before still held: its moment. Reasons show the values of that moment.
        events: A verdict for each event that rode along, in their order.
        rules: With `explain`: each rule that nominates for the placements asked, and how far it is from holding.
        scores: With `explain`: what models were asked and answered.
        failures: With `explain`: rules whose evaluation failed; the others were decided.
        preview: Present where this is a preview: it was not logged, took from no limit, and is not to be exposed.
    """

    decision_id: str
    session_id: str
    time: EpochMs
    revision: int
    bundle: str
    models: Mapping[str, str]
    placements: tuple[PlacementAnswer, ...]
    degraded: tuple[Degradation, ...]
    valid_until: EpochMs | None = None
    evaluated_at: EpochMs | None = None
    events: tuple[EventVerdict, ...] = ()
    warnings: tuple[Warned, ...] = ()
    rules: tuple[RuleReport, ...] = ()
    scores: tuple[tuple[str, ScoreAnswer], ...] = ()
    failures: tuple[RuleFailure, ...] = ()
    preview: PreviewMark | None = None


class BulkLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer to one line of a bulk request: either `answer` or `problem`.

    Attributes:
        line: Of the body, from 1; blank ones are counted and not answered.
    """

    line: int
    answer: DecideAnswer | None = None
    problem: Problem | None = None


class PublicOffer(msgspec.Struct, frozen=True, omit_defaults=True):
    """An offer that everybody is shown. `rule` is absent for the fallback."""

    offer: str
    content: object
    rule: str | None = None


class PublicAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a public placement shows; the same for everybody who sends the same context."""

    placement: str
    outcome: Outcome
    offers: tuple[PublicOffer, ...]
    revision: int
    bundle: str
    valid_until: EpochMs | None = None


class OfrepContext(msgspec.Struct, frozen=True, rename={"targeting_key": "targetingKey"}):
    """Of an evaluation: members beside these are request facts.

    Attributes:
        targeting_key: The session id.
        customer_id: Who is signed in; null: nobody any more; absent: whoever the session belongs to.
    """

    targeting_key: Id
    customer_id: Id | UnsetType | None = UNSET


class OfrepRequest(msgspec.Struct, frozen=True):
    """An evaluation as OFREP asks it."""

    context: OfrepContext


class RawOfrepRequest(msgspec.Struct, frozen=True):
    """`OfrepRequest` with the context as it came."""

    context: dict[str, object] = {}


class OfrepFlag(msgspec.Struct, frozen=True, omit_defaults=True):
    """A placement as an OFREP flag.

    Attributes:
        key: The placement.
        reason: TARGETING_MATCH: an offer of a rule; SPLIT: held out; DEFAULT: the fallback for another reason.
        variant: The offer; of several, joined by `+`.
        metadata: `outcome`, `revision`, `decision_id`, and where there are any `tokens` and `degraded`.
        value: The content, a list of them where several are shown; absent where the placement has no fallback.
    """

    key: str
    reason: str
    variant: str | None
    metadata: dict[str, str | int | bool]
    value: object = UNSET


class OfrepFlags(msgspec.Struct, frozen=True):
    """All placements as OFREP flags."""

    flags: list[OfrepFlag]


class OfrepProblem(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """Why OFREP gets no value: FLAG_NOT_FOUND, TARGETING_KEY_MISSING, INVALID_CONTEXT."""

    error_code: str
    error_details: str
    key: str | None = None


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


class CustomerRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All facts of a customer, flat (`{"customer.tier": "gold"}`) or nested; they replace those known before."""

    facts: dict[str, object]


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
