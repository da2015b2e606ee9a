"""Candidates: what the rules that hold now nominate, ranked, and what is out before any limit is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from engine.activation import (
    NOTHING_BOUND,
    Combination,
    ConditionReport,
    FactReader,
    ScoreAnswer,
    ScoreFunction,
    ScoreStatus,
)
from engine.decision import Lost, Request, Suppression
from engine.language.tree import Offer, OfferAction, Program, Rule, Vocabulary
from engine.offers.candidate import Candidate, Considered, Field, View
from engine.offers.caps import NamedCap, Person, caps_of_offer, caps_of_rule
from engine.offers.consent import uses_only_the_request
from engine.offers.content import UnknownHoleError, figures, fill
from engine.offers.grants import Grants, granted
from engine.offers.holdout import GLOBAL, is_held_out
from engine.schedule import is_open


def consider(
    program: Program,
    view: View,
    request: Request,
    *,
    decision_id: str,
    score: ScoreFunction,
    grants: Grants | None = None,
    salt: str | None = None,
    profiling: bool = True,
    person: Person | None = None,
    holdout: float = 0.0,
) -> Considered:
    """Find and rank the candidates of each placement of a request.

    Each passes or fails in the order of the language: consent, schedule and switch, the offer's eligibility (with a
    hole of its content that has no value), holdout of the rule, of the offer, of everything. Exclusion groups, caps and budgets
    come with `claims` and `conclude`.

    Args:
        program: The checked bundle that the view belongs to.
        view: The session at the moment of the request, with its context.
        request: What is asked; its placements are declared ones.
        decision_id: Unique; part of the tokens of new acts.
        score: Answers the propensities that offers rank by; asked only for candidates.
        grants: What the session was granted before.
        salt: Of the installation's holdouts; None where nobody is to be held out.
        profiling: False where the person objects to profiling: then only rules and offers that look at nothing but the
            request count.
        person: For whom acts count and holdouts are drawn; None: the request's customer, or its session.
        holdout: Share (0 to 1) of persons who are shown no offer at all: the global holdout.
    """
    person = person or Person(request.session_id, request.customer_id)
    is_out_of_all = is_held_out(salt, GLOBAL, person.key, holdout)
    rules = view.holding()
    ranker = _Ranker(view, score)
    placements = {name: program.vocabulary.placements[name] for name in request.placements}
    found: dict[str, list[Candidate]] = {name: [] for name in placements}
    lost: dict[str, list[Lost]] = {name: [] for name in placements}
    tokens = {name: granted(grants, name) for name in placements} if grants else {}
    for rule in rules:
        for action in rule.actions:
            if not isinstance(action, OfferAction) or action.placement not in placements:
                continue
            offer = program.offers[action.offer]
            bound, out = _examine(program.vocabulary, view, rule, offer, person, salt, profiling=profiling)
            if out is None and is_out_of_all:
                out = (Suppression.HOLDOUT, f"among the {100 * holdout:.3g} % held out from all offers")
            if out is not None:
                lost[action.placement].append(Lost(offer.id, rule.id, *out))
                continue
            caps: tuple[NamedCap, ...] = ()
            token = ""
            if rule.limits or rule.budget is not None or offer.limits:
                caps = caps_of_rule(rule, person, offer.cost, view.now) + caps_of_offer(offer, person, view.now)
                known = tokens[action.placement].get((rule.id, offer.id)) if tokens else None
                token = known or f"{decision_id}/{action.placement}/{rule.id}/{offer.id}"
            found[action.placement].append(Candidate(rule, offer, ranker.rank(offer), token, bound, caps))
    fields = tuple(
        Field(placement, tuple(sorted(found[name], key=_order)), tuple(lost[name]))
        for name, placement in placements.items()
    )
    return Considered(program, view, request, person, decision_id, fields, _merged(view.scores, ranker.asked))


def _order(candidate: Candidate) -> tuple[int, float, str, tuple[int, int, str]]:
    """Priority, then rank, then the offer's id; of one offer, the rule that acts first."""
    return (-candidate.rule.priority, -candidate.rank, candidate.offer.id, candidate.rule.order)


