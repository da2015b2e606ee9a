"""What the steps of a decision hand to each other: asked, read, evaluated, decided.

Structs: msgspec makes and copies them faster than Python makes an object of a class.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from engine.decision import Decision, Degradation, Request
from engine.event import Event
from engine.identity import Identity
from engine.offers import Considered, Person, View
from engine.ports import SessionView, Verdict
from engine.values import EpochMs, Value
from service.api.rules import Rules

if TYPE_CHECKING:
    from service.api.inputs import Inputs


class Asked(msgspec.Struct, frozen=True):
    """A request to decide, checked.

    Attributes:
        events: That the stored state lacks, in order of their time.
        explains: Whether the view is wanted, too: then nothing that was evaluated before will do.
        keeps: Whether the evaluation is kept for the session's next request.
        profiling: False where the shopper objects to it (`Sec-GPC: 1`).
    """

    request: Request
    events: tuple[Event, ...] = ()
    profiling: bool = True
    explains: bool = False
    keeps: bool = True


class Terms(msgspec.Struct, frozen=True):
    """Under which a session is decided for.

    Attributes:
        person: For whom acts count and holdouts are drawn.
        salt: Of the draws; None: nobody is held out.
        holdout: Share (0 to 1) that is held out of everything.
    """

    person: Person
    salt: str | None = None
    holdout: float = 0.0


class Session(msgspec.Struct, frozen=True):
    """What is known of a session.

    Attributes:
        customer_id: Who is signed in.
        grants: Those that go on for whom it is decided now.
        pending: Events accepted here that the stream had not come to, in order of acceptance.
        seen: Ids of events that ride along that it had come to.
        owner: For whom the session was decided last; see `service.api.identity`.
        signed_out: Whether somebody was signed in before.
        degraded: That it is not the live state, where it is not.
        found: As stored.
    """

    customer_id: str | None
    snapshot: bytes | None
    profile: Mapping[str, Value | None]
    grants: Mapping[str, bytes]
    found: SessionView
    pending: tuple[Event, ...] = ()
    seen: frozenset[str] = frozenset()
    identity: Identity | None = None
    owner: bytes | None = None
    signed_out: bool = False
    degraded: tuple[Degradation, ...] = ()


class Question(msgspec.Struct, frozen=True):
    """All that an evaluation depends on but for the moment.

    Attributes:
        grants: Those that are in store when it is asked.
        context: Of the request, as far as anything looks at it.
    """

    session_id: str
    rules: Rules
    state: bytes | None
    profile: bytes | None
    customer_id: str | None
    signed_out: bool
    grants: Mapping[str, bytes]
    identity: object
    events: tuple[str, ...]
    placements: tuple[str, ...]
    context: Mapping[str, Value]
    profiling: bool

    def is_same(self, other: Question) -> bool:
        """Whether it has the same answer."""
        return (
            self.rules.loaded is other.rules.loaded
            and self.state == other.state
            and self.placements == other.placements
            and self.context == other.context
            and self.events == other.events
            and self.grants == other.grants
            and self.profile == other.profile
            and self.customer_id == other.customer_id
            and self.identity == other.identity
            and self.signed_out is other.signed_out
            and self.profiling is other.profiling
        )


class Evaluated(msgspec.Struct, frozen=True):
    """An evaluation and the decision that was made of it.

    Attributes:
        considered: To ask the limits again; None where none were asked.
        verdicts: What the limits said: where they say the same again, the decision is the same.
        at: The moment of the evaluation.
        until: It holds before this moment.
    """

    question: Question
    considered: Considered | None
    verdicts: tuple[Verdict, ...]
    decision: Decision
    at: EpochMs
    until: EpochMs

    def holds(self, now: EpochMs) -> bool:
        """Whether time alone has not ended it."""
        return self.at <= now < self.until


class Repeat(msgspec.Struct, frozen=True):
    """How a call repeats another: the same body, with a key that may read as much, from a page that says the same."""

    body: bytes
    reads: bool
    profiling: bool


class Decided(msgspec.Struct, frozen=True):
    """A decision, the view that it was made from, for explanations, and what makes it again (both None for a fallback).

    `stands` is the evaluation of which it was made again, where it is the very decision that was made then.
    """

    decision: Decision
    view: View | None
    inputs: Inputs | None = None
    stands: Evaluated | None = None
