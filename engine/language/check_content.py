"""Content and payloads: JSON-like values whose text may have holes for facts."""

from __future__ import annotations

import math
from collections.abc import Iterator

from engine.language.check_conditions import Conditions
from engine.language.nodes import Broken, Mapping, Node, Scalar, Sequence
from engine.language.shape import Here, not_yet
from engine.language.tree import FactSource, Payload, Template
from engine.units import LARGEST

LONGEST_TEXT = 10_000


def check_payload(node: Node, conditions: Conditions) -> Payload:
    """A JSON-like value; None stands where something was reported, as it does for null."""
    if isinstance(node, Mapping):
        return tuple((entry.key.text, check_payload(entry.value, conditions)) for entry in node.entries)
    if isinstance(node, Sequence):
        return [check_payload(item, conditions) for item in node.items]
    if isinstance(node, Broken):
        return None
    value = node.value
    if isinstance(value, str):
        return _text(node, conditions)
    report = conditions.report
    if isinstance(value, float) and not math.isfinite(value):
        report.error("out-of-range", node, f"{node.text} is no number that JSON can write")
        return None
    if isinstance(value, int) and abs(value) > LARGEST:
        report.error("out-of-range", node, "this number is too large; put quotes around it to make it text")
        return None
    return value


def facts_named(payload: Payload) -> Iterator[str]:
    """The facts that the holes of a checked payload name, in order, repeats included."""
    if isinstance(payload, Template):
        yield from payload.parts[1::2]
    elif isinstance(payload, list):
        for item in payload:
            yield from facts_named(item)
    elif isinstance(payload, tuple):
        for pair in payload:
            if isinstance(pair, tuple):  # what a mapping becomes; a node never becomes a tuple of values
                yield from facts_named(pair[1])


def _text(node: Scalar, conditions: Conditions) -> str | Template | None:
    """Text with its holes: `{cart.value}` is a fact's value, `{{` and `}}` are braces."""
    report, text = conditions.report, node.text
    if len(text) > LONGEST_TEXT:
        report.error("too-large", node, f"text of more than {LONGEST_TEXT:,} characters")
        return None
    parts: list[str] = [""]
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
            name = text[position + 1 : end].strip()
            is_whole = _hole(node, name, conditions) and is_whole
            parts += [name, ""]
            position = end + 1
        elif text[position] == "}":
            report.error("bad-template", node, "a } closes a hole that no { opens", "write }} for a brace")
            return None
        else:
            parts[-1] += text[position]
            position += 1
    if not is_whole:
        return None
    return parts[0] if len(parts) == 1 else Template(text, tuple(parts))


def _hole(node: Scalar, name: str, conditions: Conditions) -> bool:
    facts = conditions.vocabulary.facts
    where = Here(node.extent)
    if name not in facts:
        message = f"the text names {name[:100] or 'nothing'}, which is no fact or feature"
        conditions.report.error(
            "unknown-fact", where, message, conditions.report.propose(name, facts) or "write {{ for a brace"
        )
        return False
    if facts[name].source is FactSource.CATALOGUE:
        not_yet(f"{name} (a fact from the catalogue) in text", node, conditions.report)
        return False
    return True
