"""Evaluations that still hold: what was evaluated for a session is not evaluated again before something can change it.

An evaluation is a function of the session's state, the profile, the grants, the context, the rules and the moment. It is
used again while all of them are the same and the moment is before the decision's `valid_until`. Limits are asked
anew each time: acts of other sessions change them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from engine.decision import Decision
from engine.offers import Considered
from engine.ports import Verdict
from engine.values import EpochMs, Millis, Value
from service.api.rules import Rules

if TYPE_CHECKING:
    from service.api.standing import Standing

CAPACITY = 2_000
"""Sessions: those that look at pages now. Where limits are asked, an entry holds the session's memory: some 20 KB."""
LONGEST_MS: Millis = 60_000
"""Reasons show values as of the evaluation: they are never older than that."""


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


class Evaluations:
    """The latest evaluation of each session, and the answers that were given of it again. Used from the event loop alone."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._kept: OrderedDict[str, Evaluated] = OrderedDict()
        self._standing: dict[Repeat, Standing] = {}
        self._repeats: dict[str, Repeat] = {}

    def find(self, question: Question, now: EpochMs) -> Evaluated | None:
        """One that still holds."""
        found = self._kept.get(question.session_id)
        if found is None or not found.holds(now) or not found.question.is_same(question):
            return None
        return found

    def standing(self, repeat: Repeat) -> Standing | None:
        """The answer that such a call got of an evaluation that is still kept."""
        return self._standing.get(repeat)

    def stand(self, repeat: Repeat, standing: Standing) -> None:
        """Keep an answer that was given again, one for each session."""
        session_id = standing.evaluated.question.session_id
        if self._kept.get(session_id) is standing.evaluated:
            self._fall(session_id)
            self._repeats[session_id] = repeat
            self._standing[repeat] = standing

    def drop(self, session_id: str) -> None:
        """Forget a session's."""
        if self._kept.pop(session_id, None) is not None:
            self._fall(session_id)

    def forget_customer(self, customer_id: str) -> None:
        """Forget what was evaluated for a customer, in any session."""
        of_customer = [key for key, kept in self._kept.items() if kept.question.customer_id == customer_id]
        for session_id in of_customer:
            self.drop(session_id)

    def _fall(self, session_id: str) -> None:
        """What was answered of an evaluation that is gone stands no more."""
        repeat = self._repeats.pop(session_id, None)
        if repeat is not None:
            del self._standing[repeat]

    def keep(self, question: Question, considered: Considered, verdicts: tuple[Verdict, ...], made: Decision) -> None:
        """Keep an evaluation; one that lacked something is made anew each time."""
        session_id = question.session_id
        if made.degraded or made.failures:
            self.drop(session_id)
            return
        until = made.time + LONGEST_MS
        for decided in made.placements:
            if decided.valid_until is not None and decided.valid_until < until:
                until = decided.valid_until
        # A calendar period that ends: what is taken then counts in the next one.
        for placed in considered.fields:
            for candidate in placed.candidates:
                for named in candidate.caps:
                    if named.cap.expires is not None and named.cap.expires < until:
                        until = named.cap.expires
        asked = considered if verdicts else None
        self._fall(session_id)
        self._kept[session_id] = Evaluated(question, asked, verdicts, made, made.time, until)
        self._kept.move_to_end(session_id)
        if len(self._kept) > self._capacity:
            self._fall(self._kept.popitem(last=False)[0])
