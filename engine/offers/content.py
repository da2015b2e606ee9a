"""Content for the storefront: templates filled with the values of facts, as people write them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from engine.activation import NOTHING_BOUND, Combination, FactReader
from engine.language.bindings import VALUE
from engine.language.sentence import value_text
from engine.language.tree import BoundRef, Fact, FactRef, FactSource, Offer, Payload, Template, Vocabulary
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


class Figures(NamedTuple):
    """What the holes of an offer's content name.

    Attributes:
        facts: Facts and features, each once, in order.
        others: Whatever else: what a rule binds, and facts of things.
        moves: Whether any can change as time passes, with no event.
    """

    facts: tuple[str, ...]
    others: tuple[str, ...]
    moves: bool


MOST_FIGURES = 20_000
"""Offers whose figures are kept."""

_figures: dict[int, tuple[Offer, Vocabulary, Figures]] = {}


def figures(offer: Offer, vocabulary: Vocabulary) -> Figures:
    """What an offer's content names; looked up once, as each decision asks it of each candidate."""
    kept = _figures.get(id(offer))
    if kept is not None and kept[0] is offer and kept[1] is vocabulary:
        return kept[2]
    names = tuple(dict.fromkeys(holes(offer.content)))
    found = Figures(
        tuple(name for name in names if name in vocabulary.facts),
        tuple(name for name in names if name not in vocabulary.facts),
        any(_moves(vocabulary, name) for name in names),
    )
    if len(_figures) >= MOST_FIGURES:
        _figures.clear()  # revisions come and go
    _figures[id(offer)] = (offer, vocabulary, found)
    return found


def _moves(vocabulary: Vocabulary, name: str) -> bool:
    """Whether what a hole names can change as time passes, with no event.

    What the catalogue says of a thing can; of what a rule binds, the value of an aggregate.
    """
    if name not in vocabulary.facts:
        return " of " in name or name.endswith(f".{VALUE}")
    fact: Fact = vocabulary.facts[name]
    if fact.source is not FactSource.FEATURE:
        return False
    if fact.aggregate is not None:
        return fact.aggregate.span.window is not None
    names = (value for kind, value in fact.computed.program if kind == "name") if fact.computed else ()
    return any(_moves(vocabulary, str(value)) for value in names)


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
