"""Facts of customers, or of things of the catalogue, in one SQLite file."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from connectors.sqlite_file import SqliteFile
from engine.facts import FORGOTTEN_MS, FactChange
from engine.values import EpochMs

SCHEMA = (
    "CREATE TABLE profiles (customer_id TEXT PRIMARY KEY, profile BLOB NOT NULL)",
    """
    ALTER TABLE profiles RENAME TO facts;
    ALTER TABLE facts RENAME COLUMN customer_id TO id;
    ALTER TABLE facts RENAME COLUMN profile TO value;
    CREATE TABLE followed (partition INTEGER PRIMARY KEY, offset INTEGER NOT NULL)
    """,
    "CREATE TABLE forgotten (id TEXT PRIMARY KEY, until INTEGER NOT NULL, is_by_topic INTEGER NOT NULL)",
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
            known = dict(rows.fetchall())
            return known | dict.fromkeys(_forgotten(db, ids, by_topic=False), b"{}")

    def put(self, facts: Mapping[str, bytes | None]) -> None:
        """Write all or none."""
        with self._file.writing() as db:
            _remember(db, facts)
            _write(db, facts)

    def forget(self, ids: Sequence[str]) -> None:
        """Delete and mark all or none."""
        with self._file.writing() as db:
            _write(db, dict.fromkeys(ids))
            _mark(db, ids, by_topic=False)

    def learn(self, facts: Mapping[str, bytes]) -> Collection[str]:
        """Write all but those."""
        with self._file.writing() as db:
            left = {*_forgotten(db, list(facts), by_topic=False), *_forgotten(db, list(facts), by_topic=True)}
            _write(db, {id_: value for id_, value in facts.items() if id_ not in left})
        return left

    def follow(self, partition: int, begin: int, changes: Sequence[FactChange]) -> int | None:
        """Write all, with the offset, where it is as expected; else nothing."""
        if not changes:
            return 0
        with self._file.writing() as db:
            if dict(db.execute("SELECT partition, offset FROM followed").fetchall()).get(partition, 0) != begin:
                return None
            left = _forgotten(db, [each.id for each in changes], by_topic=False)
            said = {each.id: each.facts for each in changes if each.id not in left}
            _write(db, said)
            _remember(db, said)
            _mark(db, [id_ for id_, value in said.items() if value is None], by_topic=True)
            end = changes[-1].offset + 1
            db.execute("INSERT OR REPLACE INTO followed (partition, offset) VALUES (?, ?)", (partition, end))
        return sum(1 for each in changes if each.id in left and each.facts)

    def followed(self) -> Mapping[int, int]:
        """Read the table."""
        with self._file.reading() as db:
            return dict(db.execute("SELECT partition, offset FROM followed").fetchall())

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _forgotten(db: sqlite3.Connection, ids: Sequence[str], *, by_topic: bool) -> set[str]:
    """Those of the ids that are marked."""
    rows = db.execute(
        "SELECT id FROM forgotten WHERE id IN (SELECT value FROM json_each(?)) AND until > ? AND is_by_topic = ?",
        (json.dumps(list(ids)), _now(), by_topic),
    )
    return {id_ for (id_,) in rows}


def _mark(db: sqlite3.Connection, ids: Collection[str], *, by_topic: bool) -> None:
    """Mark them, and let marks go that are over."""
    now = _now()
    db.execute("DELETE FROM forgotten WHERE until <= ?", (now,))
    db.executemany(
        "INSERT OR REPLACE INTO forgotten (id, until, is_by_topic) VALUES (?, ?, ?)",
        [(id_, now + FORGOTTEN_MS, by_topic) for id_ in ids],
    )


def _remember(db: sqlite3.Connection, ids: Collection[str]) -> None:
    db.executemany("DELETE FROM forgotten WHERE id = ?", [(id_,) for id_ in ids])


def _now() -> EpochMs:
    return time.time_ns() // 1_000_000


def _write(db: sqlite3.Connection, facts: Mapping[str, bytes | None]) -> None:
    db.executemany(
        "INSERT OR REPLACE INTO facts (id, value) VALUES (?, ?)",
        [(id_, value) for id_, value in facts.items() if value is not None],
    )
    db.executemany("DELETE FROM facts WHERE id = ?", [(id_,) for id_, value in facts.items() if value is None])
