"""Sending what was written: a thread for each partition, in order, so that the next batches are evaluated meanwhile."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Sequence

from engine.ports import Output, OutputLog, PortError, Turn
from engine.regime import Regime
from engine.values import Millis
from service.worker.watchdog import Watchdog

logger = logging.getLogger("salience.service.worker.emission")

SEND_AT_MOST = 2_000  # outputs in one transaction: some 600 KB of triggers
SETTLE_S = 1.0
"""After so long it is seen to that readers find what was sent: before more is sent, and when nothing more comes."""

BACKOFF_FIRST_S = 0.05
BACKOFF_LAST_S = 2.0


class Emission:
    """Sends outputs of the partitions that were claimed, in the order in which they were written.

    What it holds is in the outbox of the state store: it may be dropped, and whoever owns the partition next sends it.
    A partition whose sending failed in any way is sent no further until it is claimed again: what is out is not known
    before. All but the sending itself is for the worker's thread; claims of several partitions may run at once.
    """

    def __init__(self, outputs: OutputLog, watchdog: Watchdog | None = None) -> None:
        self._outputs = outputs
        self._watchdog = watchdog or Watchdog(None)
        self._lanes: dict[int, _Lane] = {}
        self._ending: list[_Lane] = []
        self._failures: dict[int, int] = {}
        self._lock = threading.Lock()

    @property
    def waiting(self) -> int:
        """Outputs not yet known to be durable."""
        return sum(lane.waiting for lane in self._lanes.values())

    @property
    def problem(self) -> str:
        """Why outputs wait; empty where none failed."""
        return next((lane.problem for lane in self._lanes.values() if lane.problem), "")

    def claim(self, partition: int) -> Turn:
        """Own a partition's outputs; what is out. What waits is forgotten: see its outbox."""
        failures = self._failures.get(partition, 0)
        lane = self._lanes.get(partition)
        if lane is not None:
            failures = failures + 1 if lane.problem else 0
        self.drop(partition)
        self._failures[partition] = failures
        with self._watchdog.watching(f"taking over the outputs of partition {partition}"):
            turn = self._outputs.claim(partition)
        self._lanes[partition] = _Lane(partition, turn, self._outputs, self._watchdog, failures)
        return turn

    def offer(
        self, partition: int, outputs: Sequence[Output], regimes: Sequence[Regime] = (), patience: Millis = 0
    ) -> None:
        """Send these after all that were offered before, and with them, or soon, what they were evaluated with.

        They may wait for others for so long as `patience` says, if there are not enough of them for a full transaction.
        """
        lane = self._lanes.get(partition)
        if lane is not None and (outputs or regimes):
            lane.offer(outputs, regimes, patience / 1000)

    def has_failed(self, partition: int) -> bool:
        """Whether sending failed, and it is time to claim again."""
        lane = self._lanes.get(partition)
        return lane is not None and bool(lane.problem) and time.monotonic() >= lane.retry_at

    def drop(self, partition: int) -> None:
        """Forget what waits of a partition: it is another's now, or is read from the outbox again."""
        lane = self._lanes.pop(partition, None)
        if lane is not None:
            lane.end()
            with self._lock:
                self._ending = [each for each in (*self._ending, lane) if each.is_alive]

    def sent(self) -> dict[int, int]:
        """By partition, the offset below which its outbox can be trimmed since the last call."""
        return {number: below for number, lane in self._lanes.items() if (below := lane.take_sent()) is not None}

    def drain(self, timeout_ms: Millis) -> bool:
        """Wait until all is sent; whether it was in time. What failed is not waited for."""
        deadline = time.monotonic() + timeout_ms / 1000
        return all(lane.drain(deadline) for lane in self._lanes.values())

    def close(self) -> None:
        """End the threads after the calls on their way; what waits stays in the outbox."""
        for partition in list(self._lanes):
            self.drop(partition)
        for lane in self._ending:
            lane.join()


