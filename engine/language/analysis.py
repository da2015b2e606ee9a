"""What can be proved of all rules together: cycles, offers and segments without use, rules that never win.

It looks at the gists of rules only, so that a change of one of 10,000 costs little. Warnings only where they are
certain, each with its proof in words; cycles are errors.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from engine.language.derived import unsettled
from engine.language.diagnostics import Found, Report
from engine.language.gist import Gist, derived_in, segments_in
from engine.language.proofs import Proofs
from engine.language.tree import Condition, Offer, OfferAction, Place, Program, Rule, Vocabulary
from engine.values import Kind


@dataclass(frozen=True, slots=True, eq=False)
class Ruled:
    """A rule with its gist."""

    rule: Rule
    gist: Gist


@dataclass(frozen=True, slots=True, eq=False)
class Summary:
    """The gists of the rules of a file together.

    Attributes:
        asserting: The rules that assert.
        asserted: What they assert.
        offering: The rules that nominate.
        nominated: What they nominate.
        segments: The segments that rules name themselves.
        looking: The rules that look at derived facts.
        noted: The rules of which something is found.
        meanings: What its rules mean that are switched on, once each.
        enabled: How many these rules are.
    """

    asserting: tuple[Ruled, ...]
    asserted: frozenset[str]
    offering: tuple[Ruled, ...]
    nominated: frozenset[str]
    segments: frozenset[str]
    looking: tuple[Ruled, ...]
    noted: tuple[Ruled, ...]
    meanings: frozenset[str]
    enabled: int

    @classmethod
    def of(cls, rules: Sequence[Ruled]) -> Summary:
        """The summary of some rules."""
        return cls(
            tuple(each for each in rules if each.gist.asserts),
            frozenset(fact for each in rules for fact in each.gist.asserts),
            tuple(each for each in rules if each.gist.offers),
            frozenset(offer for each in rules for offer, _ in each.gist.offers),
            frozenset(name for each in rules for name in each.gist.segments),
            tuple(each for each in rules if each.gist.derived),
            tuple(each for each in rules if each.gist.found),
            frozenset(each.gist.meaning for each in rules if each.rule.enabled),
            sum(each.rule.enabled for each in rules),
        )


def analyse(
    program: Program, rules: Sequence[Ruled], summaries: Sequence[Summary], beside: Found, report: Report
) -> None:
    """Report cycles (errors) and everything else that is certain (warnings).

    Args:
        program: Without errors.
        rules: Its rules with their gists, in order of acting.
        summaries: The same, by file.
        beside: What can be said of its segments and offers alone, see `analyse_conditions`.
        report: Takes it.
    """
    asserting = sorted((each for summary in summaries for each in summary.asserting), key=order_of)
    for cycle in unsettled([each.rule for each in asserting], program.vocabulary) if asserting else ():
        message = (
            f"derived facts lead back to themselves without one answer: {' -> '.join(cycle.facts)}; {cycle.because}"
        )
        report.error_at("negation-cycle", cycle.rule.place, message, "take one of the conditions out")
    report.take_in(beside)
    for summary in summaries:
        for each in summary.noted:
            report.take_in(each.gist.found, each.rule.place.file, each.rule.lines)
    nominated = frozenset[str]().union(*(summary.nominated for summary in summaries))
    _unused_offers(program, nominated, report)
    _unused_segments(program, summaries, report)
    _fallbacks(program, nominated, report)
    _never_asserted(program, summaries, report)
    _same_rules(rules, summaries, report)
    _shadowed_rules(program, sorted((each for summary in summaries for each in summary.offering), key=order_of), report)


def order_of(ruled: Ruled) -> tuple[int, int, str]:
    """Its place in the order of acting."""
    return ruled.rule.order


def analyse_conditions(
    vocabulary: Vocabulary, segments: Mapping[str, Condition], offers: Mapping[str, Offer], report: Report
) -> Found:
    """What can be said of segments and of offers' own conditions; `report` lends itself."""
    with report.apart() as found:
        proofs = Proofs(vocabulary, report)
        for condition in _beside(segments, offers):
            proofs.visit(condition)
    return found


def _beside(segments: Mapping[str, Condition], offers: Mapping[str, Offer]) -> Iterator[Condition]:
    yield from segments.values()
    for offer in offers.values():
        if offer.eligible is not None:
            yield offer.eligible


def _unused_offers(program: Program, nominated: frozenset[str], report: Report) -> None:
    used = nominated.union(placement.fallback for placement in program.vocabulary.placements.values())
    for offer in program.offers.values():
        if offer.id not in used:
            message = f"no rule shows {offer.id}, and no placement falls back to it"
            report.warning_at("unused-offer", offer.place, message, "delete it, or write a rule for it")


