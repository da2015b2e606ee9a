"""Content and payloads: JSON-like values whose text may have holes for facts."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from typing import Protocol

from engine.language.check_conditions import Conditions
from engine.language.check_values import type_text
from engine.language.diagnostics import Located
from engine.language.nodes import Alike, Broken, Mapping, Node, Scalar
from engine.language.nodes import Sequence as SequenceNode
from engine.language.shape import Here
from engine.language.tree import BoundRef, FactRef, FactSource, Payload, Template
from engine.units import LARGEST
from engine.values import ValueType

LONGEST_TEXT = 10_000


_OF = re.compile(r"(\S+)\s+of\s+(\S+)")
_BOUND = re.compile(r"([A-Za-z][A-Za-z0-9_]*)\.([A-Za-z][A-Za-z0-9_]*)", re.ASCII)


class Names(Protocol):
    """Says what a text may name that is bound."""

    def find(self, name: str, attribute: str, where: Located) -> tuple[BoundRef, ValueType] | None:
        """An attribute of a bound name with its type (None: not known here); None, reported, where nothing binds it."""

    def __contains__(self, name: str) -> bool:
        """Whether something binds the name."""

    @property
    def spelled(self) -> Sequence[str]:
        """All that may be named, as it is written in a hole."""


def check_payload(node: Node, conditions: Conditions, names: Names) -> Payload:
    """A JSON-like value; None stands where something was reported, as it does for null."""
    if isinstance(node, Mapping):
        return tuple((entry.key.text, check_payload(entry.value, conditions, names)) for entry in node.entries)
    if isinstance(node, SequenceNode):
        return [check_payload(item, conditions, names) for item in node.items]
    if isinstance(node, Broken | Alike):
        return None
    value = node.value
    if isinstance(value, str):
        return _text(node, conditions, names)
    report = conditions.report
    if isinstance(value, float) and not math.isfinite(value):
        report.error("out-of-range", node, f"{node.text} is no number that JSON can write")
        return None
    if isinstance(value, int) and abs(value) > LARGEST:
        report.error("out-of-range", node, "this number is too large; put quotes around it to make it text")
        return None
    return value


def names_in(payload: Payload) -> Iterator[str]:
    """What the holes of a checked payload name, as it is written, in order, repeats included."""
    if isinstance(payload, Template):
        yield from payload.parts[1::2]
    elif isinstance(payload, list):
        for item in payload:
            yield from names_in(item)
    elif isinstance(payload, tuple):
        for pair in payload:
            if isinstance(pair, tuple):  # what a mapping becomes; a node never becomes a tuple of values
                yield from names_in(pair[1])


def _text(node: Scalar, conditions: Conditions, names: Names) -> str | Template | None:
    """Text with its holes: `{cart.value}` is a fact's value, `{{` and `}}` are braces."""
    report, text = conditions.report, node.text
    if len(text) > LONGEST_TEXT:
        report.error("too-large", node, f"text of more than {LONGEST_TEXT:,} characters")
        return None
    parts: list[str] = [""]
    holes: list[FactRef | BoundRef] = []
    position = 0
    is_whole = True
    while position < len(text):
        if text.startswith(("{{", "}}"), position):
            parts[-1] += text[position]
            position += 2
        elif text[position] == "{":
            end = text.find("}", position)
            if end < 0:
                report.error("bad-template", node, "a { opens a hole that no } closes", "write {{ for a brace")
                return None
            hole = _hole(_inside(node, position, end + 1), text[position + 1 : end].strip(), conditions, names)
            if hole is None:
                is_whole = False
            else:
                holes.append(hole)
                parts += [hole_text(hole), ""]
            position = end + 1
        elif text[position] == "}":
            report.error("bad-template", node, "a } closes a hole that no { opens", "write }} for a brace")
            return None
        else:
            parts[-1] += text[position]
            position += 1
    if not is_whole:
        return None
    return Template(text, tuple(parts), tuple(holes)) if holes else parts[0]


def hole_text(hole: FactRef | BoundRef) -> str:
    """What a hole names, as it is written: `cart.value`, `seen.price`, `product.stock of seen.product_id`."""
    if isinstance(hole, BoundRef):
        return f"{hole.name}.{hole.attribute}"
    return hole.fact if hole.of is None else f"{hole.fact} of {hole.of.name}.{hole.of.attribute}"


def _inside(node: Scalar, start: int, end: int) -> Here:
    """A stretch of a text, where it is written as it reads: on one line and without escapes; else all of it."""
    quotes = (node.extent.end - node.extent.start - len(node.text)) // 2
    written = 2 * quotes + len(node.text) == node.extent.end - node.extent.start
    return Here(node.extent.part(start + quotes, end + quotes)) if quotes in {0, 1} and written else Here(node.extent)


def _hole(where: Here, text: str, conditions: Conditions, names: Names) -> FactRef | BoundRef | None:
    looked_up = _OF.fullmatch(text)
    if looked_up is not None:
        return _looked_up(looked_up[1], looked_up[2], where, conditions, names)
    facts, report = conditions.vocabulary.facts, conditions.report
    if text not in facts:
        bound = _BOUND.fullmatch(text)
        if bound is not None and bound[1] in names:
            found = names.find(bound[1], bound[2], where)
            return found[0] if found is not None else None
        message = f"the text names {text[:100] or 'nothing'}, which is no fact or feature"
        proposal = report.propose(text, [*facts, *names.spelled]) or "write {{ for a brace"
        if text.startswith("$") and _BOUND.fullmatch(text[1:]):
            proposal = f"write {{{text[1:]}}}, without $"
        report.error("unknown-fact", where, message, proposal)
        return None
    if facts[text].source is FactSource.CATALOGUE:
        message = f"{text} comes from the catalogue: say of which {facts[text].by or 'thing'}"
        report.error("missing-key", where, message, f"write {{{text} of seen.{facts[text].by}}}")
        return None
    return FactRef(text)


def _looked_up(name: str, key: str, where: Here, conditions: Conditions, names: Names) -> FactRef | None:
    """`{product.stock of seen.product_id}`."""
    facts, report = conditions.vocabulary.facts, conditions.report
    fact = facts.get(name)
    bound = _BOUND.fullmatch(key)
    if fact is None:
        message = f"the text names {name[:100]}, which is no fact or feature"
        report.error("unknown-fact", where, message, report.propose(name, facts))
    elif fact.source is not FactSource.CATALOGUE:
        message = f"of is for facts of things, which come from the catalogue; {name} is none"
        report.error("operator-not-here", where, message, f"write {{{name}}}")
    elif bound is None:
        message = f"{name} is looked up by an attribute of a bound name, {key[:60]} is none"
        report.error("bad-name", where, message, f"write {{{name} of seen.{fact.by}}}")
    else:
        found = names.find(bound[1], bound[2], where)
        if found is None:
            return None
        ref, key_type = found
        if not conditions.tests.is_key(fact, key_type):
            message = f"{name} is looked up by {fact.by}, {key} is {type_text(key_type)}"
            report.error("wrong-type", where, message, f"use an attribute like {fact.by}")
            return None
        return FactRef(name, ref)
    return None
