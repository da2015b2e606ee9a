"""Writes decisions and counters behind the answers, in batches, so that no answer waits for the log."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from engine.ports import Activity, DecisionLog, DecisionWriter, LogEntry, PortError
from service.api.metrics import Metrics

log = logging.getLogger("salience.api.recorder")

EVERY_S = 0.05
"""How long an entry waits: `why` is asked by people, and 20 writes a second cost nothing."""
BATCH = 500
CAPACITY = 10_000
"""Entries kept while the log is away: some 10 s of full load, 50 MB. Then the oldest go, and are counted."""
REST_S = 1.0
COUNT_EVERY_S = 1.0


class Recorder:
    """Takes entries in the event loop; one task writes them, by a thread where the log has no other way.

    Args:
        decisions: The log.
        activity: Counters.
        metrics: Of the process.
        writer: Writes to the log from the event loop, where that can be.
    """

    def __init__(
        self, decisions: DecisionLog, activity: Activity, metrics: Metrics, writer: DecisionWriter | None = None
    ) -> None:
        self._decisions = decisions
        self._writer = writer
        self._activity = activity
        self._metrics = metrics
        self._entries: deque[tuple[LogEntry, bytes | None]] = deque()
        self._writing: list[tuple[LogEntry, bytes | None]] = []
        self._counts: dict[int, dict[str, int]] = {}
        self._wake = asyncio.Event()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="recorder")
        self._tasks: list[asyncio.Task[None]] = []
        self._stopped = asyncio.Event()
        self._failing = False

    def start(self) -> None:
        """Begin to write; in the event loop."""
        self._tasks = [asyncio.create_task(self._write_all()), asyncio.create_task(self._count_all())]

    async def stop(self, timeout_s: float = 5.0) -> None:
        """Write what waits, for `timeout_s` at most, and end."""
        self._stopped.set()
        self._wake.set()
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.gather(*self._tasks)
        except TimeoutError:
            left = len(self._entries) + len(self._writing)
            log.warning("%d decisions could not be written to the decision log before the end", left)
        if self._writer is not None:
            await self._writer.close()
        await asyncio.to_thread(self._pool.shutdown)

    def record(self, entry: LogEntry, inputs: bytes | None = None) -> None:
        """Keep an entry for writing, and what it was made of; never waits."""
        if len(self._entries) >= CAPACITY:
            self._entries.popleft()
            self._metrics.dropped.inc()
        self._entries.append((entry, inputs))
        self._wake.set()

    def count(self, minute: int, counts: Mapping[str, int]) -> None:
        """Add to the counters of a minute."""
        own = self._counts.get(minute)
        if own is None:
            own = self._counts[minute] = {}
        for name, count in counts.items():
            own[name] = own.get(name, 0) + count

    def pending(self, decision_id: str) -> bytes | None:
        """An entry that is not written yet."""
        for entry, _ in (*self._writing, *self._entries):
            if entry[0] == decision_id:
                return entry[3]
        return None

    async def _write_all(self) -> None:
        while True:
            if not self._entries and not self._writing:
                if self._stopped.is_set():
                    return
                self._wake.clear()
                await self._wake.wait()
                if not self._stopped.is_set():
                    await asyncio.sleep(EVERY_S)
                continue
            if not self._writing:
                self._writing = [self._entries.popleft() for _ in range(min(BATCH, len(self._entries)))]
            try:
                if self._writer is not None:
                    await self._writer.append(self._writing)
                else:
                    await self._in_thread(self._write, self._writing)
            except PortError as error:
                self._complain(error)
                await asyncio.sleep(REST_S)
                continue
            self._failing = False
            self._writing = []
            self._metrics.pending.set(len(self._entries))

    def _write(self, entries: list[tuple[LogEntry, bytes | None]]) -> None:
        # What they were made of first: whoever finds a decision finds that, too.
        self._decisions.keep_inputs([(entry[0], entry[2], inputs) for entry, inputs in entries if inputs is not None])
        self._decisions.append([entry for entry, _ in entries])

    async def _count_all(self) -> None:
        while True:
            counts, self._counts = self._counts, {}
            for minute, added in counts.items():
                try:
                    await self._in_thread(self._activity.add, minute, added)
                except PortError as error:
                    self._complain(error)
                    self.count(minute, added)
            if self._stopped.is_set():
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), COUNT_EVERY_S)

    async def _in_thread(self, call: object, *args: object) -> None:
        await asyncio.get_running_loop().run_in_executor(self._pool, call, *args)  # type: ignore[arg-type]

    def _complain(self, error: PortError) -> None:
        if not self._failing:
            log.warning("the decision log does not take entries, they are kept and tried again: %s", error)
        self._failing = True
