"""librdkafka: producers, with and without transactions."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from connectors.kafka_librdkafka_errors import translated
from connectors.kafka_port import ClientError, NewMessage, UnknownTopicError

CALL_S = 12.0
"""The longest wait of a transaction's call; it stays below the watchdog's limit."""


class RdProducer:
    """`Producer`. A thread of its own serves the delivery reports."""

    def __init__(self, producer: Any, reach_s: float) -> None:
        self._producer = producer
        self._reach_s = reach_s
        self._fatal: Exception | None = None
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="kafka delivery reports", daemon=True)
        self._thread.start()

    def partitions(self, topic: str) -> int:
        """Ask for the topic's."""
        with translated():
            found = self._producer.list_topics(topic, timeout=self._reach_s).topics[topic]
        if found.error is not None or not found.partitions:
            raise UnknownTopicError(str(found.error))
        return len(found.partitions)

    def send(
        self,
        topic: str,
        records: Sequence[tuple[int, bytes, bytes]],
        done: Callable[[BaseException | None], None],
    ) -> None:
        """Hand the records to the client."""

        def answered(error: KafkaError | None, _: object) -> None:
            done(None if error is None else ClientError(error.str()))

        produce = self._producer.produce
        with translated():
            if self._fatal is not None:
                raise self._fatal
            for partition, key, value in records:
                produce(topic, value or None, key, partition, answered)

    def close(self, timeout_s: float) -> None:
        """Wait for what was taken, purge the rest, and let go of it all."""
        deadline = time.monotonic() + timeout_s
        while len(self._producer) and self._fatal is None and time.monotonic() < deadline:
            time.sleep(0.005)
        with translated():
            self._producer.purge()
        self._closing.set()
        self._thread.join()
        self._producer = None

    def _serve(self) -> None:
        producer = self._producer
        while not self._closing.is_set() or len(producer):
            try:
                producer.poll(0.1)
            except (KafkaException, SystemError) as error:
                self._fatal = self._fatal or error


class RdTransactor:
    """`Transactor`."""

    def __init__(self, producer: Any) -> None:
        self._producer = producer

    def init(self) -> None:
        """Take the transactional id."""
        with translated():
            self._producer.init_transactions(CALL_S)

    def begin(self) -> None:
        """Begin."""
        with translated():
            self._producer.begin_transaction()

    def write(self, messages: Sequence[NewMessage], timeout_s: float) -> None:
        """Write, and look at the report of each record."""
        errors: list[KafkaError] = []

        def answered(error: KafkaError | None, _: object) -> None:
            if error is not None:
                errors.append(error)

        with translated():
            for each in messages:
                self._producer.produce(
                    each.topic, each.value, each.key, each.partition, answered, headers=list(each.headers)
                )
            if not _settle(self._producer, timeout_s):
                raise ClientError(f"{len(self._producer)} of {len(messages)} records were not answered in time")
            if errors:
                raise KafkaException(errors[0])

    def commit(self) -> None:
        """Commit."""
        with translated():
            self._producer.commit_transaction(CALL_S)

    def close(self) -> None:
        """Forget what waits; the library ends its threads and connections when nobody has the producer."""
        producer, self._producer = self._producer, None
        if producer is not None:
            with suppress(KafkaException):
                producer.purge(blocking=False)


def _settle(producer: Any, timeout_s: float) -> bool:
    """Serve delivery reports until all have come; whether it was in time."""
    deadline = time.monotonic() + timeout_s
    while len(producer):
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        producer.poll(min(left, 0.5))
    return True
