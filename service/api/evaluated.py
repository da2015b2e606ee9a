"""Evaluations that still hold: what was evaluated for a session is not evaluated again before something can change it.

An evaluation is a function of the session's state, the profile, the grants, the context, the rules and the moment. It is
used again while all of them are the same and the moment is before the decision's `valid_until`. Limits are asked
anew each time: acts of other sessions change them.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from engine.decision import Decision
from engine.offers import Considered
from engine.ports import Verdict
from engine.values import EpochMs, Millis
from service.api.handed import Evaluated, Question, Repeat

if TYPE_CHECKING:
    from service.api.standing import Standing

CAPACITY = 2_000
"""Sessions: those that look at pages now. Where limits are asked, an entry holds the session's memory: some 20 KB."""
LONGEST_MS: Millis = 60_000
"""Reasons show values as of the evaluation: they are never older than that."""


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
