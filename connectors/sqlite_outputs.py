"""Triggers, dead letters and late events in one SQLite file, in the order in which they were sent."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from connectors.sqlite_file import SqliteFile
from engine.ports import Output, OutputKind

SCHEMA = (
    """
    CREATE TABLE outputs (place INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, id TEXT NOT NULL,
                          key TEXT NOT NULL, value BLOB NOT NULL, offset INTEGER NOT NULL);
    CREATE UNIQUE INDEX outputs_id ON outputs (kind, id);
    CREATE INDEX outputs_latest ON outputs (kind, place)
    """,
)

KEEP = 1_000_000
"""Outputs of all kinds that are kept, newest first: some hundred MB at most."""


class SqliteOutputs:
    """`OutputLog` in a file. An output that is sent again, after a crash between send and trim, is there once."""

    def __init__(self, path: Path, *, keep: int = KEEP) -> None:
        self._file = SqliteFile(path, SCHEMA, durable=True)
        self._keep = keep

    def send(self, outputs: Sequence[Output]) -> None:
        """Write all in one synced transaction; ids of a kind that are there already stay as they are."""
        if not outputs:
            return
        with self._file.writing() as db:
            db.executemany(
                "INSERT OR IGNORE INTO outputs (kind, id, key, value, offset) VALUES (?, ?, ?, ?, ?)",
                [(output.kind, output.id, output.key, output.value, output.offset) for output in outputs],
            )
            # `place` has gaps where ids were ignored, so this may keep a few less.
            db.execute("DELETE FROM outputs WHERE place <= (SELECT max(place) FROM outputs) - ?", (self._keep,))

    def read(self, kind: OutputKind, limit: int) -> Sequence[Output]:
        """The latest of a kind."""
        with self._file.reading() as db:
            rows = db.execute(
                "SELECT id, key, value, offset FROM outputs WHERE kind = ? ORDER BY place DESC LIMIT ?", (kind, limit)
            )
            return [Output(id_, kind, key, value, offset) for id_, key, value, offset in rows]

    def close(self) -> None:
        """Close the file."""
        self._file.close()
