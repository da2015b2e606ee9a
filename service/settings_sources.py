"""Where settings are written: a YAML file (with the place of each), variables, flags.

A reader names every setting that it finds and every mistake that it can see; nothing is raised here.
"""

import difflib
import re
from collections import abc
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.language.diagnostics import Diagnostic, Report
from engine.language.nodes import Broken, Mapping, Node, Scalar, Sequence, read_nodes
from engine.language.source import FORBIDDEN, Source
from engine.language.tree import Place
from service.settings_issues import Issue
from service.settings_values import Text, Written, kinds

PREFIX = "SALIENCE_"
# Variables that are no settings: where the settings file is; recordings for tests and benchmarks.
RESERVED = {"SALIENCE_CONFIG", "SALIENCE_DATA"}
# A value beside a key of such a name is covered in excerpts, whether or not the key is a setting: it may be misspelt.
_SECRET = re.compile(r"((?:pas|secret|token|key)\w*[\"']?\s*[:=]\s*)(\S.*)", re.IGNORECASE)
_USER = re.compile(r"(?<=://)[^@\s]+(?=@)")


def covered(text: str) -> str:
    """Return a text with user and password of an address in it covered, at the same length."""
    return _USER.sub(lambda found: "*" * len(found[0]), text)


@dataclass(frozen=True, slots=True)
class Given:
    """One setting as somebody wrote it."""

    key: str
    written: Written
    place: str
    """`salience.yaml:3:9`, `SALIENCE_API__PORT` or `--set`."""
    folder: Path
    """What a relative path is relative to."""
    excerpt: str = ""


Found = Given | Issue


def unknown(key: str, *, spell: str = "{}") -> str:
    """Say that there is no setting `key`, with those that may be meant."""
    return f"{spell.format(key)} is no setting{_proposal(key)}"


def _proposal(key: str) -> str:
    names = list(kinds())
    close = difflib.get_close_matches(key, names, n=1, cutoff=0.7)
    close = close or [name for name in names if name.rpartition(".")[2] == key.rpartition(".")[2]][:3]
    sections = sorted({name.partition(".")[0] for name in names if "." in name})
    close = close or difflib.get_close_matches(key.partition(".")[0], sections, n=1, cutoff=0.7)
    return f"; did you mean {' or '.join(close)}?" if close else "; `salience settings` lists them"


# ------------------------------------------------------------------------------------------------------- flags


def from_flags(flags: Iterable[str], folder: Path) -> Iterator[Found]:
    """Read `key=value` of each `--set`."""
    for flag in flags:
        key, equals, text = flag.partition("=")
        key = key.strip()
        if not equals:
            yield Issue(f"--set {key}", "a setting is given as --set name=value")
        elif key not in kinds():
            yield Issue(f"--set {key}", unknown(key))
        elif kinds()[key].secret:
            variable = variable_of(key)
            yield Issue(
                f"--set {key}", f"other users of this machine see command lines; use {variable} or the settings file"
            )
        else:
            yield Given(key, Text(text), f"--set {key}", folder)


# --------------------------------------------------------------------------------------------------- variables


def variable_of(key: str) -> str:
    """Return the variable of a setting: `SALIENCE_API__PORT` for `api.port`."""
    return PREFIX + key.upper().replace(".", "__")


def from_variables(environ: abc.Mapping[str, str], folder: Path) -> Iterator[Found]:
    """Read every variable that begins with `SALIENCE_`."""
    keys = {variable_of(key): key for key in kinds()}
    for name in sorted(environ):
        if name in keys:
            yield Given(keys[name], Text(environ[name]), name, folder)
        elif name.startswith(PREFIX) and name not in RESERVED:
            close = difflib.get_close_matches(name, keys, n=1, cutoff=0.8)
            yield Issue(name, f"this variable is no setting{f'; did you mean {close[0]}?' if close else ''}")


# -------------------------------------------------------------------------------------------------------- file


