"""How far something is from being what is wanted, said from the whole history: what reports must agree with."""

from __future__ import annotations

from typing import Any

from engine.event import Event
from engine.language.sentence import required_text, value_text
from engine.language.tree import (
    Absence,
    BoundRef,
    FactRef,
    Keyed,
    Operator,
    ScoreTest,
    Seen,
    Sequence,
    Test,
    Vocabulary,
)
from engine.units import rough_duration
from engine.values import Kind, Truth, Value, ValueType
from tests.naive.conditions import CLOCKED, passes
from tests.naive.history import History, State
from tests.naive.told import Told

ORDERED = {Operator.ABOVE, Operator.AT_LEAST, Operator.BELOW, Operator.AT_MOST}
TOLD = {True: ORDERED | {Operator.IS, Operator.BETWEEN}, False: ORDERED | {Operator.IS_NOT}}
"""The tests of which a distance is told, by what is wanted of them."""


def of_test(history: History, test: Test, value: Any, state: State, kind: ValueType, *, wanted: bool) -> str | None:
    """How much more or less, or how much longer, the test needs to be what is wanted."""
    operand: Any = history.operand(test.operand, state)
    if value is None or operand is None or passes_already(test, value, operand, state, wanted=wanted):
        return None
    vocabulary = history.program.vocabulary
    if test.operator in CLOCKED:
        return _in_time(test.operator, value, operand, state.now, wanted=wanted)
    is_number = kind.is_ordered and kind.kind is not Kind.TIMESTAMP and not isinstance(value, str | tuple | bool)
    if not is_number or test.operator not in TOLD[wanted]:
        return None
    return _in_units(test.operator, value, operand, kind, vocabulary, wanted=wanted)


def passes_already(test: Test, value: Any, operand: Any, state: State, *, wanted: bool) -> bool:
    return test.operator is Operator.EXISTS or passes(value, test.operator, operand, state.now) is wanted


def _in_units(
    operator: Operator, value: Any, operand: Any, kind: ValueType, vocabulary: Vocabulary, *, wanted: bool
) -> str:
    """The least change that helps: numbers between two whole ones exist only of the kind that is not whole."""
    unit = 0 if kind.kind is Kind.NUMBER else 1
    limits = operand if isinstance(operand, tuple) else (operand,)
    near = [limit + step for limit in limits for step in (-unit, 0, unit)]
    good = [each for each in near if passes(each, operator, operand, 0) is wanted] or near
    nearest = min(good, key=lambda each: abs(each - value))
    is_up = nearest > value or (nearest == value and passes(value + abs(value) + 1, operator, operand, 0) is wanted)
    away = abs(round(nearest - value, 6))
    word = "more" if is_up else "less"
    return (
        f"{value_text(away, kind, vocabulary)} {word}" if away else f"{word} than {value_text(value, kind, vocabulary)}"
    )


def _in_time(operator: Operator, value: int, age: int, now: int, *, wanted: bool) -> str:
    """How long until time alone makes it so; never, where it was so once."""
    coming = [at for at in (value, value + age) if at > now and passes(value, operator, age, at) is wanted]
    said = f"{rough_duration(now - value)} ago, needs"
    if not coming:
        return f"{said} less than {rough_duration(age)}"
    wait = f"{rough_duration(min(coming) - now)} to go"
    return f"{wait}: {said} {rough_duration(age)}" if value <= now else wait


def required_of(history: History, test: Test, state: State) -> str:
    """What a test asks for, with what its right side is bound to."""
    operand: Any = history.operand(test.operand, state) if isinstance(test.operand, BoundRef) else None
    ground = test if operand is None else Test(test.subject, test.operator, operand)
    return required_text(ground, history.program.vocabulary)


def of_seen(seen: Seen, times: list[int], now: int, truth: Truth, *, wanted: bool) -> tuple[str, str | None]:
    """What is required of it, and how far it is away; `times` are those of what matches, in the span or before."""
    window, since = seen.span.window, seen.span.since
    required = "seen" if window is None else f"within {rough_duration(window)}"
    distance = None
    if truth is False and wanted:
        distance = "not seen yet" if not times else f"not seen since {since}"
        if times and window is not None:
            distance = f"seen {rough_duration(now - times[-1])} ago, needs {rough_duration(window)}"
    elif truth is True and not wanted and window is not None:
        distance = f"leaves its window in {rough_duration(times[-1] + window - now)}"
    return required, distance


def of_score(test: ScoreTest, answer: float | None, truth: Truth, *, wanted: bool) -> str | None:
    """How much more or less the model would have to answer."""
    limit: Any = test.operand
    if truth is True and test.release is not None:
        limit = test.release
    if answer is None or truth is None or truth is wanted or not isinstance(limit, int | float):
        return None
    away = limit - answer
    rises = test.operator in {Operator.ABOVE, Operator.AT_LEAST}
    word = "more" if rises is wanted else "less"
    return f"{abs(away):.3g} {word}" if away else f"{word} than {answer:.3g}"


Held = tuple[tuple[str, int], ...]
"""The events that held a condition, by type and time."""


