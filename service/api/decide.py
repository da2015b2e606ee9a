"""`POST /v1/decide`: what each placement shows, in time, with HTTP 200 whatever is gone on our side."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from engine.decision import Degradation, Outcome, Request
from engine.event import Event
from engine.ports import LogFullError, PortError, SessionView
from engine.values import EpochMs
from service.api.answering import answered, deadline_of, new_decision_id, placements_of, warned
from service.api.call import IDEMPOTENCY_KEY, Answer, Call, Endpoint, Parameter, decode
from service.api.conditional import conditional
from service.api.deadline import Deadline, UnavailableError
from service.api.deciding import decide
from service.api.handed import Asked, Decided, Repeat, Session
from service.api.identity import Named
from service.api.ingest import Admitted, admit, append
from service.api.inputs import encode_decision, encode_inputs
from service.api.previewing import previewed
from service.api.problems import ProblemError
from service.api.rules import Rules
from service.api.schema import (
    DecideAnswer,
    DecideRequest,
    EventOutcome,
    EventVerdict,
    PlacementAnswer,
    RawDecideRequest,
)
from service.api.services import Services
from service.api.session import last_read, read_found, session_of
from service.api.standing import Standing, encoded
from service.keys import Scope

_request = msgspec.json.Decoder(RawDecideRequest)


async def post_decide(services: Services, call: Call) -> Answer:
    """Decide for all placements asked."""
    repeat = Repeat(call.body, call.has(Scope.READ), _profiling(call))
    standing = services.evaluations.standing(repeat)
    asked = checked(services, call, read_request(call.body)) if standing is None else standing.asked
    body = await _decided(services, call, asked, repeat, standing)
    if isinstance(body, Answer):
        return body
    if body.events or asked.explain or asked.preview is not None or body.revision == 0:
        return Answer(body)  # says more than what is shown
    raw, tag = encoded(body)
    return conditional(Answer(raw), tag, call.headers)


def read_request(body: bytes) -> RawDecideRequest:
    """What a body in JSON asks; raises `ProblemError`."""
    return decode(_request, body)


def checked(services: Services, call: Call, asked: RawDecideRequest) -> RawDecideRequest:
    """What a call asks, where its key and the limits allow it; raises `ProblemError`."""
    if asked.explain and not call.has(Scope.READ):
        raise ProblemError("scope-missing", "explain needs a key with the scope read.", field="/explain")
    if asked.events and not call.has(Scope.EVENTS):
        raise ProblemError("scope-missing", "Events ride along with a key that has the scope events.", field="/events")
    limit = services.settings.max_batch_events
    if len(asked.events) > limit:
        detail = f"{len(asked.events)} events, at most {limit} are taken at once."
        raise ProblemError("too-many-events", detail, field="/events")
    return asked


async def decided(services: Services, call: Call, asked: RawDecideRequest, *, keeps: bool = True) -> DecideAnswer:
    """Decide what a checked request asks, and record it. What it read and evaluated is kept for the next, unless not `keeps`."""
    made = await _decided(services, call, asked, keeps=keeps)
    assert isinstance(made, DecideAnswer)
    return made


async def _decided(
    services: Services,
    call: Call,
    asked: RawDecideRequest,
    repeat: Repeat | None = None,
    standing: Standing | None = None,
    *,
    keeps: bool = True,
) -> DecideAnswer | Answer:
    """As `decided`; where `standing` is the answer still, that, encoded. What may be repeated then stands for `repeat`."""
    if asked.preview is not None:
        return await previewed(services, call, asked, asked.preview)
    deadline = Deadline(services.settings.deadline_ms)
    if asked.deadline_ms is not None:
        deadline.tighten(asked.deadline_ms, ours=False)
    now = services.clock()
    decision_id = new_decision_id("d", now)
    rules = services.rules.current
    if rules is None:
        return _without_rules(services, asked, decision_id, now)

    found: SessionView | UnavailableError | None = None
    if standing is not None and standing.rules.loaded is rules.loaded:
        deadline.tighten(standing.deadline_ms, ours=True)
        found = await _read(services, rules, asked.session_id, asked.customer_id, deadline)
        call.timing.mark("state")
        if standing.is_for(found, now) and not services.accepted.of_session(asked.session_id, rules, now):
            return _given_again(services, call, standing, decision_id, now)

    names, errors = placements_of(rules, asked.placements)
    deadline_ms = deadline_of(rules, names, services.settings.deadline_ms)
    deadline.tighten(deadline_ms, ours=True)
    context, refused = rules.context.read(asked.context)
    admitted = admit(rules, asked.events, now, sent_at=asked.sent_at, session_id=asked.session_id)
    call.timing.mark("check")

    named = _named(asked, admitted.events)
    if found is None:
        riding = [event.id for event in admitted.events]
        found = await _read(services, rules, asked.session_id, named, deadline, riding, keeps=keeps)
        call.timing.mark("state")
    session: Session | UnavailableError
    if isinstance(found, UnavailableError):
        session = last_read(services, rules, asked.session_id, named, found)
    else:
        session = session_of(services, rules, asked.session_id, named, found)
    # Only now, or the worker could put them into the very state that was being read, and they would count twice.
    appending = _start_append(services, rules, admitted)
    customer_id = session.customer_id if isinstance(session, Session) else named or None
    request = Request(asked.session_id, customer_id, now, context, names)
    events = _events(session, admitted.events)
    question = Asked(request, events, _profiling(call), asked.explain, keeps)
    made = await decide(services, rules, question, session, decision_id, deadline, call.timing)
    verdicts = await _verdicts(services, admitted, appending, deadline)
    call.timing.mark("log")
    counts = _record(services, made, now)
    answer = answered(rules, made, asked, errors, verdicts, warned("/context", refused), reads=call.has(Scope.READ))
    if repeat is not None and made.stands is not None and made.inputs is not None and not events and not verdicts:
        assert isinstance(session, Session)
        given = Standing.of(
            rules, asked, deadline_ms, session.found, made.stands, answer, made.decision, made.inputs, counts
        )
        services.evaluations.stand(repeat, given)
    return answer


async def _read(
    services: Services,
    rules: Rules,
    session_id: str,
    named: Named,
    deadline: Deadline,
    riding: Sequence[str] = (),
    *,
    keeps: bool = True,
) -> SessionView | UnavailableError:
    try:
        return await read_found(services, rules, session_id, named, deadline, riding, keeps=keeps)
    except UnavailableError as error:
        return error


def _given_again(services: Services, call: Call, standing: Standing, decision_id: str, now: EpochMs) -> Answer:
    """The answer that stands, recorded as any other."""
    metrics, own_id = services.metrics, decision_id.encode()
    metrics.evaluations.count("reused")
    decision = standing.decision
    for placed in decision.placements:
        metrics.placements.count(placed.outcome)
    entry = (decision_id, decision.session_id, now, standing.entry.with_(own_id, now))
    services.recorder.record(entry, standing.inputs)
    services.recorder.count(now // 60_000, standing.counts)
    return conditional(Answer(standing.answer.with_(own_id, now)), standing.tag, call.headers)


def _profiling(call: Call) -> bool:
    return call.headers.get(b"sec-gpc") != b"1"


def _named(asked: RawDecideRequest, events: Sequence[Event]) -> Named:
    """Whom the request names, else whom the latest of its events that names somebody does."""
    if asked.customer_id is not msgspec.UNSET:
        return asked.customer_id
    return next((event.customer_id for event in reversed(events) if event.customer_id is not None), msgspec.UNSET)


def _events(session: Session | UnavailableError, riding: Sequence[Event]) -> tuple[Event, ...]:
    """What the stored state lacks, each once: events accepted before and those that ride along, in order of their time."""
    if not isinstance(session, Session):
        return ()
    found = {event.id: event for event in session.pending}
    for event in riding:
        if event.id not in session.seen:
            found.setdefault(event.id, event)
    return tuple(sorted(found.values(), key=lambda event: event.time))


def _start_append(
    services: Services, rules: Rules, admitted: Admitted
) -> asyncio.Future[PortError | None] | PortError | None:
    if not admitted.records:
        return None
    breaker = services.log_breaker
    if not breaker.allows():
        return PortError("the event log failed before and is not asked for a moment")
    try:
        appending = append(services.events, admitted.records)
    except PortError as error:
        breaker.abandoned() if isinstance(error, LogFullError) else breaker.failed()
        return error

    def keep(done: asyncio.Future[PortError | None]) -> None:
        # Also where the answer could not wait for it.
        if done.cancelled():
            breaker.abandoned()
        elif done.result() is not None:
            breaker.failed()
        else:
            breaker.succeeded()
            services.accepted.keep(rules, admitted.events, admitted.records, services.clock())

    appending.add_done_callback(keep)
    return appending


async def _verdicts(
    services: Services,
    admitted: Admitted,
    appending: asyncio.Future[PortError | None] | PortError | None,
    deadline: Deadline,
) -> list[EventVerdict]:
    """A verdict for each event that rode along, as far as it is known at the deadline."""
    error: PortError | None
    if isinstance(appending, asyncio.Future):
        await asyncio.wait((appending,), timeout=deadline.left_s)
        error = appending.result() if appending.done() else PortError("not durable by the deadline")
    else:
        error = appending
    outcome, detail = EventOutcome.ACCEPTED, None
    if error is not None:
        full = isinstance(error, LogFullError)
        outcome = EventOutcome.UNCONFIRMED
        detail = (
            "The event log is full; send it again." if full else "Not confirmed in time; send it again with its id."
        )
    verdicts = admitted.answer(outcome, detail)
    for verdict in verdicts:
        services.metrics.events.labels(verdict.verdict).inc()
    return verdicts


def _record(services: Services, made: Decided, now: EpochMs) -> dict[str, int]:
    """Log and count a decision; what was counted of it."""
    decision = made.decision
    made_of = None if made.inputs is None else encode_inputs(made.inputs)
    services.recorder.record((decision.id, decision.session_id, decision.time, encode_decision(decision)), made_of)
    counts: dict[str, int] = {"decisions": 1}
    for placed in decision.placements:
        services.metrics.placements.count(placed.outcome)
        for shown in placed.offers:
            if shown.rule is not None:
                counts[f"shown/{shown.rule}"] = counts.get(f"shown/{shown.rule}", 0) + 1
    for failure in decision.failures:
        counts[f"error/{failure.rule}"] = counts.get(f"error/{failure.rule}", 0) + 1
    for missing in decision.degraded:
        services.metrics.degraded.labels(missing.code).inc()
    services.recorder.count(now // 60_000, counts)
    return counts


def _without_rules(services: Services, asked: RawDecideRequest, decision_id: str, now: EpochMs) -> DecideAnswer:
    """No ruleset, so no fallbacks either: the page shows its own."""
    reason = services.rules.holder.problem or "nothing was published yet"
    services.metrics.degraded.labels("no_ruleset").inc()
    return DecideAnswer(
        decision_id=decision_id,
        session_id=asked.session_id,
        time=now,
        revision=0,
        bundle="",
        models={},
        placements=tuple(PlacementAnswer(name, (), Outcome.DEGRADED) for name in dict.fromkeys(asked.placements)),
        degraded=(Degradation("no_ruleset", f"No ruleset is live: {reason}."),),
        events=tuple(
            EventVerdict(None, EventOutcome.UNCONFIRMED, detail="No ruleset is live; send it again later.")
            for _ in asked.events
        ),
    )


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "POST",
        "/v1/decide",
        "decide",
        "Decide what placements show to a session.",
        post_decide,
        {
            200: (DecideAnswer, "Each placement asked has an answer or an error item, also when something is gone."),
            304: (None, "What is shown is what the answer showed that `If-None-Match` names."),
        },
        parameters=(IDEMPOTENCY_KEY, Parameter("If-None-Match", "header", "The ETag of an answer that you have.")),
        scope=Scope.DECIDE,
        request=(DecideRequest,),
        problems=("too-many-events", "preview-refused", "no-ruleset", "store-unavailable"),
    ),
)
