"""YAML as marked nodes: never loaded objects.

PyYAML's parser gives the events, composition and resolution are ours: scalars mean what YAML 1.2's core schema says
(`NO`, `on`, `1:30` and dates are text), and what turns a small file into a large or surprising one (aliases, anchors,
tags, duplicate keys) is refused, each with its place. The rest is still read.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import TypeAlias

import msgspec
import yaml

from engine.language.diagnostics import Report
from engine.language.source import FORBIDDEN, LARGEST_FILE, Extent, Source

DEEPEST = 64
"""Levels of nesting."""
MOST_NODES = 250_000
"""Nodes of one file."""
MOST_CHARACTERS = 50
"""Tabs, and forbidden characters, that are reported of one file: it may consist of them."""
LONGEST_SCALAR = 20_000
"""Characters of one scalar."""

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same events, ten times faster
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"[-+]?[0-9]+", re.ASCII)
_OCTAL = re.compile(r"0o([0-7]+)", re.ASCII)
_HEXADECIMAL = re.compile(r"0x([0-9a-fA-F]+)", re.ASCII)
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", re.ASCII)
_INFINITE = re.compile(r"([-+]?)\.(?:inf|Inf|INF)")
_INDENTING_TAB = re.compile(r"^[ ]*(\t)", re.MULTILINE)
_PROBLEMS = {
    "could not find expected ':'": "a key needs a colon and a space after it",
    "did not find expected key": "this line does not fit in: look at its indentation and at the line before it",
    "did not find expected '-' indicator": "this line is no item of the list above: look at its indentation",
    "did not find expected ',' or ']'": "a list in brackets needs a comma between its items and ] at its end",
    "did not find expected ',' or '}'": "a mapping in braces needs a comma between its entries and } at its end",
    "found unexpected end of stream": "a quotation mark is opened and never closed",
    "mapping values are not allowed in this context": "a second colon in one line: put quotes around text that has one",
    "found character that cannot start any token": "text can't begin with this character: put quotes around it",
}


class Scalar(msgspec.Struct, frozen=True, eq=False, gc=False):
    """A piece of text. `is_plain` means that it was written without quotes."""

    extent: Extent
    text: str
    is_plain: bool

    @property
    def value(self) -> bool | int | float | str | None:
        """What it is in YAML 1.2's core schema; quoted text is text."""
        text = self.text
        if not self.is_plain:
            return text
        if text in _NULL:
            return None
        if text in _BOOLEANS:
            return _BOOLEANS[text]
        if len(text) > 40:  # no number that anything here takes is longer
            return text
        if _INTEGER.fullmatch(text):
            return int(text)
        if match := _OCTAL.fullmatch(text):
            return int(match[1], 8)
        if match := _HEXADECIMAL.fullmatch(text):
            return int(match[1], 16)
        if _FLOAT.fullmatch(text):
            return float(text)
        if match := _INFINITE.fullmatch(text):
            return float(f"{match[1]}inf")
        return float("nan") if text in {".nan", ".NaN", ".NAN"} else text


class Entry(msgspec.Struct, frozen=True, eq=False, gc=False):
    """A key and its value."""

    key: Scalar
    value: Node


class Mapping(msgspec.Struct, frozen=True, eq=False, gc=False):
    """Keys with values, in the order in which they are written, each key once."""

    extent: Extent
    entries: tuple[Entry, ...]
    is_flow: bool

    def get(self, key: str) -> Node | None:
        """The value of a key."""
        return next((entry.value for entry in self.entries if entry.key.text == key), None)


class Sequence(msgspec.Struct, frozen=True, eq=False, gc=False):
    """Items in order."""

    extent: Extent
    items: tuple[Node, ...]
    is_flow: bool


class Broken(msgspec.Struct, frozen=True, eq=False, gc=False):
    """Stands where something was refused that has been reported already; later stages pass over it silently."""

    extent: Extent


# Structs outside the garbage collector: a large file has 100,000 nodes, and a tree has no cycles.
Node: TypeAlias = Scalar | Mapping | Sequence | Broken


