"""An event as the engine sees it: checked against the vocabulary, with typed attributes."""

from __future__ import annotations

from typing import final

from engine.values import EpochMs, Value


@final
class Event:
    """Something that happened in a session. Made by `Vocabulary.admit`, which types and computes the attributes; never changed.

    It is no msgspec struct, so that machine code reads it without a look for its attributes.

    Attributes:
        id: The sender's id of the event; a second event with it is a duplicate.
        type: A type that the vocabulary declares.
        session_id: The session in which it happened.
        time: Event time.
        customer_id: The customer, where known.
        attributes: Declared attributes that have a value; one without a value is absent.
    """

    __slots__ = ("attributes", "customer_id", "id", "session_id", "time", "type")

    def __init__(
        self,
        id: str,  # noqa: A002 - its name in the API, too
        type: str,  # noqa: A002 - likewise
        session_id: str,
        time: EpochMs,
        customer_id: str | None = None,
        attributes: dict[str, Value] | None = None,
    ) -> None:
        self.id = id
        self.type = type
        self.session_id = session_id
        self.time: EpochMs = time
        self.customer_id = customer_id
        self.attributes: dict[str, Value] = {} if attributes is None else attributes

    def at(self, time: EpochMs) -> Event:
        """The same at another time."""
        return Event(self.id, self.type, self.session_id, time, self.customer_id, self.attributes)

    def _parts(self) -> tuple[object, ...]:
        return self.id, self.type, self.session_id, self.time, self.customer_id, self.attributes

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Event) and self._parts() == other._parts()

    def __hash__(self) -> int:
        return hash(self._parts()[:-1])

    def __repr__(self) -> str:
        return f"Event{self._parts()!r}"