def of_absence(
    history: History, absence: Absence, state: State, truth: Truth, *, wanted: bool
) -> tuple[str, str, str | None, Held]:
    """What was found, what is required, how far it is away, and what held it."""
    past = history.past(state)
    begun = [at for at, event in enumerate(past) if history.selected(absence.after, event, state)]
    required = f"no {absence.of.event} for {rough_duration(absence.duration)}"
    if not begun:
        missing = f"{absence.after.event} not seen"
        return missing, required, f"{missing} yet" if truth is False and wanted else None, ()
    latest = past[begun[-1]]
    age = state.now - latest.time
    actual = f"{rough_duration(age)} since {absence.after.event}"
    followed = [event.time for event in past[begun[-1] + 1 :] if history.selected(absence.of, event, state)]
    distance = None
    if truth is False and wanted:
        if followed:
            distance = f"{absence.of.event} followed {rough_duration(state.now - followed[-1])} ago"
        elif age < absence.duration:
            distance = f"{rough_duration(absence.duration - age)} to go"
        else:
            distance = f"over since {rough_duration(age - (absence.until or 0))}"
    elif truth is True and not wanted and absence.until is not None:
        distance = f"over in {rough_duration(absence.until - age)}"
    return actual, required, distance, ((latest.type, latest.time),) if truth is True else ()


def of_sequence(told: Told, sequence: Sequence, truth: Truth, *, wanted: bool) -> tuple[str, str, str | None, Held]:
    """How far it has come: the earliest events of the span that match as many steps as can be."""
    row: list[Event] = []
    steps, window = sequence.steps, sequence.span.window
    for _, event in told.history.inside(sequence.span, told.state):
        if len(row) < len(steps) and told.matches(steps[len(row)].of, steps[len(row)].bind, event):
            row.append(event)
    so_far = f"{len(row)} of {len(steps)} seen"
    required = "in this order" if window is None else f"in this order within {rough_duration(window)}"
    distance = None
    if truth is False and wanted:
        distance = f"{so_far}, {steps[len(row)].of.event} is next"
    elif truth is True and not wanted and window is not None:
        distance = f"leaves its window in {rough_duration(row[0].time + window - told.state.now)}"
    return so_far, required, distance, tuple((each.type, each.time) for each in row) if truth is True else ()


def of_keyed(
    told: Told, keyed: Keyed, truth: Truth, *, wanted: bool
) -> tuple[str | None, str, str | None, Held, str | None]:
    """What was found, what is required, how far it is away, what held it, and what is missing.

    All of the bound key; else of the first that passes, or that is open, else of the one to which least is missing.
    """
    history, state, kind = told.history, told.state, keyed.aggregate.type
    vocabulary = history.program.vocabulary
    tests = [Test(keyed.aggregate, operator, operand) for operator, operand in keyed.tests]
    keys = history.keys(keyed, state)
    values = {key: history._over(keyed.aggregate, events, state) for key, events in keys.items()}

    def failed(key: Value) -> list[Test]:
        return [each for each in tests if history._test(values[key], each.operator, each.operand, state) is not True]

    def far(key: Value) -> tuple[int, float]:
        return (len(failed(key)), _far(history, failed(key)[0], values[key], state)) if failed(key) else (0, 0)

    key: Value | None
    if keyed.bind is not None and keyed.bind in state.bound and BoundRef(keyed.bind, keyed.per) in told.used:
        key = state.bound[keyed.bind][keyed.per]
    elif truth is False:
        key = min(keys, key=far, default=None)
    else:
        first = next(each for each in history.choices(keyed, state) if each.truth is truth)
        key = history.history[first.positions[0]].attributes[keyed.per]
    required = " and ".join(required_of(history, each, state) for each in tests)
    actual = distance = missing = None
    held: Held = ()
    if key is not None:
        per = vocabulary.events[keyed.aggregate.of.event].attributes[keyed.per].type
        actual = f"{value_text(values[key], kind, vocabulary)} for {keyed.per} {value_text(key, per, vocabulary)}"
        events = [each for each in keys[key] if history.selected(keyed.aggregate.of, each, state)]
        held = tuple((each.type, each.time) for each in events)[-MOST_HELD:] if truth is True else ()
    if truth is False and wanted:
        distance = f"no {keyed.per} yet"
        if key is not None:
            distance = of_test(history, failed(key)[0], values[key], state, kind, wanted=True) if failed(key) else None
    elif truth is None:
        unknown = (name_of(operand) for _, operand in keyed.tests if history.operand(operand, state) is None)
        missing = next(unknown, None) or keyed.aggregate.of.event
    return actual, required, distance, held, missing


MOST_HELD = 8
"""Events that are named as those that held something."""


def _far(history: History, test: Test, value: Any, state: State) -> float:
    """How far it is from the nearest limit of what is an amount."""
    operand: Any = history.operand(test.operand, state)
    if test.operator not in TOLD[True] or not isinstance(value, int | float) or isinstance(value, bool):
        return 0
    limits = operand if isinstance(operand, tuple) else (operand,)
    return min((abs(each - value) for each in limits if each is not None), default=0)


def name_of(operand: Any) -> str | None:
    """What stands on the right side, where that is a fact or a name."""
    if isinstance(operand, BoundRef):
        return f"{operand.name}.{operand.attribute}"
    return operand.fact if isinstance(operand, FactRef) else None
