"""A decision about a live session: state, memory, scores, limits, all within one deadline, with what was missing named."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
from msgspec import UNSET

from engine.activation import FactReader, ScoreAnswer, ScoreStatus
from engine.decision import Decision, Degradation, Request
from engine.event import Event
from engine.identity import Identity
from engine.offers import Ask, Considered, claims, conclude, consider, fall_back, next_grants, unavailable
from engine.ports import SessionView, Verdict
from engine.rete import Memory, SnapshotError, View
from engine.values import EpochMs, Millis, Value
from models.scorer import Collector
from service.api.call import Timing
from service.api.deadline import Deadline, UnavailableError
from service.api.evaluated import Question
from service.api.identity import OWNER, Named, continued, identify, is_signed_out, owned
from service.api.rules import Rules
from service.api.services import Services

log = logging.getLogger("salience.api.deciding")

HOLD_MS: Millis = 30 * 60_000
"""What a decision takes from a limit is given back after half an hour without exposure: the length of a visit, so that an
offer below the fold still counts when the shopper scrolls to it."""
GRANTS_KEPT_MS: Millis = 24 * 60 * 60_000
"""A banner that a session goes on seeing is one act; no session lasts longer than a day."""
PASSES = 4
"""Evaluations of one decision: an answer of a model may bring up the next model. Who needs more gets no answer from it."""
RESERVE = 0.15
"""Share of the deadline that is kept for what comes after a store answers: evaluation and encoding."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request to decide, checked.

    Attributes:
        events: That the stored state lacks, in order of their time.
        explains: Whether the view is wanted, too: then nothing that was evaluated before will do.
        profiling: False where the shopper objects to it (`Sec-GPC: 1`).
    """

    request: Request
    events: tuple[Event, ...] = ()
    profiling: bool = True
    explains: bool = False


@dataclass(frozen=True, slots=True)
class Session:
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


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision, and the view that it was made from (None for a fallback), for explanations."""

    decision: Decision
    view: View | None


class Evaluation:
    """One session at one moment, evaluated again for as long as models have something to add.

    Attributes:
        scores: What models were asked and answered; what is `wanted` is to be asked before the next evaluation.
        is_last: What is not known now will not be: it counts as not answered in time.
    """

    def __init__(self, rules: Rules, session: Session, asked: Asked) -> None:
        self._rules = rules
        self._session = session
        self._asked = asked
        self._memory: Memory | None = None
        self.scores = Collector(rules.loaded.scorer)
        self.is_last = False
        self.degraded = session.degraded

    def score(self, name: str, reader: FactReader) -> ScoreAnswer:
        """The `ScoreFunction` of the evaluation."""
        answer = self.scores(name, reader)
        return _TOO_LATE if self.is_last and answer.status is ScoreStatus.PENDING else answer

    def view(self) -> View:
        """The view as of the answers known now. Once the memory needed no answer, only the view is made anew."""
        network, request = self._rules.loaded.network, self._asked.request
        memory = self._memory
        if memory is None:
            memory = self._open()
            if self._session.profile:
                network.set_facts(memory, self._session.profile, request.now, self.score)
            for event in self._asked.events:
                network.insert(memory, event, self.score)
            if not self.scores.wanted:
                self._memory = memory
        return network.view(memory, request.now, request.context, self.score)

    def _open(self) -> Memory:
        network, request = self._rules.loaded.network, self._asked.request
        snapshot = self._session.snapshot
        if snapshot is not None:
            try:
                memory = network.restore(snapshot)
            except SnapshotError as error:
                log.warning("state of session %r can't be read: %s", request.session_id, error)
                self.degraded = (
                    Degradation("state_unreadable", "The session's state can't be read; decided without."),
                )
            else:
                first = min((event.time for event in self._asked.events), default=request.now)
                if not memory.has_ended(first, self._rules.loaded.program.vocabulary.session_timeout):
                    return memory
        return network.open(request.session_id, self._session.customer_id)


async def read_session(
    services: Services,
    rules: Rules,
    session_id: str,
    named: Named,
    deadline: Deadline,
    riding: Sequence[str] = (),
) -> Session:
    """Read what bears on a session, in one trip; raises `UnavailableError`.

    Args:
        services: Stores.
        rules: The revision that decides.
        session_id: The session.
        named: Whom the request names.
        deadline: Of the request.
        riding: Ids of events that ride along: a request that is sent again finds what the first one brought.
    """
    pending = services.accepted.of_session(session_id, rules, services.clock())
    customer_id = _customer(named, pending)
    ids = (*(event.id for event in pending), *riding)
    coming: Coroutine[Any, Any, SessionView] = services.state.read(session_id, customer_id, ids)
    found = await deadline.call(services.state_breaker, coming, RESERVE * deadline.ours_ms / 1000)
    now = services.clock()
    services.lately.keep(session_id, customer_id, found, now)
    session = _session(rules, found, named, services.accepted.of_session(session_id, rules, now))
    services.accepted.drop(session_id, found.seen)
    return session


