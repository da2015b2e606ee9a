"""Keys of API clients: made once, shown once, stored as a hash, revoked within a second.

A key reads `sal_<kind>_<id>_<secret>`. The id finds the row, the secret has 192 random bits: enough that a plain SHA-256 is
as good as a slow hash, which would cost each decision more than the decision itself.
"""

from __future__ import annotations

import contextlib
import enum
import hashlib
import hmac
import logging
import os
import re
import secrets
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import msgspec

from engine.ports import PortError, Tables
from engine.values import EpochMs

log = logging.getLogger("salience.keys")

TABLE = "keys"
PATIENCE_S = 1.0
"""At a start, so long for tables that say nothing: then the keys on the disk are those that are known."""
POLL_S = 0.4
"""How often a process looks for changes: below a second even when a look takes as long as two."""
_ORIGIN = re.compile(r"https?://[^/\s?#@]+")


class KeyKind(enum.StrEnum):
    """Storefront keys stand in pages, where everybody can read them; server keys never leave the shop's servers."""

    STOREFRONT = "storefront"
    SERVER = "server"


class Scope(enum.StrEnum):
    """What a key may do."""

    EVENTS = "events"
    DECIDE = "decide"
    READ = "read"
    CUSTOMERS = "customers"


DEFAULT_SCOPES: Mapping[KeyKind, frozenset[Scope]] = {
    KeyKind.STOREFRONT: frozenset({Scope.EVENTS, Scope.DECIDE}),
    KeyKind.SERVER: frozenset(Scope),
}
_PREFIX = {KeyKind.STOREFRONT: "sal_public", KeyKind.SERVER: "sal_secret"}


class KeyRefusedError(ValueError):
    """A key that can't be made or was not found; the message says why."""


class ApiKey(msgspec.Struct, frozen=True):
    """A key as stored.

    Attributes:
        id: Public part, also in logs and metrics.
        hash: SHA-256 (hex) of the secret part.
        origins: Of a storefront key: origins whose pages may use it (`https://shop.example`); `*` for any.
        revoked: When, or None while it is valid.
    """

    id: str
    name: str
    kind: KeyKind
    scopes: frozenset[Scope]
    origins: tuple[str, ...]
    hash: str
    created: EpochMs
    revoked: EpochMs | None = None


def create(
    tables: Tables,
    name: str,
    kind: KeyKind,
    now: EpochMs,
    *,
    scopes: Iterable[Scope] | None = None,
    origins: Iterable[str] = (),
) -> tuple[ApiKey, str]:
    """Make a key and store its hash.

    Returns:
        The stored key, and its text: the only time that anybody sees it.

    Raises:
        KeyRefusedError: a name that is empty, an origin that is none, origins on a server key.
        PortError: the tables can't be reached.
    """
    origins = tuple(dict.fromkeys(origins))
    if not name.strip() or len(name) > 100 or not name.isprintable():
        raise KeyRefusedError("a key needs a name of 1 to 100 printable characters")
    if kind is KeyKind.SERVER and origins:
        raise KeyRefusedError("origins belong to storefront keys: a server key must never stand in a page")
    for origin in origins:
        if origin != "*" and not _ORIGIN.fullmatch(origin):
            raise KeyRefusedError(
                f"{origin!r} is no origin: scheme, host and port, without a path (https://shop.example)"
            )
    wanted = DEFAULT_SCOPES[kind] if scopes is None else frozenset(scopes)
    if kind is KeyKind.STOREFRONT and Scope.CUSTOMERS in wanted:
        raise KeyRefusedError("a storefront key can't have the scope customers: everybody could change any profile")
    secret = secrets.token_hex(24)
    key = ApiKey(secrets.token_hex(5), name.strip(), kind, wanted, origins, _hash(secret), now)
    tables.put(TABLE, key.id, msgspec.json.encode(key, order="deterministic"), expected=0)
    return key, f"{_PREFIX[kind]}_{key.id}_{secret}"


def listed(tables: Tables) -> list[ApiKey]:
    """All keys, the revoked ones too, in order of their making."""
    found = [msgspec.json.decode(row.value, type=ApiKey) for row in tables.rows(TABLE).values()]
    return sorted(found, key=lambda key: (key.created, key.id))


