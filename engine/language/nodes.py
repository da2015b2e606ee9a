"""YAML as marked nodes: never loaded objects.

PyYAML's parser gives the events, composition and resolution are ours: scalars mean what YAML 1.2's core schema says
(`NO`, `on`, `1:30` and dates are text), and what turns a small file into a large or surprising one (aliases, anchors,
tags, duplicate keys) is refused, each with its place. The rest is still read.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from typing import Any, TypeAlias

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


class Alike(msgspec.Struct, frozen=True, eq=False, gc=False):
    """Stands where something is written that was read elsewhere, see `alike`."""

    extent: Extent
    meant: Any


# Structs outside the garbage collector: a large file has 100,000 nodes, and a tree has no cycles.
Node: TypeAlias = Scalar | Mapping | Sequence | Broken | Alike


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
    return read_part(source, 0, len(source.text), report)


def read_part(source: Source, start: int, end: int, report: Report, levels: int = 0) -> Node | None:
    """The root node of a stretch of a file, read as if nothing else were in it but `levels` of nesting around it."""
    text = source.text[start:end]
    if len(text) > LARGEST_FILE or len(text.encode("utf-8", "surrogatepass")) > LARGEST_FILE:
        where = Broken(source.extent(0, 0))
        report.error(
            "too-large", where, f"the file is larger than {LARGEST_FILE:,} bytes", "split it into several files"
        )
        return None
    text, shift, is_clean = _readable(source, text, start, report)
    try:
        return _compose(text, source, shift, report, levels)
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


def _readable(source: Source, text: str, shift: int, report: Report) -> tuple[str, int, bool]:
    """The text with what must not be in it reported and replaced by blanks, so that offsets stay."""
    if shift == 0 and text.startswith("\ufeff"):  # editors put a byte order mark there
        text, shift = text[1:], 1
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

    def closed(self, source: Source, end: int) -> Node:
        """The mapping or list; one in braces or brackets ends with them, any other with what is in it."""
        extent = Extent(source, self.start, end if self.is_flow else self.end)
        if self.is_mapping:
            return Mapping(extent, tuple(self.entries), self.is_flow)
        return Sequence(extent, tuple(self.items), self.is_flow)


def _compose(text: str, source: Source, shift: int, report: Report, levels: int) -> Node | None:
    """The root of a text that begins `shift` characters into the source, below so many levels."""
    loader = _LOADER(text)
    try:
        root = _composed(loader.get_event, source, shift, report, levels)
    finally:
        loader.dispose()
    return None if isinstance(root, Scalar) and root.is_plain and not root.text else root


def _composed(following: Callable[[], Any], source: Source, shift: int, report: Report, levels: int) -> Node | None:
    # Each rule has some sixty events: what is asked of all of them is asked here, without a call.
    stack: list[_Open] = []
    root: Node | None = None
    is_first, count, length = True, 0, len(source.text)
    while True:
        event = following()
        kind = event.__class__
        if kind is yaml.StreamEndEvent:
            return root
        start, end = event.start_mark.index + shift, event.end_mark.index + shift
        if kind is yaml.ScalarEvent or kind is yaml.MappingStartEvent or kind is yaml.SequenceStartEvent:
            if event.anchor is not None or event.tag is not None:
                _refuse_anchor_and_tag(event, source, start, report)
        elif kind is yaml.DocumentStartEvent:
            if not _is_only(event, source, start, report, is_first=is_first):
                return root
            is_first = False
            continue
        elif kind is yaml.StreamStartEvent or kind is yaml.DocumentEndEvent:
            continue
        node: Node
        if kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
            node = stack.pop().closed(source, min(end, length))
        else:
            count += 1
            if count > MOST_NODES:
                where = Broken(source.extent(start, end))
                report.error(
                    "too-large", where, f"the file has more than {MOST_NODES:,} nodes", "split it into several files"
                )
                raise _StoppedError
            if kind is yaml.ScalarEvent:
                style = event.style
                if style == "|" or style == ">":  # noqa: PLR1714 - its end mark lies behind the blank lines after it
                    end = start + len(source.text[start:end].rstrip())
                node = Scalar(Extent(source, start, min(end, length)), event.value, style is None or style == "")
                if len(node.text) > LONGEST_SCALAR:
                    report.error("too-large", node, f"text of more than {LONGEST_SCALAR:,} characters")
                    node = Broken(node.extent)
            elif kind is yaml.AliasEvent:
                node = Broken(source.extent(start, end))
                message = f"*{event.anchor} repeats another part of the file; aliases are not taken"
                report.error("alias", node, message, "write it out")
            else:
                if len(stack) + levels >= DEEPEST:
                    where = Broken(source.extent(start, end))
                    report.error("too-deep", where, f"more than {DEEPEST} levels of nesting")
                    raise _StoppedError
                is_mapping = kind is yaml.MappingStartEvent
                stack.append(_Open(start, end, is_mapping=is_mapping, is_flow=bool(event.flow_style)))
                continue
        if not stack:
            root = node
            continue
        parent = stack[-1]
        reaches = node.extent.end
        parent.end = max(parent.end, reaches)
        if not parent.is_mapping:
            parent.items.append(node)
        elif parent.key is None:
            parent.key = node
        else:
            key, parent.key = parent.key, None
            _enter(parent, key, node, report)


def _is_only(event: Any, source: Source, start: int, report: Report, *, is_first: bool) -> bool:
    """Whether the document that begins here is the first of its text; what it declares is refused."""
    where = Broken(source.extent(start, start + 3))
    if not is_first:
        report.error("several-documents", where, "a second document begins here; a file holds one", "delete the ---")
        return False
    if event.version is not None or event.tags:
        report.error("directive", where, "directives (lines that begin with %) are not taken", "delete the directive")
    return True


def _enter(parent: _Open, key: Node, node: Node, report: Report) -> None:
    """Add a key with its value, if it is text and there is none like it."""
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


def _refuse_anchor_and_tag(event: Any, source: Source, start: int, report: Report) -> None:
    if event.anchor is not None:
        where = Broken(source.extent(start, start + len(event.anchor) + 1))
        report.error(
            "anchor", where, f"&{event.anchor} names a part of the file for aliases, which are not taken", "delete it"
        )
    if event.tag is not None:
        where = Broken(source.extent(start, start + 1))
        message = f"the tag {str(event.tag)[:60]} is not taken"
        report.error("tag", where, message, "delete it; types come from the vocabulary")