class _Ranker:
    """Ranks offers; a model that a condition asked, or another offer, is not asked again."""

    def __init__(self, view: View, score: ScoreFunction) -> None:
        self._conditions = dict(view.scores)
        self._reader: FactReader = view.fact
        self._score = score
        self.asked: dict[str, ScoreAnswer] = {}

    def rank(self, offer: Offer) -> float:
        """Propensity x value x context weight x lever; what is absent, an answer that did not come too, counts as 1."""
        propensity = 1.0
        if offer.propensity is not None:
            answer = self.asked.get(offer.propensity) or self._conditions.get(offer.propensity)
            if answer is None:
                answer = self.asked[offer.propensity] = self._score(offer.propensity, self._reader)
            if answer.status is ScoreStatus.OK and answer.value is not None:
                propensity = answer.value
        return propensity * (1 if offer.value is None else offer.value) * offer.weight * offer.lever


def _merged(
    scores: Sequence[tuple[str, ScoreAnswer]], asked: Mapping[str, ScoreAnswer]
) -> tuple[tuple[str, ScoreAnswer], ...]:
    if not asked:
        return tuple(scores)
    known = {name for name, _ in scores}
    return (*scores, *((name, answer) for name, answer in asked.items() if name not in known))


def _examine(
    vocabulary: Vocabulary,
    view: View,
    rule: Rule,
    offer: Offer,
    person: Person,
    salt: str | None,
    *,
    profiling: bool,
) -> tuple[Combination, tuple[Suppression, str] | None]:
    """What the content of a nomination is bound to, and why it is out before ranking (None where it stays in), in the language's order.

    Whatever the shopper could not have been shown is out before the holdouts: who is held out is to be compared with
    those who would have seen it.
    """
    if not profiling and not uses_only_the_request(vocabulary, rule, offer):
        return NOTHING_BOUND, (Suppression.CONSENT, "looks at more than the current page, which this person objects to")
    if not rule.enabled:
        return NOTHING_BOUND, (Suppression.SWITCHED_OFF, f"rule {rule.id} is switched off")
    if rule.schedule is not None and not is_open(rule.schedule, view.now):
        return NOTHING_BOUND, (Suppression.SCHEDULE, f"rule {rule.id} is outside its schedule")
    if offer.eligible is not None and view.truth(offer.eligible) is not True:
        return NOTHING_BOUND, (Suppression.NOT_ELIGIBLE, _why_not(view.report(offer.eligible)))
    try:
        bound = _bound(vocabulary, view, rule, offer)
    except UnknownHoleError as unknown:
        return NOTHING_BOUND, (Suppression.NOT_ELIGIBLE, f"its content names {unknown.fact}, which has no value")
    if rule.holdout > 0 and is_held_out(salt, f"rule/{rule.id}", person.key, rule.holdout):
        return NOTHING_BOUND, (
            Suppression.HOLDOUT,
            f"among the {100 * rule.holdout:.3g} % held out from rule {rule.id}",
        )
    if offer.holdout > 0 and is_held_out(salt, f"offer/{offer.id}", person.key, offer.holdout):
        return NOTHING_BOUND, (
            Suppression.HOLDOUT,
            f"among the {100 * offer.holdout:.3g} % held out from offer {offer.id}",
        )
    return bound, None


def _bound(vocabulary: Vocabulary, view: View, rule: Rule, offer: Offer) -> Combination:
    """What the first combination binds that has a value for all holes of the content; it is filled once it is shown.

    Each combination nominates the offer; it is shown once, for the first in order that it can be shown for.
    """
    named = figures(offer, vocabulary)
    if not named.others:
        for name in named.facts:
            if view.fact(name) is None:
                raise UnknownHoleError(name)
        return NOTHING_BOUND
    missing: UnknownHoleError | None = None
    for combination in view.combinations(rule):
        try:
            fill(offer.content, view.fact, vocabulary, combination)
        except UnknownHoleError as unknown:
            missing = missing or unknown
        else:
            return combination
    raise missing or UnknownHoleError(named.others[0])


def _why_not(report: ConditionReport) -> str:
    """The first leaf that keeps an offer from being eligible, as a sentence."""
    parts = [part for part in report.parts if part.truth is not True]
    if parts and report.kind in {"all", "segment"}:
        return _why_not(parts[0])
    if report.missing is not None:
        return f"needs {report.text}; {report.missing} has no value"
    found = f"; it is {report.actual}" if report.actual is not None else ""
    return f"needs {report.text}{found}"
