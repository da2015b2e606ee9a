"""From messages to what the core asks for, and from its answers to messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec
from google.protobuf.message import DecodeError, Message

from service.api.problems import Problem, ProblemError, field_problem
from service.api.schema import (
    BulkLine,
    DecideAnswer,
    EventsAnswer,
    EventVerdict,
    ExposureAnswer,
    ExposureRequest,
    PlacementAnswer,
    RawDecideRequest,
)
from service.rpc import decisions_pb2 as pb
from service.rpc.values import members, write

M = TypeVar("M", bound=Message)
T = TypeVar("T")

_encode = msgspec.json.Encoder().encode


def parse(kind: type[M], raw: bytes) -> M:
    """Read a message; raises `ProblemError`."""
    try:
        return kind.FromString(raw)
    except DecodeError:
        name = kind.DESCRIPTOR.full_name
        raise ProblemError("malformed-message", f"What was sent is no {name}.") from None


def _convert(given: dict[str, Any], kind: type[T]) -> T:
    try:
        return msgspec.convert(given, kind)
    except msgspec.ValidationError as error:
        raise field_problem(error) from None


def decide_request(raw: bytes, patience_ms: float | None) -> RawDecideRequest:
    """What is asked. `patience_ms` is what the deadline of the call leaves; the shorter one counts."""
    asked = parse(pb.DecideRequest, raw)
    given: dict[str, Any] = {
        "session_id": asked.session_id,
        "placements": list(asked.placements),
        "context": members(asked.context),
        "explain": asked.explain,
    }
    if asked.signed_out:
        if asked.HasField("customer_id"):
            raise ProblemError("invalid-field", "Nobody is signed in who is signed out.", field="/signed_out")
        given["customer_id"] = None
    for name in ("customer_id", "deadline_ms", "sent_at", "preview"):
        if asked.HasField(name):
            given[name] = getattr(asked, name)
    request = _convert(given, RawDecideRequest)
    if patience_ms is not None and (request.deadline_ms is None or patience_ms < request.deadline_ms):
        request = msgspec.structs.replace(request, deadline_ms=max(1.0, patience_ms))
    if not asked.events:
        return request
    return msgspec.structs.replace(request, events=[msgspec.Raw(each) for each in events(asked.events)])


def events(given: Sequence[pb.Event]) -> list[bytes]:
    """Each event in JSON, as it goes to the log."""
    made = []
    for event in given:
        fields: dict[str, object] = {
            "type": event.type,
            "session_id": event.session_id,
            "attributes": members(event.attributes),
        }
        for name in ("id", "time", "customer_id"):
            if event.HasField(name):
                fields[name] = getattr(event, name)
        made.append(_encode(fields))
    return made


def exposure_request(raw: bytes) -> ExposureRequest:
    """What was seen."""
    exposed = parse(pb.SendExposureRequest, raw)
    placements = {name: list(each.tokens) for name, each in exposed.placements.items()}
    given = {"decision_id": exposed.decision_id, "session_id": exposed.session_id, "placements": placements}
    return _convert(given, ExposureRequest)


def decide_response(answer: DecideAnswer) -> pb.DecideResponse:
    """A decision."""
    made = pb.DecideResponse(
        decision_id=answer.decision_id,
        session_id=answer.session_id,
        time=answer.time,
        revision=answer.revision,
        bundle=answer.bundle,
        models=answer.models,
        placements=map(_placement, answer.placements),
        degraded=[pb.Degradation(code=each.code, detail=each.detail) for each in answer.degraded],
        valid_until=answer.valid_until,
        evaluated_at=answer.evaluated_at,
        events=map(_verdict, answer.events),
        warnings=[pb.Warning(field=each.field, code=each.code, detail=each.detail) for each in answer.warnings],
    )
    if answer.preview is not None:
        made.preview.until = answer.preview.until
        made.preview.forced.extend(answer.preview.forced)
    if answer.rules or answer.scores or answer.failures:
        explanation = {"rules": answer.rules, "scores": answer.scores, "failures": answer.failures}
        write(made.explanation, msgspec.to_builtins(explanation))
    return made


def _placement(placed: PlacementAnswer) -> pb.Placement:
    made = pb.Placement(
        placement=placed.placement,
        outcome=placed.outcome or "",
        lost=[
            pb.Lost(offer=each.offer, rule=each.rule, because=each.because, detail=each.detail) for each in placed.lost
        ],
        valid_until=placed.valid_until,
    )
    if placed.error is not None:
        made.error.code, made.error.detail = placed.error.code, placed.error.detail
    for shown in placed.offers:
        offer = made.offers.add(offer=shown.offer, rule=shown.rule, rank=shown.rank, token=shown.token)
        write(offer.content, shown.content)
        for reason in shown.reasons:
            write(offer.reasons.add(), msgspec.to_builtins(reason))
    return made


def _verdict(verdict: EventVerdict) -> pb.EventVerdict:
    return pb.EventVerdict(
        id=verdict.id, verdict=verdict.verdict, code=verdict.code, field=verdict.field, detail=verdict.detail
    )


def bulk_response(line: BulkLine) -> pb.DecideBulkResponse:
    """The answer to one request of a stream."""
    if line.answer is not None:
        return pb.DecideBulkResponse(line=line.line, answer=decide_response(line.answer))
    assert line.problem is not None
    return pb.DecideBulkResponse(line=line.line, problem=_problem(line.problem))


def _problem(problem: Problem) -> pb.Problem:
    return pb.Problem(
        code=problem.code,
        title=problem.title,
        detail=problem.detail,
        field=problem.field,
        retry_after=problem.retry_after,
    )


def events_response(answer: EventsAnswer) -> pb.SendEventsResponse:
    """A verdict for each event."""
    return pb.SendEventsResponse(accepted=answer.accepted, refused=answer.refused, events=map(_verdict, answer.events))


def exposure_response(answer: ExposureAnswer) -> pb.SendExposureResponse:
    """What is now taken for good."""
    return pb.SendExposureResponse(confirmed=answer.confirmed)
