"""Structural hashes: what tells a changed rule from one that only moved or got a new note."""

from __future__ import annotations

import dataclasses
import enum
import hashlib
from collections.abc import Sequence
from typing import cast

from engine.language.tree import (
    Aggregate,
    All,
    AnyOf,
    AttributeTest,
    BoundRef,
    FactRef,
    Keyed,
    Not,
    Rule,
    ScoreTest,
    Seen,
    Segment,
    Selection,
    Span,
    Test,
    TriggerAction,
    Vocabulary,
)

_LEAVES = frozenset({Test, Seen, Keyed})
_PARTS = frozenset({Aggregate, All, AttributeTest, AnyOf, BoundRef, Not, Selection, Span, TriggerAction})
_SIMPLE = frozenset({str, int, float, bool})
_LENGTH = 32  # hex digits: 128 bits tell all rules of all revisions apart
# Parts of the language that came later: a rule that makes no use of one keeps the digest that it had before.
_LATER = frozenset({"bind", "identity"})
_NOT_MEANT = frozenset({"id", "note", "owner", "order", "digest", "place", "ruleset", "name", "lines"})
_compared: dict[type, list[str]] = {}  # by class, the fields that make a difference
_MEANT = sorted(each.name for each in dataclasses.fields(Rule) if each.name not in _NOT_MEANT)


class Digests:
    """Hashes of rules over one vocabulary. What many rules share (features, segments) is written out once."""

    __slots__ = ("_facts", "_latest", "_leaves", "_segments", "_vocabulary")

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._facts: dict[str, str] = {}
        self._segments: dict[str, str] = {}
        self._leaves: dict[object, str] = {}
        self._latest: tuple[object, str] = (None, "")  # the condition of a rule, which others ask for next

    def of(self, rule: Rule) -> str:
        """The hash of what a rule means: its id and all of it but note, owner, place and order; features written out."""
        self._latest = (rule.when, self.canonical(rule.when))
        return _hash(f"{rule.id}\n{self._said(rule, _MEANT)}")

    def canonical(self, item: object) -> str:
        """A text that is equal for equal meaning, on every machine: places left out, features and scores written out."""
        kind = item.__class__
        if kind in _LEAVES:  # many rules have the same
            written = self._leaves.get(item)
            if written is None:
                written = self._leaves[item] = f"{kind.__name__}({self._fields(item)})"
            return written
        if item is None or kind in _SIMPLE:
            return repr(item)
        if item is self._latest[0]:
            return self._latest[1]
        if kind in _PARTS:
            return f"{kind.__name__}({self._fields(item)})"
        if kind is tuple or kind is list:
            opening, closing = "()" if kind is tuple else "[]"
            return opening + ",".join([self.canonical(each) for each in cast("Sequence[object]", item)]) + closing
        if isinstance(item, enum.Enum):
            return repr(item.value)
        if isinstance(item, FactRef):
            if item.of is not None:
                return f"{self.canonical(FactRef(item.fact))} of {self.canonical(item.of)}"
            if item.fact not in self._facts:
                self._facts[item.fact] = self._fact(item.fact)
            return self._facts[item.fact]
        if isinstance(item, Segment):
            if item.name not in self._segments:
                self._segments[item.name] = f"segment({item.name!r},{_hash(self.canonical(item.condition))})"
            return self._segments[item.name]
        if isinstance(item, ScoreTest):
            return f"score({self._vocabulary.scores[item.score].model!r},{self._fields(item)})"
        if hasattr(item, "__dataclass_fields__"):
            return f"{kind.__name__}({self._fields(item)})"
        return repr(item)

    def _fact(self, name: str) -> str:
        fact = self._vocabulary.facts[name]
        definition: object = fact.aggregate
        if fact.computed is not None:
            definition = [
                FactRef(str(item)) if kind == "name" else (kind, item) for kind, item in fact.computed.program
            ]
        return f"fact({name!r},{self.canonical(definition)},{self.canonical(fact.type)})"

    def _fields(self, item: object) -> str:
        kind = item.__class__
        names = _compared.get(kind)
        if names is None:
            fields: dict[str, dataclasses.Field[object]] = getattr(kind, "__dataclass_fields__", {})
            names = _compared[kind] = [name for name, each in fields.items() if each.compare]
        return self._said(item, names)

    def _said(self, item: object, names: Sequence[str]) -> str:
        """The fields with their values; most of these are plain."""
        said = []
        for name in names:
            value = getattr(item, name)
            if value is None or value.__class__ in _SIMPLE:
                if value or name not in _LATER:
                    said.append(f"{name}={value!r}")
            elif value or name not in _LATER:
                said.append(f"{name}={self.canonical(value)}")
        return ",".join(said)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_LENGTH]
