"""What a decision was made of, beside its bundle and its models: kept in the decision log, so that it can be made again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import msgspec

from engine.activation import ScoreAnswer
from engine.decision import Degradation
from engine.event import Event
from engine.offers import Person
from engine.ports import Verdict
from engine.values import EpochMs, Value
from service.api.evaluation import Evaluation
from service.api.handed import Asked, Session, Terms


class Basis(msgspec.Struct, frozen=True, array_like=True):
    """What an evaluation was made of.

    Attributes:
        time: Of the request.
        snapshot: The session as it was stored.
        profile: Facts of the customer.
        events: That the stored state lacked.
        draws: Whether the installation's salt was there, so that holdouts were drawn. It is no part of any record.
        holdout: The share that was held out of everything.
        scores: What models answered.
        degraded: That the state was not the live one, where it was not.
        things: What the catalogue said of what was looked up.
        without_things: Why it could not be asked, where it could not.
    """

    time: EpochMs
    snapshot: bytes | None
    profile: Mapping[str, Value | None]
    events: tuple[Event, ...]
    profiling: bool
    grants: Mapping[str, bytes]
    person: Person
    draws: bool
    holdout: float
    scores: Mapping[str, ScoreAnswer]
    degraded: tuple[Degradation, ...] = ()
    things: Mapping[str, Mapping[str, Value]] = {}
    without_things: str = ""

    @classmethod
    def of(cls, session: Session, asked: Asked, terms: Terms, evaluation: Evaluation) -> Self:
        """As it was evaluated."""
        return cls(
            asked.request.now,
            session.snapshot,
            session.profile,
            asked.events,
            asked.profiling,
            session.grants,
            terms.person,
            terms.salt is not None,
            terms.holdout,
            evaluation.scores.answers,
            session.degraded,
            evaluation.things.used,
            str(evaluation.things.failure or ""),
        )


class Inputs(msgspec.Struct, frozen=True, array_like=True):
    """What a decision was made of.

    Attributes:
        basis: Of its evaluation, or the id of the decision whose evaluation still held.
        verdicts: What the limit store said.
        missing: That it said nothing, where it did not.
    """

    basis: Basis | str
    verdicts: tuple[Verdict, ...] = ()
    missing: tuple[Degradation, ...] = ()


class _Written(msgspec.Struct):
    """An event in what a decision was made of. The engine's own is no struct, for its speed."""

    id: str
    type: str
    session_id: str
    time: EpochMs
    customer_id: str | None
    attributes: dict[str, Value]


def _written(event: object) -> _Written:
    assert isinstance(event, Event)  # nothing else there is neither a value nor a struct
    return _Written(event.id, event.type, event.session_id, event.time, event.customer_id, event.attributes)


def _read(_: type[object], found: object) -> Event:
    event = msgspec.convert(found, _Written)
    return Event(event.id, event.type, event.session_id, event.time, event.customer_id, event.attributes)


encode_inputs = msgspec.msgpack.Encoder(enc_hook=_written).encode
decode_inputs = msgspec.msgpack.Decoder(Inputs, dec_hook=_read).decode

encode_decision = msgspec.json.Encoder().encode
"""The bytes of a decision in the log: what is made again is compared with them."""
