"""Events: read, checked against the vocabulary, appended to the log, and confirmed once they are durable there."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from engine.event import Event, RawEvent
from engine.ports import EventLog, LogFullError, NewRecord, PortError
from engine.values import EpochMs, Millis
from engine.vocabulary import EventRefusedError
from service.api.breaker import Circuit
from service.api.call import IDEMPOTENCY_KEY, Answer, Call, Endpoint
from service.api.problems import ProblemError, located
from service.api.rules import Rules
from service.api.schema import EventBatch, EventOutcome, EventsAnswer, EventVerdict, RawBatch
from service.api.services import Services
from service.keys import Scope

DURABLE_WITHIN_S = 10.0
"""A log that needs longer than that for a batch is as good as gone; a sender keeps its events till then."""
FUTURE_MS: Millis = 60_000
"""Event time moves the watermark of a whole partition, so nobody may send events from the future; a minute for clocks."""

_batch = msgspec.json.Decoder(RawBatch)
_one = msgspec.json.Decoder(RawEvent)
_encode = msgspec.json.Encoder().encode


@dataclass(slots=True)
class Admitted:
    """Events of one request, checked: a verdict for each in their order (None: admitted), and what to append."""

    verdicts: list[EventVerdict | None]
    ids: list[str | None]
    events: list[Event]
    records: list[NewRecord]

    def answer(self, outcome: EventOutcome, detail: str | None = None) -> list[EventVerdict]:
        """The verdicts, with this one for what was admitted."""
        return [
            verdict if verdict is not None else EventVerdict(event_id, outcome, detail=detail)
            for verdict, event_id in zip(self.verdicts, self.ids, strict=True)
        ]


def admit(
    rules: Rules,
    raws: Sequence[msgspec.Raw | bytes],
    now: EpochMs,
    *,
    sent_at: float | None = None,
    session_id: str | None = None,
) -> Admitted:
    """Check events. An event without time happened now, one without id gets one.

    Args:
        rules: Whose vocabulary counts.
        raws: Each event in JSON.
        now: Our clock.
        sent_at: The sender's clock at sending; times shift by its difference to ours.
        session_id: Where given, events of other sessions are refused.
    """
    admitted = Admitted([], [], [], [])
    shift = 0 if sent_at is None else now - int(sent_at)
    for raw in raws:
        event_id: str | None = None
        try:
            event = _one.decode(raw)
            if event.id is None:
                event.id = "e_" + secrets.token_hex(12)
            event_id = event.id
            checked = _admit(rules, event, now, shift, session_id)
            record = NewRecord(event.session_id, _encode(event))
        except EventRefusedError as refused:
            field = "/" + refused.field.replace(".", "/", 1)
            verdict = EventVerdict(event_id, EventOutcome.REFUSED, refused.code, field, f"{refused.message}.")
        except msgspec.ValidationError as error:
            field, sentence = located(error)
            verdict = EventVerdict(event_id, EventOutcome.REFUSED, "invalid-field", field or "/", sentence)
        except (msgspec.DecodeError, UnicodeEncodeError) as error:
            verdict = EventVerdict(event_id, EventOutcome.REFUSED, "malformed-json", "/", f"{str(error)[:200]}.")
        except RecursionError:
            verdict = EventVerdict(
                event_id, EventOutcome.REFUSED, "too-deep", "/", "It is nested too deeply to be read."
            )
        else:
            admitted.verdicts.append(None)
            admitted.ids.append(event_id)
            admitted.events.append(checked)
            admitted.records.append(record)
            continue
        admitted.verdicts.append(verdict)
        admitted.ids.append(event_id)
    return admitted


def _admit(rules: Rules, event: RawEvent, now: EpochMs, shift: Millis, session_id: str | None) -> Event:
    """Check one event, and give it its time as it goes to the log."""
    if session_id is not None and event.session_id != session_id:
        raise EventRefusedError(
            "other-session", "session_id", "an event that rides along is of the session decided for"
        )
    checked = rules.admission.admit(event, now)
    if event.time is not None and shift:
        checked = checked.at(min(checked.time + shift, now))
    if checked.time > now + FUTURE_MS:
        raise EventRefusedError("future-time", "time", "time is more than a minute ahead of the server's clock")
    event.time = checked.time
    return checked


def append(log: EventLog, records: Sequence[NewRecord]) -> asyncio.Future[PortError | None]:
    """Hand records to the log; the future ends when they are durable (None) or failed. Raises `LogFullError`."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[PortError | None] = loop.create_future()

    def tell(error: PortError | None) -> None:
        if not future.done():
            future.set_result(error)

    def done(error: PortError | None) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(tell, error)

    log.append(records, done)
    return future


