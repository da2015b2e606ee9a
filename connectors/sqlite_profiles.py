"""Facts of customers in one SQLite file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from connectors.sqlite_file import SqliteFile

SCHEMA = ("CREATE TABLE profiles (customer_id TEXT PRIMARY KEY, profile BLOB NOT NULL)",)


class SqliteProfiles:
    """`ProfileStore` in a file."""

    def __init__(self, path: Path) -> None:
        self._file = SqliteFile(path, SCHEMA)

    def get(self, customers: Sequence[str]) -> Mapping[str, bytes]:
        """Read profiles by customer."""
        with self._file.reading() as db:
            rows = db.execute(
                "SELECT customer_id, profile FROM profiles WHERE customer_id IN (SELECT value FROM json_each(?))",
                (json.dumps(list(customers)),),
            )
            return dict(rows.fetchall())

    def put(self, profiles: Mapping[str, bytes | None]) -> None:
        """Write all or none."""
        with self._file.writing() as db:
            db.executemany(
                "INSERT OR REPLACE INTO profiles (customer_id, profile) VALUES (?, ?)",
                [(customer, profile) for customer, profile in profiles.items() if profile is not None],
            )
            db.executemany(
                "DELETE FROM profiles WHERE customer_id = ?",
                [(customer,) for customer, profile in profiles.items() if profile is None],
            )

    def close(self) -> None:
        """Close the file."""
        self._file.close()