def last_read(
    services: Services, rules: Rules, session_id: str, named: Named, error: UnavailableError
) -> Session | UnavailableError:
    """What this process read of the session last, where that is not long ago; else the error."""
    pending = services.accepted.of_session(session_id, rules, services.clock())
    kept = services.lately.find(session_id, _customer(named, pending), services.clock())
    if kept is None:
        return error
    age, found = kept
    detail = f"The session's state could not be had: {error}. Decided with that of {age // 1000} s ago."
    return replace(_session(rules, found, named, pending), degraded=(Degradation("state_stale", detail),))


def _customer(named: Named, pending: Sequence[Event]) -> str | None:
    """Whom the request names, or an event that the stream has not come to; None: see the stored session."""
    if named is not UNSET:
        return named
    return next((event.customer_id for event in reversed(pending) if event.customer_id is not None), None)


def _session(rules: Rules, found: SessionView, named: Named, pending: Sequence[Event]) -> Session:
    stored = found.state.customer_id if found.state is not None else None
    signed_out = is_signed_out(named, stored, found.grants)
    customer_id = None if signed_out or named is None else _customer(named, pending) or stored
    profile: dict[str, Value | None] = {}
    if found.profile is not None or stored not in {None, customer_id}:
        profile = dict.fromkeys(rules.profile_facts)  # what the profile no longer has is unknown again
    if found.profile is not None and customer_id is not None:
        profile.update(rules.profile.read(_object(found.profile))[0])
    return Session(
        customer_id,
        found.state.snapshot if found.state is not None else None,
        profile,
        continued(found.grants, customer_id, signed_out=signed_out),
        found,
        tuple(event for event in pending if event.id not in found.seen),
        found.seen,
        found.identity,
        found.grants.get(OWNER),
        signed_out,
    )


async def decide(
    services: Services,
    rules: Rules,
    asked: Asked,
    session: Session | UnavailableError,
    decision_id: str,
    deadline: Deadline,
    timing: Timing,
) -> Decided:
    """Decide; never raises for want of a store or a model, nor for a fault of ours.

    Args:
        services: Stores and models.
        rules: The revision that decides; one for the whole request.
        asked: The request.
        session: As `read_session` found it, or why it could not: then fallbacks are all there is.
        decision_id: Unique.
        deadline: Of the whole request.
        timing: Is told where the time goes.
    """
    if isinstance(session, Session):
        try:
            return await _decide(services, rules, asked, session, decision_id, deadline, timing)
        except Exception:
            log.exception("deciding for session %r failed", asked.request.session_id)
            missing = Degradation("internal_error", "The decision failed; the log of the service says why.")
    else:
        missing = Degradation("state_unavailable", f"The session's state could not be had: {session}.")
    loaded = rules.loaded
    decision = fall_back(
        loaded.program,
        asked.request,
        decision_id=decision_id,
        revision=loaded.revision.number,
        bundle=loaded.revision.bundle,
        degraded=(missing,),
    )
    return Decided(decision, None)


async def _decide(
    services: Services,
    rules: Rules,
    asked: Asked,
    session: Session,
    decision_id: str,
    deadline: Deadline,
    timing: Timing,
) -> Decided:
    question = _question(rules, asked, session)
    usable = not asked.explains and not session.degraded
    kept = services.evaluations.find(question, asked.request.now) if usable else None
    if kept is None:
        services.metrics.evaluations.labels("made").inc()
        considered, view, missing = await _evaluate(services, rules, asked, session, decision_id, deadline, timing)
        now = considered.view.now
    else:
        services.metrics.evaluations.labels("reused").inc()
        if kept.considered is None:
            return Decided(_again(kept.decision, decision_id, asked.request.now, kept.at), None)
        considered, view, missing, now = kept.considered, None, (), asked.request.now

    verdicts, limits_missing = await _take(services, considered, now, deadline)
    timing.mark("limits")
    if kept is not None and not limits_missing and tuple(verdicts) == kept.verdicts:
        return Decided(_again(kept.decision, decision_id, now, kept.at), None)
    # What was just taken stands under the tokens of this evaluation, so the decision is made of it in any case.
    revision = rules.loaded.revision
    missing = (*missing, *limits_missing)
    decision = conclude(considered, verdicts, revision=revision.number, bundle=revision.bundle, degraded=missing)
    if kept is not None:
        decision = _again(decision, decision_id, now, kept.at)
    timing.mark("rules")
    grants = owned(next_grants(decision, session.grants), decision, considered.person, draws=_draws(services, rules))
    if grants != session.grants:
        coming = services.state.put_grants(question.session_id, grants, GRANTS_KEPT_MS)
        try:
            await deadline.call(services.limits_breaker, coming, 0.0)
        except UnavailableError as error:
            log.warning("grants of session %r were not kept: %s", question.session_id, error)
        timing.mark("limits")
    if kept is None:
        question = replace(question, grants=grants)  # what the next request will find
        services.evaluations.keep(question, considered, tuple(verdicts), decision)
    else:
        services.evaluations.drop(question.session_id)
    return Decided(decision, view)


