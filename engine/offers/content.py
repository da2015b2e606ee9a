"""Content for the storefront: templates filled with the values of facts, as people write them."""

from __future__ import annotations

from collections.abc import Iterator

from engine.activation import NOTHING_BOUND, Combination, FactReader
from engine.language.sentence import value_text
from engine.language.tree import BoundRef, FactRef, Payload, Template, Vocabulary
from engine.values import Value, ValueType


class UnknownHoleError(Exception):
    """A template names something that has no value now; `fact` is what it names, as it is written."""

    def __init__(self, fact: str) -> None:
        super().__init__(f"{fact} has no value")
        self.fact = fact


def fill(payload: Payload, reader: FactReader, vocabulary: Vocabulary, bound: Combination = NOTHING_BOUND) -> object:
    """The payload as JSON values (dict, list, str, int, float, bool, None), each hole filled.

    Args:
        payload: Checked content.
        reader: The facts of the session and of the request.
        vocabulary: Gives each fact its type: money reads "248.00 EUR".
        bound: What the names of the rule are bound to.

    Raises:
        UnknownHoleError: What a hole names is unknown; nothing half filled is returned.
    """
    if isinstance(payload, Template):
        return _text(payload, reader, vocabulary, bound)
    if isinstance(payload, list):
        return [fill(item, reader, vocabulary, bound) for item in payload]
    if isinstance(payload, tuple):
        return {key: fill(item, reader, vocabulary, bound) for key, item in _members(payload)}
    return payload


def holes(payload: Payload) -> Iterator[str]:
    """What the payload names, as it is written, in order, repeats included."""
    if isinstance(payload, Template):
        yield from payload.parts[1::2]
    elif isinstance(payload, list):
        for item in payload:
            yield from holes(item)
    elif isinstance(payload, tuple):
        for _, item in _members(payload):
            yield from holes(item)


def resolved(template: Template) -> tuple[FactRef | BoundRef, ...]:
    """What the holes of a template mean; one that was not resolved names facts only."""
    return template.holes or tuple(FactRef(name) for name in template.parts[1::2])


def _text(template: Template, reader: FactReader, vocabulary: Vocabulary, bound: Combination) -> str:
    """Parts of a template alternate between literal text and what a hole names."""
    parts = list(template.parts)
    for number, hole in enumerate(resolved(template)):
        value = _value(hole, reader, bound)
        if value is None:
            raise UnknownHoleError(parts[2 * number + 1])
        parts[2 * number + 1] = value_text(value, _type(hole, vocabulary, bound), vocabulary)
    return "".join(parts)


def _value(hole: FactRef | BoundRef, reader: FactReader, bound: Combination) -> Value | None:
    if isinstance(hole, BoundRef):
        return bound.values.get(hole)
    if hole.of is None:
        return reader(hole.fact)
    key = bound.values.get(hole.of)
    return None if key is None or bound.catalogue is None else bound.catalogue(hole.fact, key)


def _type(hole: FactRef | BoundRef, vocabulary: Vocabulary, bound: Combination) -> ValueType:
    return bound.types[hole] if isinstance(hole, BoundRef) else vocabulary.facts[hole.fact].type


def _members(payload: tuple[object, ...]) -> Iterator[tuple[str, Payload]]:
    """The members of an object; a list of values is a `list` in a payload, never a tuple."""
    for member in payload:
        assert isinstance(member, tuple)
        key, item = member
        assert isinstance(key, str)
        yield key, item
