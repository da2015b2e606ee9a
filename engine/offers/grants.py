"""Grants: what a session is being shown, so that a repeated decision is the same act and not another one.

An offer that a session was granted in a placement by a rule stays granted while that rule goes on nominating it in
successive decisions: the decision uses the token of the first again, and the limit store takes once. When a decision no
longer shows it there, the grant ends; to show it again is a new act within the limits. A decision about other
placements changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import msgspec

from engine.decision import Decision, Outcome

Grants: TypeAlias = Mapping[str, bytes]
"""By placement, as `DecisionState.read` gives and `put_grants` takes them."""


class Grant(msgspec.Struct, frozen=True, array_like=True):
    """An act that goes on: `token` is what it took."""

    rule: str
    offer: str
    token: str


_DECODER = msgspec.json.Decoder(tuple[Grant, ...])


def granted(grants: Grants, placement: str) -> Mapping[tuple[str, str], str]:
    """Tokens by (rule, offer) of one placement; nothing where the bytes are not grants (of another version, say)."""
    raw = grants.get(placement)
    if not raw:
        return {}
    try:
        return {(grant.rule, grant.offer): grant.token for grant in _DECODER.decode(raw)}
    except msgspec.MsgspecError:
        return {}


def next_grants(decision: Decision, before: Grants) -> dict[str, bytes]:
    """What the session is granted after a decision: all of it, ready for `put_grants`.

    A placement whose limits could not be looked at keeps its grants: the act goes on when the limit store is back.
    """
    grants = dict(before)
    for placed in decision.placements:
        if placed.outcome is Outcome.DEGRADED:
            continue
        now = [Grant(shown.rule, shown.offer, shown.token) for shown in placed.offers if shown.rule and shown.token]
        if now:
            grants[placed.placement] = msgspec.json.encode(now)
        else:
            grants.pop(placed.placement, None)
    return grants
