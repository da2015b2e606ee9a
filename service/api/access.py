"""Who may call: the key, its scope, and the origin of the page that a browser calls from."""

from __future__ import annotations

from collections.abc import Mapping

from config.schema import ApiSettings
from service.api.call import Endpoint, Headers
from service.api.problems import ProblemError
from service.keys import ApiKey, KeyKind, KeyRing

EXPOSED = b"X-Request-Id, Server-Timing, Retry-After, ETag, Idempotency-Replayed, RateLimit, RateLimit-Policy"
PREFLIGHT_S = b"7200"
"""The longest that Chromium honours."""


class Access:
    """Checks each call against the keys and the listed origins."""

    def __init__(self, settings: ApiSettings, keys: KeyRing) -> None:
        self._listed = frozenset(settings.cors_origins)
        self._keys = keys

    def key_of(self, endpoint: Endpoint, headers: Mapping[bytes, bytes], query: Mapping[str, str]) -> ApiKey | None:
        """The key of a call, checked for the endpoint's scope and the page's origin; raises `ProblemError`."""
        if endpoint.scope is None:
            return None
        authorization = headers.get(b"authorization")
        in_query = query.get("key")
        if authorization is not None:
            scheme, _, text = authorization.decode("latin-1").partition(" ")
            if scheme.lower() != "bearer":
                raise _unauthorised("key-missing", "The header Authorization reads `Bearer <key>`.")
            key = self._keys.find(text.strip())
        elif in_query is not None:
            key = self._keys.find(in_query)
            if key is not None and key.kind is KeyKind.SERVER:
                detail = "A server key goes into the header Authorization: addresses are written to logs."
                raise _unauthorised("key-unknown", detail)
        else:
            raise _unauthorised("key-missing", "No key: send the header `Authorization: Bearer <key>`.")
        if key is None:
            raise _unauthorised("key-unknown", "The key does not exist or was revoked.")
        if endpoint.scope not in key.scopes:
            detail = f"{endpoint.operation} needs the scope {endpoint.scope}; the key {key.id} has {_words(key)}."
            raise ProblemError("scope-missing", detail)
        self._check_origin(key, headers)
        return key

    def _check_origin(self, key: ApiKey, headers: Mapping[bytes, bytes]) -> None:
        origin = headers.get(b"origin")
        if origin is None:
            return
        text = origin.decode("latin-1")
        if key.kind is KeyKind.SERVER:
            raise ProblemError("origin-refused", "A server key was sent from a page, where everybody can read it.")
        if not (text in key.origins or text in self._listed or "*" in key.origins or _is_own(text, headers)):
            detail = f"Pages of {text[:100]!r} may not use the key {key.id}; its origins are {_origins(key)}."
            raise ProblemError("origin-refused", detail, field="Origin")

    def cors(self, headers: Mapping[bytes, bytes]) -> Headers:
        """The headers that let a page of a listed origin read the answer; the key's own origins were checked before."""
        origin = headers.get(b"origin")
        if origin is None:
            return ()
        text = origin.decode("latin-1")
        known = self._keys.origins
        if not (text in known or "*" in known or text in self._listed):
            return ((b"vary", b"Origin"),)
        return (
            (b"access-control-allow-origin", origin),
            (b"access-control-expose-headers", EXPOSED),
            (b"timing-allow-origin", origin),
            (b"vary", b"Origin"),
        )

    def preflight(self, headers: Mapping[bytes, bytes], methods: str) -> Headers:
        """The answer to a browser that asks before it calls; raises `ProblemError` for an origin that nobody listed.

        The key is not known here, as browsers don't send it: an origin of any key is let through, and the call that
        follows is checked against its own key.
        """
        allowed = self.cors(headers)
        if len(allowed) < 2:
            raise ProblemError("origin-refused", "No key lists the origin of this page.", field="Origin")
        return (
            *allowed,
            (b"access-control-allow-methods", methods.encode()),
            (
                b"access-control-allow-headers",
                b"Authorization, Content-Type, X-Request-Id, If-None-Match, Idempotency-Key",
            ),
            (b"access-control-max-age", PREFLIGHT_S),
        )


def _unauthorised(slug: str, detail: str) -> ProblemError:
    return ProblemError(slug, detail, field="Authorization", headers=((b"www-authenticate", b"Bearer"),))


def _is_own(origin: str, headers: Mapping[bytes, bytes]) -> bool:
    """A page of the very host that is called needs no permission."""
    host = headers.get(b"host", b"").decode("latin-1")
    return bool(host) and origin in {f"http://{host}", f"https://{host}"}


def _words(key: ApiKey) -> str:
    return ", ".join(sorted(key.scopes)) or "none"


def _origins(key: ApiKey) -> str:
    return ", ".join(key.origins) or "none"
