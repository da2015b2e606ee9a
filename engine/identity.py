"""Who a person is over sign-ins: what is kept of a customer, so that nobody is drawn twice and acts come along."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from engine.values import Millis


class Identity(msgspec.Struct, frozen=True):
    """What a customer brought along when signing in.

    Attributes:
        drawn_as: Who draws for the customer's holdouts: the customer id, or the anonymous session that came first, so
            that signing in draws no second time.
        sessions: Sessions that were anonymous before the customer signed in, latest last: their acts count for the customer.
    """

    drawn_as: str
    sessions: tuple[str, ...] = ()


OWNER = ""
"""The entry of the grants that says for whom they were granted; no placement has this name."""
ANONYMOUS = b""
SIGNED_OUT = b"\0"
"""No customer has such an id: ids are printable."""

MERGED_SESSIONS = 8
"""Anonymous sessions kept of a customer; an older one's acts count for nobody any more."""
IDENTITY_KEPT_MS: Millis = 400 * 86_400_000
"""An identity is forgotten this long after its last change: as long as the longest limit."""


class Identities(Protocol):
    """Identities as the stream reads and keeps them: those of the decision API, synchronously."""

    def read(self, who: Sequence[tuple[str, str]]) -> Sequence[tuple[Identity | None, Mapping[str, bytes]]]:
        """For each (session, customer), in order: what is kept of the customer, and the session's grants."""

    def identify(self, customer_id: str, session_id: str, *, was_anonymous: bool) -> Identity:
        """As `DecisionState.identify`."""

    def close(self) -> None:
        """Let go."""


def identified(known: Identity | None, customer_id: str, session_id: str, *, was_anonymous: bool) -> Identity:
    """What `DecisionState.identify` makes of a known identity."""
    if known is None:
        known = Identity(session_id if was_anonymous else customer_id)
    if not was_anonymous or session_id in known.sessions:
        return known
    return Identity(known.drawn_as, (*known.sessions, session_id)[-MERGED_SESSIONS:])
