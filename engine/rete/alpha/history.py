"""Aggregates read from a list of events: exact, and the one definition of what each function gives.

The network keeps its aggregates up to date event by event and must agree with this to the last bit. Sums and averages
are those of the exact rational numbers, rounded once: half to even to a whole number where the result is money, an
integer, a duration or a timestamp, else to the nearest float.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from typing import Any

from engine.language.tree import Aggregate, Aggregation, FactRef, Operator, Selection, Span
from engine.rete.conditions import operators
from engine.rete.conditions.quantity import selections
from engine.rete.conditions.subjects import Presence, nothing
from engine.rete.memory.retained import Kept
from engine.values import EpochMs, Kind, Value, ValueType

WHOLE = frozenset({Kind.INTEGER, Kind.MONEY, Kind.DURATION, Kind.TIMESTAMP})

FactOf = Callable[[str], Value | None]


def value_over(subject: Aggregate | Presence, events: Sequence[Kept], now: EpochMs, fact: FactOf) -> Value | None:
    """The value of an aggregate or presence at `now` over these events, which are in order of time and arrival.

    Args:
        subject: What is asked.
        events: All that happened until now.
        now: The moment of the evaluation.
        fact: Values of the facts that a `where` looks at.
    """
    inside = in_span(subject.span, events, now)
    entries: list[Any] = []
    for event in inside:
        for selection, sign in selections(subject):
            if selects(selection, event, fact):
                entries.append(entry(subject, selection, sign, event))
    if isinstance(subject, Presence):
        return bool(entries)
    return aggregate(subject.function, entries, subject.type) if entries else nothing(subject)


def in_span(span: Span, events: Sequence[Kept], now: EpochMs) -> Iterable[Kept]:
    """The events that lie in the window, after the latest `since` event, or all."""
    if span.since is not None:
        last = max((at for at, event in enumerate(events) if event.type == span.since), default=-1)
        return events[last + 1 :]
    if span.window is not None:
        begin = now - span.window
        return [event for event in events if begin < event.time <= now]
    return events


def selects(selection: Selection, event: Kept, fact: FactOf) -> bool:
    """Whether the event is of the type, has the attribute of interest, and passes every test of the `where`."""
    if event.type != selection.event:
        return False
    if selection.attribute is not None and event.attributes.get(selection.attribute) is None:
        return False
    return all(
        passes(event.attributes.get(test.attribute), test.operator, test.operand, event.time, fact)
        for test in selection.where
    )


def passes(value: Value | None, operator: Operator, operand: Any, time: EpochMs, fact: FactOf) -> bool:
    """A test of a `where`, which has two values: what is missing does not match. `exists: false` asks for just that.

    `older_than` and `within_last` look from the event's own time: an event is selected or not for good.
    """
    if isinstance(operand, FactRef):
        operand = fact(operand.fact)
        if operand is None:
            return False
    if operator is Operator.EXISTS:
        return (value is not None) is operand
    if value is None:
        return False
    clocked = operators.CLOCKED.get(operator)
    return operators.STEADY[operator](value, operand) if clocked is None else clocked(value, operand, time)  # type: ignore[arg-type]


def entry(subject: Aggregate | Presence, selection: Selection, sign: int, event: Kept) -> Any:
    """What an event contributes: its attribute, or 1 where events are counted; negative where it is of `minus`."""
    if isinstance(subject, Presence) or subject.function is Aggregation.COUNT or selection.attribute is None:
        return sign
    value: Any = event.attributes[selection.attribute]
    return value if sign > 0 else -value


def aggregate(function: Aggregation, entries: Sequence[Any], kind: ValueType) -> Value | None:
    """The function over at least one entry, oldest first; entries of `minus` are negative."""
    if function is Aggregation.COUNT:
        return int(sum(entries))
    if function is Aggregation.SUM:
        return rounded(_exact(entries), kind)
    if function is Aggregation.AVERAGE:
        return rounded(Fraction(_exact(entries), len(entries)), kind)
    if function is Aggregation.MINIMUM:
        return min(entries)  # type: ignore[no-any-return]
    if function is Aggregation.MAXIMUM:
        return max(entries)  # type: ignore[no-any-return]
    if function is Aggregation.DISTINCT:
        return len(set(entries))
    return entries[0] if function is Aggregation.FIRST else entries[-1]  # type: ignore[no-any-return]


def _exact(entries: Sequence[Any]) -> Fraction | int:
    for entry in entries:
        if type(entry) is not int:
            return sum(map(Fraction, entries), Fraction(0))
    return int(sum(entries))


def rounded(exact: Fraction | int, kind: ValueType) -> int | float:
    """An exact result in the type of the aggregate."""
    # Not by dividing: mypyc makes floats of both sides first, and so rounds twice.
    return round(exact) if kind.kind in WHOLE else float(exact)
