"""Where settings are written: a YAML file (with the place of each), variables, flags.

A reader names every setting that it finds and every mistake that it can see; nothing is raised here.
"""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from service.settings_values import Text, Written, kinds

PREFIX = "SALIENCE_"
# Variables that are no settings: where the settings file is; what only development reads.
RESERVED = {"SALIENCE_CONFIG", "SALIENCE_DATA", "SALIENCE_VENV"}
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


@dataclass(frozen=True, slots=True)
class Issue:
    """One mistake: where, what, and the line with a caret where there is a line."""

    place: str
    message: str
    excerpt: str = ""

    def __str__(self) -> str:
        return f"{self.place}: {self.message}" + (f"\n{self.excerpt}" if self.excerpt else "")


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


def from_variables(environ: Mapping[str, str], folder: Path) -> Iterator[Found]:
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
    """Read a YAML file of sections; `shown` is how messages name it.

    Nodes are read, never values, so that a mistake has its place and nothing is guessed from how a text looks.
    """
    try:
        source = path.read_text("utf-8")
        root = yaml.compose(source, Loader=yaml.BaseLoader)
    except UnicodeDecodeError as error:
        yield Issue(shown, f"the file is not UTF-8 text (byte {error.start})")
        return
    except OSError as error:
        yield Issue(shown, f"the file can't be read: {error.strerror}")
        return
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message = f"this is not YAML: {error.problem or error.context}"
        yield _File(shown, source).issue(mark, mark, message) if mark else Issue(shown, message)
        return
    except yaml.YAMLError as error:
        yield Issue(shown, f"this is not YAML: {error}")
        return
    if root is not None:
        yield from _File(shown, source, path.resolve().parent).section("", root)


class _File:
    def __init__(self, shown: str, source: str, folder: Path = Path()) -> None:
        self._shown = shown
        self._lines = source.splitlines()
        self._folder = folder

    def section(self, prefix: str, node: yaml.Node) -> Iterator[Found]:
        """Read the settings of one mapping."""
        if not isinstance(node, yaml.MappingNode):
            what = (
                f"{prefix} is a section: settings are indented below it"
                if prefix
                else "settings are written as name: value"
            )
            yield self.issue(node.start_mark, node.end_mark, what)
            return
        seen: dict[str, int] = {}
        for name, value in node.value:
            if not isinstance(name, yaml.ScalarNode):
                yield self.issue(name.start_mark, name.end_mark, "a setting's name is one word")
                continue
            key = f"{prefix}.{name.value}" if prefix else name.value
            if key in seen:
                yield self.issue(
                    name.start_mark, name.end_mark, f"{key} stands here again; the first is in line {seen[key]}"
                )
                continue
            seen[key] = name.start_mark.line + 1
            if key in kinds():
                yield self._setting(key, value)
            elif any(known.startswith(key + ".") for known in kinds()):
                yield from self._below(key, value)
            else:
                # Its value is not shown: what is misspelt may be a password.
                yield self.issue(name.start_mark, name.end_mark, unknown(key), rest=False)

    def _below(self, key: str, value: yaml.Node) -> Iterator[Found]:
        if isinstance(value, yaml.ScalarNode) and value.value == "" and value.style is None:
            return  # a section whose settings are all commented out
        yield from self.section(key, value)

    def _setting(self, key: str, node: yaml.Node) -> Found:
        written: Written | None = None
        if isinstance(node, yaml.ScalarNode):
            written = _text(node)
        elif isinstance(node, yaml.SequenceNode) and all(isinstance(item, yaml.ScalarNode) for item in node.value):
            written = tuple(map(_text, node.value))
        if written is None:
            return self.issue(node.start_mark, node.end_mark, f"{key} must be {kinds()[key].words}")
        place = f"{self._shown}:{node.start_mark.line + 1}:{node.start_mark.column + 1}"
        # What is wrong with a secret is said without showing it.
        excerpt = "" if kinds()[key].secret else self.excerpt(node.start_mark, node.end_mark)
        return Given(key, written, place, self._folder, excerpt)

    def issue(self, start: yaml.Mark, end: yaml.Mark, message: str, *, rest: bool = True) -> Issue:
        """Return a mistake at a place of this file; without `rest`, its line is shown up to its end."""
        place = f"{self._shown}:{start.line + 1}:{start.column + 1}"
        return Issue(place, message, self.excerpt(start, end, rest=rest))

    def excerpt(self, start: yaml.Mark, end: yaml.Mark, *, rest: bool = True) -> str:
        """Return the line and carets below it; what may be a secret is covered."""
        if start.line >= len(self._lines):
            return ""
        line = self._lines[start.line] if rest else self._lines[start.line][: end.column] + ": ..."
        line = _SECRET.sub(lambda found: found[1] + "*" * len(found[2]), covered(line))
        last = end.column if end.line == start.line else len(line)
        carets = "^" * max(1, last - start.column)
        number = str(start.line + 1)
        return f"  {number} | {line}\n  {' ' * len(number)} | {' ' * start.column}{carets}"


def _text(node: yaml.ScalarNode) -> Text:
    return Text(node.value, quoted=node.style is not None)
