"""Structural hashes: what tells a changed rule from one that only moved or got a new note."""

from __future__ import annotations

import dataclasses
import enum
import hashlib

from engine.language.tree import FactRef, Rule, ScoreTest, Vocabulary

_LENGTH = 32  # hex digits: 128 bits tell all rules of all revisions apart
_NOT_MEANT = frozenset({"id", "note", "owner", "order", "digest", "place", "ruleset", "name"})


def rule_digest(rule: Rule, vocabulary: Vocabulary) -> str:
    """The hash of what a rule means: its id and all of it but note, owner, place and order; features written out."""
    fields = {each.name: getattr(rule, each.name) for each in dataclasses.fields(rule) if each.name not in _NOT_MEANT}
    text = f"{rule.id}\n{canonical(fields, vocabulary)}"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_LENGTH]


def canonical(item: object, vocabulary: Vocabulary) -> str:
    """A text that is equal for equal meaning, on every machine: places left out, features and scores written out."""
    if isinstance(item, enum.Enum):
        return repr(item.value)
    if isinstance(item, FactRef):
        fact = vocabulary.facts[item.fact]
        definition = fact.aggregate or (fact.computed and _computed(fact.computed.program, vocabulary))
        return f"fact({item.fact!r},{canonical(definition, vocabulary)},{canonical(fact.type, vocabulary)})"
    if isinstance(item, ScoreTest):
        model = vocabulary.scores[item.score].model
        return f"score({model!r},{_fields(item, vocabulary)})"
    if dataclasses.is_dataclass(item) and not isinstance(item, type):
        return f"{type(item).__name__}({_fields(item, vocabulary)})"
    if isinstance(item, dict):
        return "{" + ",".join(f"{key!r}:{canonical(value, vocabulary)}" for key, value in sorted(item.items())) + "}"
    if isinstance(item, tuple | list):
        opening, closing = "()" if isinstance(item, tuple) else "[]"
        return opening + ",".join(canonical(each, vocabulary) for each in item) + closing
    return repr(item)


def _computed(program: tuple[tuple[str, str | int | float], ...], vocabulary: Vocabulary) -> list[object]:
    return [FactRef(str(item)) if kind == "name" else (kind, item) for kind, item in program]


def _fields(item: object, vocabulary: Vocabulary) -> str:
    assert dataclasses.is_dataclass(item)
    return ",".join(
        f"{each.name}={canonical(getattr(item, each.name), vocabulary)}"
        for each in dataclasses.fields(item)
        if each.compare
    )
