"""What conditions are made of, and the tests of the language on known values."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from typing import Any, TypeVar

from engine.language.tree import (
    Absence,
    Aggregate,
    All,
    AnyOf,
    BoundRef,
    Condition,
    FactRef,
    Keyed,
    Not,
    OfferAction,
    Operator,
    Payload,
    Program,
    Rule,
    ScoreTest,
    Seen,
    Segment,
    Selection,
    Sequence,
    Span,
    Template,
    Test,
    TriggerAction,
)
from engine.values import Kind

Leaf = Test | Seen | ScoreTest | Keyed | Sequence | Absence
Binder = Seen | Keyed | Sequence

CLOCKED = {Operator.OLDER_THAN, Operator.WITHIN_LAST}
WHOLE = {Kind.INTEGER, Kind.MONEY, Kind.DURATION, Kind.TIMESTAMP}


# -------------------------------------------------------------------- values


def exactly(number: Fraction, kind: Kind) -> int | float:
    return round(number) if kind in WHOLE else float(number)


def passes(value: Any, operator: Operator, operand: Any, now: int) -> bool:
    """The tests of the language on known values."""
    match operator:
        case Operator.IS:
            return bool(value == operand)
        case Operator.IS_NOT:
            return bool(value != operand)
        case Operator.IS_ONE_OF:
            return value in operand
        case Operator.IS_NONE_OF:
            return value not in operand
        case Operator.ABOVE | Operator.AFTER:
            return bool(value > operand)
        case Operator.AT_LEAST:
            return bool(value >= operand)
        case Operator.BELOW | Operator.BEFORE:
            return bool(value < operand)
        case Operator.AT_MOST:
            return bool(value <= operand)
        case Operator.BETWEEN:
            return bool(operand[0] <= value <= operand[1])
        case Operator.MATCHES:
            return re.fullmatch(operand, value) is not None
        case Operator.STARTS_WITH:
            return str(value).startswith(operand)
        case Operator.ENDS_WITH:
            return str(value).endswith(operand)
        case Operator.CONTAINS:
            return operand in value
        case Operator.OLDER_THAN:
            return bool(value + operand <= now)
        case Operator.WITHIN_LAST:
            return bool(value <= now < value + operand)
    raise AssertionError(operator)


# -------------------------------------------------------------------- trees

Thing = TypeVar("Thing")
Found = TypeVar("Found")


def once(found_in: Callable[[Thing], Iterable[Found]]) -> Callable[[Thing], tuple[Found, ...]]:
    """Look through the very same tree once: it is asked for at every moment, and to hash one costs as much."""
    known: dict[int, tuple[Thing, tuple[Found, ...]]] = {}

    def look(thing: Thing) -> tuple[Found, ...]:
        entry = known.get(id(thing))
        if entry is None:
            if len(known) > 5_000:
                known.clear()
            entry = known[id(thing)] = (thing, tuple(found_in(thing)))  # kept, so that its id stays its own
        return entry[1]

    return look


@once
def leaves(condition: Condition) -> Iterator[Leaf]:
    if isinstance(condition, Segment):
        yield from leaves(condition.condition)
    elif isinstance(condition, Not):
        yield from leaves(condition.part)
    elif isinstance(condition, All | AnyOf):
        for part in condition.parts:
            yield from leaves(part)
    else:
        yield condition


@once
def score_tests(condition: Condition) -> Iterator[ScoreTest]:
    return (leaf for leaf in leaves(condition) if isinstance(leaf, ScoreTest))


@once
def deciding_scores(condition: Condition) -> Iterator[ScoreTest]:
    return (leaf for each in alternatives(condition) for leaf, _ in each if isinstance(leaf, ScoreTest))


def has_scores(rule: Rule) -> bool:
    """Whether a score can have a say: `any` of nothing but scores below it has none."""
    return bool(deciding_scores(rule.when))


@once
def alternatives(condition: Condition) -> list[list[tuple[Any, bool]]]:
    """Those with which a condition holds."""
    return disjuncts(condition, True)


def disjuncts(condition: Condition, wanted: bool) -> list[list[tuple[Any, bool]]]:
    """Alternatives of leaves that must all be as wanted."""
    if isinstance(condition, Segment):
        return disjuncts(condition.condition, wanted)
    if isinstance(condition, Not):
        return disjuncts(condition.part, not wanted)
    if isinstance(condition, All | AnyOf):
        parts = [disjuncts(part, wanted) for part in condition.parts]
        if isinstance(condition, AnyOf) == wanted:
            return [alternative for part in parts for alternative in part]
        product: list[list[tuple[Any, bool]]] = [[]]
        for part in parts:
            product = [left + right for left in product for right in part]
        return product
    return [[(condition, wanted)]]


def selections(leaf: Leaf) -> list[Selection]:
    """The selections of events in a leaf."""
    match leaf:
        case Seen():
            return [leaf.of]
        case Sequence():
            return [step.of for step in leaf.steps]
        case Absence():
            return [leaf.of, leaf.after]
        case Keyed():
            return of_aggregate(leaf.aggregate)
        case Test() if isinstance(leaf.subject, Aggregate):
            return of_aggregate(leaf.subject)
    return []


def spans_in(leaf: Leaf) -> list[Span]:
    """The spans that say when an event ceases to count for it; an absence counts from the end of one."""
    match leaf:
        case Seen() | Sequence():
            return [leaf.span]
        case Keyed():
            return [leaf.aggregate.span]
        case Absence():
            return [Span(window=length) for length in (leaf.duration, leaf.until) if length is not None]
        case Test() if isinstance(leaf.subject, Aggregate):
            return [leaf.subject.span]
    return []


@once
def spans_of(program: Program) -> set[Span]:
    """Those of all that the features, rules and offers of a program look at."""
    conditions = [rule.when for rule in program.rules]
    conditions += [offer.eligible for offer in program.offers.values() if offer.eligible is not None]
    found = {span for condition in conditions for leaf in leaves(condition) for span in spans_in(leaf)}
    facts = program.vocabulary.facts.values()
    return found | {fact.aggregate.span for fact in facts if fact.aggregate is not None}


def of_aggregate(aggregate: Aggregate) -> list[Selection]:
    return [aggregate.of] if aggregate.minus is None else [aggregate.of, aggregate.minus]


@once
def looked_up(thing: Leaf | Aggregate) -> Iterator[FactRef | BoundRef]:
    """The right sides that are facts or names: beside the events and the moment, all that decides about it."""
    found = of_aggregate(thing) if isinstance(thing, Aggregate) else selections(thing)
    right = [test.operand for selection in found for test in selection.where]
    right += [operand for _, operand in thing.tests] if isinstance(thing, Keyed) else []
    return (each for each in right if isinstance(each, FactRef | BoundRef))


@once
def facts_in(condition: Condition) -> Iterator[FactRef]:
    """The facts that its leaves look at."""
    return (each for leaf in leaves(condition) for each in operands(leaf) if isinstance(each, FactRef))


@once
def passing_things(condition: Condition) -> Iterator[object]:
    """What keeps its truth from following from events, facts and names alone: models, the clock, the catalogue."""
    for leaf in leaves(condition):
        if isinstance(leaf, ScoreTest) or clocked(leaf):
            yield leaf
    yield from (each for each in facts_in(condition) if each.of is not None)


@once
def clocked(leaf: Leaf) -> list[Operator]:
    """Its tests against the clock."""
    if isinstance(leaf, Keyed):
        return [operator for operator, _ in leaf.tests if operator in CLOCKED]
    return [leaf.operator] if isinstance(leaf, Test) and leaf.operator in CLOCKED else []


@once
def by_age(condition: Condition) -> Iterator[Leaf]:
    """Its leaves with a test against the clock."""
    return (leaf for leaf in leaves(condition) if clocked(leaf))


@once
def keys_by_age(condition: Condition) -> Iterator[Leaf]:
    """Those of them whose value is that of a key."""
    return (leaf for leaf in by_age(condition) if isinstance(leaf, Keyed))


def operands(leaf: Leaf) -> list[Any]:
    """All that a leaf looks at beside events: what it is about, right sides, those in `where` among them."""
    found: list[Any] = [test.operand for selection in selections(leaf) for test in selection.where]
    if isinstance(leaf, Test):
        found += [leaf.subject, leaf.operand]
    elif isinstance(leaf, Keyed):
        found += [operand for _, operand in leaf.tests]
    elif isinstance(leaf, ScoreTest):
        found.append(leaf.operand)
    return found


# -------------------------------------------------------------------- bound names


@once
def binders(condition: Condition) -> list[Binder]:
    """The conditions that bind names: the whole, or parts of an `all` of which nothing else is above."""
    if isinstance(condition, All):
        return [binder for part in condition.parts for binder in binders(part)]
    return [condition] if isinstance(condition, Binder) and names_of(condition) else []


def names_of(binder: Binder) -> list[str]:
    if isinstance(binder, Sequence):
        return [step.bind for step in binder.steps if step.bind is not None]
    return [] if binder.bind is None else [binder.bind]


@once
def references(leaf: Leaf) -> set[BoundRef]:
    """The bound attributes that a leaf looks at."""
    found = set()
    for operand in operands(leaf):
        if isinstance(operand, BoundRef):
            found.add(operand)
        elif isinstance(operand, FactRef) and operand.of is not None:
            found.add(operand.of)
    return found


def holes(payload: Payload) -> list[FactRef | BoundRef]:
    """What the holes of a payload name."""
    if isinstance(payload, Template):
        return list(payload.holes) or [FactRef(name) for name in payload.parts[1::2]]
    if isinstance(payload, list):
        return [hole for item in payload for hole in holes(item)]
    if isinstance(payload, tuple):
        return [hole for pair in payload if isinstance(pair, tuple) for hole in holes(pair[1])]
    return []


def used_in(rule: Rule, program: Program) -> set[BoundRef]:
    """The bound attributes that a rule looks at, sends or shows."""
    used = {reference for leaf in leaves(rule.when) for reference in references(leaf)}
    for action in rule.actions:
        payload: Payload = None
        if isinstance(action, TriggerAction):
            payload = action.payload
        elif isinstance(action, OfferAction):
            payload = program.offers[action.offer].content
        for hole in holes(payload):
            if isinstance(hole, BoundRef):
                used.add(hole)
            elif hole.of is not None:
                used.add(hole.of)
    return used


def identity(rule: Rule, program: Program) -> list[BoundRef]:
    """The bound attributes that tell activations of a rule apart: those that it uses, a key's value aside."""
    keyed = {leaf.bind for leaf in leaves(rule.when) if isinstance(leaf, Keyed)}
    meant = [each for each in used_in(rule, program) if not (each.name in keyed and each.attribute == "value")]
    return sorted(meant, key=lambda each: f"{each.name}.{each.attribute}")


def by_names(rule: Rule, program: Program) -> tuple[list[Condition], list[Condition]]:
    """The parts of a rule's condition that stand alone, and those that bound names hold together."""
    used = {each.name for leaf in leaves(rule.when) for each in references(leaf)}
    used |= {each.name for each in identity(rule, program)}
    apart: list[Condition] = []
    together: list[Condition] = []
    for part in spine(rule.when):
        names = names_of(part) if isinstance(part, Binder) else []
        has_names = used & {*names} or any(references(leaf) for leaf in leaves(part))
        (together if has_names else apart).append(part)
    return apart, together


def spine(condition: Condition) -> Iterator[Condition]:
    """The parts of an `all` of which nothing else is above."""
    if isinstance(condition, All):
        for part in condition.parts:
            yield from spine(part)
    else:
        yield condition
