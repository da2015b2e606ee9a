"""The event log in one SQLite file: the writing and the reading end.

A record's rowid is `partition << 40 | offset`: a partition is one range of the table, an append goes to the end of it,
and no second index is kept. Appends of all threads go through one writer thread, which commits whatever waits in one
transaction; commits are synced, so that `done` means that the record is on disk.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from connectors.sqlite_file import SqliteFile
from connectors.sqlite_lease import Lease
from engine.ports import LogFullError, NewRecord, PortError, Record, partition_of
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

POLL_STEP_S = 0.002
"""How often a waiting poll looks whether the file changed: 0.5 % of a core, and 1 ms of delay on average."""


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
        self._partitions = _make_partitions(self._file, partitions)
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


class SqliteEventSource:
    """`EventSource` of a file: of all processes with the same `group`, one holds every partition, the others wait.

    A poll that changes the assignment returns no records, so that its caller can `seek` first. A poll of an offset that
    the log has no longer, or not yet, raises `PortError`; `seek` to 0 means the beginning, wherever it is now.

    Args:
        path: The file of a `SqliteEventLog`.
        group: The group of workers.
        partitions: How many a log gets that is made here, since nobody has opened it before.
        lease_ms: After so long without a poll another process may take over.
    """

    def __init__(self, path: Path, group: str = "worker", *, partitions: int = 8, lease_ms: Millis = 10_000) -> None:
        self._file = SqliteFile(path, SCHEMA, durable=False)  # writes leases and displays only
        self._group = group
        self._partitions = _make_partitions(self._file, partitions)
        self._lease = Lease(self._file, group, lease_ms)
        self._generation: int | None = None
        self._positions: dict[int, int] = {}
        self._sought: dict[int, int] = {}
        self._paused: set[int] = set()
        self._first = 0  # the partition that is read first by the next poll

    def poll(self, limit: int, timeout_ms: Millis) -> Mapping[int, Sequence[Record]]:
        """Read what is there, or wait for it; every poll also keeps the lease."""
        deadline = time.monotonic() + timeout_ms / 1000
        while True:
            mark = self._file.change_mark()
            generation = self._lease.keep()
            if generation != self._generation:
                self._assign(generation)
                return {}
            records = self._read(limit) if generation is not None else {}
            if records or time.monotonic() >= deadline:
                return records
            self._wait(mark, deadline)

    def assignment(self) -> Mapping[int, int]:
        """All partitions, or none while another process has them."""
        if self._generation is None:
            return {}
        return dict.fromkeys(range(self._partitions), self._generation)

    def seek(self, partition: int, offset: int) -> None:
        """Start there with the next poll, or when the partition is assigned."""
        if partition in self._positions:
            self._positions[partition] = offset
        else:
            self._sought[partition] = offset

    def pause(self, partitions: Collection[int]) -> None:
        """Skip these until `resume`."""
        self._paused.update(partitions)

    def resume(self, partitions: Collection[int]) -> None:
        """Read these again."""
        self._paused.difference_update(partitions)

    def commit(self, offsets: Mapping[int, int]) -> None:
        """Note the offsets for displays."""
        with self._file.writing() as db:
            db.executemany(
                "INSERT OR REPLACE INTO committed (name, partition, offset) VALUES (?, ?, ?)",
                [(self._group, partition, offset) for partition, offset in offsets.items()],
            )

    def committed(self) -> Mapping[int, int]:
        """What the group last committed, for displays of lag; readable without holding the lease."""
        with self._file.reading() as db:
            return dict(db.execute("SELECT partition, offset FROM committed WHERE name = ?", (self._group,)))

    def ends(self) -> Mapping[int, int]:
        """The next offset of every partition."""
        with self._file.reading() as db:
            return dict(db.execute("SELECT partition, next FROM ends"))

    def close(self) -> None:
        """Give the lease back and close the file."""
        try:
            self._lease.release()
        finally:
            self._file.close()

    def _assign(self, generation: int | None) -> None:
        self._generation = generation
        self._paused.clear()
        self._positions = {}
        if generation is not None:
            self._positions = {p: self._sought.get(p, 0) for p in range(self._partitions)}
            self._sought.clear()

    def _read(self, limit: int) -> dict[int, Sequence[Record]]:
        found: dict[int, Sequence[Record]] = {}
        with self._file.reading() as db:
            ends = dict(db.execute("SELECT partition, next FROM ends"))
            behind = [p for p in self._positions if p not in self._paused and self._positions[p] != ends[p]]
            behind.sort(key=lambda p: (p < self._first, p))  # begin where the last poll left off
            for left, partition in zip(range(len(behind), 0, -1), behind, strict=True):
                # A fair share of what remains, so that a long partition does not starve the others.
                share = math.ceil(limit / left)
                position = self._positions[partition]
                rows = db.execute(
                    "SELECT place, key, value, time FROM records WHERE place >= ? AND place < ? ORDER BY place LIMIT ?",
                    (partition << SHIFT | position, partition << SHIFT | ends[partition], share),
                ).fetchall()
                first = rows[0][0] - (partition << SHIFT) if rows else ends[partition]
                if position > ends[partition] or (position not in (0, first)):
                    raise PortError(
                        f"{self._file.path}: partition {partition} has no offset {position}; it has "
                        f"{first} to {ends[partition]}. Was the file replaced, or is its retention too short?"
                    )
                if rows:
                    base = partition << SHIFT
                    found[partition] = [Record(partition, place - base, *rest) for place, *rest in rows]
                    self._positions[partition] = rows[-1][0] - base + 1
                    limit -= len(rows)
                    self._first = partition + 1
                if limit <= 0:
                    break
        return found

    def _wait(self, mark: int, deadline: float) -> None:
        """Until the file changes, the lease is to be renewed or the deadline passes."""
        while (left := deadline - time.monotonic()) > 0:
            if self._generation is None:
                time.sleep(min(left, 0.1))  # nobody waits for this one: look ten times a second for a free lease
                return
            time.sleep(min(left, POLL_STEP_S))
            if self._file.change_mark() != mark or self._lease.renewal_due():
                return


def _make_partitions(file: SqliteFile, wanted: int) -> int:
    """How many partitions the file has; gives it `wanted` where it is new."""
    with file.writing() as db:
        (existing,) = db.execute("SELECT count(*) FROM ends").fetchone()
        if not existing:
            db.executemany("INSERT INTO ends (partition, next) VALUES (?, 0)", [(p,) for p in range(wanted)])
        return int(existing or wanted)