def from_file(path: Path, shown: str) -> Iterator[Found]:
    """Read a YAML file of sections, with the reader of the rule language; `shown` is how messages name it."""
    try:
        source = Source(shown, path.read_text("utf-8"))
    except UnicodeDecodeError as error:
        yield Issue(shown, f"the file is not UTF-8 text (byte {error.start})")
        return
    except OSError as error:
        yield Issue(shown, f"the file can't be read: {error.strerror}")
        return
    report = Report()
    root = read_nodes(source, report)
    file = _File(source, path.resolve().parent)
    found = [file.issue_of(diagnostic) for diagnostic in report.diagnostics()]
    yield from sorted([*found, *(file.section("", root) if root else ())], key=_in_file)


def _in_file(found: Found) -> list[int]:
    return [int(number) for number in found.place.split(":")[-2:]]


class _File:
    def __init__(self, source: Source, folder: Path) -> None:
        self._source = source
        self._folder = folder

    def issue_of(self, found: Diagnostic) -> Issue:
        """Return what the reader said as a mistake."""
        message = f"{found.message}; {found.proposal}" if found.proposal else found.message
        place = found.place
        return Issue(_where(place), message, self.excerpt(place.line, place.column, found.length))

    def section(self, prefix: str, node: Node) -> Iterator[Found]:
        """Read the settings of one mapping."""
        if isinstance(node, Broken):
            return
        if not isinstance(node, Mapping):
            what = (
                f"{prefix} is a section: settings are indented below it"
                if prefix
                else "settings are written as name: value"
            )
            yield self._issue(node, what)
            return
        for entry in node.entries:
            key = f"{prefix}.{entry.key.text}" if prefix else entry.key.text
            if key in kinds():
                yield from self._setting(key, entry.value)
            elif any(known.startswith(key + ".") for known in kinds()):
                if not (isinstance(entry.value, Scalar) and entry.value.is_plain and not entry.value.text):
                    yield from self.section(key, entry.value)  # else: all of its settings are commented out
            else:
                # Its value is not shown: what is misspelt may be a password.
                yield self._issue(entry.key, unknown(key), rest=False)

    def _setting(self, key: str, node: Node) -> Iterator[Found]:
        written: Written | None = None
        if isinstance(node, Scalar):
            written = _text(node)
        elif isinstance(node, Sequence):
            written = tuple(_text(item) for item in node.items if isinstance(item, Scalar))
            written = written if len(written) == len(node.items) else None
        if isinstance(node, Broken):
            return
        if written is None:
            yield self._issue(node, f"{key} must be {kinds()[key].words}")
            return
        issue = self._issue(node, "")
        # What is wrong with a secret is said without showing it.
        yield Given(key, written, issue.place, self._folder, "" if kinds()[key].secret else issue.excerpt)

    def _issue(self, node: Node, message: str, *, rest: bool = True) -> Issue:
        extent = node.extent
        excerpt = self.excerpt(extent.line, extent.column, extent.end - extent.start, rest=rest)
        return Issue(_where(extent.place), message, excerpt)

    def excerpt(self, line: int, column: int, length: int, *, rest: bool = True) -> str:
        """Return a line and carets below it; what may be a secret is covered, as is what follows without `rest`."""
        text = self._source.line_text(line)
        last = min(len(text), column - 1 + length)
        text = text if rest else text[:last] + ": ..."
        text = _SECRET.sub(lambda found: found[1] + "*" * len(found[2]), covered(text))
        number = str(line)
        carets = "^" * max(1, last - column + 1)
        return f"  {number} | {printable(text)}\n  {' ' * len(number)} | {' ' * (column - 1)}{carets}"


def printable(text: str) -> str:
    """Return a text without what could steer a terminal."""
    return FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", text).replace("\t", " ")


def _where(place: Place) -> str:
    return f"{place.file}:{place.line}:{place.column}"


def _text(node: Scalar) -> Text:
    return Text(node.text, quoted=not node.is_plain)
