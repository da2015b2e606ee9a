"""One SQLite file as the embedded stores use it: opened, migrated, locked and explained in one place.

Every store keeps one concern in one file, so that a writer of events never waits for a writer of limits. All files run
in WAL mode: readers don't wait for the writer, and what is committed outlives the death of any process. What differs
is the death of the machine: with `synchronous=NORMAL` a power cut may take the latest commits, never half of one.
State may lose them, because offset, sessions and outbox go back together and the log is read again from there.
The log itself and the outputs may not: what was accepted or sent is nowhere else. They are opened with `durable`,
which syncs each commit; both write many records in one commit, so that it costs little.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from engine.ports import PortError
from engine.values import Millis

BUSY_MS: Millis = 5_000
"""How long a statement waits for another process's write. Ours last milliseconds; a full checkpoint of a large
write-ahead log on a slow disk, about a second."""

WAL_LIMIT_BYTES = 64 * 1024 * 1024
"""A write-ahead log that once grew beyond this is cut back at the next checkpoint."""

ADVICE = {
    "SQLITE_READONLY": "it can't be written; give this user the right to write to the folder",
    "SQLITE_CANTOPEN": "it can't be opened; see that its folder exists and that this user may write to it",
    "SQLITE_FULL": "the disk is full; free some space, nothing of this write was kept",
    "SQLITE_IOERR": "the disk does not answer as it should; see the system's log",
    "SQLITE_BUSY": "another process has been writing to it for too long; see what holds it open",
    "SQLITE_LOCKED": "another process has been writing to it for too long; see what holds it open",
    "SQLITE_CORRUPT": "it is damaged; restore it from a copy",
    "SQLITE_NOTADB": "it is no SQLite file; move it away or name another folder",
}


class SqliteFile:
    """A connection to one file, shared by the threads of a process under a lock, safe beside other processes.

    Args:
        path: The file; it and its folder are made where they are missing.
        schema: Statements that bring an empty file to version 1, the next to version 2, and so on. Never change one
            that was released; append.
        durable: Sync each commit to disk.

    Raises `PortError` when the file can't be opened, is no SQLite file, or was written by a newer release.
    """

    def __init__(self, path: Path, schema: Sequence[str], *, durable: bool = False, busy_ms: Millis = BUSY_MS) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._busy_ms = busy_ms
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise PortError(f"{path.parent}: the folder can't be made ({error.strerror})") from error
        with self._explained():
            # Transactions are begun and ended by hand: the module's own rules would begin one at the first write.
            self._connection = sqlite3.connect(
                path, timeout=busy_ms / 1000, isolation_level=None, check_same_thread=False, cached_statements=256
            )
        try:
            self._set_up(schema, durable=durable)
        except BaseException:
            self._connection.close()
            raise

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A transaction that sees one state of the file throughout."""
        with self._lock, self._explained():
            self._connection.execute("BEGIN")
            try:
                yield self._connection
            finally:
                self._rollback()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction that holds the file's write lock from its start, so that what it read is still so."""
        with self._lock, self._explained():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                self._rollback()
                raise

    def change_mark(self) -> int:
        """A number that differs from the last call's after another connection wrote to the file; costs a microsecond."""
        with self._lock, self._explained():
            (mark,) = self._connection.execute("PRAGMA data_version").fetchone()
            return int(mark)

    def close(self) -> None:
        """Close the connection; closing again does nothing."""
        with self._lock, self._explained():
            self._connection.close()

    def _set_up(self, schema: Sequence[str], *, durable: bool) -> None:
        with self._explained():
            self._use_wal()
            self._connection.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
            self._connection.execute(f"PRAGMA journal_size_limit={WAL_LIMIT_BYTES}")
            (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if version < len(schema):
            with self.writing() as db:
                # Asked again under the lock: another process may have just done it.
                (version,) = db.execute("PRAGMA user_version").fetchone()
                for statements in schema[version:]:
                    for statement in filter(None, map(str.strip, statements.split(";"))):
                        db.execute(statement)
                db.execute(f"PRAGMA user_version={max(version, len(schema))}")
        if version > len(schema):
            raise PortError(
                f"{self.path}: written by a newer release (layout {version}, this one reads {len(schema)}); "
                "run that release or name another folder"
            )

    def _use_wal(self) -> None:
        # The change to WAL does not wait by itself when several processes open a new file at once.
        deadline = time.monotonic() + self._busy_ms / 1000
        while True:
            try:
                self._connection.execute("PRAGMA journal_mode=WAL")
            except sqlite3.OperationalError as error:
                if not _name(error).startswith("SQLITE_BUSY") or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
            else:
                return

    def _rollback(self) -> None:
        with suppress(sqlite3.Error):  # what went wrong before is the error to tell
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            name = _name(error)
            advice = next((text for code, text in ADVICE.items() if name.startswith(code)), str(error))
            raise PortError(f"{self.path}: {advice} ({name}: {error})") from error


def _name(error: sqlite3.Error) -> str:
    # Errors of the module itself, such as the use of a closed connection, carry no code.
    return getattr(error, "sqlite_errorname", type(error).__name__)
