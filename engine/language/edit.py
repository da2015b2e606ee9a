"""Edits of a source that leave every byte alone that nobody edited.

A part is found by the marks of its node and spliced in the text; nothing is ever dumped anew. Each edit is read again
before it is given back: one that would not read as intended raises instead.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeAlias

from engine.language.diagnostics import Report, Severity
from engine.language.nodes import Mapping, Node, Scalar, Sequence, read_nodes
from engine.language.source import Source

Path: TypeAlias = tuple[str | int, ...]
"""The way to a node: keys of mappings and positions in lists, `("rules", 0, "priority")`."""

_SAFE = re.compile(r"[A-Za-z0-9_+./%][A-Za-z0-9_+./% :@-]*", re.ASCII)
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}


class EditError(ValueError):
    """The edit can't be made; the message is a sentence that says why."""


@dataclass(frozen=True, slots=True)
class RuleSpan:
    """A rule in its file: from the comments above it to the end of its last line.

    Attributes:
        start: Offset of its first character, at the start of a line.
        end: Offset after its last character, its line end included.
    """

    name: str
    start: int
    end: int


def locate(source: str, path: Path) -> tuple[int, int]:
    """Where the node at `path` is written: offsets from its first to after its last character.

    Raises:
        EditError: The source is no YAML, or has no such node.
    """
    extent = _find(_root(source), path).extent
    return extent.start, extent.end


def set_scalar(source: str, path: Path, value: str | bool | float | Decimal | None) -> str:
    """Replace one value by another; every other byte stays.

    Text stays as plain or quoted as it was, where it can be written so and reads as what the old value was: a number
    in the place of a number is written bare, in the place of text it is quoted.

    Raises:
        EditError: There is no such value, it is a list or a mapping, or the result would not read as intended.
    """
    root = _root(source)
    node = _find(root, path)
    if not isinstance(node, Scalar):
        message = f"{_path_text(path)} is a list or a mapping, not a value"
        raise EditError(message)
    text = _written(value, node)
    start, end = node.extent.start, node.extent.end
    if start == end and not source[max(0, start - 1) : start].isspace():
        text = f" {text}"  # nothing was written after the colon
    edited = source[:start] + text + source[end:]
    _expect(edited, path, value)
    return edited


def set_enabled(source: str, rule_name: str, enabled: bool) -> str:
    """Switch a rule on or off: its `enabled:` is changed, or added below its name (a rule without one is on).

    Raises:
        EditError: The source can't be read, has no such rule, or has two.
    """
    index, rule = _rule(_root(source), rule_name)
    path: Path = ("rules", index, "enabled")
    if rule.get("enabled") is not None:
        return set_scalar(source, path, enabled)
    if enabled:
        return source
    name = next(entry for entry in rule.entries if entry.key.text == "rule")
    if rule.is_flow:
        at = name.value.extent.end
        edited = f"{source[:at]}, enabled: false{source[at:]}"
    else:
        at = name.value.extent.end
        line_end = _line_end(source, at)
        newline = "\r\n" if "\r\n" in source else "\n"
        added = f"{' ' * (name.key.extent.column - 1)}enabled: false"
        if line_end > at and source[line_end - 1] in "\r\n":
            edited = source[:line_end] + added + newline + source[line_end:]
        else:  # the last line of the file, without an end
            edited = source[:line_end] + newline + added + source[line_end:]
    _expect(edited, path, enabled)
    return edited


def rule_spans(source: str) -> tuple[RuleSpan, ...]:
    """Every named rule of a ruleset file with the comments directly above it, in the order of the file.

    Raises:
        EditError: The source is no YAML.
    """
    rules = _rules(_root(source))
    is_block = not (rules is not None and rules.is_flow)
    spans: list[RuleSpan] = []
    for node in rules.items if rules is not None else ():
        name = node.get("rule") if isinstance(node, Mapping) else None
        if not isinstance(name, Scalar):
            continue
        if not is_block:
            spans.append(RuleSpan(name.text, node.extent.start, node.extent.end))
            continue
        start = _with_comments(source, _line_start(source, _dash(source, node.extent.start)), node.extent.start)
        spans.append(RuleSpan(name.text, start, _line_end(source, node.extent.end)))
    return tuple(spans)


