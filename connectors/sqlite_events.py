"""The writing end of the event log in one SQLite file.

A record's rowid is `partition << 40 | offset`: a partition is one range of the table, an append goes to the end of it,
and no second index is kept. Appends of all threads go through one writer thread, which commits whatever waits in one
transaction; commits are synced, so that `done` means that the record is on disk.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from connectors.sqlite_file import SqliteFile
from engine.ports import LogFullError, NewRecord, PortError, partition_of
from engine.values import Millis

logger = logging.getLogger("salience.connectors.sqlite_events")

SHIFT = 40
"""Bits of the offset in a rowid: 10^12 records a partition, and 2^23 partitions."""

SCHEMA = (
    """
    CREATE TABLE records (place INTEGER PRIMARY KEY, key TEXT NOT NULL, value BLOB NOT NULL, time INTEGER NOT NULL);
    CREATE TABLE ends (partition INTEGER PRIMARY KEY, next INTEGER NOT NULL);
    CREATE TABLE committed (name TEXT, partition INTEGER, offset INTEGER NOT NULL, PRIMARY KEY (name, partition));
    CREATE TABLE leases (name TEXT PRIMARY KEY, generation INTEGER NOT NULL, owner TEXT NOT NULL,
                         expires INTEGER NOT NULL, is_locked INTEGER NOT NULL)
    """,
)

BATCH_RECORDS = 10_000
"""At most so many records in one commit: about 50 ms, so that other writers of the file come in between."""

RETENTION_EVERY_S = 10.0
RETENTION_CHUNK = 20_000
"""Old records leave in steps of this many for each partition, so that no append waits long for it."""


class _Taken:
    __slots__ = ("done", "records")

    def __init__(self, records: list[tuple[int, str, bytes]], done: Callable[[PortError | None], None]) -> None:
        self.records = records
        self.done = done


class SqliteEventLog:
    """`EventLog` in a file.

    Args:
        path: The file.
        partitions: How many a new log gets; one that exists keeps its own.
        capacity: Records that may wait for the writer before `append` raises `LogFullError`.
        retention_ms: Forget records older than this; None keeps them.
        retention_records: Keep at most so many of each partition; None keeps them all.
    """

    def __init__(
        self,
        path: Path,
        partitions: int = 8,
        *,
        capacity: int = 50_000,
        retention_ms: Millis | None = None,
        retention_records: int | None = None,
    ) -> None:
        self._file = SqliteFile(path, SCHEMA, durable=True)
        self._partitions = make_partitions(self._file, partitions)
        self._capacity = capacity
        self._retention_ms = retention_ms
        self._retention_records = retention_records
        self._retention_at = time.monotonic()
        self._changed = threading.Condition()
        self._queue: deque[_Taken] = deque()
        self._waiting = 0  # records in the queue
        self._writing = False
        self._closed = False
        self._writer = threading.Thread(target=self._write_all, name=f"log writer {path.name}", daemon=True)
        self._writer.start()

    @property
    def partitions(self) -> int:
        """How many partitions the log has; fixed when it was made."""
        return self._partitions

    def append(self, records: Sequence[NewRecord], done: Callable[[PortError | None], None]) -> None:
        """Queue records for the next commit; `done` is called from the writer's thread."""
        if not records:
            done(None)
            return
        placed = [(partition_of(record.key, self._partitions), record.key, record.value) for record in records]
        with self._changed:
            if self._closed:
                raise PortError(f"{self._file.path}: the log is closed")
            if self._waiting + len(placed) > self._capacity:
                raise LogFullError(f"{self._file.path}: {self._waiting} records wait to be written; try again later")
            self._queue.append(_Taken(placed, done))
            self._waiting += len(placed)
            self._changed.notify_all()

    def flush(self, timeout_ms: Millis) -> None:
        """Wait for the writer; raises `PortError` when it has not finished in time."""
        with self._changed:
            if not self._changed.wait_for(lambda: not self._queue and not self._writing, timeout_ms / 1000):
                raise PortError(f"{self._file.path}: {self._waiting} records not written after {timeout_ms} ms")

    def close(self) -> None:
        """Write what waits, end the writer, close the file."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._writer.join()
        self._file.close()

    def _write_all(self) -> None:
        while batch := self._next_batch():
            error: PortError | None = None
            try:
                self._write(batch)
            except PortError as failed:
                error = failed
            except Exception as failed:
                logger.exception("append to %s failed", self._file.path)
                error = PortError(f"{self._file.path}: {failed}")
            for taken in batch:
                try:
                    taken.done(error)
                except Exception:
                    logger.exception("a callback of append failed")
            with self._changed:
                self._writing = False
                self._changed.notify_all()
            self._retain()

    def _next_batch(self) -> list[_Taken]:
        """All that waits, up to `BATCH_RECORDS`; empty when the log is closed and nothing is left."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closed)
            batch: list[_Taken] = []
            size = 0
            while self._queue and (not batch or size + len(self._queue[0].records) <= BATCH_RECORDS):
                batch.append(self._queue.popleft())
                size += len(batch[-1].records)
            self._waiting -= size
            self._writing = bool(batch)
            return batch

    def _write(self, batch: Sequence[_Taken]) -> None:
        with self._file.writing() as db:
            ends = dict(db.execute("SELECT partition, next FROM ends"))
            now = time.time_ns() // 1_000_000
            rows = []
            for taken in batch:
                for partition, key, value in taken.records:
                    offset = ends[partition]
                    ends[partition] = offset + 1
                    rows.append((partition << SHIFT | offset, key, value, now))
            db.executemany("INSERT INTO records (place, key, value, time) VALUES (?, ?, ?, ?)", rows)
            db.executemany("UPDATE ends SET next = ? WHERE partition = ?", [(end, p) for p, end in ends.items()])

    def _retain(self) -> None:
        """Forget what is beyond retention; a failure is logged and tried again, since appends matter more."""
        if self._retention_ms is None and self._retention_records is None:
            return
        if time.monotonic() < self._retention_at:
            return
        self._retention_at = time.monotonic() + RETENTION_EVERY_S
        before = -1 if self._retention_ms is None else time.time_ns() // 1_000_000 - self._retention_ms
        try:
            with self._file.writing() as db:
                for partition, end in db.execute("SELECT partition, next FROM ends").fetchall():
                    keep_from = 0 if self._retention_records is None else max(0, end - self._retention_records)
                    db.execute(
                        "DELETE FROM records WHERE place IN (SELECT place FROM records WHERE place >= ? AND place < ? "
                        "ORDER BY place LIMIT ?) AND (place < ? OR time < ?)",
                        (
                            partition << SHIFT,
                            partition << SHIFT | end,
                            RETENTION_CHUNK,
                            partition << SHIFT | keep_from,
                            before,
                        ),
                    )
        except PortError as error:
            logger.warning("old records stay for now: %s", error)


def make_partitions(file: SqliteFile, wanted: int) -> int:
    """How many partitions the file has; gives it `wanted` where it is new."""
    with file.writing() as db:
        (existing,) = db.execute("SELECT count(*) FROM ends").fetchone()
        if not existing:
            db.executemany("INSERT INTO ends (partition, next) VALUES (?, 0)", [(p,) for p in range(wanted)])
        return int(existing or wanted)
