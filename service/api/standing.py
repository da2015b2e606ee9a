"""Answers that stand: given again as the bytes of the first time, but for what each call gets anew, its id and its time.

An answer stands as long as the evaluation that it was made of holds, where no limit has to be asked: then all that a call
costs is the reading of its session, to see that nothing in it changed. What is logged of it is spliced likewise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import msgspec

from engine.decision import Decision
from engine.ports import SessionView
from engine.values import EpochMs, Millis
from service.api.conditional import etag
from service.api.deadline import UnavailableError
from service.api.handed import Evaluated
from service.api.inputs import Inputs, encode_decision, encode_inputs
from service.api.rules import Rules
from service.api.schema import DecideAnswer, RawDecideRequest

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Spliced:
    """JSON of an object that begins with an id and has a time after some members that stay."""

    before: bytes
    between: bytes
    after: bytes

    @classmethod
    def of(cls, raw: bytes, first_id: str, time: EpochMs) -> Self:
        """Take id and time out. No text can hold what comes before the time: its quotes would be escaped."""
        before, _, rest = raw.partition(first_id.encode())
        between, found, after = rest.partition(b'"time":%d,' % time)
        assert found, "an object without a time"
        return cls(before, between, after)

    def with_(self, new_id: bytes, time: EpochMs) -> bytes:
        """The same with another id and time."""
        return b'%b%b%b"time":%d,%b' % (self.before, new_id, self.between, time, self.after)


@dataclass(frozen=True, slots=True, eq=False)
class Standing:
    """An answer, and what it takes to give it again.

    Attributes:
        asked: The request of all that repeat it.
        deadline_ms: Of the placements.
        found: What the session was read as.
        evaluated: What it was made of.
        tag: Its ETag.
        inputs: What the log keeps of what it was made of.
        counts: What is counted of it.
    """

    rules: Rules
    asked: RawDecideRequest
    deadline_ms: Millis
    found: SessionView
    evaluated: Evaluated
    answer: Spliced
    tag: bytes
    entry: Spliced
    inputs: bytes
    decision: Decision
    counts: dict[str, int]

    @classmethod
    def of(
        cls,
        rules: Rules,
        asked: RawDecideRequest,
        deadline_ms: Millis,
        found: SessionView,
        evaluated: Evaluated,
        answer: DecideAnswer,
        decision: Decision,
        inputs: Inputs,
        counts: dict[str, int],
    ) -> Self:
        """An answer that is given of an evaluation made before."""
        raw, tag = encoded(answer)
        return cls(
            rules,
            asked,
            deadline_ms,
            found,
            evaluated,
            Spliced.of(raw, answer.decision_id, answer.time),
            tag,
            Spliced.of(encode_decision(decision), decision.id, decision.time),
            encode_inputs(inputs),
            decision,
            counts,
        )

    def is_for(self, found: SessionView | UnavailableError, now: EpochMs) -> bool:
        """Whether it is the answer still, by the same rules, for a session that was read as this."""
        return self.found == found and self.evaluated.holds(now)


def encoded(answer: DecideAnswer) -> tuple[bytes, bytes]:
    """An answer as JSON, and its ETag: of what it says apart from what each call gets anew.

    That is the text from the revision to the last placement, and what was missing. Tokens stay the same while an act goes on.
    """
    raw = _encode(answer)
    begin, end = raw.index(b'"revision":'), raw.rindex(b'"degraded":')
    missing = _encode((answer.degraded, answer.warnings)) if answer.degraded or answer.warnings else b""
    return raw, etag(raw[begin:end] + missing, weak=True)