class _Lane:
    """One turn of one partition, from its claim to the first failure."""

    def __init__(self, partition: int, turn: Turn, outputs: OutputLog, watchdog: Watchdog, failures: int) -> None:
        self.problem = ""
        self.retry_at = 0.0
        self._partition = partition
        self._turn = turn
        self._outputs = outputs
        self._watchdog = watchdog
        self._failures = failures
        self._queue: deque[Output] = deque()
        self._send_at = 0.0  # when the first of the queue has waited long enough
        self._regimes: tuple[Regime, ...] = ()
        self._told = tuple(turn.regimes)
        self._sending = 0
        self._sent: int | None = None
        self._is_settled = True
        self._settled_at = time.monotonic()
        self._is_ended = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name=f"outputs of partition {partition}", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        return len(self._queue) + self._sending

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def offer(self, outputs: Sequence[Output], regimes: Sequence[Regime], patience_s: float) -> None:
        with self._changed:
            if outputs:
                send_at = time.monotonic() + patience_s
                self._send_at = min(self._send_at, send_at) if self._queue else send_at
            self._queue.extend(outputs)
            self._regimes = tuple(regimes) or self._regimes
            self._changed.notify_all()

    def take_sent(self) -> int | None:
        """The offset below which all are out, if it is news."""
        with self._changed:
            below, self._sent = self._sent, None
            if below is not None and self._queue:
                # One offset may have more outputs than were sent: don't trim what has yet to be.
                below = min(below, self._queue[0].offset)
            return below

    def drain(self, deadline: float) -> bool:
        with self._changed:
            self._send_at = 0.0
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._is_done() or self.problem, max(0.0, deadline - time.monotonic()))
            return self._is_done()

    def end(self) -> None:
        with self._changed:
            self._is_ended = True
            self._changed.notify_all()

    def join(self) -> None:
        self._thread.join()

    def _run(self) -> None:
        while (work := self._next()) is not None:
            batch, regimes = work
            try:
                with self._watchdog.watching(f"sending outputs of partition {self._partition}"):
                    if batch or regimes:
                        self._outputs.send(self._partition, self._turn.token, batch, regimes)
                        self._is_settled = False
                    else:
                        self._is_settled = self._outputs.settle(self._partition, self._turn.token)
                        self._settled_at = time.monotonic()
            except PortError as error:
                self._fail(batch, error)
                return
            if batch or regimes:
                with self._changed:
                    self._failures = 0
                    self._sending = 0
                    self._told = tuple(regimes) or self._told
                    self._sent = batch[-1].offset + 1 if batch else self._sent
                    self._changed.notify_all()

    def _next(self) -> tuple[list[Output], Sequence[Regime]] | None:
        """What is to be sent in one call; nothing where it is time to settle, None at the end."""
        with self._changed:
            while not (self._is_due() or self._is_settling_due() or self._news() or self._is_ended):
                moments = [self._send_at] if self._queue else []
                moments += [] if self._is_settled else [self._settled_at + SETTLE_S]
                self._changed.wait(max(0.0, min(moments) - time.monotonic()) if moments else None)
            if self._is_ended:
                return None
            if self._is_settling_due():
                return [], ()
            batch = [self._queue.popleft() for _ in range(min(len(self._queue), SEND_AT_MOST))]
            self._sending = len(batch)
            return batch, self._news()

    def _is_due(self) -> bool:
        """Whether outputs have waited long enough, or there are enough of them."""
        return bool(self._queue) and (len(self._queue) >= SEND_AT_MOST or time.monotonic() >= self._send_at)

    def _is_settling_due(self) -> bool:
        return not self._is_settled and time.monotonic() >= self._settled_at + SETTLE_S

    def _is_done(self) -> bool:
        return not self.waiting and not self._news()

    def _news(self) -> Sequence[Regime]:
        """Regimes that were not sent yet."""
        return self._regimes if self._regimes != self._told else ()

    def _fail(self, batch: Sequence[Output], error: PortError) -> None:
        with self._changed:
            if self._is_ended:
                return
            logger.warning("outputs of partition %d wait, they can't be sent: %s", self._partition, error)
            self.retry_at = time.monotonic() + min(BACKOFF_FIRST_S * 2 ** min(self._failures, 10), BACKOFF_LAST_S)
            self._queue.extendleft(reversed(batch))
            self._sending = 0
            self.problem = f"outputs wait, they can't be sent: {error}"
            self._changed.notify_all()
