"""From what was asked to what is decided, and from a decision to what a storefront is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from engine.activation import RuleReport
from engine.decision import PlacementDecision, Shown
from engine.values import EpochMs, Millis
from engine.vocabulary import FactRefused
from service.api.handed import Decided
from service.api.rules import Rules
from service.api.schema import DecideAnswer, EventVerdict, PlacementAnswer, PlacementError, RawDecideRequest, Warned
from service.api.unguessable import random_hex


def new_decision_id(kind: str, now: EpochMs) -> str:
    """Sorts by time, and can't be guessed: 48 bits of milliseconds, 80 random ones."""
    return f"{kind}_{now:012x}{random_hex(10)}"


def placements_of(rules: Rules, asked: Sequence[str]) -> tuple[tuple[str, ...], dict[str, PlacementAnswer]]:
    """Those that the vocabulary declares, without repeats, and an error item for each of the others."""
    declared = rules.loaded.program.vocabulary.placements
    names = []
    errors = {}
    for name in dict.fromkeys(asked):
        if name in declared:
            names.append(name)
        else:
            detail = f"The live ruleset declares no placement {name[:100]!r}."
            errors[name] = PlacementAnswer(name, (), error=PlacementError("unknown-placement", detail))
    return tuple(names), errors


def deadline_of(rules: Rules, placements: Sequence[str], setting: Millis) -> Millis:
    """The earliest of the setting and of the placements' own."""
    declared = rules.loaded.program.vocabulary.placements
    own = (declared[name].deadline for name in placements)
    return min((each for each in own if each is not None), default=setting)


def warned(below: str, refused: Sequence[FactRefused]) -> tuple[Warned, ...]:
    """Facts that were left out, by the JSON pointer to where they stood."""
    return tuple(Warned(f"{below}/{each.field}", each.code, f"{each.message}.") for each in refused)


def answered(
    rules: Rules,
    decided: Decided,
    asked: RawDecideRequest,
    errors: Mapping[str, PlacementAnswer],
    verdicts: Sequence[EventVerdict],
    warnings: tuple[Warned, ...],
    *,
    reads: bool,
) -> DecideAnswer:
    """What a storefront is told of a decision."""
    decision = decided.decision
    found = {
        placed.placement: _placement(placed, reads=reads, explains=asked.explain) for placed in decision.placements
    }
    placements = tuple(errors.get(name) or found[name] for name in dict.fromkeys(asked.placements))
    moments = [placed.valid_until for placed in decision.placements if placed.valid_until is not None]
    return DecideAnswer(
        decision_id=decision.id,
        session_id=decision.session_id,
        time=decision.time,
        revision=decision.revision,
        bundle=decision.bundle,
        models=decision.models,
        placements=placements,
        degraded=decision.degraded,
        valid_until=min(moments, default=None),
        evaluated_at=decision.evaluated_at,
        events=tuple(verdicts),
        warnings=warnings,
        rules=_reports(rules, decided) if asked.explain else (),
        scores=decision.scores if asked.explain else (),
        failures=decision.failures if asked.explain else (),
    )


def _placement(placed: PlacementDecision, *, reads: bool, explains: bool) -> PlacementAnswer:
    offers = placed.offers
    if not reads:
        # A page's key is public: what a shop knows of a shopper, and what its rules look at, is not.
        offers = tuple(Shown(each.offer, each.content, each.rule, token=each.token) for each in offers)
    lost = placed.lost if explains else ()
    return PlacementAnswer(placed.placement, offers, placed.outcome, lost, placed.valid_until)


def _reports(rules: Rules, decided: Decided) -> tuple[RuleReport, ...]:
    """How each rule that nominates for the placements stands."""
    if decided.view is None:
        return ()
    nominating = {
        rule.id: rule for placed in decided.decision.placements for rule in rules.nominating[placed.placement]
    }
    return tuple(decided.view.explain(rule) for rule in nominating.values())
