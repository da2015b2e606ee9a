"""The conclusion: verdicts become the decision that a storefront gets, with its reasons and how long it is good."""

from __future__ import annotations

from collections.abc import Iterable

from engine.activation import ConditionReport, ScoreAnswer, ScoreStatus
from engine.decision import (
    Decision,
    Degradation,
    Lost,
    Outcome,
    PlacementDecision,
    Request,
    Shown,
    Suppression,
)
from engine.language.tree import Program
from engine.offers.arbitration import Standing, arbitrate
from engine.offers.candidate import Candidate, Considered, Field
from engine.offers.content import figures, fill
from engine.ports import Verdict
from engine.values import EpochMs, Millis

RECHECK: Millis = 30_000
"""For how long an answer is promised that also hangs on what no window tells: acts of other sessions (a limit that
refused), or a model's answer and a figure in a text that move as the session's windows move."""


def conclude(
    considered: Considered,
    verdicts: Iterable[Verdict],
    *,
    revision: int,
    bundle: str,
    degraded: tuple[Degradation, ...] = (),
) -> Decision:
    """The decision, once `claims` asks nothing any more.

    Args:
        considered: What was considered; nothing pending.
        verdicts: All that the limit store said.
        revision: The revision decided by.
        bundle: Its hash.
        degraded: What was not there for this decision, as far as the caller knows it. Models that did not answer are
            in the scores.
    """
    placements = []
    rules_until = considered.view.valid_until()  # the same for all placements, and not cheap
    for placed, standing in zip(considered.fields, arbitrate(considered, verdicts), strict=True):
        assert standing.is_settled, f"the limits of {standing.placement} have not been asked"
        placements.append(_decided(considered, placed, standing, rules_until))
    request = considered.request
    return Decision(
        id=considered.decision_id,
        session_id=request.session_id,
        customer_id=request.customer_id,
        time=considered.view.now,
        revision=revision,
        bundle=bundle,
        placements=tuple(placements),
        context=request.context,
        models=_models(considered.scores),
        scores=considered.scores,
        failures=considered.view.failures,
        degraded=degraded,
    )


def fall_back(
    program: Program,
    request: Request,
    *,
    decision_id: str,
    revision: int,
    bundle: str,
    degraded: tuple[Degradation, ...],
) -> Decision:
    """The decision where nothing is known of the session: each placement's fallback, and why."""
    placements = (program.vocabulary.placements[name] for name in request.placements)
    return Decision(
        id=decision_id,
        session_id=request.session_id,
        customer_id=request.customer_id,
        time=request.now,
        revision=revision,
        bundle=bundle,
        placements=tuple(
            PlacementDecision(placement.name, Outcome.DEGRADED, _fallback(program, placement.fallback))
            for placement in placements
        ),
        context=request.context,
        degraded=degraded,
    )


def _decided(
    considered: Considered, placed: Field, standing: Standing, rules_until: EpochMs | None
) -> PlacementDecision:
    name = placed.placement.name
    valid_until = _valid_until(considered, placed, standing, rules_until)
    lost = tuple(standing.lost)
    if standing.shown:
        offers = tuple(_shown(considered, candidate) for candidate in standing.shown)
        return PlacementDecision(name, Outcome.OFFER, offers, lost, valid_until)
    offers = _fallback(considered.program, placed.placement.fallback)
    return PlacementDecision(name, _without_offer(standing, lost), offers, lost, valid_until)


def _without_offer(standing: Standing, lost: tuple[Lost, ...]) -> Outcome:
    """Why the fallback is shown.

    With somebody held out and nobody shown, the one held out would have been: whatever ranked higher was refused.
    """
    if standing.unavailable:
        return Outcome.DEGRADED
    if any(each.because is Suppression.HOLDOUT for each in lost):
        return Outcome.HOLDOUT
    return Outcome.SUPPRESSED if lost else Outcome.NO_MATCH


def _shown(considered: Considered, candidate: Candidate) -> Shown:
    return Shown(
        offer=candidate.offer.id,
        content=fill(candidate.offer.content, considered.view.fact, considered.program.vocabulary, candidate.bound),
        rule=candidate.rule.id,
        rank=candidate.rank,
        reasons=_reasons(considered.view.report(candidate.rule.when)),
        token=candidate.token if candidate.caps else None,
    )


def _reasons(report: ConditionReport) -> tuple[ConditionReport, ...]:
    """The conditions of a rule one by one, where all of them had to hold."""
    return report.parts if report.kind == "all" else (report,)


def _fallback(program: Program, offer: str) -> tuple[Shown, ...]:
    """The checker saw to it that the fallback is an offer whose content names no facts."""
    found = program.offers.get(offer)
    return () if found is None else (Shown(offer, fill(found.content, _nothing, program.vocabulary)),)


def _nothing(_fact: str) -> None:
    return None


def _valid_until(
    considered: Considered, placed: Field, standing: Standing, rules_until: EpochMs | None
) -> EpochMs | None:
    """The earliest moment at which the answer for this placement can change with no new event."""
    now = considered.view.now
    moments = [rules_until]
    for candidate in standing.refused:
        moments.extend(named.cap.expires for named in candidate.caps if named.limit and named.limit.calendar)
        if not all(named.is_own for named in candidate.caps):
            moments.append(now + RECHECK)
    if considered.looked_up:
        moments.append(now + RECHECK)  # stock runs out with no event of this session
    ranked_by_model = any(candidate.offer.propensity for candidate in placed.candidates)
    vocabulary = considered.program.vocabulary
    moves = any(figures(candidate.offer, vocabulary).moves for candidate in standing.shown)
    if moves or (ranked_by_model and len(placed.candidates) > 1):
        moments.append(now + RECHECK)
    return min((moment for moment in moments if moment is not None), default=None)


def _models(scores: tuple[tuple[str, ScoreAnswer], ...]) -> dict[str, str]:
    """The version of each model that answered, by score."""
    return {
        name: answer.model_version
        for name, answer in scores
        if answer.status is ScoreStatus.OK and answer.model_version is not None
    }
