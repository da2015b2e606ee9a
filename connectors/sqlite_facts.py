"""Facts of customers, or of things of the catalogue, in one SQLite file."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path

from connectors.sqlite_file import SqliteFile
from engine.facts import FactChange

SCHEMA = (
    "CREATE TABLE profiles (customer_id TEXT PRIMARY KEY, profile BLOB NOT NULL)",
    """
    ALTER TABLE profiles RENAME TO facts;
    ALTER TABLE facts RENAME COLUMN customer_id TO id;
    ALTER TABLE facts RENAME COLUMN profile TO value;
    CREATE TABLE followed (partition INTEGER PRIMARY KEY, offset INTEGER NOT NULL)
    """,
)


class SqliteFacts:
    """`FactStore` in a file."""

    def __init__(self, path: Path) -> None:
        self._file = SqliteFile(path, SCHEMA)

    def get(self, ids: Sequence[str]) -> Mapping[str, bytes]:
        """Read by id."""
        with self._file.reading() as db:
            rows = db.execute(
                "SELECT id, value FROM facts WHERE id IN (SELECT value FROM json_each(?))", (json.dumps(list(ids)),)
            )
            return dict(rows.fetchall())

    def put(self, facts: Mapping[str, bytes | None]) -> None:
        """Write all or none."""
        with self._file.writing() as db:
            _write(db, facts)

    def follow(self, partition: int, changes: Sequence[FactChange]) -> None:
        """Write all or none, with the offset; what was taken before is left out."""
        if not changes:
            return
        with self._file.writing() as db:
            begin = dict(db.execute("SELECT partition, offset FROM followed").fetchall()).get(partition, 0)
            _write(db, {each.id: each.facts for each in changes if each.offset >= begin})
            end = max(begin, changes[-1].offset + 1)
            db.execute("INSERT OR REPLACE INTO followed (partition, offset) VALUES (?, ?)", (partition, end))

    def followed(self) -> Mapping[int, int]:
        """Read the table."""
        with self._file.reading() as db:
            return dict(db.execute("SELECT partition, offset FROM followed").fetchall())

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _write(db: sqlite3.Connection, facts: Mapping[str, bytes | None]) -> None:
    db.executemany(
        "INSERT OR REPLACE INTO facts (id, value) VALUES (?, ?)",
        [(id_, value) for id_, value in facts.items() if value is not None],
    )
    db.executemany("DELETE FROM facts WHERE id = ?", [(id_,) for id_, value in facts.items() if value is None])
