"""Previews: a decision as a token says, about a real session, that leaves no trace.

It takes from limits of its own that begin empty, nobody is held out, and nothing of it is logged, counted, appended or
kept. So a marketer sees in the shop what shoppers will see, and no figure moves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from engine.activation import ScoreAnswer, ScoreStatus
from engine.decision import Decision, Degradation, PlacementDecision, Request
from engine.event import Event, RawEvent
from engine.offers import MemoryLimits, Person, claims, conclude, fall_back
from engine.ports import Verdict
from engine.values import EpochMs, Value
from engine.vocabulary import EventRefusedError
from service.api.answering import answered, new_decision_id, placements_of, warned
from service.api.call import Call
from service.api.deadline import Deadline, UnavailableError
from service.api.evaluation import Evaluation, ask_wanted, evaluate, lacking
from service.api.handed import Asked, Decided, Session, Terms
from service.api.problems import ProblemError
from service.api.rules import Rules
from service.api.schema import DecideAnswer, PreviewMark, RawDecideRequest, Warned
from service.api.services import Services
from service.api.session import last_read, read_session
from service.keys import Scope
from service.preview import Preview, PreviewRefusedError, read
from service.things import Lookup

KIND = "p"
"""Decisions with such an id were never made: nothing of them can be exposed, and no log has them."""
PREVIEW_MS = 2_000
"""A person looks, and a forced segment compiles the rules anew: longer than a shopper would wait."""


def is_preview(decision_id: str) -> bool:
    """Whether a decision was only a preview."""
    return decision_id.startswith(f"{KIND}_")


async def previewed(services: Services, call: Call, asked: RawDecideRequest, token: str) -> DecideAnswer:
    """Decide what a checked request asks as its token says; raises `ProblemError`."""
    preview = _read(services, call, token)
    if asked.events:
        detail = "Events don't ride along with a preview, which keeps none; those that it imagines are in its token."
        raise ProblemError("invalid-field", detail, field="/events")
    deadline = Deadline(PREVIEW_MS)
    rules = await services.in_thread(services.forced_rules.of, services.live(), preview.segments)
    names, errors = placements_of(rules, asked.placements)
    forced = _Forced.of(rules, preview, asked, services.clock())
    named = asked.customer_id
    session: Session | UnavailableError
    try:
        session = await read_session(services, rules, asked.session_id, named, deadline, keeps=False)
    except UnavailableError as error:
        session = last_read(services, rules, asked.session_id, named, error)
    customer_id = session.customer_id if isinstance(session, Session) else named or None
    request = Request(asked.session_id, customer_id, forced.time, forced.context, names)
    profiling = call.headers.get(b"sec-gpc") != b"1"
    made = await _decide(services, rules, Asked(request, profiling=profiling), session, forced, deadline, call)
    answer = answered(rules, made, asked, errors, (), forced.warnings, reads=call.has(Scope.READ))
    return msgspec.structs.replace(answer, preview=PreviewMark(preview.until, preview.forced))


def _read(services: Services, call: Call, token: str) -> Preview:
    assert call.key is not None
    if services.preview_secret is None:
        detail = "Previews can't be checked: the control tables could not be reached at the start."
        raise ProblemError("store-unavailable", detail, retry_after=5)
    try:
        return read(token, services.preview_secret, services.clock(), call.key.id)
    except PreviewRefusedError as refused:
        raise ProblemError("preview-refused", f"The preview is refused: {refused}.", field="/preview") from None


@dataclass(frozen=True, slots=True)
class _Forced:
    """What a token forces, checked against the rules; what does not fit is left out with a warning."""

    time: EpochMs
    context: Mapping[str, Value]
    profile: Mapping[str, Value]
    events: tuple[Event, ...]
    scores: Mapping[str, ScoreAnswer]
    warnings: tuple[Warned, ...]

    @classmethod
    def of(cls, rules: Rules, preview: Preview, asked: RawDecideRequest, now: EpochMs) -> _Forced:
        time = now if preview.time is None else preview.time
        of_profile = {name: value for name, value in preview.facts.items() if name in rules.profile_facts}
        of_request = {name: value for name, value in preview.facts.items() if name not in of_profile}
        context, refused = rules.context.read(asked.context)
        forced, not_forced = rules.context.read(of_request)
        profile, not_in_profile = rules.profile.read(of_profile)
        warnings = [*warned("/context", refused), *warned("/preview/facts", (*not_forced, *not_in_profile))]
        warnings += (
            Warned(f"/preview/segments/{name}", "unknown-segment", f"There is no segment {name}.")
            for name in preview.segments
            if name not in rules.loaded.program.segments
        )
        warnings += (
            Warned(f"/preview/scores/{name}", "unknown-score", f"There is no score {name}.")
            for name in preview.scores
            if name not in rules.loaded.program.vocabulary.scores
        )
        events = []
        for number, imagined in enumerate(preview.events):
            at = time - imagined.ago
            raw = RawEvent(imagined.type, asked.session_id, f"imagined-{number}", at, None, imagined.attributes)
            try:
                events.append(rules.admission.admit(raw, time))
            except EventRefusedError as error:
                warnings.append(Warned(f"/preview/events/{number}", error.code, f"{error.message}."))
        scores = {name: _forced_score(value) for name, value in preview.scores.items()}
        return cls(time, {**context, **forced}, profile, tuple(events), scores, tuple(warnings))


def _forced_score(value: float | None) -> ScoreAnswer:
    if value is None:
        return ScoreAnswer(ScoreStatus.MISSING)
    return ScoreAnswer(ScoreStatus.OK, value, "preview")


async def _decide(
    services: Services,
    rules: Rules,
    asked: Asked,
    session: Session | UnavailableError,
    forced: _Forced,
    deadline: Deadline,
    call: Call,
) -> Decided:
    decision_id = new_decision_id(KIND, services.clock())
    revision = rules.loaded.revision
    if not isinstance(session, Session):
        missing = Degradation("state_unavailable", f"The session's state could not be had: {session}.")
        decision = fall_back(
            rules.loaded.program,
            asked.request,
            decision_id=decision_id,
            revision=revision.number,
            bundle=revision.bundle,
            degraded=(missing,),
        )
        return Decided(decision, None)
    events = sorted((*session.pending, *forced.events), key=lambda event: event.time)
    session = msgspec.structs.replace(session, profile={**session.profile, **forced.profile}, grants={})
    person = Person(asked.request.session_id, asked.request.customer_id)

    things = Lookup(rules.things, services.clock())

    async def ask(wanting: Evaluation) -> None:
        await ask_wanted(services, rules, wanting, deadline)

    asked = msgspec.structs.replace(asked, events=tuple(events))
    considered, evaluation = await evaluate(
        rules, session, asked, decision_id, Terms(person), things, ask, call.timing, forced.scores
    )
    limits, verdicts = MemoryLimits(), list[Verdict]()
    while asks := claims(considered, verdicts):
        for each in asks:
            verdicts += limits.take(each.claims, each.slots, considered.view.now, None)
    missing_here = (*evaluation.degraded, *lacking(considered, things))
    decision = conclude(considered, verdicts, revision=revision.number, bundle=revision.bundle, degraded=missing_here)
    return Decided(_without_tokens(decision), considered.view)


def _without_tokens(decision: Decision) -> Decision:
    """Nothing was taken, so there is nothing to confirm."""

    def untaken(placed: PlacementDecision) -> PlacementDecision:
        offers = tuple(msgspec.structs.replace(each, token=None) for each in placed.offers)
        return msgspec.structs.replace(placed, offers=offers)

    return msgspec.structs.replace(decision, placements=tuple(map(untaken, decision.placements)))
