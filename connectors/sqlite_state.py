"""Sessions, offset, seen ids and outbox of every partition in one SQLite file: one transaction writes a batch."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from connectors.sqlite_file import SqliteFile
from engine.ports import Applied, Output, OutputKind, Position, SessionState, StateBatch
from engine.values import EpochMs, Millis

SCHEMA = (
    """
    CREATE TABLE partitions (partition INTEGER PRIMARY KEY, generation INTEGER NOT NULL,
                             offset INTEGER NOT NULL, watermark INTEGER NOT NULL);
    CREATE TABLE sessions (partition INTEGER, session_id TEXT, time INTEGER NOT NULL, due INTEGER, customer_id TEXT,
                           snapshot BLOB NOT NULL, PRIMARY KEY (partition, session_id));
    CREATE INDEX sessions_due ON sessions (partition, due, session_id) WHERE due IS NOT NULL;
    CREATE INDEX sessions_recent ON sessions (time);
    CREATE TABLE seen (partition INTEGER, id TEXT, time INTEGER NOT NULL, PRIMARY KEY (partition, id)) WITHOUT ROWID;
    CREATE INDEX seen_time ON seen (partition, time);
    CREATE TABLE outbox (partition INTEGER, place INTEGER, id TEXT NOT NULL, kind TEXT NOT NULL, key TEXT NOT NULL,
                         value BLOB NOT NULL, offset INTEGER NOT NULL, PRIMARY KEY (partition, place)) WITHOUT ROWID
    """,
    """
    ALTER TABLE partitions ADD COLUMN step INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE partitions ADD COLUMN brought INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE outbox ADD COLUMN ordinal INTEGER NOT NULL DEFAULT 0
    """,
)

SEEN_MS: Millis = 24 * 3_600_000
"""An id is remembered until the partition's watermark is this far beyond the one at which it was written."""

FORGET_CHUNK = 1_000
"""Old ids leave in steps: at most this many and twice what a batch adds, so that no batch pays for a whole night."""


