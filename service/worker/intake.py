"""Reading a record: to an event, a tick, or the reason why it is neither."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import msgspec

from engine.event import Event, RawEvent
from engine.language.tree import Vocabulary
from engine.ports import Record
from engine.values import EpochMs, Millis
from engine.vocabulary import Admission, EventRefusedError
from service.worker.messages import TICK

FUTURE_MS: Millis = 3_600_000
"""An event may be so far ahead of the time at which it was appended: an hour is more than any clock that is cared for
is wrong by. One of the year 2099 would make every later event of its partition late."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a record is no event."""

    code: str
    reason: str
    field: str = ""


Reading: TypeAlias = "Event | EpochMs | Refused"
"""What a record is: an event, the time of a tick, or why it is neither."""


class Intake:
    """Reads records against one vocabulary; immutable, a pure function of the record."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._admission = Admission(vocabulary)
        self._decode = msgspec.json.Decoder(RawEvent).decode

    def read(self, records: Sequence[Record]) -> list[Reading]:
        """What each record is, in order. Never raises."""
        return [self._read(record) for record in records]

    def _read(self, record: Record) -> Reading:
        try:
            raw = self._decode(record.value)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            code = "not-an-event" if isinstance(error, msgspec.ValidationError) else "not-json"
            return Refused(code, f"the record can't be read as an event: {error}")
        if raw.type == TICK:
            return raw.time if isinstance(raw.time, int) else Refused("bad-tick", "a tick without a time", "time")
        if raw.id is None:
            # A sender without ids: the place in the log stands in, so that a replay of the log knows it again.
            raw.id = f"{record.partition}-{record.offset}"
        try:
            event = self._admission.admit(raw, record.time)
        except EventRefusedError as refused:
            return Refused(refused.code, refused.message, refused.field)
        if event.time > record.time + FUTURE_MS:
            ahead = (event.time - record.time) // 60_000
            return Refused("from-the-future", f"the event's time is {ahead} minutes after it was received", "time")
        return event
