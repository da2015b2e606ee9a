"""Sentences about what a test's moment hung on, for the person who wrote the rule."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from engine.activation import ConditionReport, RuleReport
from engine.decision import PlacementDecision
from engine.language.tree import OfferAction, Program, Rule
from engine.rete import View

_NAME = re.compile(r"[a-z_][a-z0-9_]*(?:\.[a-z_][a-z0-9_]*)*", re.IGNORECASE)


def sentence_of(report: ConditionReport) -> str:
    """A condition that keeps a rule from holding: what is needed, what was found and how far that is away."""
    # A leaf that is true keeps a rule from holding where it stands below a `not`.
    needed = f"not: {report.text}" if report.truth is True else report.text
    if report.truth is None and report.actual is None:
        return f"needed: {needed}; found: {report.missing or 'something in it'} has no value"
    found = report.actual or ("true" if report.truth else "false")
    away = report.distance
    if away is not None:
        found = away if report.actual is not None and report.actual in away else f"{found} ({away})"
    return f"needed: {needed}; found: {found}"


def nominating(program: Program, placement: str, offer: str | None = None) -> tuple[Rule, ...]:
    """The rules that can nominate an offer (any offer: None) for a placement, in order of acting."""
    return tuple(
        rule
        for rule in program.rules
        if any(
            isinstance(action, OfferAction) and action.placement == placement and offer in (None, action.offer)
            for action in rule.actions
        )
    )


def why_not(view: View, rules: Sequence[Rule]) -> tuple[str, ...]:
    """For each rule that does not hold, or may not act, a sentence; the one nearest to holding first."""
    reports = nearest(view, rules)
    return tuple(f"{report.rule} does not hold, {sentence_of(report.failing[0])}" for report in reports) + tuple(
        f"{report.rule} holds, but is held back: {report.held_back}"
        for report in map(view.explain, rules)
        if report.truth is True and report.held_back is not None
    )


def nearest(view: View, rules: Iterable[Rule]) -> list[RuleReport]:
    """Reports of the rules that don't hold, fewest failing conditions first."""
    reports = [report for report in map(view.explain, rules) if report.truth is not True and report.failing]
    return sorted(reports, key=lambda report: len(report.failing))


def lost_in(decision: PlacementDecision, offer: str | None = None) -> tuple[str, ...]:
    """What candidates (of this offer only) lost to."""
    return tuple(
        f"{lost.offer} of {lost.rule} is not shown, {lost.because.value.replace('_', ' ')}: {lost.detail}"
        for lost in decision.lost
        if offer in (None, lost.offer)
    )


def shown_by(decision: PlacementDecision) -> tuple[str, ...]:
    """Which rule shows the first offer, and its reasons; nothing for a fallback."""
    if not decision.offers or decision.offers[0].rule is None:
        return ()
    shown = decision.offers[0]
    reasons = "; ".join(reason.text for reason in shown.reasons)
    return (f"{shown.rule} shows {shown.offer}: {reasons}",)


def named_in(words: str, program: Program) -> tuple[str, ...]:
    """The events, facts, features and scores of the vocabulary that a sentence names, in its order."""
    vocabulary = program.vocabulary
    found = (match.group().rstrip(".") for match in _NAME.finditer(words))
    known = (vocabulary.events, vocabulary.facts, vocabulary.scores, program.segments)
    return tuple(dict.fromkeys(name for name in found if any(name in names for names in known)))


def unnamed(names: Iterable[str], reports: Iterable[ConditionReport]) -> tuple[str, ...]:
    """Those of the names that none of the reports names."""
    said = set()
    for report in reports:
        for leaf in _all(report):
            said.update(_NAME.findall(leaf.text))
            said.update(name for name in (leaf.subject, leaf.missing) if name is not None)
    return tuple(name for name in names if name not in said)


def _all(report: ConditionReport) -> Iterator[ConditionReport]:
    yield report
    for part in report.parts:
        yield from _all(part)
