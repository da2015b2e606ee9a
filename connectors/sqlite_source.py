"""The reading end of the event log in one SQLite file; `connectors.sqlite_events` has its layout."""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from connectors.sqlite_events import SCHEMA, SHIFT, make_partitions
from connectors.sqlite_file import SqliteFile
from connectors.sqlite_lease import Lease
from engine.ports import PortError, Record
from engine.values import Millis

POLL_STEP_S = 0.002
"""How often a waiting poll looks whether the file changed: 0.5 % of a core, and 1 ms of delay on average."""


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
        self._partitions = make_partitions(self._file, partitions)
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

    def ends(self, timeout_ms: Millis = 10_000) -> Mapping[int, int]:
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