def _root(source: str) -> Node:
    report = Report()
    root = read_nodes(Source("the file", source), report)
    if root is None or any(found.severity is Severity.ERROR for found in report.diagnostics()):
        found = next((each for each in report.diagnostics() if each.severity is Severity.ERROR), None)
        detail = f"line {found.place.line}: {found.message}" if found is not None else "it is empty"
        message = f"the file can't be read as YAML: {detail}"
        raise EditError(message)
    return root


def _find(root: Node, path: Path) -> Node:
    node: Node | None = root
    for step in path:
        if isinstance(node, Mapping) and isinstance(step, str):
            node = node.get(step)
        elif isinstance(node, Sequence) and isinstance(step, int) and 0 <= step < len(node.items):
            node = node.items[step]
        else:
            node = None
        if node is None:
            message = f"the file has no {_path_text(path)}"
            raise EditError(message)
    assert node is not None
    return node


def _rules(root: Node) -> Sequence | None:
    rules = root.get("rules") if isinstance(root, Mapping) else None
    return rules if isinstance(rules, Sequence) else None


def _rule(root: Node, name: str) -> tuple[int, Mapping]:
    rules = _rules(root)
    found = [
        (index, node)
        for index, node in enumerate(rules.items if rules is not None else ())
        if isinstance(node, Mapping) and isinstance(node.get("rule"), Scalar) and _name(node) == name
    ]
    if len(found) != 1:
        message = f"the file has {'no' if not found else 'more than one'} rule {name}"
        raise EditError(message)
    return found[0]


def _name(rule: Mapping) -> str:
    name = rule.get("rule")
    return name.text if isinstance(name, Scalar) else ""


def _written(value: str | bool | float | Decimal | None, old: Scalar) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return format(value, "f")
    if not isinstance(value, str):
        return repr(value)
    bare = Scalar(old.extent, value, is_plain=True)
    is_text = isinstance(bare.value, str)
    was_text = old.is_plain and isinstance(old.value, str)
    may_be_bare = (
        old.is_plain and _SAFE.fullmatch(value) and ": " not in value and value == value.strip() and value[-1] != ":"
    )
    if may_be_bare and (is_text or not was_text):
        return value
    if "'" not in value and value.isprintable() and value == value.strip():
        return f"'{value}'"
    return (
        '"' + "".join(_ESCAPES.get(each, each if each.isprintable() else f"\\U{ord(each):08x}") for each in value) + '"'
    )


def _expect(edited: str, path: Path, value: str | bool | float | Decimal | None) -> None:
    node = _find(_root(edited), path)
    read: object = node.value if isinstance(node, Scalar) else node
    if isinstance(value, str):
        read = node.text if isinstance(node, Scalar) else node
    if isinstance(value, Decimal):
        value, read = float(value), float(read) if isinstance(read, int | float) else read
    if read != value or (isinstance(value, bool) and not isinstance(read, bool)):
        message = f"{_path_text(path)} can't be changed in place: open the file and change it by hand"
        raise EditError(message)


def _path_text(path: Path) -> str:
    return ".".join(str(step + 1) if isinstance(step, int) else step for step in path) or "content"


def _line_start(source: str, offset: int) -> int:
    return max(source.rfind("\n", 0, offset), source.rfind("\r", 0, offset)) + 1


def _line_end(source: str, offset: int) -> int:
    """The offset after the end of the line that holds the character before `offset`."""
    match = re.compile(r"\r\n|\n|\r").search(source, offset)
    return match.end() if match is not None else len(source)


def _dash(source: str, start: int) -> int:
    """The offset of the - in front of an item; it may stand in a line above."""
    return max(source.rfind("-", 0, start), 0)


def _with_comments(source: str, start: int, item: int) -> int:
    """Go up over comment lines that belong to the item: directly above it, and not indented deeper than its dash."""
    dash = _dash(source, item) - start
    while start > 0:
        above = _line_start(source, start - (2 if source[start - 2 : start] == "\r\n" else 1))
        line = source[above:start]
        if not line.lstrip().startswith("#") or len(line) - len(line.lstrip()) > dash:
            break
        start = above
    return start
