"""kafka-python: producers, with and without transactions."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from typing import Any

from kafka import TopicPartition
from kafka.errors import (
    InvalidProducerEpochError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    ProducerFencedError,
)

from connectors.kafka_port import FencedProducerError, NewMessage, TooLargeError, UnknownTopicError


def close_at_once(producer: Any) -> None:
    """End a producer without sending what waits, and without waiting; its thread fails the rest and ends."""
    producer.flush = lambda timeout=None: None
    producer.close(timeout=0)


class PythonProducer:
    """`Producer`."""

    def __init__(self, producer: Any) -> None:
        self._producer = producer

    def partitions(self, topic: str) -> int:
        """Ask for the topic's."""
        try:
            return len(self._producer.partitions_for(topic))
        except KafkaTimeoutError as error:
            raise UnknownTopicError(str(error)) from error

    def send(
        self,
        topic: str,
        records: Sequence[tuple[int, bytes, bytes]],
        done: Callable[[BaseException | None], None],
    ) -> None:
        """Hand the records to the client."""

        def written(_: object) -> None:
            done(None)

        send = self._producer.send
        for partition, key, value in records:
            try:
                future = send(topic, key=key, value=value or None, partition=partition)
            except MessageSizeTooLargeError as error:
                raise TooLargeError(str(error)) from error
            future.add_callback(written)
            future.add_errback(done)

    def close(self, timeout_s: float) -> None:
        """Flush for so long."""
        try:
            self._producer.close(timeout=timeout_s)
        except KafkaTimeoutError:
            close_at_once(self._producer)


class PythonTransactor:
    """`Transactor`."""

    def __init__(self, producer: Any) -> None:
        self._producer = producer

    def init(self) -> None:
        """Take the transactional id."""
        with _fencing(self._producer):
            self._producer.init_transactions()

    def begin(self) -> None:
        """Begin."""
        with _fencing(self._producer):
            self._producer.begin_transaction()

    def write(self, messages: Sequence[NewMessage], timeout_s: float) -> None:
        """Write, and look at the answer for each record."""
        deadline = time.monotonic() + timeout_s
        with _fencing(self._producer):
            self._name({(each.topic, each.partition) for each in messages})
            futures = [
                self._producer.send(
                    each.topic, key=each.key, value=each.value, partition=each.partition, headers=list(each.headers)
                )
                for each in messages
            ]
            for future in futures:
                future.get(timeout=max(0.001, deadline - time.monotonic()))

    def commit(self) -> None:
        """Commit."""
        with _fencing(self._producer):
            self._producer.commit_transaction()

    def _name(self, partitions: Collection[tuple[str, int]]) -> None:
        """Name all partitions of the transaction before the first record wakes the client's thread.

        Each that it does not know of by then costs a question of its own to the coordinator, which writes it down and waits for
        the other brokers before anything is sent: about a fifth of what a transaction takes.
        """
        manager = self._producer._transaction_manager  # noqa: SLF001 - nothing public does it; the client is pinned
        for topic, partition in partitions:
            manager.maybe_add_partition_to_transaction(TopicPartition(topic, partition))

    def close(self) -> None:
        """End at once."""
        close_at_once(self._producer)


class _fencing:  # noqa: N801 - a context manager, used like a function
    """Tells apart what says that another has taken the transactional id.

    Where the client's thread hears of it before the next call, that call only says that the producer has failed.
    """

    def __init__(self, producer: Any) -> None:
        self._manager = producer._transaction_manager  # noqa: SLF001 - nothing public tells the cause; the client is pinned

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        fencing = (ProducerFencedError, InvalidProducerEpochError)
        if isinstance(error, fencing) or (
            isinstance(error, KafkaError) and isinstance(self._manager.last_error, fencing)
        ):
            raise FencedProducerError(str(error)) from error