def log_full(error: LogFullError) -> ProblemError:
    """The log can't take more now."""
    return ProblemError("log-full", f"Nothing of this request was taken: {error}.", retry_after=1)


async def post_events(services: Services, call: Call) -> Answer:
    """`POST /v1/events`."""
    services.live()
    batch = call.read(_batch)
    if batch.events is msgspec.UNSET:
        raws: Sequence[msgspec.Raw | bytes] = (call.body,)
    else:
        raws = batch.events
    sent_at = None if batch.sent_at is msgspec.UNSET else batch.sent_at
    return Answer(await take(services, call, raws, sent_at), 202)


async def take(
    services: Services, call: Call, raws: Sequence[msgspec.Raw | bytes], sent_at: float | None
) -> EventsAnswer:
    """Check events, each in JSON, and return when those that fit are durable; raises `ProblemError`."""
    rules = services.live()
    limit = services.settings.max_batch_events
    if len(raws) > limit:
        detail = f"{len(raws)} events, at most {limit} are taken at once."
        raise ProblemError("too-many-events", detail, field="/events")
    admitted = admit(rules, raws, services.clock(), sent_at=sent_at)
    call.timing.mark("check")
    if admitted.records:
        await _append_durably(services, admitted)
        services.accepted.keep(rules, admitted.events, admitted.records, services.clock())
        call.timing.mark("log")
    verdicts = admitted.answer(EventOutcome.ACCEPTED)
    accepted = len(admitted.records)
    services.metrics.events.labels("accepted").inc(accepted)
    services.metrics.events.labels("refused").inc(len(verdicts) - accepted)
    return EventsAnswer(accepted, len(verdicts) - accepted, verdicts)


def check_log(services: Services) -> None:
    """Raise `ProblemError` where the log failed just now: cheaper than to read a body and to wait for it."""
    if services.log_breaker.circuit is Circuit.OPEN:
        raise _not_asked()


def _not_asked() -> ProblemError:
    detail = "The event log failed before and is not asked for a moment. Nothing of this request was taken."
    return ProblemError("log-unavailable", detail, retry_after=1)


async def _append_durably(services: Services, admitted: Admitted) -> None:
    """Return when all are durable; else nothing was accepted, and the sender is told to send all again."""
    if not services.log_breaker.allows():
        raise _not_asked()
    try:
        error = await asyncio.wait_for(append(services.events, admitted.records), DURABLE_WITHIN_S)
    except LogFullError as full:
        services.log_breaker.abandoned()
        raise log_full(full) from full
    except TimeoutError:
        error = PortError(f"not durable after {DURABLE_WITHIN_S:.0f} s")
    except PortError as failed:
        error = failed
    if error is None:
        services.log_breaker.succeeded()
    else:
        services.log_breaker.failed()
        detail = f"It is not certain that the events were kept: {error}."
        raise ProblemError("log-unavailable", detail, retry_after=2) from error


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "POST",
        "/v1/events",
        "sendEvents",
        "Send one event, or several as {events: [...]}.",
        post_events,
        {202: (EventsAnswer, "Each event has a verdict; the accepted ones are durable.")},
        parameters=(IDEMPOTENCY_KEY,),
        scope=Scope.EVENTS,
        request=(RawEvent, EventBatch),
        problems=("too-many-events", "log-full", "log-unavailable", "no-ruleset"),
        check=check_log,
    ),
)
