"""Read your writes: events that this process has put into the log, for as long as the stream may not have come to them.

The state store knows the ids that the stream has come to, and tells them together with the session: so an event counts
once, from here or from there.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import msgspec

from engine.event import Event, RawEvent
from engine.ports import NewRecord
from engine.values import EpochMs, Millis
from engine.vocabulary import EventRefusedError
from service.api.rules import Rules

CAPACITY = 20_000
"""Events of all sessions: 20 MB at most, and what a process takes in within the seconds that the stream is behind."""
OF_SESSION = 200
"""Events of one session: its latest. A stream so far behind is another matter."""
KEPT_MS: Millis = 10 * 60_000
"""A stream that is further behind than that is down, and operators know; a decision costs by the event."""

_decode = msgspec.json.Decoder(RawEvent).decode


@dataclass(slots=True)
class _Pending:
    """Events of a session, in the order of their acceptance."""

    rules: Rules
    until: EpochMs
    events: dict[str, tuple[Event, bytes]] = field(default_factory=dict)


class Accepted:
    """Events accepted lately, by session. Used from the event loop alone."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._sessions: OrderedDict[str, _Pending] = OrderedDict()
        self._count = 0

    def keep(self, rules: Rules, events: Sequence[Event], records: Sequence[NewRecord], now: EpochMs) -> None:
        """Keep events that are in the log now, each with its record there."""
        for event, record in zip(events, records, strict=True):
            pending = self._sessions.get(event.session_id)
            if pending is None:
                pending = self._sessions[event.session_id] = _Pending(rules, 0)
            self._take_over(pending, rules, now)
            self._sessions.move_to_end(event.session_id)
            pending.until = now + KEPT_MS
            self._count += event.id not in pending.events
            pending.events[event.id] = (event, record.value)
            if len(pending.events) > OF_SESSION:
                del pending.events[next(iter(pending.events))]
                self._count -= 1
        while self._sessions:
            oldest = next(iter(self._sessions.values()))
            if self._count <= self._capacity and oldest.until > now:
                return
            self._count -= len(self._sessions.popitem(last=False)[1].events)

    def of_session(self, session_id: str, rules: Rules, now: EpochMs) -> tuple[Event, ...]:
        """Those of a session that the stream may not have come to, as these rules read them."""
        pending = self._sessions.get(session_id)
        if pending is None or pending.until <= now:
            return ()
        self._take_over(pending, rules, now)
        return tuple(event for event, _ in pending.events.values())

    def drop(self, session_id: str, seen: Collection[str]) -> None:
        """Forget what the stream has come to."""
        pending = self._sessions.get(session_id)
        if pending is None:
            return
        for event_id in seen:
            if pending.events.pop(event_id, None) is not None:
                self._count -= 1
        if not pending.events:
            del self._sessions[session_id]

    def _take_over(self, pending: _Pending, rules: Rules, now: EpochMs) -> None:
        """Read events again that another revision admitted: it may have declared other types."""
        if pending.rules is rules:
            return
        pending.rules = rules
        for event_id, (_, value) in list(pending.events.items()):
            try:
                pending.events[event_id] = (rules.admission.admit(_decode(value), now), value)
            except EventRefusedError:
                del pending.events[event_id]  # as the stream will
                self._count -= 1
