"""Holdouts: who is kept from seeing a rule or an offer, so that its effect can be measured against them.

The draw is a hash and no random number, so that it stays: the same salt, thing and person give the same answer in
every process, today and in a year.
"""

from __future__ import annotations

import hashlib

GLOBAL = "global"
"""The thing of the holdout from all offers."""

_DRAW_BYTES = 8
_DRAWS = 1 << (8 * _DRAW_BYTES)


def draw(salt: str, thing: str, person: str) -> float:
    """A number in [0, 1), uniform over persons and independent between things.

    The first 8 bytes (big-endian) of SHA-256 over `salt`, `thing` and `person` in UTF-8, separated by a zero byte,
    divided by 2**64.

    Args:
        salt: Of the installation; another salt draws all groups anew.
        thing: `rule/<rule id>`, `offer/<offer id>` or `GLOBAL`.
        person: The customer id; the session id while the shopper is anonymous, and for customers who came from one.
    """
    digest = hashlib.sha256(f"{salt}\0{thing}\0{person}".encode()).digest()
    # Shifted to 53 bits, or rounding to the nearest float would make the largest draws 1.0.
    return (int.from_bytes(digest[:_DRAW_BYTES], "big") >> 11) / (_DRAWS >> 11)


def is_held_out(salt: str | None, thing: str, person: str, share: float) -> bool:
    """Whether this person is among the share (0 to 1) held out; with `salt` None nobody is (tests, previews)."""
    return salt is not None and share > 0 and draw(salt, thing, person) < share
