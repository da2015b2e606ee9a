"""Who of several processes on one machine reads the embedded log: a lease kept in the log's own file.

The holder renews a row with a time; and it holds a lock on a file beside, which the system lets go when the process
dies. So a second worker takes over at once from one that died or left, and after `lease_ms` from one that stands
still. Each taking grows the generation, and the state store refuses what an older one writes.
"""

from __future__ import annotations

import fcntl
import os
import time
import uuid

from connectors.sqlite_file import SqliteFile
from engine.ports import PortError
from engine.values import Millis


class Lease:
    """A process's claim on the log for one group of workers. The file must have the table `leases`."""

    def __init__(self, file: SqliteFile, group: str, lease_ms: Millis) -> None:
        self._file = file
        self._group = group
        self._lease_ms = lease_ms
        self._owner = uuid.uuid4().hex
        self._generation: int | None = None
        self._renew_at = 0.0
        self._lock_file: int | None = None
        self._lock_path = file.path.with_name(f"{file.path.name}.{group}.lock")

    def keep(self) -> int | None:
        """Take or renew the lease where that is possible; return its generation, or None where another holds it."""
        if self._generation is not None and time.monotonic() < self._renew_at:
            with self._file.reading() as db:
                row = db.execute("SELECT generation FROM leases WHERE name = ?", (self._group,)).fetchone()
            if row != (self._generation,):
                self._lose()
            return self._generation
        self._try_lock()
        with self._file.writing() as db:
            now = _wall_ms()
            row = db.execute(
                "SELECT generation, owner, expires, is_locked FROM leases WHERE name = ?", (self._group,)
            ).fetchone()
            if row is None or (row[0], row[1]) != (self._generation, self._owner):
                # Free when it expired, or when we have the lock that its holder had: that one is dead.
                is_free = row is None or row[2] <= now or (row[3] and self._lock_file is not None)
                self._generation = 1 + (row[0] if row else 0) if is_free else None
            if self._generation is not None:
                db.execute(
                    "INSERT OR REPLACE INTO leases (name, generation, owner, expires, is_locked) VALUES (?, ?, ?, ?, ?)",
                    (
                        self._group,
                        self._generation,
                        self._owner,
                        now + self._lease_ms,
                        self._lock_file is not None,
                    ),
                )
        if self._generation is None:
            self._lose()
        self._renew_at = time.monotonic() + self._lease_ms / 3000
        return self._generation

    def renewal_due(self) -> bool:
        """Whether `keep` would write now."""
        return time.monotonic() >= self._renew_at

    def release(self) -> None:
        """Let the next one take it at once."""
        if self._generation is not None:
            with self._file.writing() as db:
                db.execute(
                    "UPDATE leases SET expires = 0 WHERE name = ? AND owner = ? AND generation = ?",
                    (self._group, self._owner, self._generation),
                )
        self._lose()

    def _try_lock(self) -> None:
        if self._lock_file is not None:
            return
        try:
            descriptor = os.open(self._lock_path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise PortError(f"{self._lock_path}: can't be opened ({error.strerror})") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
        else:
            self._lock_file = descriptor

    def _lose(self) -> None:
        self._generation = None
        if self._lock_file is not None:
            os.close(self._lock_file)  # lets go of the lock
            self._lock_file = None


def _wall_ms() -> int:
    # Wall time, since it must mean the same after a reboot. If it jumps, a lease may change hands too early: the
    # generation then keeps the earlier holder from writing.
    return time.time_ns() // 1_000_000
