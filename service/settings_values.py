"""From what somebody wrote to the value of a setting, by the setting's type alone.

A text becomes a number because a number is asked for, not because it looks like one; so YAML's traps (`no`, `on`, `1:30`)
do not exist here, and a file, a variable and a flag are read alike.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from msgspec import inspect

from config.schema import Settings
from config.secret import Secret

_NUMBER = re.compile(r"[-+]?[0-9][0-9_]*")
_TRUTHS = {"true": True, "false": False}
_NOTHING = ("null", "Null", "NULL", "~")


@dataclass(frozen=True, slots=True)
class Text:
    """One written value; `quoted` when somebody made clear that it is text."""

    text: str
    quoted: bool = False


Written = Text | tuple[Text, ...]


@dataclass(frozen=True, slots=True)
class Kind:
    """The type of a setting, as `msgspec.inspect` tells it, and in words."""

    type: inspect.Type
    words: str

    @property
    def secret(self) -> bool:
        """Whether its value must never be shown."""
        return isinstance(self.type, inspect.CustomType) and self.type.cls is Secret

    @property
    def path(self) -> bool:
        """Whether it is a path, relative to where it was written."""
        kind = _given(self.type)
        return isinstance(kind, inspect.CustomType) and kind.cls is Path

    @property
    def optional(self) -> bool:
        """Whether nothing, written as an empty text, is a value: None."""
        return isinstance(self.type, inspect.UnionType)

    @property
    def several(self) -> bool:
        """Whether it is a list."""
        return isinstance(self.type, inspect.VarTupleType)

    def value(self, written: Written) -> object:
        """Return the typed value.

        Raises:
            ValueError: it is not of this type, or out of range.
        """
        if self.several:
            items = written if isinstance(written, tuple) else tuple(map(Text, filter(None, _split(written.text))))
            return tuple(_scalar(getattr(self.type, "item_type"), item) for item in items)  # noqa: B009 - known above
        if isinstance(written, tuple):
            raise ValueError(self.words)  # noqa: TRY004 - all that does not fit is one kind of error here
        return _scalar(self.type, written)


def _split(text: str) -> Iterator[str]:
    return (part.strip() for part in text.split(","))


def _given(kind: inspect.Type) -> inspect.Type:
    """What it is when it is something: of a type or None, the type."""
    return kind.types[0] if isinstance(kind, inspect.UnionType) else kind


def _scalar(kind: inspect.Type, written: Text) -> object:
    text = written.text
    if isinstance(kind, inspect.UnionType):
        return _scalar(_given(kind), written) if text else None
    if isinstance(kind, inspect.Metadata):
        kind = kind.type
    if not written.quoted and text in _NOTHING:
        raise ValueError(text)
    match kind:
        case inspect.BoolType() if not written.quoted and text in _TRUTHS:
            return _TRUTHS[text]
        case inspect.IntType() if not written.quoted and _NUMBER.fullmatch(text):
            number = int(text)
            if (kind.ge is None or number >= kind.ge) and (kind.le is None or number <= kind.le):
                return number
        case inspect.StrType() if re.search(kind.pattern or "", text):
            return text
        case inspect.LiteralType() if text in kind.values:
            return text
        case inspect.CustomType() if kind.cls is Secret:
            return Secret(text)
        case inspect.CustomType() if kind.cls is Path and "\0" not in text:
            return text  # made a path where it is known to what it is relative
    raise ValueError(text)


def _words(kind: inspect.Type) -> str:
    match kind:
        case inspect.Metadata():
            return str((kind.extra_json_schema or {}).get("description") or _words(kind.type))
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType():
            return f"a whole number from {kind.ge} to {kind.le}"
        case inspect.LiteralType():
            return "one of " + ", ".join(map(str, kind.values))
        case inspect.VarTupleType():
            return f"a list, each {_words(kind.item_type)}"
        case inspect.CustomType() if kind.cls is Path:
            return "a path"
        case inspect.UnionType():
            return f"{_words(_given(kind))}, or empty"
        case _:
            return "text"


@cache
def kinds() -> Mapping[str, Kind]:
    """Return every setting, `api.port`, with its kind, in the order of the schema."""
    return dict(_walk("", inspect.type_info(Settings)))


def _walk(prefix: str, kind: inspect.Type) -> Iterator[tuple[str, Kind]]:
    if isinstance(kind, inspect.StructType):
        for field in kind.fields:
            yield from _walk(f"{prefix}.{field.name}" if prefix else field.name, field.type)
    else:
        yield prefix, Kind(kind, _words(kind))


def written(value: object) -> str:
    """Return the text that reads back as `value`, as in a variable."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    if value is None:
        return ""
    return value.reveal() if isinstance(value, Secret) else str(value)


def build(values: Mapping[str, object]) -> Settings:
    """Return the settings of which `values` names every one."""
    nested: dict[str, Any] = {}
    for key, value in values.items():
        *sections, name = key.split(".")
        section = nested
        for part in sections:
            section = section.setdefault(part, {})
        section[name] = value
    return msgspec.convert(nested, Settings)