def _unused_segments(program: Program, summaries: Sequence[Summary], report: Report) -> None:
    """A segment that only unused segments name is as unused as they are."""
    if not program.segments:
        return
    named = set[str]().union(*(summary.segments for summary in summaries))
    for offer in program.offers.values():
        named |= segments_in(offer.eligible) if offer.eligible is not None else set()
    used: set[str] = set()
    while named:
        name = named.pop()
        used.add(name)
        named |= segments_in(program.segments[name]) - used
    for name, condition in program.segments.items():
        if name not in used:
            message = f"no rule and no offer is about the segment {name}, nor a segment that one of them is about"
            report.warning_at("unused-segment", condition.place, message, "delete it, or use it in a rule")


def _fallbacks(program: Program, nominated: frozenset[str], report: Report) -> None:
    for name in sorted({placement.fallback for placement in program.vocabulary.placements.values()}):
        offer = program.offers.get(name)
        if offer is None or name in nominated:
            continue
        bounds = {
            "eligible": offer.eligible is not None,
            "limits": bool(offer.limits),
            "holdout": offer.holdout > 0,
            "group": offer.group is not None,
        }
        for key in (key for key, is_there in bounds.items() if is_there):
            message = f"{name} is shown as a fallback only, and a fallback is always shown: {key} changes nothing"
            report.warning_at("without-effect", offer.place, message, f"delete {key}:")


def _never_asserted(program: Program, summaries: Sequence[Summary], report: Report) -> None:
    asserted = frozenset[str]().union(*(summary.asserted for summary in summaries))
    looked_at: list[tuple[str, Place]] = [
        (name, each.rule.located(place))
        for summary in summaries
        for each in summary.looking
        for name, place in each.gist.derived
    ]
    for condition in _beside(program.segments, program.offers):
        looked_at += derived_in(condition, program.vocabulary)
    for name, place in looked_at:
        if name not in asserted:
            is_boolean = program.vocabulary.facts[name].type.kind is Kind.BOOLEAN
            message = f"no rule asserts {name}, so it {'is always false' if is_boolean else 'never has a value'}"
            report.warning_at("never-asserted", place, message, f"add a rule with assert: {name}")


def _same_rules(rules: Sequence[Ruled], summaries: Sequence[Summary], report: Report) -> None:
    different = frozenset[str]().union(*(summary.meanings for summary in summaries))
    if len(different) == sum(summary.enabled for summary in summaries):
        return
    first: dict[str, Rule] = {}
    for each in rules:
        rule = each.rule
        if not rule.enabled:
            continue
        earlier = first.setdefault(each.gist.meaning, rule)
        if earlier is not rule:
            message = f"{rule.id} has the same condition and the same actions as {earlier.id}"
            report.warning_at("same-rule", rule.place, message, "delete one of them")


def _shadowed_rules(program: Program, offering: Sequence[Ruled], report: Report) -> None:
    nominated: dict[str, set[str]] = {}
    common: Counter[str] = Counter()
    for each in offering:
        common.update(each.gist.own)
        for offer, placement in each.gist.offers:
            nominated.setdefault(offer, set()).add(placement)
    # By placement, then by the rarest part: what could shadow a rule is found through the parts that it has itself.
    takers: dict[str, dict[str | None, list[Ruled]]] = {}
    for each in offering:
        rule, gist = each.rule, each.gist
        if not rule.enabled:
            continue
        placements = [placement for _, placement in gist.offers]
        if len(placements) == len(rule.actions):
            winners = [_winner(each, takers[placement]) if placement in takers else None for placement in placements]
            if all(winners):
                winner = winners[0]
                assert winner is not None
                message = (
                    f"{rule.id} never wins: whenever it holds, {winner.id} holds too, has a higher priority, "
                    f"and takes the only slot of {placements[0]}"
                )
                report.warning_at("shadowed-rule", rule.place, message, "raise its priority, or narrow the other rule")
        rarest = min(gist.own, key=common.__getitem__, default=None)
        for placement in placements:
            if _always_takes(rule, placement, program, nominated):
                takers.setdefault(placement, {}).setdefault(rarest, []).append(each)


def _winner(ruled: Ruled, takers: Mapping[str | None, Sequence[Ruled]]) -> Rule | None:
    implied, priority = ruled.gist.implied, ruled.rule.priority
    for part in (None, *implied):
        for taker in takers.get(part, ()):
            if taker.rule.priority > priority and taker.gist.own <= implied:
                return taker.rule
    return None


def _always_takes(rule: Rule, placement: str, program: Program, nominated: Mapping[str, set[str]]) -> bool:
    """Whether a rule that holds certainly gets the only slot, unless a rule of higher priority has it."""
    if program.vocabulary.placements[placement].slots != 1:
        return False
    if rule.limits or rule.budget is not None or rule.holdout or rule.schedule is not None:
        return False
    offers = [
        action.offer for action in rule.actions if isinstance(action, OfferAction) and action.placement == placement
    ]
    offer = program.offers.get(offers[0])
    return (
        offer is not None
        and offer.eligible is None
        and not offer.limits
        and not offer.holdout
        and offer.group is None
        and nominated[offer.id] == {placement}  # shown elsewhere, it could be left out here as a duplicate
    )
