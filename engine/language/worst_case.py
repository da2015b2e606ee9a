"""What a placement could give away at worst: in one decision, and to one session.

An upper bound with its reasons: nothing that can happen costs more. Of each exclusion group at most one offer is shown in
a decision, each offer once, and only offers whose rules can hold together: where two conditions contradict each other
(by the proofs of `proofs`), or schedules never meet, the dearer of both counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.language.bindings import references
from engine.language.proofs import contradiction
from engine.language.sentence import value_text
from engine.language.tree import All, Condition, LimitScope, Offer, OfferAction, Program, Rule, Schedule
from engine.units import LARGEST
from engine.values import Kind, ValueType

MOST_TRIES = 2_000
"""Choices of offers that are tried for a placement; beyond it, contradictions are left aside, which bounds it too."""

_MONEY = ValueType(Kind.MONEY)


@dataclass(frozen=True, slots=True)
class WorstCase:
    """What a placement could give away.

    Attributes:
        placement: Its name.
        decision: Minor units in one decision.
        offers: Which offers that would be, the dearest first.
        session: Minor units to one session; None where nothing bounds it.
        proof: Why it can't be more, in words.
    """

    placement: str
    decision: int
    offers: tuple[str, ...]
    session: int | None
    proof: str


@dataclass(frozen=True, slots=True)
class _Candidate:
    offer: Offer
    rules: tuple[Rule, ...]


def worst_cases(program: Program) -> tuple[WorstCase, ...]:
    """Of each placement that shows an offer with a cost, in the order in which placements are declared."""
    showing: dict[str, dict[str, list[Rule]]] = {name: {} for name in program.vocabulary.placements}
    for rule in program.rules:
        if rule.enabled:
            for action in rule.actions:
                if isinstance(action, OfferAction):
                    offer = program.offers[action.offer]
                    if rule.budget is None or offer.cost <= rule.budget:
                        showing[action.placement].setdefault(action.offer, []).append(rule)
    found = []
    for name, placement in program.vocabulary.placements.items():
        candidates = [_Candidate(program.offers[offer], tuple(rules)) for offer, rules in showing[name].items()]
        costly = sorted((each for each in candidates if each.offer.cost), key=lambda each: -each.offer.cost)
        fallback = program.offers[placement.fallback]
        if costly or fallback.cost:
            found.append(_Placement(program, name, placement.slots, fallback).worst(costly))
    return tuple(found)


class _Placement:
    def __init__(self, program: Program, name: str, slots: int, fallback: Offer) -> None:
        self.program = program
        self.name = name
        self.slots = slots
        self.fallback = fallback
        self.tries = 0
        self.apart: dict[tuple[str, str], str | None] = {}

    def worst(self, costly: Sequence[_Candidate]) -> WorstCase:
        """Of offers with a cost, the dearest first."""
        chosen = self._chosen(costly, heeding=True)
        if self.tries > MOST_TRIES:
            chosen = self._chosen(costly, heeding=False)
        total = sum(each.offer.cost for each in chosen)
        if self.fallback.cost > total:
            text = f"the fallback {self.fallback.id} costs {self._money(self.fallback.cost)} and may always be shown"
            return WorstCase(self.name, self.fallback.cost, (self.fallback.id,), None, text)
        session, bound = self._in_a_session(costly)
        told = [f"{each.offer.id} ({self._money(each.offer.cost)})" for each in chosen]
        slots = "1 slot" if self.slots == 1 else f"{self.slots} slots"
        proof = [f"{' and '.join(told)} at most in {slots}", *self._left_out(costly, chosen), bound]
        return WorstCase(self.name, total, tuple(each.offer.id for each in chosen), session, "; ".join(proof))

    def _chosen(self, costly: Sequence[_Candidate], *, heeding: bool) -> tuple[_Candidate, ...]:
        """The dearest offers that may be shown together; without heeding what contradicts, at least as dear."""
        best: tuple[int, tuple[_Candidate, ...]] = (0, ())
        pending: list[tuple[int, int, tuple[_Candidate, ...]]] = [(0, 0, ())]
        while pending:
            at, cost, taken = pending.pop()
            if cost > best[0]:
                best = (cost, taken)
            room = costly[at : at + self.slots - len(taken)]
            if not room or cost + sum(each.offer.cost for each in room) <= best[0]:
                continue
            if heeding:
                self.tries += 1
                if self.tries > MOST_TRIES:
                    break
            following = costly[at]
            pending.append((at + 1, cost, taken))
            if all(self._apart(each, following, heeding=heeding) is None for each in taken):
                pending.append((at + 1, cost + following.offer.cost, (*taken, following)))
        return best[1]

    def _apart(self, one: _Candidate, other: _Candidate, *, heeding: bool = True) -> str | None:
        """Why two offers are never shown together; None where they may be."""
        if one.offer.group is not None and one.offer.group == other.offer.group:
            return f"is of the group {one.offer.group} like {one.offer.id}"
        if not heeding:
            return None
        key = (one.offer.id, other.offer.id)
        if key not in self.apart:
            reasons = [self._never_both(first, second) for first in one.rules for second in other.rules]
            self.apart[key] = reasons[0] if all(reasons) else None
        return self.apart[key]

    def _never_both(self, one: Rule, other: Rule) -> str | None:
        if one.schedule is not None and other.schedule is not None and _never_meet(one.schedule, other.schedule):
            return f"is never shown with it: the schedules of {one.id} and {other.id} do not meet"
        together = All((*_free(one.when), *_free(other.when)))
        because = contradiction(together, self.program.vocabulary)
        return None if because is None else f"is never shown with it: {because}"

    def _left_out(self, costly: Sequence[_Candidate], chosen: Sequence[_Candidate]) -> list[str]:
        """Of the offers that cost as much as one that is shown or more, why they are not."""
        least = min((each.offer.cost for each in chosen), default=LARGEST)
        texts = []
        for each in costly:
            if each not in chosen and each.offer.cost >= least:
                reason = next((found for one in chosen if (found := self._apart(one, each)) is not None), None)
                if reason is not None:
                    texts.append(f"{each.offer.id} ({self._money(each.offer.cost)}) {reason}")
        return texts

    def _in_a_session(self, costly: Sequence[_Candidate]) -> tuple[int | None, str]:
        """What all decisions of a session can give away together, and what bounds it."""
        free = [each.offer.id for each in costly if _per_session(each) is None]
        if self.fallback.cost:
            free.append(self.fallback.id)
        if free:
            return None, f"nothing limits how often a session gets {_listed(free)}"
        total = sum((_per_session(each) or 0) * each.offer.cost for each in costly)
        times = [f"{_per_session(each)} times {each.offer.id}" for each in costly]
        return total, f"in a session {self._money(total)} at most: {_listed(times)}"

    def _money(self, amount: int) -> str:
        return value_text(amount, _MONEY, self.program.vocabulary)


def _free(condition: Condition) -> tuple[Condition, ...]:
    """The parts of a rule that mean the same in any other: those without bound names."""
    parts = condition.parts if isinstance(condition, All) else (condition,)
    return tuple(part for part in parts if not references(part))


def _per_session(candidate: _Candidate) -> int | None:
    """How often a session can get an offer; None where nothing says."""
    most = [limit.most for limit in candidate.offer.limits if _is_for_good(limit.scope, limit.sliding, limit.calendar)]
    of_rules = [
        min((each.most for each in rule.limits if _is_for_good(each.scope, each.sliding, each.calendar)), default=None)
        for rule in candidate.rules
    ]
    if all(each is not None for each in of_rules):
        most.append(sum(each for each in of_rules if each is not None))
    return min(most, default=None)


def _is_for_good(scope: LimitScope, sliding: object, calendar: object) -> bool:
    """Whether the limit counts over the whole of a session."""
    return scope is LimitScope.SESSION and sliding is None and calendar is None


def _never_meet(one: Schedule, other: Schedule) -> bool:
    return (one.until is not None and other.start is not None and one.until <= other.start) or (
        other.until is not None and one.start is not None and other.until <= one.start
    )


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
