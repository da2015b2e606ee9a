"""Triggers, dead letters and late events in one SQLite file, in the order in which they were sent.

One transaction writes a partition's outputs and the place up to which they are out, if the sender's turn still lasts.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

import msgspec

from connectors.sqlite_file import SqliteFile
from engine.ports import FencedError, Output, OutputKind, Place, Turn
from engine.regime import Regime

SCHEMA = (
    """
    CREATE TABLE outputs (place INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, id TEXT NOT NULL,
                          key TEXT NOT NULL, value BLOB NOT NULL, offset INTEGER NOT NULL);
    CREATE UNIQUE INDEX outputs_id ON outputs (kind, id);
    CREATE INDEX outputs_latest ON outputs (kind, place)
    """,
    """
    ALTER TABLE outputs ADD COLUMN ordinal INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE positions (partition INTEGER PRIMARY KEY, token INTEGER NOT NULL,
                            offset INTEGER NOT NULL, ordinal INTEGER NOT NULL)
    """,
    "ALTER TABLE positions ADD COLUMN regimes BLOB NOT NULL DEFAULT '[]'",
)

_encode = msgspec.json.Encoder().encode
_decode_regimes = msgspec.json.Decoder(list[Regime]).decode

KEEP = 1_000_000
"""Outputs of all kinds that are kept, newest first: some hundred MB at most."""


class SqliteOutputs:
    """`OutputLog` in a file."""

    def __init__(self, path: Path, *, keep: int = KEEP) -> None:
        self._file = SqliteFile(path, SCHEMA, durable=True)
        self._keep = keep

    def claim(self, partition: int) -> Turn:
        """Begin a turn: the token of every earlier one is refused from now on."""
        with self._file.writing() as db:
            db.execute(
                "INSERT INTO positions (partition, token, offset, ordinal) VALUES (?, 1, 0, 0) ON CONFLICT (partition) DO UPDATE SET token = token + 1",
                (partition,),
            )
            token, offset, ordinal, regimes = db.execute(
                "SELECT token, offset, ordinal, regimes FROM positions WHERE partition = ?", (partition,)
            ).fetchone()
        return Turn(token, Place(offset, ordinal), _decode_regimes(regimes))

    def send(self, partition: int, token: int, outputs: Sequence[Output], regimes: Sequence[Regime] = ()) -> None:
        """Write all, and the place after them, in one synced transaction."""
        if not outputs and not regimes:
            return
        with self._file.writing() as db:
            self._require_turn(db, partition, token)
            # An id that is there was sent by a release that did not note places yet.
            db.executemany(
                "INSERT OR IGNORE INTO outputs (kind, id, key, value, offset, ordinal) VALUES (?, ?, ?, ?, ?, ?)",
                [(each.kind, each.id, each.key, each.value, each.offset, each.ordinal) for each in outputs],
            )
            if outputs:
                db.execute(
                    "UPDATE positions SET offset = ?, ordinal = ? WHERE partition = ?",
                    (outputs[-1].offset, outputs[-1].ordinal + 1, partition),
                )
            if regimes:
                db.execute("UPDATE positions SET regimes = ? WHERE partition = ?", (_encode(regimes), partition))
            # `place` has gaps where ids were ignored, so this may keep a few less.
            db.execute("DELETE FROM outputs WHERE place <= (SELECT max(place) FROM outputs) - ?", (self._keep,))

    def settle(self, partition: int, token: int) -> bool:
        """What is written is readable."""
        with self._file.reading() as db:
            self._require_turn(db, partition, token)
        return True

    def read(self, kind: OutputKind, limit: int) -> Sequence[Output]:
        """The latest of a kind."""
        with self._file.reading() as db:
            rows = db.execute(
                "SELECT id, key, value, offset, ordinal FROM outputs WHERE kind = ? ORDER BY place DESC LIMIT ?",
                (kind, limit),
            )
            return [Output(id_, kind, *rest) for id_, *rest in rows]

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _require_turn(self, db: sqlite3.Connection, partition: int, token: int) -> None:
        row = db.execute("SELECT token FROM positions WHERE partition = ?", (partition,)).fetchone()
        if row != (token,):
            raise FencedError(f"{self._file.path}: another worker sends the outputs of partition {partition}")
