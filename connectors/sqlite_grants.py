"""What was last granted to each session, and the identities of customers, in one SQLite file."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from connectors.sqlite_file import SqliteFile
from engine.identity import IDENTITY_KEPT_MS, Identity, identified
from engine.values import Millis

SCHEMA = (
    """
    CREATE TABLE grants (session_id TEXT PRIMARY KEY, grants BLOB NOT NULL, expires INTEGER NOT NULL);
    CREATE INDEX grants_expires ON grants (expires)
    """,
    """
    CREATE TABLE identities (customer_id TEXT PRIMARY KEY, identity BLOB NOT NULL, expires INTEGER NOT NULL);
    CREATE INDEX identities_expires ON identities (expires)
    """,
)

FORGET_CHUNK = 100
"""Expired rows leave in steps of this many per write."""

_decode = msgspec.msgpack.Decoder(dict[str, bytes]).decode
_decode_identity = msgspec.msgpack.Decoder(Identity).decode


class SqliteGrants:
    """The part of `DecisionState` that remembers grants. Safe to call from one thread at a time."""

    def __init__(self, path: Path) -> None:
        self._file = SqliteFile(path, SCHEMA)

    def get(self, session_id: str) -> Mapping[str, bytes]:
        """The session's grants that have not expired, by placement."""
        with self._file.reading() as db:
            row = db.execute(
                "SELECT grants FROM grants WHERE session_id = ? AND expires > ?", (session_id, _now())
            ).fetchone()
            return _decode(row[0]) if row else {}

    def put(self, session_id: str, grants: Mapping[str, bytes], keep: Millis) -> None:
        """Replace all of the session's grants."""
        now = _now()
        with self._file.writing() as db:
            db.execute(
                "INSERT OR REPLACE INTO grants (session_id, grants, expires) VALUES (?, ?, ?)",
                (session_id, msgspec.msgpack.encode(grants), now + keep),
            )
            db.execute(
                "DELETE FROM grants WHERE session_id IN (SELECT session_id FROM grants WHERE expires <= ? LIMIT ?)",
                (now, FORGET_CHUNK),
            )

    def identity(self, customer_id: str) -> Identity | None:
        """The customer's identity."""
        with self._file.reading() as db:
            return _identity(db, customer_id)

    def read(self, who: Sequence[tuple[str, str]]) -> Sequence[tuple[Identity | None, Mapping[str, bytes]]]:
        """As `Identities.read`."""
        return [(self.identity(customer_id), self.get(session_id)) for session_id, customer_id in who]

    def identify(self, customer_id: str, session_id: str, *, was_anonymous: bool) -> Identity:
        """As `DecisionState.identify`."""
        now = _now()
        with self._file.writing() as db:
            known = _identity(db, customer_id)
            identity = identified(known, customer_id, session_id, was_anonymous=was_anonymous)
            if identity != known:
                db.execute(
                    "INSERT OR REPLACE INTO identities (customer_id, identity, expires) VALUES (?, ?, ?)",
                    (customer_id, msgspec.msgpack.encode(identity), now + IDENTITY_KEPT_MS),
                )
                db.execute(
                    "DELETE FROM identities WHERE customer_id IN "
                    "(SELECT customer_id FROM identities WHERE expires <= ? LIMIT ?)",
                    (now, FORGET_CHUNK),
                )
            return identity

    def forget_identity(self, customer_id: str) -> None:
        """As `DecisionState.forget_identity`."""
        with self._file.writing() as db:
            db.execute("DELETE FROM identities WHERE customer_id = ?", (customer_id,))

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _identity(db: sqlite3.Connection, customer_id: str) -> Identity | None:
    row = db.execute(
        "SELECT identity FROM identities WHERE customer_id = ? AND expires > ?", (customer_id, _now())
    ).fetchone()
    return _decode_identity(row[0]) if row else None


def _now() -> int:
    return time.time_ns() // 1_000_000
