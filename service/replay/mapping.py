"""The mapping file: which column of a recording is what of an event. Checked, every mistake with its place.

```yaml
columns:
  time: event_time                      # or {column: ts, format: milliseconds}
  type: event_type                      # or {value: product_viewed}
  session_id: user_session
  customer_id: user_id                  # optional
  id: [order_id, line]                  # optional; without it the hash of the row, so that equal rows are one event
types: {view: product_viewed}           # optional; a value that is not here stays as it is
attributes:                             # names of the vocabulary
  product_id: product_id
  quantity: {column: qty, as: integer, default: 1}
skip:                                   # optional; rows that are no events, counted by rule
  - {column: is_bot, is: "1"}
```
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from engine.language.diagnostics import Diagnostic, Report, one_of
from engine.language.nodes import Broken, Node, Scalar, Sequence, read_nodes
from engine.language.nodes import Mapping as MappingNode
from engine.language.shape import Fields, items, mapping, named, word
from engine.language.source import Source
from engine.language.tree import Place


class Cast(enum.StrEnum):
    """What the text of a column is turned into; without one, text stays text and JSON or Parquet values what they are."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"


ISO = "iso"
SECONDS = "seconds"
MILLISECONDS = "milliseconds"


@dataclass(frozen=True, slots=True)
class Column:
    """One value of an event.

    Attributes:
        column: Where it is read; None: `default` always.
        cast: What it becomes.
        default: Instead of nothing or an empty text; None: the event does not have it.
        place: Where the mapping names the column.
    """

    column: str | None
    place: Place
    cast: Cast | None = None
    default: str | int | float | bool | None = None


@dataclass(frozen=True, slots=True)
class Skip:
    """A rule that leaves rows out: those whose column has one of these texts ("" for nothing)."""

    column: str
    values: frozenset[str]
    place: Place

    @property
    def text(self) -> str:
        """For the report: `is_bot is 1`."""
        return f"{self.column} is {' or '.join(sorted(each or 'empty' for each in self.values))}"


@dataclass(frozen=True, slots=True)
class RecordingMapping:
    """A checked mapping.

    Attributes:
        time_format: `iso`, `seconds`, `milliseconds`, or a pattern of strptime, whose times without an offset are UTC.
        id_columns: Together the id; empty: the hash of the row.
    """

    time: Column
    time_format: str
    type: Column
    session_id: Column
    customer_id: Column | None
    id_columns: tuple[Column, ...]
    types: Mapping[str, str]
    attributes: Mapping[str, Column]
    skip: tuple[Skip, ...]

    def columns(self) -> dict[str, Place]:
        """Every column that is named, with the first place that names it."""
        used = [self.time, self.type, self.session_id, *self.id_columns, *self.attributes.values()]
        used += [self.customer_id] if self.customer_id is not None else []
        found: dict[str, Place] = {}
        for each in used:
            if each.column is not None:
                found.setdefault(each.column, each.place)
        for rule in self.skip:
            found.setdefault(rule.column, rule.place)
        return found


def read_mapping(file: str, text: str) -> tuple[RecordingMapping | None, tuple[Diagnostic, ...]]:
    """Check a mapping file; None with at least one error."""
    report = Report()
    root = read_nodes(Source(file, text), report)
    found = None
    if isinstance(root, MappingNode):
        found = _read(root, report)
    elif not report.has_errors:
        report.error_at(
            "wrong-shape", Place(file, 1, 1), "a mapping file has the keys columns, types, attributes, skip"
        )
    return None if report.has_errors else found, report.diagnostics()


def _read(root: MappingNode, report: Report) -> RecordingMapping | None:
    top = Fields(root, "a mapping file", ("columns", "types", "attributes", "skip"), report)
    columns_node = top.needed("columns")
    inner = None if columns_node is None else mapping(columns_node, "columns", report)
    if inner is None:
        return None
    columns = Fields(inner, "columns", ("time", "type", "session_id", "customer_id", "id"), report)
    time, time_format = _time(columns.needed("time"), report)
    kind = _column(columns.needed("type"), "type", report)
    session = _column(columns.needed("session_id"), "session_id", report)
    customer = _column(columns.node("customer_id"), "customer_id", report) if "customer_id" in columns else None
    ids = tuple(
        Column(found.text, found.extent.place)
        for each in columns.items("id")
        if (found := word(each, "id", report)) is not None
    )
    types = {
        key.text: target.text
        for key, node in named(top.node("types"), "types", report)
        if (target := word(node, f"types.{key.text}", report)) is not None
    }
    attributes = {
        key.text: column
        for key, node in named(top.node("attributes"), "attributes", report)
        if (column := _column(node, f"attributes.{key.text}", report)) is not None
    }
    skip = tuple(rule for node in top.items("skip") if (rule := _skip(node, report)) is not None)
    if time is None or kind is None or session is None:
        return None
    return RecordingMapping(time, time_format, kind, session, customer, ids, types, attributes, skip)


def _time(node: Node | None, report: Report) -> tuple[Column | None, str]:
    if isinstance(node, MappingNode):
        fields = Fields(node, "time", ("column", "format"), report)
        column = fields.word("column", needed=True)
        written = fields.word("format")
        time_format = ISO if written is None else written.text
        if written is not None and time_format not in {ISO, SECONDS, MILLISECONDS} and "%" not in time_format:
            known = f"{ISO}, {SECONDS}, {MILLISECONDS} or a pattern like %d.%m.%Y %H:%M"
            report.error("bad-date", written, f"{time_format!r} is no format of a time", f"known here: {known}")
        return (None if column is None else Column(column.text, column.extent.place)), time_format
    return _column(node, "time", report), ISO


def _column(node: Node | None, what: str, report: Report) -> Column | None:
    """A column by its name, or a mapping with `column`, `as`, `default`, or with `value` alone."""
    if node is None or isinstance(node, Broken):
        return None
    if not isinstance(node, MappingNode):
        name = word(node, what, report)
        return None if name is None else Column(name.text, name.extent.place)
    fields = Fields(node, what, ("column", "as", "default", "value"), report)
    if "value" in fields:
        value = fields.word("value")
        return None if value is None else Column(None, value.extent.place, None, value.value)
    column = fields.word("column", needed=True)
    cast = None
    if (written := fields.word("as")) is not None:
        if written.text in set(Cast):
            cast = Cast(written.text)
        else:
            report.error(
                "unknown-type", written, f"{written.text} is no type of a column", f"known: {one_of(list(Cast))}"
            )
    default = fields.node("default")
    if default is not None and not isinstance(default, Scalar):
        report.error("wrong-shape", default, f"the default of {what} is one word or number")
        default = None
    return None if column is None else Column(
        column.text, column.extent.place, cast, None if default is None else default.value
    )  # fmt: skip


def _skip(node: Node, report: Report) -> Skip | None:
    found = mapping(node, "a rule of skip", report)
    if found is None:
        return None
    fields = Fields(found, "a rule of skip", ("column", "is"), report)
    column = fields.word("column", needed=True)
    values = fields.needed("is")
    if column is None or values is None:
        return None
    texts = items(values, "is", report) if isinstance(values, Sequence) else (values,)
    # An empty value is a value here: rows without a session, say.
    return Skip(column.text, frozenset(each.text for each in texts if isinstance(each, Scalar)), column.extent.place)