def kind_of(node: Node) -> str:
    """What a node is, for a message."""
    if isinstance(node, Mapping):
        return "a mapping"
    if isinstance(node, Sequence):
        return "a list"
    if isinstance(node, Scalar):
        value = node.value
        if value is None:
            return "nothing"
        if isinstance(value, bool):
            return f"the truth value {node.text}"
        if isinstance(value, int | float):
            return f"the number {node.text}"
        return f"the text {node.text[:40]!r}"
    return "something that can't be read"


def read_nodes(source: Source, report: Report) -> Node | None:
    """The root node of a file; None for a file with nothing in it, or which could not be read at all."""
    text = source.text
    if len(text) > LARGEST_FILE or len(text.encode("utf-8", "surrogatepass")) > LARGEST_FILE:
        where = Broken(source.extent(0, 0))
        report.error(
            "too-large", where, f"the file is larger than {LARGEST_FILE:,} bytes", "split it into several files"
        )
        return None
    text, shift, is_clean = _readable(source, report)
    try:
        return _compose(yaml.parse(text, Loader=_LOADER), source, shift, report)
    except yaml.MarkedYAMLError as error:
        # A tab or character reported above is the cause of what the parser stumbles over: once is enough.
        mark = error.problem_mark or error.context_mark
        if is_clean:
            problem = error.problem or "this is not YAML"
            index = shift + (mark.index if mark is not None else 0)
            message = _PROBLEMS.get(problem, problem)
            report.error("yaml-syntax", Broken(source.extent(min(index, len(source.text)), index + 1)), message)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        if is_clean:
            report.error(
                "yaml-syntax", Broken(source.extent(0, 0)), f"the file can't be read as YAML: {type(error).__name__}"
            )
    except _StoppedError:
        pass
    return None


class _StoppedError(Exception):
    """A limit was passed and reported; the rest of the file is not read."""


def _readable(source: Source, report: Report) -> tuple[str, int, bool]:
    """The text with what must not be in it reported and replaced by blanks, so that offsets stay."""
    text = source.text
    shift = 1 if text.startswith("\ufeff") else 0  # editors put a byte order mark there
    text = text[shift:]
    is_clean = True
    for match in itertools.islice(_INDENTING_TAB.finditer(text), MOST_CHARACTERS):
        start = shift + match.start(1)
        report.error("tab", Broken(source.extent(start, start + 1)), "a tab indents this line", "indent with spaces")
        is_clean = False
    if not is_clean:
        text = _INDENTING_TAB.sub(lambda match: match[0].replace("\t", " "), text)
    for match in itertools.islice(FORBIDDEN.finditer(text), MOST_CHARACTERS):
        start = shift + match.start()
        message = f"the character U+{ord(match[0]):04X} is not allowed in a file"
        report.error("forbidden-character", Broken(source.extent(start, start + 1)), message, "delete it")
        is_clean = False
    return (text if is_clean else FORBIDDEN.sub(" ", text)), shift, is_clean


class _Open:
    """A mapping or list whose end has not come yet."""

    __slots__ = ("end", "entries", "is_flow", "is_mapping", "items", "key", "keys", "start")

    def __init__(self, start: int, end: int, *, is_mapping: bool, is_flow: bool) -> None:
        self.start = start
        self.end = end
        self.is_mapping = is_mapping
        self.is_flow = is_flow
        self.items: list[Node] = []
        self.entries: list[Entry] = []
        self.keys: dict[str, Scalar] = {}
        self.key: Node | None = None


def _offset(mark: yaml.Mark | object, shift: int) -> int:
    """The offset in the source; PyYAML always marks the events of a text."""
    index = getattr(mark, "index", 0)
    assert isinstance(index, int)
    return index + shift


