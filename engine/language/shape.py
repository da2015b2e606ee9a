"""Reading the shape of nodes: mappings with known keys, lists, words. What does not fit is reported with a proposal."""

from __future__ import annotations

import collections.abc
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from engine.language.diagnostics import Report
from engine.language.nodes import Broken, Entry, Mapping, Node, Scalar, Sequence, kind_of
from engine.language.source import Extent

UNEVALUATED = frozenset({"recommend"})
"""Words of the language that the engine does not evaluate yet: rules with them are checked, and refused."""
MOST_ENTRIES = 20_000
"""Entries of one mapping, items of one list."""


Words: TypeAlias = collections.abc.Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Here:
    """An extent by itself, to report at."""

    extent: Extent


class Fields:
    """The entries of a mapping whose keys are fixed by the language."""

    __slots__ = ("_entries", "_mapping", "_report", "_what", "has_strange_keys")

    def __init__(
        self,
        mapping: Mapping,
        what: str,
        known: Collection[str],
        report: Report,
        hints: Words | None = None,
    ) -> None:
        self._mapping = mapping
        self._what = what
        self._report = report
        self._entries: dict[str, Entry] = {}
        self.has_strange_keys = False
        for entry in mapping.entries:
            key = entry.key.text
            if key in known:
                self._entries[key] = entry
                continue
            self.has_strange_keys = True
            hint = (hints or {}).get(key)
            proposal = hint or report.propose(key, known, "known here:")
            report.error("unknown-key", entry.key, f"{what} has no key {key or 'without a name'}", proposal)

    def __contains__(self, key: str) -> bool:
        return key in self._entries

    def key(self, key: str) -> Scalar:
        """The key itself, which must be there."""
        return self._entries[key].key

    def node(self, key: str) -> Node | None:
        """The value of a key; None where it is absent or was refused before."""
        entry = self._entries.get(key)
        return None if entry is None or isinstance(entry.value, Broken) else entry.value

    def word(self, key: str, *, needed: bool = False) -> Scalar | None:
        """The value of a key as one scalar with something in it."""
        if key not in self._entries:
            if needed:
                self._missing(key)
            return None
        return word(self._entries[key].value, f"{key} of {self._what}", self._report)

    def text(self, key: str) -> str:
        """Free text of a key, "" without."""
        node = self.node(key)
        if node is None or (isinstance(node, Scalar) and node.value is None):
            return ""
        if isinstance(node, Scalar):
            return node.text
        self._report.error("wrong-shape", node, f"{key} of {self._what} is text, this is {kind_of(node)}")
        return ""

    def mapping(self, key: str) -> Mapping | None:
        """The value of a key as a mapping; an empty value counts as absent."""
        return (
            mapping(self._entries[key].value, f"{key} of {self._what}", self._report) if key in self._entries else None
        )

    def items(self, key: str) -> tuple[Node, ...]:
        """The items of a list; one thing that is no list is taken as a list of one."""
        return items(self._entries[key].value, f"{key} of {self._what}", self._report) if key in self._entries else ()

    def needed(self, key: str) -> Node | None:
        """The value of a key that must be there."""
        if key not in self._entries:
            self._missing(key)
        return self.node(key)

    def _missing(self, key: str) -> None:
        # At the first key, not over the whole mapping: a caret under one word is easier to find.
        where = self._mapping.entries[0].key if self._mapping.entries else self._mapping
        self._report.error("missing-key", where, f"{self._what} needs {key}", f"add {key}:")


def not_yet(key: str, where: Scalar | Broken, report: Report, proposal: str | None = None) -> None:
    """Report a part of the language that this version knows but does not run."""
    message = f"{key} is part of the language, but this version does not run it yet"
    report.error("not-supported-yet", where, message, proposal)


def refuse_unevaluated(key: str, where: Scalar, report: Report) -> None:
    """Report a word of the language that the engine does not evaluate yet; what it says is checked all the same."""
    if key in UNEVALUATED:
        not_yet(key, where, report)


def word(node: Node, what: str, report: Report) -> Scalar | None:
    """The node as one scalar with something in it; None, reported, for anything else."""
    if isinstance(node, Broken):
        return None
    if not isinstance(node, Scalar):
        report.error("wrong-shape", node, f"{what} is one word or number, this is {kind_of(node)}")
        return None
    if not node.text.strip():
        report.error("empty", node, f"{what} is empty")
        return None
    return node


def mapping(node: Node, what: str, report: Report) -> Mapping | None:
    """The node as a mapping; None, reported, for anything else but an empty value."""
    if isinstance(node, Mapping):
        if len(node.entries) > MOST_ENTRIES:
            report.error("too-large", node, f"{what} has more than {MOST_ENTRIES:,} entries")
            return None
        return node
    if not isinstance(node, Broken) and not (isinstance(node, Scalar) and node.value is None):
        report.error("wrong-shape", node, f"{what} is a mapping (key: value), this is {kind_of(node)}")
    return None


def items(node: Node, what: str, report: Report) -> tuple[Node, ...]:
    """The items of a list, broken ones left out; one thing that is no list is taken as a list of one."""
    if isinstance(node, Sequence):
        if len(node.items) > MOST_ENTRIES:
            report.error("too-large", node, f"{what} has more than {MOST_ENTRIES:,} items")
            return ()
        return tuple(item for item in node.items if not isinstance(item, Broken))
    if isinstance(node, Broken) or (isinstance(node, Scalar) and node.value is None):
        return ()
    return (node,)


def named(node: Node | None, what: str, report: Report) -> Iterator[tuple[Scalar, Node]]:
    """Name and value of each entry of a mapping whose keys are names that the author chose."""
    if node is None:
        return
    found = mapping(node, what, report)
    if found is not None:
        for entry in found.entries:
            if not isinstance(entry.value, Broken):
                yield entry.key, entry.value
