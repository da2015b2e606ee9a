"""Events: as a sender writes them, and as the engine sees them."""

from __future__ import annotations

import msgspec

from engine.admitted import Event
from engine.values import EpochMs

__all__ = ["Event", "RawEvent"]


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
