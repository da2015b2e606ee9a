"""A ruleset file in passages: each rule is read by itself, so that one that did not change is not read again.

An item of a block list ends where a line at its own indentation begins the next, unless a quotation mark, a brace or a
bracket is still open there. Then the item can't be read alone, and the file is read as a whole; so it is whenever there
is anything to report, because then lines and places in messages are those of the file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from engine.language.alike import Alikes, how_many
from engine.language.diagnostics import Found, Report
from engine.language.nodes import MOST_NODES, Node, Scalar, Sequence, read_nodes, read_part
from engine.language.nodes import Mapping as MappingNode
from engine.language.shape import MOST_ENTRIES
from engine.language.source import LARGEST_FILE, Source
from engine.language.syntax import RulesetSyntax, RuleSyntax
from engine.language.syntax_rules import read_rule, read_ruleset

_LEVELS = 1
"""Of nesting around the list that a passage is read as: the mapping of the file."""
_RULES = re.compile(r"^rules:[ ]*(?:#.*)?\n", re.MULTILINE)
_AFTER = re.compile(r"^(?:[^ \n#-]|-(?! ))", re.MULTILINE)
_FIRST = re.compile(r"(?:[ ]*(?:#.*)?\n)*([ ]*)- ")
_STRANGE = re.compile("^[ ]*[?] ", re.MULTILINE)


@dataclass(frozen=True, slots=True, eq=False)
class Passage:
    """The text of one rule, with what it says; its places count from its first line. Empty where it was not read alone."""

    text: str
    syntax: RuleSyntax


class Placed(NamedTuple):
    """A passage with its place in the file: its position among the rules, and the lines before it."""

    passage: Passage
    position: int
    lines: int


@dataclass(frozen=True, slots=True, eq=False)
class RulesetText:
    """A ruleset file.

    Attributes:
        text: As it was read.
        syntax: Its name, owner and tests; None where there is nothing to read in it.
        rules: Those that could be read.
        found: What reading it found.
    """

    file: str
    text: str
    syntax: RulesetSyntax | None
    rules: tuple[Placed, ...]
    found: Found


def read_ruleset_text(file: str, text: str, former: RulesetText | None, report: Report, alikes: Alikes) -> RulesetText:
    """A ruleset file with what reading it finds.

    Args:
        file: Its path in the folder.
        text: Its text.
        former: The same file as it was read before, if it was; rules whose text is in it are not read again.
        report: Lends itself: what is found is not in it afterwards, but in the answer.
        alikes: Conditions of this and of other files of the folder.
    """
    if former is not None and former.text == text:
        return former
    source = Source(file, text)
    with report.apart() as found:
        read = _in_passages(source, former, report, alikes)
        if read is not None and not found:
            return RulesetText(file, text, *read, found)
    with report.apart() as found:
        root = read_nodes(source, report)
        syntax = None if root is None else read_ruleset(file, root, report)
    rules = () if syntax is None else syntax.rules
    placed = [Placed(Passage("", each), position, 0) for position, each in enumerate(rules) if each is not None]
    return RulesetText(file, text, syntax, tuple(placed), found)


def _in_passages(
    source: Source, former: RulesetText | None, report: Report, alikes: Alikes
) -> tuple[RulesetSyntax, tuple[Placed, ...]] | None:
    """The file read passage by passage; None where it has to be read as a whole."""
    starts = _starts(source.text)
    if starts is None:
        return None
    *begins, end = starts
    head, tail = read_part(source, 0, begins[0], report), read_part(source, end, len(source.text), report)
    root = _joined(head, tail)
    syntax = None if root is None else read_ruleset(source.file, root, report)
    if syntax is None:
        return None
    known: Mapping[str, Passage] = {} if former is None else {each.passage.text: each.passage for each in former.rules}
    placed: list[Placed] = []
    lines = source.text.count("\n", 0, begins[0])
    for position, (start, stop) in enumerate(zip(begins, starts[1:], strict=True)):
        text = source.text[start:stop]
        passage = known.get(text) if text else None
        if passage is None:
            read = _passage(source.file, text, report, alikes)
            if read is None:
                return None
            passage = Passage(text, read)
        placed.append(Placed(passage, position, lines))
        lines += text.count("\n")
    return syntax, tuple(placed)


def _passage(file: str, text: str, report: Report, alikes: Alikes) -> RuleSyntax | None:
    """What one passage says; None where it is no single item of a list."""
    source = Source(file, text)
    filled = alikes.read(source, _LEVELS)
    if filled is not None:
        with report.apart() as found:
            rule = _rule(filled.root, report)
        if rule is not None and not found and how_many(rule.when) == filled.alike:
            return rule
    return _rule(read_part(source, 0, len(text), report, _LEVELS), report)


def _rule(items: Node | None, report: Report) -> RuleSyntax | None:
    if not isinstance(items, Sequence) or items.is_flow or len(items.items) != 1:
        return None
    return read_rule(items.items[0], report)


def _starts(text: str) -> list[int] | None:
    """Where the items of `rules:` begin, and where the last one ends; None where the lines don't say."""
    header = _RULES.search(text)
    if header is None or "\r" in text or "\ufeff" in text or "\n%" in text or _may_be_too_large(text):
        return None
    if "? " in text and _STRANGE.search(text):
        return None
    after = _AFTER.search(text, header.end())
    end = len(text) if after is None else after.start()
    first = _FIRST.match(text, header.end(), end)
    if first is None:
        return None
    indent = first.group(1)
    starts = [match.start() for match in re.compile(f"^{indent}- ", re.MULTILINE).finditer(text, first.start(1), end)]
    stray = re.compile(f"^(?!{indent}- )[ ]{{0,{len(indent)}}}[^ \n#]", re.MULTILINE)
    if stray.search(text, first.start(1), end) or len(starts) > MOST_ENTRIES:
        return None
    return [*starts, end]


def _may_be_too_large(text: str) -> bool:
    """Whether the limits of a file could be passed: a passage alone does not see that."""
    nodes = 2 * sum(text.count(each) for each in ":,[{") + text.count("-")
    return nodes >= MOST_NODES or len(text.encode("utf-8", "surrogatepass")) > LARGEST_FILE


def _joined(head: Node | None, tail: Node | None) -> MappingNode | None:
    """The entries before and after the rules as one mapping; None where they are none."""
    if not isinstance(head, MappingNode) or head.is_flow or not head.entries:
        return None
    last = head.entries[-1]
    if last.key.text != "rules" or not isinstance(last.value, Scalar) or last.value.text or not last.value.is_plain:
        return None
    if tail is None:
        return head
    if not isinstance(tail, MappingNode) or tail.is_flow:
        return None
    if not {each.key.text for each in head.entries}.isdisjoint(each.key.text for each in tail.entries):
        return None
    return MappingNode(head.extent, head.entries + tail.entries, is_flow=False)
