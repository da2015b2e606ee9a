"""What the network answers: activations, failures, reports; and how it asks for a score.

All are msgspec structs, so that they can be stored, sent and compared. The garbage collector need not look at them: they
are made of values and of one another, and are never part of a cycle.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import msgspec

from engine.language.tree import BoundRef
from engine.values import EpochMs, Truth, Value, ValueType

FactReader: TypeAlias = Callable[[str], Value | None]
"""Reads a fact or feature of one session, by name, as it is at the moment of the evaluation; None is unknown."""


Catalogue: TypeAlias = Callable[[str, Value], Value | None]
"""Looks up a fact of a thing (`product.stock`) by its key; None where it is unknown. Must be quick, and not raise."""


@dataclass(frozen=True, slots=True)
class Combination:
    """What the names of a rule are bound to where it holds.

    Attributes:
        bindings: What tells it from the rule's other combinations: (`name.attribute`, value), sorted by name; an
            attribute that the event lacks is left out.
        values: All that is bound and used, values of aggregates among it, of the first events that make it true.
        types: Their types.
        catalogue: Answers what a text says of a bound thing.
    """

    bindings: tuple[tuple[str, Value], ...] = ()
    values: Mapping[BoundRef, Value] = field(default_factory=dict)
    types: Mapping[BoundRef, ValueType] = field(default_factory=dict)
    catalogue: Catalogue | None = None


NOTHING_BOUND = Combination()


class ScoreStatus(enum.StrEnum):
    """How asking a model ended. Everything but OK means that `if_unavailable` answers."""

    OK = "ok"
    MISSING = "missing"
    DEADLINE = "deadline"
    ERROR = "error"
    PENDING = "pending"


class ScoreAnswer(msgspec.Struct, frozen=True):
    """A model's answer: a calibrated probability in [0, 1], or why there is none.

    PENDING is for callers who first collect what has to be asked, ask for all of it at once, and evaluate again.
    """

    status: ScoreStatus
    value: float | None = None
    model_version: str | None = None


ScoreFunction: TypeAlias = Callable[[str, FactReader], ScoreAnswer]
"""Answers the score of this name for the session whose facts the reader reads. Must be a pure function of them while
one evaluation lasts, and must not raise: what goes wrong is a status."""


class TriggerMessage(msgspec.Struct, frozen=True, gc=False):
    """A message to send: the trigger's name and its payload with all holes filled (JSON values)."""

    name: str
    payload: object


class Activation(msgspec.Struct, frozen=True, gc=False):
    """A rule that was not true and now is, in a session, with its bindings.

    Attributes:
        rule: Rule id.
        time: The session's clock when it became true.
        bindings: Values of bound names, sorted by name; empty without bindings.
        acts: False where the rule's schedule, switch or per-session limit keeps it from acting: `held_back` says which.
        triggers: What to send if it acts.
    """

    rule: str
    time: EpochMs
    bindings: tuple[tuple[str, Value], ...] = ()
    acts: bool = True
    held_back: str | None = None
    triggers: tuple[TriggerMessage, ...] = ()


class RuleFailure(msgspec.Struct, frozen=True, gc=False):
    """A rule whose evaluation raised. The other rules were decided as if it were not there."""

    rule: str
    error: str


class Step(msgspec.Struct, frozen=True, gc=False):
    """What one event, one change of facts or one advance of the clock brought about, in order of acting."""

    activations: tuple[Activation, ...] = ()
    failures: tuple[RuleFailure, ...] = ()
    scores: tuple[tuple[str, ScoreAnswer], ...] = ()


class ConditionReport(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One condition with its truth and actual values: a reason where it holds, a why-not where it does not.

    Attributes:
        text: The condition as a plain sentence ("cart.value is above 200.00 EUR").
        truth: None is unknown.
        kind: `all`, `any`, `not`, `test`, `seen`, `score`, `segment`, `sequence`, `absence` or `keyed`.
        subject: The fact, feature, event or score looked at; for the storefront's and the UI's grouping.
        actual: The value found, as people write it ("138.00 EUR"), None where there is none.
        required: The right side, likewise ("above 200.00 EUR").
        distance: How far a failing condition is from holding ("62.00 EUR more", "2 more", "seen 7 min ago, needs 5 min").
        missing: The fact, event or score whose absence makes it unknown.
        parts: Of `all`, `any`, `not` and `segment`.
        events: Of a `sequence`, `absence` or `keyed` that holds: the events that held it, by type and time.
    """

    text: str
    truth: Truth
    kind: str
    subject: str | None = None
    actual: str | None = None
    required: str | None = None
    distance: str | None = None
    missing: str | None = None
    parts: tuple[ConditionReport, ...] = ()
    events: tuple[tuple[str, EpochMs], ...] = ()


class RuleReport(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Why a rule holds or not.

    Attributes:
        rule: Rule id.
        truth: Of its whole condition, schedule and switch aside.
        condition: The tree.
        failing: The first conditions (leaves) that fail or are unknown, most decisive first; empty where it holds.
        near_miss: True where exactly one leaf keeps it from holding.
        held_back: Where it holds but may not act now: "schedule", "switched off".
        bindings: What the names that it binds stand for in the condition: the first combination that holds, else the
            one that comes nearest.
    """

    rule: str
    truth: Truth
    condition: ConditionReport
    failing: tuple[ConditionReport, ...] = ()
    near_miss: bool = False
    held_back: str | None = None
    bindings: tuple[tuple[str, Value], ...] = ()
