"""An event as the engine sees it: checked against the vocabulary, with typed attributes."""

from __future__ import annotations

import msgspec

from engine.values import EpochMs, Value


class Event(msgspec.Struct, frozen=True, gc=False):
    """Something that happened in a session. Made by `Vocabulary.admit`, which types and computes the attributes.

    Attributes:
        id: The sender's id of the event; a second event with it is a duplicate.
        type: A type that the vocabulary declares.
        session_id: The session in which it happened.
        time: Event time.
        customer_id: The customer, where known.
        attributes: Declared attributes that have a value; one without a value is absent.
    """

    id: str
    type: str
    session_id: str
    time: EpochMs
    customer_id: str | None = None
    attributes: dict[str, Value] = {}


class RawEvent(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """An event as a sender writes it (JSON in the API, in the log and in recordings), before the vocabulary saw it.

    Attributes:
        time: Milliseconds since the epoch, or RFC 3339 text; None means "when it was received", filled in before it
            is appended to the log.
        attributes: JSON values: money as a number or text in major units (`35.79`), timestamps as ms or RFC 3339.
    """

    type: str
    session_id: str
    id: str | None = None
    time: EpochMs | str | None = None
    customer_id: str | None = None
    attributes: dict[str, object] = {}
