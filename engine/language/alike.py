"""What is written alike is read once: the conditions that many rules have, and the form in which rules are written.

Most rules of a large folder are made of conditions that other rules have too, letter by letter, and differ beside them
in a few words. So a passage is looked at with a mere x in place of each condition that was met before and of each word
that is the whole value of a line: its form. The form is what YAML's parser reads, once; a passage of a form that is
known is put together from it, each node at its own place. Nothing is guessed: where the parser does not find exactly
the x's that were put there, or anything is to be reported, the passage is read as it is written.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from engine.language.diagnostics import Report
from engine.language.nodes import DEEPEST, Alike, Broken, Entry, Mapping, Node, Scalar, read_part
from engine.language.nodes import Sequence as SequenceNode
from engine.language.source import Extent, Source
from engine.language.syntax import (
    AggregateTestSyntax,
    AlikeSyntax,
    ConditionSyntax,
    FactSyntax,
    GroupSyntax,
    LeafSyntax,
    NotSyntax,
    ScoreSyntax,
    SeenSyntax,
    SegmentSyntax,
)
from engine.language.syntax_conditions import KINDS, read_condition

_LEAVES = "|".join(kind for kind in KINDS if kind not in {"all", "any", "not", "sequence", "absence"})
# A whole mapping in braces as the rest of a line (a bound name means what its rule says, so `$` has no place in it), or
# words that YAML takes for text wherever they stand. Nothing stands for null, which some keys take for being absent.
_WORDS = r"-?[A-Za-z0-9][A-Za-z0-9_.-]{0,99}(?: [A-Za-z0-9][A-Za-z0-9_.-]{0,99}){0,20}"
_HOLE = re.compile(
    rf"^ *(?:- )?(?:(?:not: |when: )?(\{{(?:{_LEAVES}): [^\n$]*\}})"
    rf"|[a-z_]+: (?!(?:null|Null|NULL)$)({_WORDS})"
    r"|(?:[a-z_]+: )?(\{[^\n]*\}))$",
    re.MULTILINE,
)
_WITHIN = re.compile(rf": (?!(?:null|Null|NULL)[,}}])({_WORDS})(?=[,}}])")
"""Words in a mapping in braces that is no such condition: it binds a name, or uses one."""
_LEVELS = 8
"""Of nesting that a mapping in braces may have, and that is left to it in a passage."""


class Hole(NamedTuple):
    """A stretch of a passage that its form leaves open: a condition, or (None) words."""

    start: int
    end: int
    meant: LeafSyntax | None


class Filled(NamedTuple):
    """A passage put together from its form, with the number of its conditions that were not read for it."""

    root: Node
    alike: int


class Alikes:
    """The forms and conditions of a folder, as far as they were met."""

    def __init__(self) -> None:
        self._met: set[str] = set()
        self._leaves: dict[str, LeafSyntax | None] = {}  # None: no such condition
        self._forms: dict[str, Form | None] = {}  # None: has to be read as it is written

    def read(self, source: Source, levels: int) -> Filled | None:
        """A passage `levels` deep in a file; None where it is to be read as it is written."""
        text = source.text
        holes: list[Hole] = []
        for match in _HOLE.finditer(text):
            if match.lastindex == 2:
                holes.append(Hole(*match.span(2), None))
            elif match.lastindex == 1 and (leaf := self._leaf(match[1])) is not None:
                holes.append(Hole(*match.span(1), leaf))
            else:
                begin, end = match.span(match.lastindex or 0)
                holes += [Hole(*each.span(1), None) for each in _WITHIN.finditer(text, begin, end)]
        parts: list[str] = []
        at = 0
        for start, end, _ in holes:
            parts += text[at:start], "x"
            at = end
        parts.append(text[at:])
        written = "".join(parts)
        alike = sum(hole.meant is not None for hole in holes)
        if written not in self._forms:
            if not alike and not self._has_met(written):
                return None
            self._forms[written] = _form(written, holes, levels)
        form = self._forms[written]
        return None if form is None else Filled(form.filled(source, holes), alike)

    def _leaf(self, text: str) -> LeafSyntax | None:
        if text not in self._leaves:
            if not self._has_met(text):
                return None
            self._leaves[text] = _read_leaf(text)
        return self._leaves[text]

    def _has_met(self, text: str) -> bool:
        """What is written once only is not worth a look of its own."""
        if text in self._met:
            return True
        self._met.add(text)
        return False


def how_many(syntax: ConditionSyntax | None) -> int:
    """How many parts of a condition were not read for it."""
    if isinstance(syntax, GroupSyntax):
        return sum(map(how_many, syntax.parts))
    if isinstance(syntax, NotSyntax):
        return how_many(syntax.part)
    return isinstance(syntax, AlikeSyntax)


def _read_leaf(text: str) -> LeafSyntax | None:
    """The condition that the text is by itself; None where it is anything else, or binds a name."""
    report = Report()
    node = read_part(Source("", text), 0, len(text), report, DEEPEST - _LEVELS)
    if not isinstance(node, Mapping) or (node.extent.start, node.extent.end) != (0, len(text)):
        return None
    syntax = read_condition(node, report)
    if report.diagnostics():
        return None
    if isinstance(syntax, FactSyntax):
        return syntax if syntax.of is None else None
    if isinstance(syntax, AggregateTestSyntax):
        return syntax if syntax.per is None and syntax.bind is None and syntax.take is None else None
    if isinstance(syntax, SeenSyntax):
        return syntax if syntax.bind is None else None
    return syntax if isinstance(syntax, ScoreSyntax | SegmentSyntax) else None


@dataclass(frozen=True, slots=True)
class Form:
    """The nodes of passages that differ in their holes only.

    Attributes:
        bounds: Offsets in the form at which nodes begin and end, each with the number of holes before it.
        root: The nodes, as `_Pieces` writes them down.
    """

    bounds: tuple[tuple[int, int], ...]
    root: Piece

    def filled(self, source: Source, holes: Sequence[Hole]) -> Node:
        """The nodes of a passage that has this form with these holes."""
        moved, by = [0], 0
        for start, end, _ in holes:
            by += end - start - 1  # where one x stands
            moved.append(by)
        at = [offset + moved[before] for offset, before in self.bounds]
        return _filled(self.root, source, at, holes)


Piece = tuple[type, int, Any, Any]
"""Kind of a node, index of its bounds (of a hole: its number), and what is in it."""


def _filled(piece: Piece, source: Source, at: Sequence[int], holes: Sequence[Hole]) -> Node:
    kind, number, content, how = piece
    if kind is Alike:
        start, end, meant = holes[number]
        extent = Extent(source, start, end)
        return Scalar(extent, source.text[start:end], True) if meant is None else Alike(extent, meant)
    extent = Extent(source, at[number], at[number + 1])
    if kind is Scalar:
        return Scalar(extent, content, how)
    if kind is Mapping:
        entries = [
            Entry(Scalar(Extent(source, at[key], at[key + 1]), text, is_plain), _filled(value, source, at, holes))
            for (_, key, text, is_plain), value in content
        ]
        return Mapping(extent, tuple(entries), how)
    return SequenceNode(extent, tuple([_filled(item, source, at, holes) for item in content]), how)


def _form(text: str, holes: Sequence[Hole], levels: int) -> Form | None:
    """What the parser finds in a form; None where that is anything but nodes with the holes among them, whole."""
    report = Report()
    root = read_part(Source("", text), 0, len(text), report, levels + _LEVELS)
    if root is None or report.diagnostics():
        return None
    pieces = _Pieces(holes)
    piece = pieces.of(root)
    return Form(tuple(pieces.bounds), piece) if pieces.is_sound and pieces.found == len(holes) else None


class _Pieces:
    """Writes nodes down for `_filled`."""

    def __init__(self, holes: Sequence[Hole]) -> None:
        self.bounds: list[tuple[int, int]] = []
        self.found = 0
        self.is_sound = True
        self._starts: list[int] = []
        by = 0
        for start, end, _ in holes:
            self._starts.append(start + by)
            by += 1 - (end - start)
        self._numbers = {start: number for number, start in enumerate(self._starts)}

    def of(self, node: Node) -> Piece:
        """A node with all in it."""
        start, end = node.extent.start, node.extent.end
        number = self._numbers.get(start)
        if number is not None and isinstance(node, Scalar) and end == start + 1 and node.is_plain:
            self.found += 1
            return Alike, number, None, None
        at = len(self.bounds)
        self.bounds += ((each, bisect_left(self._starts, each)) for each in (start, end))
        if isinstance(node, Scalar):
            return Scalar, at, node.text, node.is_plain
        if isinstance(node, Mapping):
            return (
                Mapping,
                at,
                tuple((self._key(entry.key), self.of(entry.value)) for entry in node.entries),
                node.is_flow,
            )
        if isinstance(node, SequenceNode):
            return SequenceNode, at, tuple(map(self.of, node.items)), node.is_flow
        assert isinstance(node, Broken | Alike)
        self.is_sound = False
        return Broken, at, None, None

    def _key(self, node: Scalar) -> Piece:
        piece = self.of(node)
        self.is_sound = self.is_sound and piece[0] is Scalar
        return piece