async def _evaluate(
    services: Services,
    rules: Rules,
    asked: Asked,
    session: Session,
    decision_id: str,
    deadline: Deadline,
    timing: Timing,
) -> tuple[Considered, View | None, tuple[Degradation, ...]]:
    """Everything of a decision that needs no limit store, the view it is made of, and what was missing for it."""
    person = await identify(
        services,
        asked.request.session_id,
        asked.request.customer_id,
        session.identity,
        session.owner,
        deadline,
        signed_out=session.signed_out,
        draws=_draws(services, rules),
    )
    timing.mark("state")
    evaluation = Evaluation(rules, session, asked)
    for passes_left in reversed(range(PASSES)):
        evaluation.is_last = passes_left == 0
        view = evaluation.view()
        considered = consider(
            rules.loaded.program,
            view,
            asked.request,
            decision_id=decision_id,
            score=evaluation.score,
            grants=session.grants,
            salt=services.salt,
            profiling=asked.profiling,
            person=person,
            holdout=services.settings.holdout_percent / 100,
        )
        timing.mark("rules")
        if evaluation.is_last or not evaluation.scores.wanted:
            break
        await ask_models(services, rules, evaluation.scores, deadline)
        timing.mark("scores")
    return considered, view, (*evaluation.degraded, *_missing(services, considered))


def _draws(services: Services, rules: Rules) -> bool:
    """Whether anybody is held out of anything."""
    return services.salt is not None and (rules.draws or services.settings.holdout_percent > 0)


def _again(decision: Decision, decision_id: str, now: EpochMs, evaluated_at: EpochMs) -> Decision:
    """A decision made of an evaluation that still holds."""
    return msgspec.structs.replace(decision, id=decision_id, time=now, evaluated_at=evaluated_at)


def _question(rules: Rules, asked: Asked, session: Session) -> Question:
    found = session.found
    return Question(
        asked.request.session_id,
        rules,
        None if found.state is None else found.state.snapshot,
        found.profile,
        session.customer_id,
        session.signed_out,
        found.grants,
        found.identity,
        tuple(event.id for event in asked.events),
        asked.request.placements,
        asked.request.context,
        asked.profiling,
    )


async def ask_models(services: Services, rules: Rules, scores: Collector, deadline: Deadline) -> None:
    """Ask for all that is wanted, each model within its own deadline and all within the request's."""
    declared = rules.loaded.program.vocabulary.scores
    within = {
        name: min(declared[name].deadline, services.score_ms) / 1000 if name in declared else services.score_ms / 1000
        for name in scores.wanted
    }
    left = max(0.0, deadline.left_s - RESERVE * deadline.ours_ms / 1000)
    answers = await services.batcher.ask(rules.loaded.scorer, scores.wanted, within, left)
    for answer in answers.values():
        services.metrics.scores.labels(answer.status).inc()
    scores.give(answers)


async def _take(
    services: Services, considered: Considered, now: EpochMs, deadline: Deadline
) -> tuple[list[Verdict], tuple[Degradation, ...]]:
    """Ask the limit store, in as many rounds as it takes; without it, nothing that has limits is shown."""
    verdicts: list[Verdict] = []
    missing: tuple[Degradation, ...] = ()
    while asks := claims(considered, verdicts):
        if missing:
            verdicts += (verdict for ask in asks for verdict in unavailable(ask))
            continue
        for ask, taken in zip(asks, await _ask_limits(services, asks, now, deadline), strict=True):
            if isinstance(taken, UnavailableError):
                missing = (Degradation("limits_unavailable", f"Offers with limits are left out: {taken}."),)
                verdicts += unavailable(ask)
            else:
                verdicts += taken
    return verdicts, missing


async def _ask_limits(
    services: Services, asks: Sequence[Ask], now: EpochMs, deadline: Deadline
) -> list[Sequence[Verdict] | UnavailableError]:
    async def take(ask: Ask) -> Sequence[Verdict] | UnavailableError:
        coming: Coroutine[Any, Any, Sequence[Verdict]] = services.state.take(ask.claims, ask.slots, now, HOLD_MS)
        try:
            return await deadline.call(services.limits_breaker, coming, RESERVE * deadline.ours_ms / 2000)
        except UnavailableError as error:
            return error

    if len(asks) == 1:
        return [await take(asks[0])]
    return list(await asyncio.gather(*map(take, asks)))


def _missing(services: Services, considered: Considered) -> list[Degradation]:
    """Models that did not answer and rules that failed."""
    found = []
    for name, answer in considered.scores:
        if answer.status is not ScoreStatus.OK:
            found.append(Degradation("model_unavailable", f"Score {name} was not answered: {answer.status}."))
    for failure in considered.view.failures:
        services.metrics.failures.labels(failure.rule).inc()
        found.append(Degradation("rule_failed", f"Rule {failure.rule} failed; the others were decided."))
    return found


def _object(raw: bytes) -> Mapping[str, object]:
    try:
        return _profile(raw)
    except msgspec.MsgspecError as error:
        log.warning("a profile can't be read: %s", error)
        return {}


_profile = msgspec.json.Decoder(dict[str, object]).decode
_TOO_LATE = ScoreAnswer(ScoreStatus.DEADLINE)
