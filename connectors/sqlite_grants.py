"""What was last granted to each session, by placement, in one SQLite file."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

from connectors.sqlite_file import SqliteFile
from engine.values import Millis

SCHEMA = (
    """
    CREATE TABLE grants (session_id TEXT PRIMARY KEY, grants BLOB NOT NULL, expires INTEGER NOT NULL);
    CREATE INDEX grants_expires ON grants (expires)
    """,
)

FORGET_CHUNK = 100
"""Expired rows leave in steps of this many per write."""

_decode = msgspec.msgpack.Decoder(dict[str, bytes]).decode


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

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _now() -> int:
    return time.time_ns() // 1_000_000