def revoke(tables: Tables, key_id: str, now: EpochMs) -> ApiKey:
    """Make a key invalid for good; revoking again changes nothing. Raises `KeyRefusedError` for an id that does not exist."""
    row = tables.get(TABLE, key_id)
    if row is None:
        raise KeyRefusedError(f"there is no key {key_id}; `salience keys list` shows all")
    key = msgspec.json.decode(row.value, type=ApiKey)
    if key.revoked is None:
        key = msgspec.structs.replace(key, revoked=now)
        tables.put(TABLE, key_id, msgspec.json.encode(key, order="deterministic"), expected=row.version)
    return key


class KeyRing:
    """The valid keys, in memory of one process: a look-up costs two microseconds and never waits.

    A thread reads them again when the table's version moves. They are kept on disk too (hashes only), so that a process that
    starts while the tables are gone still knows its callers; while they are gone, the keys known last stay valid.
    """

    def __init__(self, tables: Tables, cache: Path | None = None) -> None:
        """Takes the tables, which it uses from its own thread after `start`, and a file for the copy on disk."""
        self._tables = tables
        self._cache = cache
        self._keys: Mapping[str, ApiKey] = {}
        self._known: dict[str, ApiKey] = {}
        self._origins: frozenset[str] = frozenset()
        self._version: int | None = None
        self._stop = threading.Event()
        self._looked = threading.Event()
        self._thread: threading.Thread | None = None
        self.problem: str | None = None

    @property
    def origins(self) -> frozenset[str]:
        """Origins of all valid storefront keys."""
        return self._origins

    def start(self) -> None:
        """Read the keys, from the disk where the tables don't tell them soon; then keep them fresh in a thread."""
        if self._cache is not None:
            with contextlib.suppress(OSError, msgspec.MsgspecError):
                self._use(msgspec.json.decode(self._cache.read_bytes(), type=list[ApiKey]))
        self._thread = threading.Thread(target=self._poll, name="key ring", daemon=True)
        self._thread.start()
        if not self._looked.wait(PATIENCE_S):
            self.problem = f"the tables have not answered for {PATIENCE_S:g} s"
            log.warning("API keys can't be read, those known stay valid: %s", self.problem)

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def refresh(self) -> bool:
        """Read the keys again where they changed; False where the tables did not answer (see `problem`)."""
        try:
            version = self._tables.version(TABLE)
            if version != self._version:
                keys = listed(self._tables)
                self._use(keys)
                self._version = version
                self._keep(keys)
        except (PortError, msgspec.MsgspecError) as error:
            if self.problem is None:
                log.warning("API keys can't be read, those known stay valid: %s", error)
            self.problem = str(error)
            return False
        self.problem = None
        return True

    def find(self, text: str) -> ApiKey | None:
        """The valid key of this text; of those that are not valid, takes the same time whether the id exists or not."""
        known = self._known  # before the keys: see `_use`
        key = known.get(text)
        if key is not None:
            return key
        prefix, _, rest = text.partition("_")
        word, _, rest = rest.partition("_")
        key_id, _, secret = rest.partition("_")
        key = self._keys.get(key_id)
        right = hmac.compare_digest(_hash(secret), key.hash if key is not None else _NO_HASH)
        if key is None or not right or f"{prefix}_{word}" != _PREFIX[key.kind]:
            return None
        known[text] = key
        return key

    def _use(self, keys: Iterable[ApiKey]) -> None:
        valid = {key.id: key for key in keys if key.revoked is None}
        self._origins = frozenset(origin for key in valid.values() for origin in key.origins)
        self._keys = valid
        self._known = {}  # after the keys, so that nothing which was found among the old ones gets into it

    def _keep(self, keys: list[ApiKey]) -> None:
        if self._cache is None:
            return
        beside = self._cache.with_name(f"{self._cache.name}.{os.getpid()}")
        try:
            self._cache.parent.mkdir(parents=True, exist_ok=True)
            beside.touch(mode=0o600)
            beside.write_bytes(msgspec.json.encode(keys, order="deterministic"))
            beside.replace(self._cache)
        except OSError as error:
            log.warning("API keys can't be kept in %s, a start without the tables will know none: %s", beside, error)

    def _poll(self) -> None:
        self.refresh()
        self._looked.set()
        wait: Callable[[float], bool] = self._stop.wait
        while not wait(POLL_S):
            self.refresh()


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


_NO_HASH = _hash("")
