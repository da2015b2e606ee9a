"""A decision: what a storefront asked, what it is told, and why."""

from __future__ import annotations

import enum
from collections.abc import Mapping

import msgspec

from engine.activation import ConditionReport, RuleFailure, ScoreAnswer
from engine.values import EpochMs, Value


class Request(msgspec.Struct, frozen=True):
    """What is asked, checked against the vocabulary.

    Attributes:
        now: The request's time; the engine takes the later of it and the session's clock.
        context: Request facts (`context.page`), typed.
        placements: Names that the vocabulary declares, without repeats.
    """

    session_id: str
    customer_id: str | None
    now: EpochMs
    context: Mapping[str, Value]
    placements: tuple[str, ...]


class Outcome(enum.StrEnum):
    """How a placement came to its content."""

    OFFER = "offer"
    HOLDOUT = "holdout"
    NO_MATCH = "no_match"
    SUPPRESSED = "suppressed"
    DEGRADED = "degraded"


class Suppression(enum.StrEnum):
    """Why a candidate was not shown, in the order in which it is looked at."""

    CONSENT = "consent"
    SCHEDULE = "schedule"
    SWITCHED_OFF = "switched_off"
    NOT_ELIGIBLE = "not_eligible"
    HOLDOUT = "holdout"
    GROUP = "exclusion_group"
    CAP = "cap"
    BUDGET = "budget"
    STOCK = "stock"
    RANK = "rank"
    DUPLICATE = "duplicate"


class Shown(msgspec.Struct, frozen=True, omit_defaults=True):
    """An offer that is shown: `reasons` are the conditions of the rule that nominated it, with actual values.

    `rule` is None for the fallback. `token` is what an exposure confirms (None where nothing was taken).
    """

    offer: str
    content: object
    rule: str | None = None
    rank: float = 0.0
    reasons: tuple[ConditionReport, ...] = ()
    token: str | None = None


class Lost(msgspec.Struct, frozen=True, omit_defaults=True):
    """A candidate that is not shown, and what it lost to."""

    offer: str
    rule: str
    because: Suppression
    detail: str = ""


class PlacementDecision(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer for one placement. `offers` is never empty where the placement has a fallback.

    `valid_until` is the earliest moment at which the answer can change with no new event; None: only an event, another
    request context or a new revision changes it.
    """

    placement: str
    outcome: Outcome
    offers: tuple[Shown, ...]
    lost: tuple[Lost, ...] = ()
    valid_until: EpochMs | None = None


class Degradation(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something that was not there for this decision: a stable code and a plain sentence."""

    code: str
    detail: str


class Decision(msgspec.Struct, frozen=True, omit_defaults=True):
    """The whole answer, and what is needed to decide it again.

    `evaluated_at` is the moment of the evaluation where an earlier one still held at `time`; None: at `time` itself.
    """

    id: str
    session_id: str
    customer_id: str | None
    time: EpochMs
    revision: int
    bundle: str
    placements: tuple[PlacementDecision, ...]
    context: Mapping[str, Value] = {}
    models: Mapping[str, str] = {}
    scores: tuple[tuple[str, ScoreAnswer], ...] = ()
    failures: tuple[RuleFailure, ...] = ()
    degraded: tuple[Degradation, ...] = ()
    evaluated_at: EpochMs | None = None
