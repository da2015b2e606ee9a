"""Arbitration: which candidates win their placement, once the limit store has said what may still be taken.

The store is outside of the core, so arbitration is a question and answer that the caller carries:

    considered = consider(...)
    verdicts: list[Verdict] = []
    while asks := claims(considered, verdicts):
        for ask in asks:
            verdicts += store.take(ask.claims, ask.slots, considered.view.now, hold)
    decision = conclude(considered, verdicts, ...)

One round is the rule. There are more where what comes next depends on an answer: a candidate without limits, or one
of the same exclusion group, stands between two that have limits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from engine.decision import Lost, Suppression
from engine.offers.candidate import Candidate, Considered, Field
from engine.ports import Claim, Verdict

LIMITS_UNAVAILABLE = "limits-unavailable"
"""In `Verdict.refused_by`: the limit store did not answer."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What to take for one placement: `LimitStore.take(ask.claims, ask.slots, ...)`."""

    placement: str
    claims: tuple[Claim, ...]
    slots: int


class Standing:
    """How far one placement is: who is shown, who is not and why, and what the store has to be asked next.

    Attributes:
        outranked: What those behind lost to, once the slots are full.
    """

    __slots__ = ("ask", "lost", "outranked", "placement", "refused", "shown", "unavailable", "waits")

    def __init__(self, placement: str, lost: list[Lost]) -> None:
        self.placement = placement
        self.shown: list[Candidate] = []
        self.lost = lost
        self.refused: list[Candidate] = []
        self.unavailable = False
        self.ask: Ask | None = None
        self.waits = False
        self.outranked: tuple[Suppression, str] | None = None

    @property
    def is_settled(self) -> bool:
        """Whether no verdict of the store can change it any more."""
        return self.ask is None and not self.waits


def claims(considered: Considered, verdicts: Iterable[Verdict]) -> tuple[Ask, ...]:
    """What to ask the limit store now, given all its verdicts so far; empty when the decision can be concluded.

    The asks of one round do not depend on each other and may be carried at the same time, each in a placement of its
    own. Verdicts on other tokens do not matter.
    """
    if not any(candidate.caps for placed in considered.fields for candidate in placed.candidates):
        return ()
    standings = arbitrate(considered, verdicts)
    return tuple(standing.ask for standing in standings if standing.ask is not None)


def unavailable(ask: Ask) -> tuple[Verdict, ...]:
    """The verdicts where the limit store can't be reached: nothing that has limits is shown."""
    return tuple(Verdict(claim.token, granted=False, refused_by=LIMITS_UNAVAILABLE) for claim in ask.claims)


def arbitrate(considered: Considered, verdicts: Iterable[Verdict]) -> list[Standing]:
    """Walk through the candidates of each placement, best first, as far as the verdicts reach.

    Exclusion groups reach over all placements of a decision: the placement asked for first comes first.
    """
    known = {verdict.token: verdict for verdict in verdicts}
    groups: dict[str, str] = {}
    undecided: set[str] = set()
    standings = []
    for placed in considered.fields:
        standing = _walk(placed, known, groups, undecided)
        standings.append(standing)
        if not standing.is_settled:
            undecided.update(candidate.offer.group for candidate in placed.candidates if candidate.offer.group)
    return standings


def _walk(placed: Field, verdicts: Mapping[str, Verdict], groups: dict[str, str], undecided: set[str]) -> Standing:
    standing = Standing(placed.placement.name, list(placed.lost))
    for index, candidate in enumerate(placed.candidates):
        better = _outdone(candidate, placed, standing, groups)
        if better is not None:
            standing.lost.append(Lost(candidate.offer.id, candidate.rule.id, *better))
            continue
        if candidate.offer.group in undecided:
            # Whether its group is free is known when the placement before has its verdicts.
            standing.waits = True
            return standing
        verdict = verdicts.get(candidate.token) if candidate.caps else None
        if candidate.caps and verdict is None:
            standing.ask = _ask(placed, index, standing, verdicts, groups, undecided)
            return standing
        if verdict is None or verdict.granted:
            standing.shown.append(candidate)
            if candidate.offer.group is not None:
                groups[candidate.offer.group] = candidate.offer.id
        else:
            standing.lost.append(_refused(candidate, verdict))
            standing.refused.append(candidate)
            standing.unavailable |= verdict.refused_by == LIMITS_UNAVAILABLE
    return standing


def _outdone(
    candidate: Candidate, placed: Field, standing: Standing, groups: Mapping[str, str]
) -> tuple[Suppression, str] | None:
    """Which better candidate keeps this one from being shown; None where there is none."""
    for shown in standing.shown:
        if shown.offer.id == candidate.offer.id:
            return Suppression.DUPLICATE, "another rule shows the same offer here"
    taken_by = groups.get(candidate.offer.group) if candidate.offer.group is not None else None
    if taken_by is not None:
        return Suppression.GROUP, f"{taken_by} is shown, and of the group {candidate.offer.group} only one may be"
    if len(standing.shown) >= placed.placement.slots:
        if standing.outranked is None:
            winners = ", ".join([shown.offer.id for shown in standing.shown])
            standing.outranked = Suppression.RANK, f"{winners} ranked higher"
        return standing.outranked
    return None


def _ask(
    placed: Field,
    index: int,
    standing: Standing,
    verdicts: Mapping[str, Verdict],
    groups: Mapping[str, str],
    undecided: set[str],
) -> Ask:
    """The claims of a run of candidates, from this one on, whose order alone decides who of them is granted."""
    asked: list[Claim] = []
    offers: set[str] = set()
    run_groups: set[str] = set()
    for candidate in placed.candidates[index:]:
        offer = candidate.offer
        if _outdone(candidate, placed, standing, groups) is not None:
            continue
        # What follows an offer without limits, or one that stands against another of the run, waits for the verdicts.
        if not candidate.caps or offer.id in offers or offer.group in run_groups or offer.group in undecided:
            break
        if candidate.token in verdicts:
            break
        offers.add(offer.id)
        if offer.group is not None:
            run_groups.add(offer.group)
        asked.append(Claim(candidate.token, tuple(named.cap for named in candidate.caps)))
    return Ask(placed.placement.name, tuple(asked), placed.placement.slots - len(standing.shown))


def _refused(candidate: Candidate, verdict: Verdict) -> Lost:
    if verdict.refused_by == LIMITS_UNAVAILABLE:
        return Lost(candidate.offer.id, candidate.rule.id, Suppression.CAP, "its limits can't be looked at now")
    for named in candidate.caps:
        if named.cap.key == verdict.refused_by:
            kind = Suppression.BUDGET if named.cap.is_budget else Suppression.CAP
            return Lost(candidate.offer.id, candidate.rule.id, kind, named.words)
    return Lost(candidate.offer.id, candidate.rule.id, Suppression.RANK, "the slots were taken by better ones")
