"""The writing end of the event log on Kafka: key = session id, value = the event's JSON, time = when it was appended.

`append` only queues; a thread hands the records to the client, which batches and compresses them. So the caller, often
an event loop, never waits for metadata, for a broker that is down, or for a producer that has to be made anew.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from connectors.kafka_client import Countdown, KafkaAddress
from connectors.kafka_port import Producer, TooLargeError, UnknownTopicError
from engine.ports import LogFullError, NewRecord, PortError, partition_of
from engine.values import Millis

logger = logging.getLogger("salience.connectors.kafka_events")

CLOSE_S = 10.0

RETRY_S = 0.5
"""After a failed connection appends fail at once for this long: the next attempt would not fare better."""


class _Taken:
    __slots__ = ("answers", "records")

    def __init__(self, records: list[tuple[int, bytes, bytes]], answers: Countdown) -> None:
        self.records = records
        self.answers = answers


class KafkaEventLog:
    """`EventLog` on a topic. Making one does not connect: a Kafka that is down is told to `done`, after 5 s at most.

    Args:
        address: The brokers.
        partitions: How many the topic has; an append to a topic with another number fails.
        capacity: Records that may be on their way before `append` raises `LogFullError`.
        capacity_bytes: Likewise, their keys and values.
        topic: Another than that of events; an empty value then deletes its key.
    """

    def __init__(
        self,
        address: KafkaAddress,
        partitions: int,
        *,
        capacity: int = 100_000,
        capacity_bytes: int = 64 * 1024 * 1024,
        topic: str | None = None,
    ) -> None:
        self._address = address
        self._topic = topic or address.events
        self._partitions = partitions
        self._capacity = capacity
        self._capacity_bytes = capacity_bytes
        self._changed = threading.Condition()
        self._queue: deque[_Taken] = deque()
        self._pending = 0
        self._pending_bytes = 0
        self._closed = False
        self._producer: Producer | None = None
        self._is_suspect = False
        self._down_until = 0.0
        self._down: PortError | None = None
        self._thread = threading.Thread(target=self._send_all, name="kafka event log", daemon=True)
        self._thread.start()

    @property
    def partitions(self) -> int:
        """How many partitions the log has."""
        return self._partitions

    def append(self, records: Sequence[NewRecord], done: Callable[[PortError | None], None]) -> None:
        """Queue records; `done` is called from a thread of the client or of this log."""
        if not records:
            done(None)
            return
        placed = [(partition_of(record.key, self._partitions), record.key.encode(), record.value) for record in records]
        size = sum(len(key) + len(value) for _, key, value in placed)

        def settled(error: PortError | None) -> None:
            try:
                done(error)
            except Exception:
                logger.exception("a callback of append failed")
            with self._changed:
                self._pending -= len(placed)
                self._pending_bytes -= size
                self._changed.notify_all()

        with self._changed:
            if self._closed:
                raise PortError(f"Kafka at {self._address.shown}: the log is closed")
            if self._pending + len(placed) > self._capacity or self._pending_bytes + size > self._capacity_bytes:
                raise LogFullError(
                    f"Kafka at {self._address.shown}: {self._pending} records are on their way; try again later"
                )
            self._pending += len(placed)
            self._pending_bytes += size
            self._queue.append(_Taken(placed, Countdown(len(placed), settled)))
            self._changed.notify_all()

    def flush(self, timeout_ms: Millis) -> None:
        """Wait until all is answered; raises `PortError` when it is not in time."""
        with self._changed:
            if not self._changed.wait_for(lambda: not self._pending, timeout_ms / 1000):
                raise PortError(
                    f"Kafka at {self._address.shown}: {self._pending} records not written after {timeout_ms} ms"
                )

    def close(self) -> None:
        """Flush for at most 10 s; what is not written then fails."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    def _send_all(self) -> None:
        while taken := self._next():
            try:
                self._send(self._current(), taken)
            except PortError as error:
                taken.answers.answer(error)
        self._drop(CLOSE_S)

    def _send(self, producer: Producer, taken: _Taken) -> None:
        def answered(error: BaseException | None) -> None:
            if error is None:
                taken.answers.answer(None)
            else:
                # Whether it was written is not known, nor is the producer's sequence after it: the next append takes a
                # new one.
                self._is_suspect = True
                taken.answers.answer(self._address.failure("appending", error))

        with self._address.explained("appending"):
            try:
                producer.send(self._topic, taken.records, answered)
            except TooLargeError:
                raise
            except BaseException:
                self._is_suspect = True
                raise

    def _next(self) -> _Taken | None:
        """The next append; None when the log is closed and nothing is left."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closed)
            return self._queue.popleft() if self._queue else None

    def _current(self) -> Producer:
        """The producer, made where there is none that can be trusted."""
        if self._is_suspect:
            self._drop(0)
        if self._producer is None:
            if self._down is not None and time.monotonic() < self._down_until:
                raise self._down
            try:
                self._producer = self._connect()
            except PortError as error:
                self._down, self._down_until = error, time.monotonic() + RETRY_S
                raise
            self._down = None
        return self._producer

    def _connect(self) -> Producer:
        with self._address.explained("connecting"):
            producer = self._address.client.producer()
        try:
            self._check(producer)
        except BaseException:
            producer.close(0)
            raise
        return producer

    def _check(self, producer: Producer) -> None:
        topic = self._topic
        with self._address.explained(f"looking for topic {topic}"):
            try:
                found = producer.partitions(topic)
            except UnknownTopicError as error:
                raise PortError(
                    f"Kafka at {self._address.shown}: topic {topic} is not there, or no broker leads it; create it first"
                ) from error
        if found != self._partitions:
            raise PortError(
                f"Kafka at {self._address.shown}: topic {topic} has {found} partitions, {self._partitions} are set"
            )

    def _drop(self, timeout_s: float) -> None:
        """Close the producer; what it did not write within the time fails."""
        producer, self._producer, self._is_suspect = self._producer, None, False
        if producer is not None:
            try:
                with self._address.explained("closing a producer"):
                    producer.close(timeout_s)
            except PortError as error:
                logger.warning("%s", error)
