"""What the conditions of a rule bind, and what they use of it. Says of a checked tree what the checker knew of the text.

Names are bound on the spine of a rule: by its whole condition, a part of an `all`, or of an `all` directly in one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

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
    Payload,
    ScoreTest,
    Seen,
    Selection,
    Sequence,
    SequenceStep,
    Template,
    Test,
    Vocabulary,
)
from engine.values import ValueType

VALUE = "value"
"""`$name.value` is the value of the aggregate that `per` bound."""

Binder: TypeAlias = Seen | Keyed | SequenceStep


def spine(condition: Condition) -> Iterator[Condition]:
    """The conditions that all have to hold, an `all` in an `all` written out; segments left whole."""
    if isinstance(condition, All):
        for part in condition.parts:
            yield from spine(part)
    else:
        yield condition


def binders(condition: Condition) -> dict[str, Binder]:
    """What binds each name of a rule's condition, in the order in which it is written."""
    found: dict[str, Binder] = {}
    for part in spine(condition):
        if isinstance(part, Seen | Keyed):
            if part.bind is not None:
                found[part.bind] = part
        elif isinstance(part, Sequence):
            found.update({step.bind: step for step in part.steps if step.bind is not None})
    return found


def names_bound_by(part: Condition) -> tuple[str, ...]:
    """The names that one condition of the spine binds."""
    return tuple(binders(part))


def attributes_of(binder: Binder, vocabulary: Vocabulary) -> dict[str, ValueType]:
    """What can be said of a bound name: attributes of the event; of `per`, the key and the value."""
    if isinstance(binder, Keyed):
        attributes = vocabulary.events[binder.aggregate.of.event].attributes
        return {binder.per: attributes[binder.per].type, VALUE: binder.aggregate.type}
    return {name: each.type for name, each in vocabulary.events[binder.of.event].attributes.items()}


def type_of(ref: BoundRef, bound: dict[str, Binder], vocabulary: Vocabulary) -> ValueType:
    """The type of `$name.attribute`; KeyError where nothing binds it, which the checker refuses."""
    return attributes_of(bound[ref.name], vocabulary)[ref.attribute]


def references(condition: Condition) -> list[BoundRef]:
    """Every use of a bound name in a condition, in the order in which it is written, repeats included.

    Segments bind nothing and use nothing bound.
    """
    found: list[BoundRef] = []
    _collect(condition, found)
    return found


def _collect(condition: Condition, found: list[BoundRef]) -> None:
    if isinstance(condition, Test):
        if isinstance(condition.subject, Aggregate):
            _of_aggregate(condition.subject, found)
        else:
            _of_operand(condition.subject, found)
        _of_operand(condition.operand, found)
    elif isinstance(condition, Seen):
        _of_selection(condition.of, found)
    elif isinstance(condition, All | AnyOf):
        for part in condition.parts:
            _collect(part, found)
    elif isinstance(condition, Not):
        _collect(condition.part, found)
    elif isinstance(condition, Keyed):
        _of_aggregate(condition.aggregate, found)
        for _, operand in condition.tests:
            _of_operand(operand, found)
    elif isinstance(condition, Sequence):
        for step in condition.steps:
            _of_selection(step.of, found)
    elif isinstance(condition, Absence):
        _of_selection(condition.of, found)
        _of_selection(condition.after, found)
    elif isinstance(condition, ScoreTest):
        _of_operand(condition.operand, found)


def holes(payload: Payload) -> Iterator[FactRef | BoundRef]:
    """What the holes of a payload or content name, in order, repeats included."""
    if isinstance(payload, Template):
        yield from payload.holes
    elif isinstance(payload, list):
        for item in payload:
            yield from holes(item)
    elif isinstance(payload, tuple):
        for pair in payload:
            if isinstance(pair, tuple):  # what a mapping becomes; a node never becomes a tuple of values
                yield from holes(pair[1])


def references_in(payload: Payload) -> list[BoundRef]:
    """The bound attributes that the holes of a payload or content use, keys of catalogue facts included."""
    found: list[BoundRef] = []
    for hole in holes(payload):
        _of_operand(hole, found)
    return found


def identity(condition: Condition, payloads: Iterable[Payload]) -> tuple[BoundRef, ...]:
    """The bound attributes that tell the activations of a rule apart: those that it uses, values of aggregates aside."""
    used = {*references(condition), *(ref for payload in payloads for ref in references_in(payload))}
    return telling_apart(used, binders(condition))


def telling_apart(used: Iterable[BoundRef], bound: Mapping[str, Binder]) -> tuple[BoundRef, ...]:
    """Those of the attributes that a rule uses that do, with what binds its names."""
    meant = [ref for ref in used if not (ref.attribute == VALUE and isinstance(bound.get(ref.name), Keyed))]
    return tuple(sorted(meant, key=_by_name))


def _by_name(ref: BoundRef) -> tuple[str, str]:
    return ref.name, ref.attribute


def _of_operand(operand: object, found: list[BoundRef]) -> None:
    if isinstance(operand, BoundRef):
        found.append(operand)
    elif isinstance(operand, FactRef) and operand.of is not None:
        found.append(operand.of)


def _of_selection(selection: Selection, found: list[BoundRef]) -> None:
    for test in selection.where:
        _of_operand(test.operand, found)


def _of_aggregate(aggregate: Aggregate, found: list[BoundRef]) -> None:
    _of_selection(aggregate.of, found)
    if aggregate.minus is not None:
        _of_selection(aggregate.minus, found)