def _compose(events: Iterator[yaml.Event], source: Source, shift: int, report: Report) -> Node | None:
    stack: list[_Open] = []
    root: Node | None = None
    documents = count = 0
    for event in events:
        if isinstance(event, yaml.NodeEvent | yaml.CollectionEndEvent):
            start, end = _offset(event.start_mark, shift), _offset(event.end_mark, shift)
        elif isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            at = _offset(event.start_mark, shift)
            where = Broken(source.extent(at, at + 3))
            if documents > 1:
                report.error(
                    "several-documents", where, "a second document begins here; a file holds one", "delete the ---"
                )
                return root
            if event.version is not None or event.tags:
                report.error(
                    "directive", where, "directives (lines that begin with %) are not taken", "delete the directive"
                )
            continue
        else:
            continue
        if isinstance(event, yaml.NodeEvent):
            count += 1
            if count > MOST_NODES:
                where = Broken(source.extent(start, end))
                report.error(
                    "too-large", where, f"the file has more than {MOST_NODES:,} nodes", "split it into several files"
                )
                raise _StoppedError
            _refuse_anchor_and_tag(event, source, start, report)
        node: Node
        if isinstance(event, yaml.ScalarEvent):
            if event.style in {"|", ">"}:  # its end mark lies behind the blank lines after it
                end = start + len(source.text[start:end].rstrip())
            node = _scalar(event, source.extent(start, end), report)
        elif isinstance(event, yaml.AliasEvent):
            node = Broken(source.extent(start, end))
            report.error(
                "alias",
                node,
                f"*{event.anchor} repeats another part of the file; aliases are not taken",
                "write it out",
            )
        elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            if len(stack) >= DEEPEST:
                where = Broken(source.extent(start, end))
                report.error("too-deep", where, f"more than {DEEPEST} levels of nesting")
                raise _StoppedError
            is_mapping = isinstance(event, yaml.MappingStartEvent)
            stack.append(_Open(start, end, is_mapping=is_mapping, is_flow=bool(event.flow_style)))
            continue
        else:
            closed = stack.pop()
            extent = source.extent(closed.start, end if closed.is_flow else closed.end)
            if closed.is_mapping:
                node = Mapping(extent, tuple(closed.entries), closed.is_flow)
            else:
                node = Sequence(extent, tuple(closed.items), closed.is_flow)
        if stack:
            _place(stack[-1], node, report)
        else:
            root = node
    if isinstance(root, Scalar) and root.is_plain and not root.text:
        return None
    return root


def _refuse_anchor_and_tag(event: yaml.NodeEvent, source: Source, start: int, report: Report) -> None:
    if isinstance(event, yaml.AliasEvent):
        return
    if event.anchor is not None:
        where = Broken(source.extent(start, start + len(event.anchor) + 1))
        report.error(
            "anchor", where, f"&{event.anchor} names a part of the file for aliases, which are not taken", "delete it"
        )
    tag = getattr(event, "tag", None)
    if tag is not None:
        where = Broken(source.extent(start, start + 1))
        report.error("tag", where, f"the tag {str(tag)[:60]} is not taken", "delete it; types come from the vocabulary")


def _scalar(event: yaml.ScalarEvent, extent: Extent, report: Report) -> Node:
    if len(event.value) > LONGEST_SCALAR:
        node = Broken(extent)
        report.error("too-large", node, f"text of more than {LONGEST_SCALAR:,} characters")
        return node
    return Scalar(extent, event.value, event.style is None or event.style == "")


def _place(parent: _Open, node: Node, report: Report) -> None:
    parent.end = max(parent.end, node.extent.end)
    if not parent.is_mapping:
        parent.items.append(node)
        return
    if parent.key is None:
        parent.key = node
        return
    key, parent.key = parent.key, None
    if not isinstance(key, Scalar):
        if not isinstance(key, Broken):
            report.error("key-not-text", key, f"a key must be text, this is {kind_of(key)}")
        return
    first = parent.keys.setdefault(key.text, key)
    if first is not key:
        message = f"{key.text or 'the empty key'} is written twice; the first is in line {first.extent.line}"
        report.error("duplicate-key", key, message, "delete one of them")
        return
    parent.entries.append(Entry(key, node))
