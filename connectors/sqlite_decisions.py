"""Decisions and exposures in one SQLite file, forgotten after a time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from connectors.sqlite_file import SqliteFile
from engine.values import EpochMs, Millis

SCHEMA = (
    """
    CREATE TABLE decisions (place INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, session_id TEXT NOT NULL,
                            time INTEGER NOT NULL, entry BLOB NOT NULL);
    CREATE INDEX decisions_session ON decisions (session_id, time);
    CREATE INDEX decisions_time ON decisions (time)
    """,
    """
    CREATE TABLE inputs (id TEXT PRIMARY KEY, time INTEGER NOT NULL, inputs BLOB NOT NULL) WITHOUT ROWID;
    CREATE INDEX inputs_time ON inputs (time)
    """,
)

KEEP_MS: Millis = 7 * 86_400_000
FORGET_CHUNK = 1_000
"""Old entries leave in steps: at most this many and twice what an append adds."""


class SqliteDecisions:
    """`DecisionLog` in a file. An entry with an id that is there replaces it.

    Args:
        path: The file.
        keep_ms: Entries older than this, measured from the latest, are forgotten.
    """

    def __init__(self, path: Path, *, keep_ms: Millis = KEEP_MS) -> None:
        self._file = SqliteFile(path, SCHEMA)
        self._keep_ms = keep_ms

    def append(self, entries: Sequence[tuple[str, str, EpochMs, bytes]]) -> None:
        """Write all or none."""
        if not entries:
            return
        with self._file.writing() as db:
            db.executemany(
                "INSERT OR REPLACE INTO decisions (id, session_id, time, entry) VALUES (?, ?, ?, ?)", entries
            )
            (latest,) = db.execute("SELECT max(time) FROM decisions").fetchone()
            db.execute(
                "DELETE FROM decisions WHERE place IN (SELECT place FROM decisions WHERE time < ? LIMIT ?)",
                (latest - self._keep_ms, FORGET_CHUNK + 2 * len(entries)),
            )

    def keep_inputs(self, entries: Sequence[tuple[str, EpochMs, bytes]]) -> None:
        """Write all or none."""
        if not entries:
            return
        with self._file.writing() as db:
            db.executemany("INSERT OR REPLACE INTO inputs (id, time, inputs) VALUES (?, ?, ?)", entries)
            (latest,) = db.execute("SELECT max(time) FROM inputs").fetchone()
            db.execute(
                "DELETE FROM inputs WHERE id IN (SELECT id FROM inputs WHERE time < ? LIMIT ?)",
                (latest - self._keep_ms, FORGET_CHUNK + 2 * len(entries)),
            )

    def inputs(self, decision_id: str) -> bytes | None:
        """Read what one was made of."""
        with self._file.reading() as db:
            row = db.execute("SELECT inputs FROM inputs WHERE id = ?", (decision_id,)).fetchone()
            return None if row is None else bytes(row[0])

    def get(self, decision_id: str) -> bytes | None:
        """Read one."""
        with self._file.reading() as db:
            row = db.execute("SELECT entry FROM decisions WHERE id = ?", (decision_id,)).fetchone()
            return None if row is None else bytes(row[0])

    def of_session(self, session_id: str, limit: int) -> Sequence[bytes]:
        """Read a session's, latest time first."""
        with self._file.reading() as db:
            rows = db.execute(
                "SELECT entry FROM decisions WHERE session_id = ? ORDER BY time DESC, place DESC LIMIT ?",
                (session_id, limit),
            )
            return [entry for (entry,) in rows]

    def recent(self, limit: int) -> Sequence[bytes]:
        """Read all sessions', latest time first."""
        with self._file.reading() as db:
            rows = db.execute("SELECT entry FROM decisions ORDER BY time DESC, place DESC LIMIT ?", (limit,))
            return [entry for (entry,) in rows]

    def close(self) -> None:
        """Close the file."""
        self._file.close()
