"""Structural hashes: what tells a changed rule from one that only moved or got a new note."""

from __future__ import annotations

import dataclasses
import enum
import hashlib

from engine.language.tree import FactRef, Keyed, Rule, ScoreTest, Seen, Segment, Test, Vocabulary

_LENGTH = 32  # hex digits: 128 bits tell all rules of all revisions apart
_LATER = frozenset({"bind", "identity"})
_NOT_MEANT = frozenset({"id", "note", "owner", "order", "digest", "place", "ruleset", "name", "lines"})
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
        said = ((name, getattr(rule, name)) for name in _MEANT)
        text = ",".join([f"{name}={self.canonical(value)}" for name, value in said if not _is_unsaid(name, value)])
        return _hash(f"{rule.id}\n{text}")

    def canonical(self, item: object) -> str:
        """A text that is equal for equal meaning, on every machine: places left out, features and scores written out."""
        if isinstance(item, enum.Enum):
            return repr(item.value)
        if item is None or isinstance(item, str | int | float):
            return repr(item)
        if item is self._latest[0]:
            return self._latest[1]
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
        if isinstance(item, Test | Seen | Keyed):  # many rules have the same
            if item not in self._leaves:
                self._leaves[item] = f"{type(item).__name__}({self._fields(item)})"
            return self._leaves[item]
        if isinstance(item, ScoreTest):
            return f"score({self._vocabulary.scores[item.score].model!r},{self._fields(item)})"
        if isinstance(item, tuple | list):
            opening, closing = "()" if isinstance(item, tuple) else "[]"
            return opening + ",".join([self.canonical(each) for each in item]) + closing
        if hasattr(item, "__dataclass_fields__"):
            return f"{type(item).__name__}({self._fields(item)})"
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
        fields: dict[str, dataclasses.Field[object]] = getattr(item, "__dataclass_fields__", {})
        return ",".join(
            [
                f"{name}={self.canonical(getattr(item, name))}"
                for name, each in fields.items()
                if each.compare and not _is_unsaid(name, getattr(item, name))
            ]
        )


def _is_unsaid(name: str, value: object) -> bool:
    """A part of the language that a rule makes no use of leaves its digest as it was before there was that part."""
    return name in _LATER and not value


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_LENGTH]
