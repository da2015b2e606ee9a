"""Counters by minute in one SQLite file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from connectors.sqlite_file import SqliteFile

SCHEMA = (
    """
    CREATE TABLE activity (minute INTEGER, key TEXT, count INTEGER NOT NULL, PRIMARY KEY (minute, key)) WITHOUT ROWID
    """,
)

KEEP_MINUTES = 7 * 24 * 60


class SqliteActivity:
    """`Activity` in a file; minutes more than `keep_minutes` before the one written are forgotten."""

    def __init__(self, path: Path, *, keep_minutes: int = KEEP_MINUTES) -> None:
        self._file = SqliteFile(path, SCHEMA)
        self._keep_minutes = keep_minutes

    def add(self, minute: int, counts: Mapping[str, int]) -> None:
        """Add all in one transaction."""
        with self._file.writing() as db:
            db.executemany(
                "INSERT INTO activity (minute, key, count) VALUES (?, ?, ?) "
                "ON CONFLICT (minute, key) DO UPDATE SET count = count + excluded.count",
                [(minute, key, count) for key, count in counts.items()],
            )
            db.execute("DELETE FROM activity WHERE minute < ?", (minute - self._keep_minutes,))

    def read(self, since_minute: int) -> Mapping[str, Mapping[int, int]]:
        """Read counters from a minute on."""
        found: dict[str, dict[int, int]] = {}
        with self._file.reading() as db:
            rows = db.execute(
                "SELECT key, minute, count FROM activity WHERE minute >= ? ORDER BY minute", (since_minute,)
            )
            for key, minute, count in rows:
                found.setdefault(key, {})[minute] = count
        return found

    def close(self) -> None:
        """Close the file."""
        self._file.close()
