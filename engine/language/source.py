"""A source text: its limits, its lines, and places in it."""

from __future__ import annotations

import bisect
import re
from itertools import accumulate

import msgspec

from engine.language.tree import Place

LARGEST_FILE = 1 << 20
"""Bytes of UTF-8 in one file."""

_LINE_END = re.compile(r"\r\n|\n|\r")
# What YAML 1.2 does not allow in a text, and the breaks of YAML 1.1 that a reader does not see as such.
FORBIDDEN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]")


class Extent(msgspec.Struct, frozen=True, eq=False, gc=False):
    """A stretch of a source: characters from `start` to before `end`. Line and column are worked out when asked for."""

    source: Source
    start: int
    end: int

    @property
    def file(self) -> str:
        """The file's path in the folder."""
        return self.source.file

    @property
    def line(self) -> int:
        """The line of its first character, from 1."""
        return self.source.position(self.start)[0]

    @property
    def column(self) -> int:
        """The column of its first character, from 1."""
        return self.source.position(self.start)[1]

    @property
    def place(self) -> Place:
        """Where it starts."""
        return Place(self.source.file, *self.source.position(self.start))

    def part(self, start: int, end: int) -> Extent:
        """A stretch inside this one, by offsets from its start."""
        return self.source.extent(min(self.start + start, self.end), min(self.start + end, self.end))


class Source:
    """A file's text with its lines. Lines end at LF, CRLF or CR; lines and columns count from 1, in code points."""

    __slots__ = ("_starts", "file", "text")

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self.text = text
        if "\r" in text:
            self._starts = [0, *(match.end() for match in _LINE_END.finditer(text))]
        else:  # most often; a file is read in as many sources as it has rules
            self._starts = [0, *accumulate([len(line) + 1 for line in text.split("\n")[:-1]])]

    def extent(self, start: int, end: int) -> Extent:
        """The stretch between two offsets; both are brought inside the text."""
        start = min(max(start, 0), len(self.text))
        return Extent(self, start, max(start, min(end, len(self.text))))

    def position(self, offset: int) -> tuple[int, int]:
        """Line and column of an offset inside the text."""
        line = bisect.bisect_right(self._starts, offset)
        return line, offset - self._starts[line - 1] + 1

    def line_text(self, line: int) -> str:
        """A line without its end; empty where there is no such line."""
        if not 1 <= line <= len(self._starts):
            return ""
        end = self._starts[line] if line < len(self._starts) else len(self.text)
        return self.text[self._starts[line - 1] : end].rstrip("\r\n")
