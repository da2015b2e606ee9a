"""Reports on sequences, absences and aggregates per key, and on the combination of bound names that tells most."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from engine.activation import ConditionReport
from engine.language.sentence import required_text, value_text
from engine.language.tree import (
    Absence,
    AttributeTest,
    BoundRef,
    Condition,
    FactRef,
    Keyed,
    Operator,
    Selection,
    Sequence,
    Test,
)
from engine.rete.alpha.history import aggregate as over
from engine.rete.alpha.history import entry, in_span, selects
from engine.rete.beta.pattern import Pattern
from engine.rete.beta.selector import Look
from engine.rete.conditions.grounding import Bound, Grounding
from engine.rete.conditions.joining import NAMELESS, binds_names, joined_in, subject_alone
from engine.rete.conditions.leaves import leaf_value_truth
from engine.rete.conditions.quantity import selections
from engine.rete.memory.retained import Kept
from engine.rete.moment import Moment
from engine.rete.reports.distances import distance_of, how_far, operand_name
from engine.units import rough_duration
from engine.values import Truth, Value

MOST_COMBINATIONS = 6
"""Combinations that do not hold among which the nearest is looked for."""

MOST_EVENTS = 8
"""Events that a report names as those that held a condition."""


def combination_told(view: Moment, condition: Condition, far: Callable[[Bound], int]) -> Bound:
    """What the names of a condition are bound to in the combination that a report is about.

    The first that is true, else the first that is unknown, else the nearest of the first ones, else what can be bound.

    Args:
        view: What is looked at.
        condition: Of a rule.
        far: How many conditions keep a combination from holding.
    """
    found = [view.pattern(subject) for subject in joined_in(view.form(condition)) if binds_names(subject)]
    for truth in (True, None):
        for pattern, state, look in found:
            firsts = [
                first
                for token, each in state.tokens.items()
                if each is truth and (first := pattern.first(look, token, truth)) is not None
            ]
            if firsts:
                return min(firsts, key=_order)[1]
    for pattern, _, look in found:
        near = sorted(_choices(pattern, look), key=_order)[:MOST_COMBINATIONS]
        if near:
            return min((bound for _, bound in near), key=far)
    for pattern, _, look in found:
        return pattern.partial(look)
    return {}


def _choices(pattern: Pattern, look: Look) -> Iterator[tuple[Any, Bound]]:
    for number, choice in enumerate(pattern.choices(look)):
        if number >= MOST_COMBINATIONS * MOST_COMBINATIONS:
            return
        yield choice


def _order(found: tuple[Any, Bound]) -> Any:
    return found[0]


# ------------------------------------------------------------------ leaves


def sequence_report(
    view: Moment, sequence: Sequence, text: str, grounding: Grounding, *, wanted: bool
) -> ConditionReport:
    """How far a sequence has come."""
    ground = grounding.sequence(sequence)
    truth = view.truth(ground)
    row = _row(view, ground)
    steps = ground.steps
    distance = None
    if truth is False and wanted:
        missing = steps[len(row)].of.event if len(row) < len(steps) else steps[-1].of.event
        distance = f"{len(row)} of {len(steps)} seen, {missing} is next"
    elif truth is True and not wanted and sequence.span.window is not None and row:
        distance = f"leaves its window in {rough_duration(row[0].time + sequence.span.window - view.now)}"
    window = sequence.span.window
    return ConditionReport(
        text,
        truth,
        "sequence",
        " > ".join(step.of.event for step in steps),
        f"{min(len(row), len(steps))} of {len(steps)} seen",
        "in this order" if window is None else f"in this order within {rough_duration(window)}",
        distance,
        steps[-1].of.event if truth is None else None,
        events=_named(row) if truth is True else (),
    )


def _row(view: Moment, sequence: Sequence) -> list[Kept]:
    """The earliest events of the span that match as many steps as can be."""
    row: list[Kept] = []
    for event in in_span(sequence.span, view.kept_events(), view.now):
        if len(row) < len(sequence.steps) and selects(sequence.steps[len(row)].of, event, view.fact):
            row.append(event)
    return row


def absence_report(view: Moment, absence: Absence, text: str, grounding: Grounding, *, wanted: bool) -> ConditionReport:
    """How long ago it began, and what ended it."""
    ground = grounding.absence(absence)
    truth = view.truth(ground)
    begun = _latest(view, ground.after)
    actual = None if truth is None and begun is None else f"{ground.after.event} not seen"
    distance = None
    if begun is not None:
        age = view.now - begun.time
        actual = f"{rough_duration(age)} since {ground.after.event}"
        ended = _latest(view, ground.of, begun)
        if truth is False and wanted:
            if ended is not None:
                distance = f"{ground.of.event} followed {rough_duration(view.now - ended.time)} ago"
            elif age < ground.duration:
                distance = f"{rough_duration(ground.duration - age)} to go"
            else:
                distance = f"over since {rough_duration(age - (ground.until or age))}"
        elif truth is True and not wanted and ground.until is not None:
            distance = f"over in {rough_duration(ground.until - age)}"
    elif truth is False and wanted:
        distance = f"{ground.after.event} not seen yet"
    required = f"no {ground.of.event} for {rough_duration(ground.duration)}"
    return ConditionReport(
        text,
        truth,
        "absence",
        ground.of.event,
        actual,
        required,
        distance,
        ground.after.event if truth is None else None,
        events=_named([begun]) if truth is True and begun is not None else (),
    )


def _latest(view: Moment, selection: Selection, after: Kept | None = None) -> Kept | None:
    """The latest selected event, of those that came after one."""
    for event in reversed(view.kept_events()):
        if event is after:
            return None
        if event.time <= view.now and selects(selection, event, view.fact):
            return event
    return None


def keyed_report(view: Moment, keyed: Keyed, text: str, grounding: Grounding, *, wanted: bool) -> ConditionReport:
    """The value of the key that is bound; else of the first that passes, or that is open, or of the one that comes nearest."""
    vocabulary = view.compiled.program.vocabulary
    ground = grounding.keyed(keyed)
    truth, key = _key_told(view, ground, grounding.bound.get(BoundRef(keyed.bind or NAMELESS, keyed.per)))
    value: Value | None = None
    actual = distance = None
    held: list[Kept] = []
    if key is not None:
        own = grounding.aggregate(keyed.aggregate, AttributeTest(keyed.per, Operator.IS, key))
        value = view.value(own)
        kind = vocabulary.events[keyed.aggregate.of.event].attributes[keyed.per].type
        name = value_text(key, kind, vocabulary)
        actual = f"{value_text(value, keyed.aggregate.type, vocabulary)} for {keyed.per} {name}"
        if truth is True:
            events = in_span(own.span, view.kept_events(), view.now)
            held = [event for event in events if selects(own.of, event, view.fact)]
    if truth is False and wanted:
        test = next(iter(_open_tests(view, ground, value)), None)
        distance = f"no {keyed.per} yet"
        if key is not None and test is not None:
            distance = distance_of(view, test, value, keyed.aggregate.type, wanted=True)
    return ConditionReport(
        text,
        truth,
        "keyed",
        keyed.aggregate.of.event,
        actual,
        " and ".join(required_text(test, vocabulary) for test in _tests(keyed, ground)),
        distance,
        _unknown_in(view, keyed, ground) if truth is None else None,
        events=_named(held),
    )


def _key_told(view: Moment, ground: Keyed, key: Value | None) -> tuple[Truth, Value | None]:
    """The key that a report is about, and whether it passes; without one that is bound, whether any does."""
    subject = subject_alone(ground)
    pattern, state, look = view.pattern(subject)
    truth: Truth = view.value(subject)  # type: ignore[assignment]
    if key is not None:
        return (state.tokens.get((key,), False) if truth is not None or (key,) in state.tokens else None), key
    if truth is False:
        return truth, _nearest(view, ground)
    firsts = [
        (first[0], token[0])
        for token, each in state.tokens.items()
        if each is truth and (first := pattern.first(look, token, truth)) is not None
    ]
    return truth, min(firsts, key=_order)[1] if firsts else None


def _nearest(view: Moment, ground: Keyed) -> Value | None:
    """Of the keys that don't pass, the one that is kept from it by the fewest tests, and least by the first of them."""
    entries: dict[Value, list[Any]] = {}
    aggregate = ground.aggregate
    for event in in_span(aggregate.span, view.kept_events(), view.now):
        key = event.attributes.get(ground.per)
        for selection, sign in selections(aggregate):
            if key is not None and selects(selection, event, view.fact):
                entries.setdefault(key, []).append(entry(aggregate, selection, sign, event))

    def far(key: Value) -> tuple[int, float]:
        value = over(aggregate.function, entries[key], aggregate.type)
        tests = _open_tests(view, ground, value)
        return len(tests), how_far(view, tests[0], value) if tests else 0

    return min(entries, key=far, default=None)


