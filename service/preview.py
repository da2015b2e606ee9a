"""Previews: a signed token that says how a decision is to be made for whoever shows it, until it expires.

A token reads `salp_<content>.<signature>`, both in base64url: JSON, and its HMAC-SHA256 under a secret that only this
installation has. So a page may carry it, and nobody can change what it says.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

import msgspec

from engine.values import EpochMs, Millis

PREFIX = "salp_"
LONGEST = 8_192
"""Characters of a token; with the facts and events of a persona it has some hundreds."""


class PreviewRefusedError(Exception):
    """A token that is not valid here and now; the message says why."""


class ImaginedEvent(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """An event that is taken as having happened.

    Attributes:
        ago: How long before the moment of the decision, ms.
        attributes: As in an event that is sent.
    """

    type: str
    attributes: dict[str, object] = {}
    ago: Millis = 0


class Preview(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a token says.

    Attributes:
        of: The installation that made it; see `name_of`.
        until: It is valid before this moment.
        key: The id of the only API key that may use it; None: any.
        time: The moment to decide for; None: now.
        facts: Facts of the request and of the customer, as JSON.
        segments: Whether the shopper counts as one of them, by segment.
        scores: Answers of models; None: the model does not answer.
        events: In order.
    """

    of: str
    until: EpochMs
    key: str | None = None
    time: EpochMs | None = None
    facts: dict[str, object] = {}
    segments: dict[str, bool] = {}
    scores: dict[str, float | None] = {}
    events: tuple[ImaginedEvent, ...] = ()

    @property
    def forced(self) -> tuple[str, ...]:
        """What it sets, in words."""
        return (
            *(("time",) if self.time is not None else ()),
            *self.facts,
            *(f"segment {name}" for name in self.segments),
            *(f"score {name}" for name in self.scores),
            *(f"event {event.type}" for event in self.events),
        )


def name_of(secret: bytes) -> str:
    """The name by which an installation knows its own tokens; says nothing of the secret."""
    return hashlib.sha256(b"salience preview\0" + secret).hexdigest()[:12]


def sign(preview: Preview, secret: bytes) -> str:
    """The token."""
    content = msgspec.json.encode(preview)
    return f"{PREFIX}{_text(content)}.{_text(_signature(content, secret))}"


def read(token: str, secret: bytes, now: EpochMs, key_id: str) -> Preview:
    """What a token says; raises `PreviewRefusedError`.

    Args:
        token: As it came.
        secret: Of this installation.
        now: Our clock, whatever moment the token forces.
        key_id: Of the API key that it came with.
    """
    content, dot, signature = token.removeprefix(PREFIX).partition(".")
    if len(token) > LONGEST or not token.startswith(PREFIX) or not dot:
        raise PreviewRefusedError("it is no token of `salience preview`")
    try:
        raw, given = _bytes(content), _bytes(signature)
        preview = msgspec.json.decode(raw, type=Preview)
    except (binascii.Error, ValueError, RecursionError):
        raise PreviewRefusedError("it was cut or altered") from None
    if preview.of != name_of(secret):
        raise PreviewRefusedError(f"it was made by another installation ({preview.of[:20]!r})")
    if not hmac.compare_digest(given, _signature(raw, secret)):
        raise PreviewRefusedError("it was cut or altered")
    if now >= preview.until:
        raise PreviewRefusedError(f"it expired {max(1, (now - preview.until) // 1000)} s ago")
    if preview.key is not None and preview.key != key_id:
        raise PreviewRefusedError(f"it is for the key {preview.key} alone")
    return preview


def _signature(content: bytes, secret: bytes) -> bytes:
    return hmac.digest(secret, content, "sha256")


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    if _text(raw) != text:
        raise ValueError("not as it was written")  # other last bits: the same bytes in another writing
    return raw