class SqliteState:
    """`StateStore` in a file."""

    def __init__(self, path: Path, *, seen_ms: Millis = SEEN_MS) -> None:
        self._file = SqliteFile(path, SCHEMA)
        self._seen_ms = seen_ms

    def claim(self, partition: int, generation: int) -> Position | None:
        """Store the generation where it is not older than the stored one."""
        with self._file.writing() as db:
            row = db.execute(
                "SELECT generation, offset, watermark, step, brought FROM partitions WHERE partition = ?", (partition,)
            ).fetchone()
            if row is None:
                db.execute("INSERT INTO partitions VALUES (?, ?, 0, 0, 0, 0)", (partition, generation))
                return Position(0, 0)
            owner, *position = row
            if generation < owner:
                return None
            db.execute("UPDATE partitions SET generation = ? WHERE partition = ?", (generation, partition))
            return Position(*position)

    def position(self, partition: int) -> Position:
        """Read the row."""
        with self._file.reading() as db:
            row = db.execute(
                "SELECT offset, watermark, step, brought FROM partitions WHERE partition = ?", (partition,)
            ).fetchone()
        return Position(*(row or (0, 0)))

    def load(self, partition: int, sessions: Sequence[str]) -> Mapping[str, SessionState]:
        """Read sessions by id."""
        with self._file.reading() as db:
            return _load(db, partition, sessions)

    def seen(self, partition: int, ids: Sequence[str]) -> Collection[str]:
        """Look ids up."""
        with self._file.reading() as db:
            return _seen(db, partition, ids)

    def load_with_seen(
        self, partition: int, session_id: str, ids: Sequence[str]
    ) -> tuple[SessionState | None, frozenset[str]]:
        """A session, and which of the ids are in it, as of one moment."""
        with self._file.reading() as db:
            seen = _seen(db, partition, ids) if ids else frozenset()
            return _load(db, partition, [session_id]).get(session_id), seen

    def apply(self, batch: StateBatch) -> Applied:
        """Check owner and offset and write all parts in one transaction."""
        partition = batch.partition
        with self._file.writing() as db:
            owner, offset, step = db.execute(
                "SELECT generation, offset, step FROM partitions WHERE partition = ?", (partition,)
            ).fetchone() or (0, 0, 0)
            if batch.generation < owner:
                return Applied.FENCED
            if (batch.expected_offset, batch.expected_step) != (offset, step):
                return Applied.REWIND
            db.execute(
                "INSERT OR REPLACE INTO partitions VALUES (?, ?, ?, ?, ?, ?)",
                (
                    partition,
                    batch.generation,
                    batch.next_offset,
                    batch.watermark,
                    step + 1 if batch.next_offset == offset else 0,
                    batch.brought,
                ),
            )
            db.executemany(
                "INSERT INTO sessions (partition, session_id, time, due, customer_id, snapshot) "
                "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (partition, session_id) DO UPDATE SET time = excluded.time, "
                "due = excluded.due, customer_id = excluded.customer_id, snapshot = excluded.snapshot",
                [
                    (partition, session_id, state.time, state.due, state.customer_id, state.snapshot)
                    for session_id, state in batch.sessions.items()
                    if state.snapshot is not None
                ],
            )
            db.executemany(
                "DELETE FROM sessions WHERE partition = ? AND session_id = ?",
                [(partition, session_id) for session_id, state in batch.sessions.items() if state.snapshot is None],
            )
            db.executemany(
                "INSERT OR REPLACE INTO seen (partition, id, time) VALUES (?, ?, ?)",
                [(partition, id_, batch.watermark) for id_ in batch.seen],
            )
            db.execute(
                "DELETE FROM seen WHERE (partition, id) IN "
                "(SELECT partition, id FROM seen WHERE partition = ? AND time < ? LIMIT ?)",
                (partition, batch.watermark - self._seen_ms, FORGET_CHUNK + 2 * len(batch.seen)),
            )
            if batch.outputs:
                (last,) = db.execute("SELECT max(place) FROM outbox WHERE partition = ?", (partition,)).fetchone()
                db.executemany(
                    "INSERT INTO outbox (partition, place, id, kind, key, value, offset, ordinal) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    [
                        (partition, place, each.id, each.kind, each.key, each.value, each.offset, each.ordinal)
                        for place, each in enumerate(batch.outputs, (last or 0) + 1)
                    ],
                )
        return Applied.APPLIED

    def outbox(self, partition: int) -> Sequence[Output]:
        """Read what is not yet trimmed."""
        with self._file.reading() as db:
            rows = db.execute(
                "SELECT id, kind, key, value, offset, ordinal FROM outbox WHERE partition = ? ORDER BY offset, place",
                (partition,),
            )
            return [Output(id_, OutputKind(kind), *rest) for id_, kind, *rest in rows]

    def trim(self, partition: int, below_offset: int) -> None:
        """Delete what has been sent."""
        with self._file.writing() as db:
            db.execute("DELETE FROM outbox WHERE partition = ? AND offset < ?", (partition, below_offset))

    def due(self, partition: int, until: EpochMs, limit: int) -> Sequence[str]:
        """Read the sessions by their due time; equal times by id."""
        with self._file.reading() as db:
            rows = db.execute(
                "SELECT session_id FROM sessions WHERE partition = ? AND due <= ? ORDER BY due, session_id LIMIT ?",
                (partition, until, limit),
            )
            return [session_id for (session_id,) in rows]

    def recent(self, limit: int) -> Sequence[tuple[str, SessionState]]:
        """Read the sessions by their clock."""
        with self._file.reading() as db:
            rows = db.execute(
                "SELECT session_id, time, due, customer_id FROM sessions ORDER BY time DESC, session_id LIMIT ?",
                (limit,),
            )
            return [(session_id, SessionState(b"", *rest)) for session_id, *rest in rows]

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _load(db: sqlite3.Connection, partition: int, sessions: Sequence[str]) -> Mapping[str, SessionState]:
    rows = db.execute(
        "SELECT session_id, snapshot, time, due, customer_id FROM sessions "
        "WHERE partition = ? AND session_id IN (SELECT value FROM json_each(?))",
        (partition, json.dumps(list(sessions))),
    )
    return {session_id: SessionState(*rest) for session_id, *rest in rows}


def _seen(db: sqlite3.Connection, partition: int, ids: Sequence[str]) -> frozenset[str]:
    rows = db.execute(
        "SELECT id FROM seen WHERE partition = ? AND id IN (SELECT value FROM json_each(?))",
        (partition, json.dumps(list(ids))),
    )
    return frozenset(id_ for (id_,) in rows)
