"""From a row to a record of the event log.

Nothing is judged here but what the mapping says to skip: a row without a session, with a time that can't be read or of
an unknown type goes into the log as it is, and the worker sends it to the dead letters with the reason. So a recording
is treated as any sender's events are.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from engine.event import RawEvent
from engine.ports import NewRecord
from engine.values import EpochMs, Millis
from service.replay.mapping import ISO, MILLISECONDS, SECONDS, Cast, Column, RecordingMapping
from service.replay.rows import Row

_TRUE = frozenset({"1", "true", "yes", "t", "y"})
_FALSE = frozenset({"0", "false", "no", "f", "n"})


@dataclass(frozen=True, slots=True)
class Prepared:
    """A record with the event time by which it is paced; None where the row's time can't be read."""

    record: NewRecord
    time: EpochMs | None


class RowReader:
    """Makes records of rows, by one mapping; counts what it leaves out.

    Args:
        mapping: Checked.
        columns: The columns that the rows bring, in order.
        shift: Added to every time. Ids differ by it, so that a recording can be fed again at another time.

    Attributes:
        skipped: Rows left out, by rule of the mapping.
        incomplete: Rows without a session or a time that can be read, and lines that can't be read at all; they are in the log, and become dead letters.
    """

    def __init__(self, mapping: RecordingMapping, columns: Sequence[str], shift: Millis = 0) -> None:
        self._mapping = mapping
        self._index = {name: place for place, name in enumerate(columns)}
        self.shift = shift
        self._encode = msgspec.json.Encoder().encode
        self.skipped: Counter[str] = Counter()
        self.incomplete = 0

    def time_of(self, row: Row) -> EpochMs | None:
        """The row's own time, None where it can't be read."""
        if row.is_broken:
            return None
        return _moment(self._value(self._mapping.time, row), self._mapping.time_format)

    def prepare(self, row: Row) -> Prepared | None:
        """The record of a row, None where the mapping skips it."""
        mapping = self._mapping
        if row.is_broken:
            self.incomplete += 1
            return Prepared(NewRecord(row.whole[:64], row.whole.encode()), None)
        for rule in mapping.skip:
            if _text(row.values[self._index[rule.column]]) in rule.values:
                self.skipped[rule.text] += 1
                return None
        written = self._value(mapping.time, row)
        moment = _moment(written, mapping.time_format)
        session = _text(self._value(mapping.session_id, row))
        if moment is None or not session:
            self.incomplete += 1
        kind = _text(self._value(mapping.type, row))
        customer = None if mapping.customer_id is None else _text(self._value(mapping.customer_id, row)) or None
        attributes = {}
        for name, column in mapping.attributes.items():
            value = self._value(column, row)
            if value is not None:
                attributes[name] = value
        event = RawEvent(
            type=mapping.types.get(kind, kind),
            session_id=session,
            id=self._id(row),
            time=_text(written) if moment is None else moment + self.shift,
            customer_id=customer,
            attributes=attributes,
        )
        # A record without a session still needs a partition; by its row it gets the same one each time.
        key = session or row.whole[:64]
        return Prepared(NewRecord(key, self._encode(event)), moment)

    def _value(self, column: Column, row: Row) -> object:
        if column.column is None:
            return column.default
        value = row.values[self._index[column.column]]
        if value is None or value == "":
            return column.default
        return value if column.cast is None else _cast(value, column.cast)

    def _id(self, row: Row) -> str:
        columns = self._mapping.id_columns
        text = "\x1f".join(_text(self._value(each, row)) for each in columns) if columns else row.whole
        if columns and not self.shift and len(text) <= 200 and text.isprintable():
            return text
        return hashlib.sha256(f"{text}\0{self.shift or ''}".encode()).hexdigest()[:32]


def _text(value: object) -> str:
    return "" if value is None else value if isinstance(value, str) else str(value)


def _cast(value: object, cast: Cast) -> object:
    """The value as another type; what does not fit stays as it is, for the worker to name."""
    text = _text(value).strip()
    if cast is Cast.TEXT:
        return text
    if cast is Cast.BOOLEAN:
        lower = text.lower()
        return True if lower in _TRUE else False if lower in _FALSE else value
    try:
        number = float(text)
        return number if cast is Cast.NUMBER else int(text) if text.lstrip("-").isdecimal() else int(number)
    except (ValueError, OverflowError):
        return value


def _moment(value: object, time_format: str) -> EpochMs | None:
    """Milliseconds since the epoch; None for what can't be read so."""
    try:
        if time_format == MILLISECONDS:
            return int(float(_text(value)))
        if time_format == SECONDS:
            return round(float(_text(value)) * 1000)
        text = _text(value).strip()
        if time_format == ISO:
            moment = dt.datetime.fromisoformat(f"{text[:-4]}+00:00" if text.endswith(" UTC") else text)
        else:
            moment = dt.datetime.strptime(text, time_format)  # noqa: DTZ007 - the next line gives it UTC
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=dt.UTC)
        return round(moment.timestamp() * 1000)
    except (ValueError, OverflowError):
        return None