def _tests(keyed: Keyed, ground: Keyed) -> list[Test]:
    """Its tests, with what is bound where that is known."""
    right: list[Any] = [operand for _, operand in ground.tests]
    return [
        Test(ground.aggregate, operator, operand if value is None else value)
        for (operator, operand), value in zip(keyed.tests, right, strict=True)
    ]


def _open_tests(view: Moment, ground: Keyed, value: Value | None) -> list[Test]:
    """Those that a value does not pass."""
    tests = [Test(ground.aggregate, operator, operand) for operator, operand in ground.tests]
    return [test for test in tests if leaf_value_truth(test, value, view.fact, view.now) is not True]


def _unknown_in(view: Moment, keyed: Keyed, ground: Keyed) -> str:
    """What leaves it open whether a key passes: a right side without a value, else the events that are not known any more."""
    right: list[Any] = [operand for _, operand in ground.tests]
    for (_, operand), value in zip(keyed.tests, right, strict=True):
        if value is None or (isinstance(value, FactRef) and view.fact(value.fact) is None):
            return operand_name(operand) or keyed.aggregate.of.event
    return keyed.aggregate.of.event


def _named(events: list[Kept]) -> tuple[tuple[str, int], ...]:
    return tuple((event.type, event.time) for event in events[-MOST_EVENTS:])
