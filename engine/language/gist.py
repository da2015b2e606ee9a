"""What a rule is to other rules: the little that the checks over all rules look at, kept with the rule."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from engine.language.bindings import holes
from engine.language.diagnostics import Found, Report
from engine.language.digest import Digests
from engine.language.proofs import Proofs, flattened
from engine.language.selections import compared_in
from engine.language.tree import (
    All,
    AnyOf,
    AssertAction,
    Condition,
    FactRef,
    FactSource,
    Keyed,
    Not,
    OfferAction,
    Operator,
    Place,
    Rule,
    Seen,
    Segment,
    Test,
    TriggerAction,
    Vocabulary,
)


@dataclass(frozen=True, slots=True, eq=False)
class Gist:
    """What other rules, offers and segments may have to do with a rule.

    Attributes:
        asserts: The derived facts that it asserts.
        offers: The offers that it nominates, each with the placement.
        segments: The segments that it names itself.
        derived: The derived facts that it looks at, with the places in its condition.
        meaning: Equal for rules with the same condition, actions and schedule.
        own: The parts of its condition, which all have to hold; segments left whole. Only of rules with offers.
        implied: All that holds with it: `own`, and what its segments are made of.
        found: What can be said of it alone; places count from its first line.
    """

    asserts: tuple[str, ...]
    offers: tuple[tuple[str, str], ...]
    segments: frozenset[str]
    derived: tuple[tuple[str, Place], ...]
    meaning: str
    own: frozenset[str]
    implied: frozenset[str]
    found: Found


def gist_of(rule: Rule, digests: Digests, proofs: Proofs) -> Gist:
    """The gist of a checked rule; the report of the proofs lends itself and has nothing of it afterwards."""
    vocabulary, report = proofs.vocabulary, proofs.report
    with report.apart() as found:
        proofs.visit(rule.when)
        _not_in_stream(rule, vocabulary, report)
    offers = tuple((action.offer, action.placement) for action in rule.actions if isinstance(action, OfferAction))
    own: frozenset[str] = frozenset()
    implied = own
    if offers:
        own = frozenset(map(digests.canonical, own_parts(rule.when)))
        implied = own.union(map(digests.canonical, flattened(rule.when)))
    return Gist(
        tuple(action.fact for action in rule.actions if isinstance(action, AssertAction)),
        offers,
        segments_in(rule.when),
        derived_in(rule.when, vocabulary),
        f"{digests.canonical(rule.when)} {rule.actions!r} {rule.schedule!r}",
        own,
        implied,
        found,
    )


def own_parts(condition: Condition) -> Iterator[Condition]:
    """The parts of an `all`, segments left whole: all of them together mean the condition."""
    if isinstance(condition, All):
        for part in condition.parts:
            yield from own_parts(part)
    else:
        yield condition


def segments_in(condition: Condition) -> frozenset[str]:
    """The segments that a condition names, those inside them left out."""
    found: set[str] = set()
    pending = [condition]
    while pending:
        each = pending.pop()
        if isinstance(each, All | AnyOf):
            pending += each.parts
        elif isinstance(each, Not):
            pending.append(each.part)
        elif isinstance(each, Segment):
            found.add(each.name)
    return frozenset(found)


def derived_in(condition: Condition, vocabulary: Vocabulary) -> tuple[tuple[str, Place], ...]:
    """The derived facts that the tests of a condition look at, those inside segments left out."""
    if not vocabulary.derived:
        return ()
    return tuple(
        (name, leaf.place)
        for leaf in _leaves(condition)
        for name in dict.fromkeys(_facts_of(leaf))
        if name in vocabulary.derived
    )


def _not_in_stream(rule: Rule, vocabulary: Vocabulary, report: Report) -> None:
    facts = vocabulary.facts
    triggers = [action for action in rule.actions if isinstance(action, TriggerAction)]
    if not triggers:
        return
    here = rule.place.below(-rule.lines)
    waiting = [
        name for part in flattened(rule.when) for name in _needed(part) if facts[name].source is FactSource.REQUEST
    ]
    if waiting:
        message = (
            f"the trigger {triggers[0].name} is sent by the stream, where {waiting[0]} has no value: "
            "only a request gives it one, so the trigger is never sent"
        )
        report.warning_at("not-in-stream", here, message, "look at an event instead")
    for trigger in triggers:
        named = {hole.fact for hole in holes(trigger.payload) if isinstance(hole, FactRef)}
        for name in sorted(name for name in named if facts[name].source is FactSource.REQUEST):
            message = f"the trigger {trigger.name} is sent by the stream, where {name} has no value to fill its hole"
            report.warning_at("not-in-stream", here, message, "take it out of the payload")


def _needed(part: Condition) -> Iterator[str]:
    """The facts without whose values the part is not true."""
    if isinstance(part, Test) and isinstance(part.subject, FactRef):
        if not (part.operator is Operator.EXISTS and part.operand is False):
            yield part.subject.fact
    elif isinstance(part, Seen):
        yield from (each.fact for each in compared_in(part))


def _facts_of(leaf: Condition) -> Iterator[str]:
    if isinstance(leaf, Keyed):
        yield from (operand.fact for _, operand in leaf.tests if isinstance(operand, FactRef))
    elif isinstance(leaf, Test):
        yield from (each.fact for each in (leaf.subject, leaf.operand) if isinstance(each, FactRef))
    yield from (each.fact for each in compared_in(leaf))


def _leaves(condition: Condition) -> Iterator[Condition]:
    if isinstance(condition, All | AnyOf):
        for part in condition.parts:
            yield from _leaves(part)
    elif isinstance(condition, Not):
        yield from _leaves(condition.part)
    elif not isinstance(condition, Segment):
        yield condition
