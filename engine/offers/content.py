"""Content for the storefront: templates filled with the values of facts, as people write them."""

from __future__ import annotations

from collections.abc import Iterator

from engine.activation import FactReader
from engine.language.sentence import value_text
from engine.language.tree import Payload, Template, Vocabulary


class UnknownHoleError(Exception):
    """A template names a fact that has no value now; `fact` is its name."""

    def __init__(self, fact: str) -> None:
        super().__init__(f"{fact} has no value")
        self.fact = fact


def fill(payload: Payload, reader: FactReader, vocabulary: Vocabulary) -> object:
    """The payload as JSON values (dict, list, str, int, float, bool, None), each hole filled.

    Args:
        payload: Checked content.
        reader: The facts of the session and of the request.
        vocabulary: Gives each fact its type: money reads "248.00 EUR".

    Raises:
        UnknownHoleError: A fact named in a hole is unknown; nothing half filled is returned.
    """
    if isinstance(payload, Template):
        return "".join(_text(part, index, reader, vocabulary) for index, part in enumerate(payload.parts))
    if isinstance(payload, list):
        return [fill(item, reader, vocabulary) for item in payload]
    if isinstance(payload, tuple):
        return {key: fill(item, reader, vocabulary) for key, item in _members(payload)}
    return payload


def holes(payload: Payload) -> Iterator[str]:
    """The facts that the payload names, in order, repeats included."""
    if isinstance(payload, Template):
        yield from payload.parts[1::2]
    elif isinstance(payload, list):
        for item in payload:
            yield from holes(item)
    elif isinstance(payload, tuple):
        for _, item in _members(payload):
            yield from holes(item)


def _text(part: str, index: int, reader: FactReader, vocabulary: Vocabulary) -> str:
    """Parts of a template alternate between literal text and the name of a fact."""
    if index % 2 == 0:
        return part
    value = reader(part)
    if value is None:
        raise UnknownHoleError(part)
    return value_text(value, vocabulary.facts[part].type, vocabulary)


def _members(payload: tuple[object, ...]) -> Iterator[tuple[str, Payload]]:
    """The members of an object; a list of values is a `list` in a payload, never a tuple."""
    for member in payload:
        assert isinstance(member, tuple)
        key, item = member
        assert isinstance(key, str)
        yield key, item
