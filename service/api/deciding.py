"""A decision about a live session: state, memory, scores, limits, all within one deadline, with what was missing named."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from typing import Any

import msgspec

from engine.decision import Decision, Degradation, Request
from engine.offers import Ask, Considered, claims, conclude, fall_back, next_grants, unavailable
from engine.ports import Verdict
from engine.values import EpochMs, Millis
from service.api.deadline import RESERVE, Deadline, UnavailableError
from service.api.evaluation import Evaluation, ask_wanted, evaluate, lacking
from service.api.handed import Asked, Decided, Question, Session, Terms
from service.api.identity import identify, owned
from service.api.inputs import Basis, Inputs
from service.api.rules import Rules
from service.api.services import Services
from service.api.timing import Timing
from service.things import Lookup

log = logging.getLogger("salience.api.deciding")

HOLD_MS: Millis = 30 * 60_000
"""What a decision takes from a limit is given back after half an hour without exposure: the length of a visit, so that an
offer below the fold still counts when the shopper scrolls to it."""
GRANTS_KEPT_MS: Millis = 24 * 60 * 60_000
"""A banner that a session goes on seeing is one act; no session lasts longer than a day."""


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
        services.metrics.evaluations.count("made")
        considered, missing, basis = await _evaluate(services, rules, asked, session, decision_id, deadline, timing)
        now = considered.view.now
    else:
        services.metrics.evaluations.count("reused")
        if kept.considered is None:
            inputs = Inputs(kept.decision.id)
            return Decided(_again(kept.decision, decision_id, asked.request, kept.at), None, inputs, kept)
        considered, missing, basis, now = kept.considered, (), None, asked.request.now

    verdicts, limits_missing = await _take(services, considered, now, deadline)
    timing.mark("limits")
    inputs = Inputs(basis or considered.decision_id, tuple(verdicts), limits_missing)
    if kept is not None and not limits_missing and inputs.verdicts == kept.verdicts:
        return Decided(_again(kept.decision, decision_id, asked.request, kept.at), None, inputs)
    # What was just taken stands under the tokens of this evaluation, so the decision is made of it in any case.
    revision = rules.loaded.revision
    missing = (*missing, *limits_missing)
    decision = conclude(considered, verdicts, revision=revision.number, bundle=revision.bundle, degraded=missing)
    if kept is not None:
        decision = _again(decision, decision_id, asked.request, kept.at)
    timing.mark("rules")
    grants = owned(next_grants(decision, session.grants), decision, considered.person, draws=_draws(services, rules))
    if grants != session.grants:
        coming = services.state.put_grants(question.session_id, grants, GRANTS_KEPT_MS)
        try:
            await deadline.call(services.limits_breaker, coming, 0.0)
        except UnavailableError as error:
            log.warning("grants of session %r were not kept: %s", question.session_id, error)
        timing.mark("limits")
    if kept is not None or not asked.keeps:
        services.evaluations.drop(question.session_id)
    else:
        if grants != question.grants:
            question = msgspec.structs.replace(question, grants=grants)  # what the next request will find
        services.evaluations.keep(question, considered, inputs.verdicts, decision)
    return Decided(decision, considered.view if kept is None else None, inputs)


async def _evaluate(
    services: Services,
    rules: Rules,
    asked: Asked,
    session: Session,
    decision_id: str,
    deadline: Deadline,
    timing: Timing,
) -> tuple[Considered, tuple[Degradation, ...], Basis]:
    """Everything of a decision that needs no limit store, what was missing for it, and what it was made of."""
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
    terms = Terms(person, services.salt, services.settings.holdout_percent / 100)

    things = Lookup(rules.things, services.clock())

    async def ask(wanting: Evaluation) -> None:
        answers = await ask_wanted(services, rules, wanting, deadline)
        for answer in answers.values():
            services.metrics.scores.labels(answer.status).inc()

    considered, evaluation = await evaluate(rules, session, asked, decision_id, terms, things, ask, timing)
    for failure in considered.view.failures:
        services.metrics.failures.labels(failure.rule).inc()
    missing = (*evaluation.degraded, *lacking(considered, things))
    return considered, missing, Basis.of(session, asked, terms, evaluation)


def _draws(services: Services, rules: Rules) -> bool:
    """Whether anybody is held out of anything."""
    return services.salt is not None and (rules.draws or services.settings.holdout_percent > 0)


def _again(decision: Decision, decision_id: str, request: Request, evaluated_at: EpochMs) -> Decision:
    """A decision made of an evaluation that still holds; of the context, only what nothing looks at can be another."""
    return msgspec.structs.replace(
        decision, id=decision_id, time=request.now, context=request.context, evaluated_at=evaluated_at
    )


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
        {name: value for name, value in asked.request.context.items() if name in rules.relevant},
        asked.profiling,
    )


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
