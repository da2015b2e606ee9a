"""What a rule sends: its payload with the values of facts and bound names in the holes."""

from __future__ import annotations

from engine.language.sentence import value_text
from engine.language.tree import BoundRef, Condition, FactRef, Keyed, Payload, Sequence, Template, Vocabulary
from engine.values import ValueType
from tests.naive.conditions import binders, holes
from tests.naive.history import History, State


class UnknownHoleError(Exception):
    """A hole has no value."""


def filled(payload: Payload, when: Condition, history: History, state: State) -> object:
    """As JSON values; raises `UnknownHoleError`."""
    vocabulary = history.program.vocabulary
    if isinstance(payload, Template):
        text = payload.parts[0]
        for hole, after in zip(holes(payload), payload.parts[2::2], strict=True):
            value = history.operand(hole, state)
            if value is None:
                raise UnknownHoleError
            text += value_text(value, _type(hole, when, vocabulary), vocabulary) + after
        return text
    if isinstance(payload, list):
        return [filled(item, when, history, state) for item in payload]
    if isinstance(payload, tuple):
        return {key: filled(item, when, history, state) for key, item in payload}  # type: ignore[misc,str-unpack]
    return payload


def _type(hole: FactRef | BoundRef, when: Condition, vocabulary: Vocabulary) -> ValueType:
    if isinstance(hole, FactRef):
        return vocabulary.facts[hole.fact].type
    for binder in binders(when):
        if isinstance(binder, Keyed):
            if binder.bind == hole.name:
                of_event = vocabulary.events[binder.aggregate.of.event].attributes
                return binder.aggregate.type if hole.attribute == "value" else of_event[hole.attribute].type
            continue
        bound = (
            [(step.bind, step.of) for step in binder.steps]
            if isinstance(binder, Sequence)
            else [(binder.bind, binder.of)]
        )
        for name, selection in bound:
            if name == hole.name:
                return vocabulary.events[selection.event].attributes[hole.attribute].type
    raise AssertionError(hole)
