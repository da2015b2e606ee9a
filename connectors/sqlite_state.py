"""Sessions, offset, seen ids, outbox and regimes of every partition in one SQLite file: one transaction writes a batch."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import msgspec

from connectors.sqlite_file import SqliteFile
from engine.copies import PartitionCopy
from engine.ports import Applied, Output, OutputKind, Position, SessionState, StateBatch
from engine.regime import KEPT, Regime
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
    """
    CREATE TABLE regimes (partition INTEGER, offset INTEGER, step INTEGER, terms TEXT NOT NULL,
                          PRIMARY KEY (partition, offset, step)) WITHOUT ROWID
    """,
)

SEEN_MS: Millis = 24 * 3_600_000
"""An id is remembered until the partition's watermark is this far beyond the one at which it was written."""

_encode_terms = msgspec.json.Encoder(order="sorted").encode
_decode_terms = msgspec.json.Decoder(tuple[int, str, dict[str, str], int]).decode

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
            _write_sessions(db, partition, batch.sessions)
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
            if batch.regime is not None:
                _keep_regime(db, partition, batch.regime, offset, step)
            if batch.outputs:
                (last,) = db.execute("SELECT max(place) FROM outbox WHERE partition = ?", (partition,)).fetchone()
                _write_outbox(db, partition, batch.outputs, (last or 0) + 1)
        return Applied.APPLIED

    def outbox(self, partition: int) -> Sequence[Output]:
        """Read what is not yet trimmed."""
        with self._file.reading() as db:
            return _outbox(db, partition)

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

    def regimes(self, partition: int) -> Sequence[Regime]:
        """Read the rows."""
        with self._file.reading() as db:
            return _regimes(db, partition)

    def copy(self, partition: int) -> PartitionCopy:
        """Read everything in one transaction."""
        with self._file.reading() as db:
            position = db.execute(
                "SELECT offset, watermark, step, brought FROM partitions WHERE partition = ?", (partition,)
            ).fetchone()
            sessions = db.execute(
                "SELECT session_id, snapshot, time, due, customer_id FROM sessions WHERE partition = ? ORDER BY 1",
                (partition,),
            )
            seen = db.execute("SELECT id, time FROM seen WHERE partition = ? ORDER BY id", (partition,))
            return PartitionCopy(
                partition,
                Position(*(position or (0, 0))),
                {session_id: SessionState(*rest) for session_id, *rest in sessions},
                dict(seen.fetchall()),
                _outbox(db, partition),
                _regimes(db, partition),
            )

    def replace(self, copy: PartitionCopy) -> None:
        """Delete and write in one transaction."""
        partition, at = copy.partition, copy.position
        with self._file.writing() as db:
            (owner,) = db.execute("SELECT generation FROM partitions WHERE partition = ?", (partition,)).fetchone() or (
                None,
            )
            # The generation after the owner's may claim then, however often this is done: half of one lies between.
            generation = 0 if owner is None else int(owner) + 0.5
            for table in ("partitions", "sessions", "seen", "outbox", "regimes"):
                db.execute(f"DELETE FROM {table} WHERE partition = ?", (partition,))  # noqa: S608 - of the names above
            db.execute(
                "INSERT INTO partitions VALUES (?, ?, ?, ?, ?, ?)",
                (partition, generation, at.offset, at.watermark, at.step, at.brought),
            )
            _write_sessions(db, partition, copy.sessions)
            db.executemany(
                "INSERT INTO seen (partition, id, time) VALUES (?, ?, ?)",
                [(partition, id_, time) for id_, time in copy.seen.items()],
            )
            _write_outbox(db, partition, copy.outbox, 1)
            for regime in copy.regimes:
                _keep_regime(db, partition, regime, regime.offset, regime.step)

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


def _write_sessions(db: sqlite3.Connection, partition: int, sessions: Mapping[str, SessionState]) -> None:
    db.executemany(
        "INSERT INTO sessions (partition, session_id, time, due, customer_id, snapshot) "
        "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (partition, session_id) DO UPDATE SET time = excluded.time, "
        "due = excluded.due, customer_id = excluded.customer_id, snapshot = excluded.snapshot",
        [
            (partition, session_id, state.time, state.due, state.customer_id, state.snapshot)
            for session_id, state in sessions.items()
            if state.snapshot is not None
        ],
    )


def _outbox(db: sqlite3.Connection, partition: int) -> list[Output]:
    rows = db.execute(
        "SELECT id, kind, key, value, offset, ordinal FROM outbox WHERE partition = ? ORDER BY offset, place",
        (partition,),
    )
    return [Output(id_, OutputKind(kind), *rest) for id_, kind, *rest in rows]


def _write_outbox(db: sqlite3.Connection, partition: int, outputs: Sequence[Output], first: int) -> None:
    db.executemany(
        "INSERT INTO outbox (partition, place, id, kind, key, value, offset, ordinal) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (partition, place, each.id, each.kind, each.key, each.value, each.offset, each.ordinal)
            for place, each in enumerate(outputs, first)
        ],
    )


def _regimes(db: sqlite3.Connection, partition: int) -> list[Regime]:
    rows = db.execute("SELECT offset, step, terms FROM regimes WHERE partition = ? ORDER BY offset, step", (partition,))
    return [Regime(offset, step, *_decode_terms(terms)) for offset, step, terms in rows]


def _keep_regime(db: sqlite3.Connection, partition: int, regime: Regime, offset: int, step: int) -> None:
    """Note what is evaluated with from a place on, where it is not like what was before."""
    terms = _encode_terms(regime.terms).decode()
    last = db.execute(
        "SELECT terms FROM regimes WHERE partition = ? ORDER BY offset DESC, step DESC LIMIT 1", (partition,)
    ).fetchone()
    if last != (terms,):
        db.execute("INSERT INTO regimes VALUES (?, ?, ?, ?)", (partition, offset, step, terms))
        db.execute(
            "DELETE FROM regimes WHERE (partition, offset, step) IN (SELECT partition, offset, step FROM regimes "
            "WHERE partition = ? ORDER BY offset DESC, step DESC LIMIT -1 OFFSET ?)",
            (partition, KEPT),
        )
