"""The control tables in one SQLite file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from connectors.sqlite_file import SqliteFile
from engine.ports import ConflictError, Row

SCHEMA = (
    """
    CREATE TABLE entries (name TEXT, key TEXT, value BLOB, version INTEGER NOT NULL, PRIMARY KEY (name, key));
    CREATE TABLE versions (name TEXT PRIMARY KEY, version INTEGER NOT NULL)
    """,
)
"""A deleted row stays with a NULL value, so that its versions go on: who read the old row can't overwrite a new one."""


class SqliteTables:
    """`Tables` in a file. Commits are synced: a publication that was acknowledged is not lost with the power."""

    def __init__(self, path: Path) -> None:
        self._file = SqliteFile(path, SCHEMA, durable=True)

    def get(self, table: str, key: str) -> Row | None:
        """Read a row."""
        with self._file.reading() as db:
            row = db.execute(
                "SELECT value, version FROM entries WHERE name = ? AND key = ? AND value IS NOT NULL", (table, key)
            ).fetchone()
            return None if row is None else Row(*row)

    def put(self, table: str, key: str, value: bytes | None, expected: int | None = None) -> int:
        """Compare the version and write, in one transaction. Deleting what is not there writes nothing."""
        with self._file.writing() as db:
            stored, version = db.execute(
                "SELECT value, version FROM entries WHERE name = ? AND key = ?", (table, key)
            ).fetchone() or (None, 0)
            current = 0 if stored is None else version
            if expected is not None and expected != current:
                raise ConflictError(f"{table}/{key} is at version {current}, expected {expected}")
            if stored is None and value is None:
                return int(version)
            db.execute("INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?)", (table, key, value, version + 1))
            db.execute(
                "INSERT INTO versions VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET version = version + 1", (table,)
            )
            return int(version + 1)

    def rows(self, table: str) -> Mapping[str, Row]:
        """Read all rows."""
        with self._file.reading() as db:
            rows = db.execute(
                "SELECT key, value, version FROM entries WHERE name = ? AND value IS NOT NULL ORDER BY key", (table,)
            )
            return {key: Row(*rest) for key, *rest in rows}

    def version(self, table: str) -> int:
        """Read the table's number."""
        with self._file.reading() as db:
            row = db.execute("SELECT version FROM versions WHERE name = ?", (table,)).fetchone()
            return int(row[0]) if row else 0

    def close(self) -> None:
        """Close the file."""
        self._file.close()
