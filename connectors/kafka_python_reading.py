"""kafka-python: consumers, with and without a group."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from kafka import ConsumerRebalanceListener, OffsetAndMetadata, TopicPartition
from kafka.errors import KafkaError, OffsetOutOfRangeError
from kafka.structs import MemberState

from connectors.kafka_port import ClientError, Held, Message, OutOfRangeError
from connectors.kafka_python_records import hand_out_records
from engine.ports import Record
from engine.values import Millis

logger = logging.getLogger("salience.connectors.kafka_python_reading")

ASK_MS: Millis = 10_000
"""The longest wait for offsets and for closing."""


class _PythonOffsets:
    """`Offsets`."""

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer

    def firsts(self, topic: str, partitions: Collection[int]) -> Mapping[int, int]:
        """Ask for the beginnings."""
        return _numbers(self._consumer.beginning_offsets(_of(topic, partitions), timeout_ms=ASK_MS))

    def ends(self, topic: str, partitions: Collection[int], timeout_ms: Millis = ASK_MS) -> Mapping[int, int]:
        """Ask for the ends of what is committed."""
        return _numbers(self._consumer.end_offsets(_of(topic, partitions), timeout_ms=timeout_ms))


class PythonReader(_PythonOffsets):
    """`Reader`."""

    def read(
        self, topic: str, starts: Mapping[int, int], ends: Mapping[int, int], timeout_s: float
    ) -> Sequence[Message]:
        """Assign, seek, poll."""
        consumer = self._consumer
        consumer.assign(_of(topic, starts))
        for number, start in starts.items():
            consumer.seek(TopicPartition(topic, number), start)
        found: list[Message] = []
        deadline = time.monotonic() + timeout_s
        while any(
            consumer.position(TopicPartition(topic, number), timeout_ms=ASK_MS) < end for number, end in ends.items()
        ):
            if time.monotonic() > deadline:
                raise ClientError(f"{topic} was not read within {timeout_s:.0f} s")
            for polled in consumer.poll(timeout_ms=200, max_records=10_000).values():
                found += [
                    Message(each.partition, each.offset, each.key, each.value, each.headers, each.timestamp)
                    for each in polled
                ]
        return found

    def close(self) -> None:
        """Close the consumer."""
        self._consumer.close()


class PythonMember(_PythonOffsets):
    """`Member`."""

    def __init__(self, consumer: Any, topic: str, held: Held) -> None:
        super().__init__(consumer)
        self._topic = topic
        hand_out_records(consumer)
        try:
            consumer.subscribe([topic], listener=_Listener(consumer, held))
        except BaseException:
            consumer.close(autocommit=False, timeout_ms=0)
            raise

    def poll(self, limit: int, timeout_ms: Millis) -> Mapping[int, Sequence[Record]]:
        """Fetch."""
        _unpark(self._consumer)
        _remember_join(self._consumer)
        try:
            polled = self._consumer.poll(timeout_ms=timeout_ms, max_records=limit)
        except OffsetOutOfRangeError as error:
            offsets: Mapping[Any, Any] = error.args[0] if error.args and isinstance(error.args[0], dict) else {}
            at: dict[int, int] = {tp.partition: getattr(offset, "offset", offset) for tp, offset in offsets.items()}
            raise OutOfRangeError(str(error), at) from error
        return {tp.partition: records for tp, records in polled.items()}

    def standing(self) -> tuple[int, Collection[int]] | None:
        """Look at the group."""
        group = self._consumer.group_metadata()
        if group.state == MemberState.STABLE:
            return group.generation_id, _partitions(self._consumer.assignment())
        return (-1, ()) if group.generation_id < 0 else None

    def seek(self, partition: int, offset: int) -> None:
        """Seek."""
        _seek(self._consumer, TopicPartition(self._topic, partition), offset)

    def pause(self, partitions: Collection[int]) -> None:
        """Pause."""
        self._consumer.pause(*_of(self._topic, partitions))

    def resume(self, partitions: Collection[int]) -> None:
        """Resume."""
        self._consumer.resume(*_of(self._topic, partitions))

    def commit(self, offsets: Mapping[int, int]) -> None:
        """Commit, hearing of the outcome in a later poll."""
        committed = {
            TopicPartition(self._topic, number): OffsetAndMetadata(offset, "", -1) for number, offset in offsets.items()
        }
        self._consumer.commit_async(committed, callback=_log_failure)

    def close(self) -> None:
        """Leave."""
        self._consumer.close(autocommit=False, timeout_ms=ASK_MS)


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # the library ships no types
    """Tells what is held, and seeks and pauses; runs on the client's thread, in the midst of a rebalance."""

    def __init__(self, consumer: Any, held: Held) -> None:
        self._consumer = consumer
        self._held = held

    def on_partitions_revoked(self, revoked: Collection[Any]) -> None:
        self._tell()  # what is given with the same assignment is held already

    def on_partitions_lost(self, lost: Collection[Any]) -> None:
        self._held(_partitions(set(self._consumer.assignment()) - set(lost)))

    def on_partitions_assigned(self, assigned: Collection[Any]) -> None:
        self._tell()

    def _tell(self) -> None:
        held = self._consumer.assignment()
        starts = self._held(_partitions(held))
        for tp in held:
            if tp.partition in starts:
                _seek(self._consumer, tp, starts[tp.partition])
                self._consumer.pause(tp)


def _unpark(consumer: Any) -> None:
    """Let the client give back what it put aside for paused partitions.

    It does so only while no other partition's records are being handed out, and takes those that are used up for some;
    what it has put aside it does not fetch again, so that the partition would stand still for good.
    """
    fetcher = consumer._fetcher  # noqa: SLF001 - nothing public reaches it; the client is pinned
    if fetcher._paused_partition_records and not fetcher._next_partition_records:  # noqa: SLF001 - as above
        fetcher._next_partition_records = None  # noqa: SLF001 - as above


def _remember_join(consumer: Any) -> None:
    """Let the client wait for a join that is on its way.

    It looks anew at each poll whether to join. A leader that joins since it learnt of the topic's partitions has no reason
    any more once it has assigned them: without one it takes no notice of the answer, and beats no more.
    """
    coordinator = consumer._coordinator  # noqa: SLF001 - as above
    if coordinator.rejoining:
        coordinator.request_rejoin()


def _seek(consumer: Any, tp: TopicPartition, offset: int) -> None:
    if offset:
        consumer.seek(tp, offset)
    else:
        consumer.seek_to_beginning(tp)


def _of(topic: str, partitions: Iterable[int]) -> list[Any]:
    return [TopicPartition(topic, number) for number in partitions]


def _partitions(tps: Iterable[Any]) -> set[int]:
    return {tp.partition for tp in tps}


def _numbers(offsets: Mapping[Any, int]) -> Mapping[int, int]:
    return {tp.partition: offset for tp, offset in offsets.items()}


def _log_failure(offsets: object, response: object) -> None:
    if isinstance(response, KafkaError):
        logger.info("offsets for displays of lag were not committed: %s", response)
