"""What the checker finds: stable codes, places, proposals, and their rendering with the line and a caret."""

from __future__ import annotations

import contextlib
import difflib
import enum
import heapq
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from engine.language.codes import CODES
from engine.language.source import FORBIDDEN, Extent, Source
from engine.language.tree import NOWHERE, Place

__all__ = ["CODES", "Diagnostic", "Report", "Severity", "closest", "render"]

MOST = 300
"""Errors, and warnings, kept of one check: a file that is wrong throughout must not answer with a million of them."""
_WIDTH = 160
_MANY = 300
"""Words that are compared letter by letter: at 20 us each, 300 proposals take 2 s at most."""


class Severity(enum.StrEnum):
    """Whether a ruleset with this diagnostic can be published."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One thing found.

    Attributes:
        code: One of `CODES`.
        message: A plain sentence, without a full stop.
        proposal: What to do, where there is something to propose.
        length: Characters that the caret underlines, at least 1.
    """

    code: str
    severity: Severity
    place: Place
    message: str
    proposal: str | None = None
    length: int = 1


class Located(Protocol):
    """Anything with an extent: a node, a part of the syntax tree."""

    @property
    def extent(self) -> Extent:
        """Where it is written."""


@dataclass(slots=True)
class Found:
    """What was found of one thing: at most `MOST` errors and as many warnings, in the order in which they were found."""

    errors: dict[Diagnostic, None] = field(default_factory=dict)
    warnings: dict[Diagnostic, None] = field(default_factory=dict)
    left_out: int = 0
    last: Place = NOWHERE

    def __bool__(self) -> bool:
        return bool(self.errors or self.warnings)

    def put(self, diagnostic: Diagnostic) -> None:
        """Keep it, or count it where there are enough."""
        kept = self.errors if diagnostic.severity is Severity.ERROR else self.warnings
        if len(kept) < MOST:
            kept[diagnostic] = None
        elif diagnostic not in kept:
            self.left_out += 1
            self.last = diagnostic.place


class Report:
    """Collects the diagnostics of one check."""

    def __init__(self) -> None:
        self._found = Found()
        self._outside = 0

    @property
    def has_errors(self) -> bool:
        """Whether anything found keeps the ruleset from being published."""
        return bool(self._found.errors)

    @contextlib.contextmanager
    def apart(self) -> Iterator[Found]:
        """What is found meanwhile is collected by itself, for somebody who keeps it and takes it in, perhaps again."""
        before, outside = self._found, self._outside
        self._found, self._outside = Found(), outside + len(before.errors)
        try:
            yield self._found
        finally:
            self._found, self._outside = before, outside

    def take_in(self, found: Found, file: str = "", lines: int = 0) -> None:
        """Add what was found apart; what it says of `file` lies so many lines further down."""
        for diagnostic in (*found.errors, *found.warnings):
            place = diagnostic.place
            is_moved = lines and place.file == file
            self._found.put(replace(diagnostic, place=place.below(lines)) if is_moved else diagnostic)
        if found.left_out:
            self._found.left_out += found.left_out
            self._found.last = found.last.below(lines) if found.last.file == file else found.last

    def error(self, code: str, where: Located, message: str, proposal: str | None = None) -> None:
        """Add an error."""
        self._add(code, Severity.ERROR, where.extent, message, proposal)

    def warning(self, code: str, where: Located, message: str, proposal: str | None = None) -> None:
        """Add a warning."""
        self._add(code, Severity.WARNING, where.extent, message, proposal)

    def error_at(self, code: str, place: Place, message: str, proposal: str | None = None) -> None:
        """Add an error at a place that has no extent."""
        self._put(Diagnostic(code, Severity.ERROR, place, message, proposal))

    def warning_at(self, code: str, place: Place, message: str, proposal: str | None = None) -> None:
        """Add a warning at a place that has no extent."""
        self._put(Diagnostic(code, Severity.WARNING, place, message, proposal))

    def propose(self, word: str, known: Collection[str], otherwise: str | None = None) -> str | None:
        """The nearest known word as a proposal, else (with `otherwise`) a list of those known; None when no more is kept."""
        if len(self._found.errors) + self._outside >= MOST:
            return None
        return closest(word, known) or (f"{otherwise} {one_of(known)}" if otherwise is not None and known else None)

    def _add(self, code: str, severity: Severity, extent: Extent, message: str, proposal: str | None) -> None:
        self._put(Diagnostic(code, severity, extent.place, message, proposal, max(1, extent.end - extent.start)))

    def _put(self, diagnostic: Diagnostic) -> None:
        assert diagnostic.code in CODES, diagnostic.code
        self._found.put(diagnostic)

    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """All of them, by file, line and column."""
        kept = self._found
        found = [*kept.errors, *kept.warnings]
        if kept.left_out:
            message = f"{kept.left_out:,} more were found; the first {MOST} errors and {MOST} warnings are shown"
            found.append(Diagnostic("too-many-diagnostics", Severity.WARNING, kept.last, message))
        return tuple(sorted(found, key=lambda each: (each.place.file, each.place.line, each.place.column)))


def closest(word: str, known: Iterable[str]) -> str | None:
    """`did you mean cart.value?` for the known word nearest to `word`, None where none is near."""
    lower = word.lower()
    options: list[str] = []
    for option in known:
        if option.lower() == lower:
            return f"did you mean {option}?"
        options.append(option)
    if len(options) > _MANY:  # a slip seldom changes the length by much and both ends
        ends = (word[:1], word[-1:])
        options = [each for each in options if abs(len(each) - len(word)) <= 2 and (each[:1], each[-1:]) == ends][
            :_MANY
        ]
    near = difflib.get_close_matches(word[:100], options, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]}?"
    tails = [option for option in options if word and option.rpartition(".")[2] == word]
    return f"did you mean {tails[0]}?" if len(tails) == 1 else None


def one_of(known: Collection[str]) -> str:
    """`a, b, c` for a message; long lists are cut."""
    words = heapq.nsmallest(12, known)
    return ", ".join(words) + (f" and {len(known) - 12} more" if len(known) > 12 else "") if words else "none"


def render(diagnostics: Iterable[Diagnostic], sources: Mapping[str, str]) -> str:
    """All diagnostics as text: `file:line:column: error: message [code]`, the line, a caret, the proposal.

    Text of the sources is shown without control characters, so that it can't steer a terminal.
    """
    read: dict[str, Source] = {}
    blocks: list[str] = []
    for found in diagnostics:
        place = found.place
        lines = [f"{place.file}:{place.line}:{place.column}: {found.severity}: {_clean(found.message)} [{found.code}]"]
        if place.file in sources:
            source = read.setdefault(place.file, Source(place.file, sources[place.file]))
            lines += _excerpt(source.line_text(place.line), place, found.length)
        if found.proposal is not None:
            lines.append(f"  = {_clean(found.proposal)}")
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + ("\n" if blocks else "")


def _excerpt(text: str, place: Place, length: int) -> list[str]:
    first = max(0, place.column - 1 - _WIDTH // 2) if len(text) > _WIDTH else 0
    shown = text[first : first + _WIDTH]
    number = str(place.line)
    at = place.column - 1 - first
    caret = "^" * max(1, min(length, len(shown) - at))
    if not shown.strip():
        return []
    return [f"  {number} | {_clean(shown)}", f"  {' ' * len(number)} | {' ' * at}{caret}"]


def _clean(text: str) -> str:
    return FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", text).replace("\t", " ").replace("\n", " ").replace("\r", " ")
