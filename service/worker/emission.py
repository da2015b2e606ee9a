"""Sending what was written: a thread of its own, in order, so that the next batches are evaluated meanwhile."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from engine.ports import Output, OutputLog, PortError
from engine.values import Millis

logger = logging.getLogger("salience.service.worker.emission")

SEND_AT_MOST = 2_000  # outputs in one call: some 600 KB of triggers
BACKOFF_FIRST_S = 0.05
BACKOFF_LAST_S = 2.0


@dataclass(slots=True)
class _Parcel:
    """Outputs of one batch of a partition, all already in its outbox."""

    partition: int
    epoch: int
    outputs: Sequence[Output]


class Emission:
    """Sends outputs in the order in which they were written, again and again until they are durable.

    What it holds is in the outbox of the state store: it may be dropped, and whoever owns the partition next sends it.
    `offer`, `drop` and `sent` are for the worker's thread.
    """

    def __init__(self, outputs: OutputLog) -> None:
        self._outputs = outputs
        self._queue: deque[_Parcel] = deque()
        self._sending: list[_Parcel] = []
        self._sent: dict[int, int] = {}
        self._epochs: dict[int, int] = {}
        self._waiting = 0
        self._changed = threading.Condition()
        self._stopped = False
        self.problem = ""
        self._thread = threading.Thread(target=self._run, name="emission", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Outputs not yet known to be durable."""
        return self._waiting

    def offer(self, partition: int, outputs: Sequence[Output]) -> None:
        """Send these after all that were offered before."""
        if not outputs:
            return
        with self._changed:
            self._queue.append(_Parcel(partition, self._epochs.get(partition, 0), outputs))
            self._waiting += len(outputs)
            self._changed.notify_all()

    def drop(self, partition: int) -> None:
        """Forget what waits of a partition: it is another's now, or is read from the outbox again."""
        with self._changed:
            self._epochs[partition] = self._epochs.get(partition, 0) + 1
            kept = [each for each in self._queue if each.partition != partition]
            self._waiting -= sum(len(each.outputs) for each in self._queue if each.partition == partition)
            self._queue = deque(kept)
            self._sent.pop(partition, None)

    def sent(self) -> dict[int, int]:
        """By partition, the offset below which its outbox can be trimmed since the last call."""
        with self._changed:
            if not self._sent:
                return {}
            sent, self._sent = self._sent, {}
            for parcel in (*self._sending, *self._queue):
                # Timers of several batches carry one offset: don't trim what has yet to be sent.
                if parcel.partition in sent:
                    sent[parcel.partition] = min(sent[parcel.partition], parcel.outputs[0].offset)
            return sent

    def drain(self, timeout_ms: Millis) -> bool:
        """Wait until all is sent; whether it was in time."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._queue and not self._sending, timeout_ms / 1000)

    def close(self) -> None:
        """End the thread after the call on its way; what waits stays in the outbox."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        self._thread.join()

    def _run(self) -> None:
        backoff = BACKOFF_FIRST_S
        while self._next():
            try:
                self._outputs.send([output for parcel in self._sending for output in parcel.outputs])
            except PortError as error:
                if not self.problem:
                    logger.warning("outputs wait, they can't be sent: %s", error)
                self.problem = f"outputs wait, they can't be sent: {error}"
                self._put_back()
                time.sleep(backoff)
                backoff = min(2 * backoff, BACKOFF_LAST_S)
                continue
            self.problem = ""
            backoff = BACKOFF_FIRST_S
            self._finish()

    def _next(self) -> bool:
        """Take what is to be sent in one call; False at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._stopped)
            if self._stopped:
                return False
            size = 0
            while self._queue and (not size or size + len(self._queue[0].outputs) <= SEND_AT_MOST):
                size += len(self._queue[0].outputs)
                self._sending.append(self._queue.popleft())
            return True

    def _put_back(self) -> None:
        with self._changed:
            current = [each for each in self._sending if each.epoch == self._epochs.get(each.partition, 0)]
            self._waiting -= sum(len(each.outputs) for each in self._sending) - sum(
                len(each.outputs) for each in current
            )
            self._queue.extendleft(reversed(current))
            self._sending.clear()
            self._changed.notify_all()

    def _finish(self) -> None:
        with self._changed:
            for parcel in self._sending:
                self._waiting -= len(parcel.outputs)
                if parcel.epoch == self._epochs.get(parcel.partition, 0):
                    self._sent[parcel.partition] = parcel.outputs[-1].offset + 1
            self._sending.clear()
            self._changed.notify_all()
