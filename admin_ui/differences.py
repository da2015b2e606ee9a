"""What differs between two bundles: rules as sentences, files as lines."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from engine.language.sentence import rule_sentence
from engine.language.tree import Program, Rule

_PIECES = re.compile(r"\s+|[\w.%€$-]+|[^\w\s]")


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a difference; `kind` is `add`, `del`, `same` or `hunk`."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a sentence; `kind` is `add`, `del` or `same`."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class RuleChange:
    """A rule that differs: `kind` is `added`, `removed`, `changed` or `note` (only words to the reader differ)."""

    kind: str
    rule: Rule
    before: str
    after: str
    before_pieces: Sequence[Piece] = ()
    after_pieces: Sequence[Piece] = ()
    details: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class FileChange:
    """A file that differs."""

    path: str
    kind: str
    lines: Sequence[Line]


def yaml_difference(before: str, after: str) -> list[Line]:
    """A unified difference of two texts, with three lines of context."""
    lines = list(difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=3))[2:]
    kinds = {"+": "add", "-": "del", "@": "hunk"}
    return [Line(kinds.get(line[:1], "same"), line) for line in lines]


def file_changes(before: Mapping[str, str], after: Mapping[str, str]) -> list[FileChange]:
    """The files that differ, by path."""
    changes = []
    for path in sorted({*before, *after}):
        if before.get(path) == after.get(path):
            continue
        kind = "added" if path not in before else "removed" if path not in after else "changed"
        changes.append(FileChange(path, kind, yaml_difference(before.get(path, ""), after.get(path, ""))))
    return changes


def rule_changes(before: Program | None, after: Program | None) -> list[RuleChange]:
    """The rules that differ, in order of acting in `after`, removed ones last."""
    old = {} if before is None else {rule.id: rule for rule in before.rules}
    new = {} if after is None else {rule.id: rule for rule in after.rules}
    changes = []
    for rule in new.values():
        assert after is not None
        known = old.get(rule.id)
        if known is None:
            changes.append(RuleChange("added", rule, "", rule_sentence(rule, after)))
        elif before is not None and (change := _change(known, before, rule, after)) is not None:
            changes.append(change)
    for rule in old.values():
        if rule.id not in new:
            assert before is not None
            changes.append(RuleChange("removed", rule, rule_sentence(rule, before), ""))
    return changes


def _change(old: Rule, before: Program, new: Rule, after: Program) -> RuleChange | None:
    was, now = rule_sentence(old, before), rule_sentence(new, after)
    details = list(_details(old, new))
    if was == now and old.digest == new.digest and not details:
        return None
    kind = "note" if was == now and old.digest == new.digest and old.priority == new.priority else "changed"
    left, right = word_difference(was, now)
    return RuleChange(kind, new, was, now, left, right, details)


def _details(old: Rule, new: Rule) -> Iterator[str]:
    """Changes that a sentence does not tell."""
    if old.enabled != new.enabled:
        yield "switched on" if new.enabled else "switched off"
    if old.priority != new.priority:
        yield f"priority {old.priority} becomes {new.priority}"
    if old.owner != new.owner:
        yield f"owner {old.owner or 'nobody'} becomes {new.owner or 'nobody'}"
    if old.note != new.note:
        yield f"note: {new.note or 'removed'}"


def word_difference(before: str, after: str) -> tuple[list[Piece], list[Piece]]:
    """Two sentences cut into pieces, those that differ marked."""
    left, right = _PIECES.findall(before), _PIECES.findall(after)
    was: list[Piece] = []
    now: list[Piece] = []
    for kind, a, b, c, d in difflib.SequenceMatcher(None, left, right, autojunk=False).get_opcodes():
        same = kind == "equal"
        if b > a:
            was.append(Piece("same" if same else "del", "".join(left[a:b])))
        if d > c:
            now.append(Piece("same" if same else "add", "".join(right[c:d])))
    return was, now
