"""librdkafka: consumers, with and without a group."""

from __future__ import annotations

import struct
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from typing import Any

import confluent_kafka as rd
from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, KafkaError, KafkaException, TopicPartition

from connectors.kafka_librdkafka_errors import translated
from connectors.kafka_port import ClientError, Held, Message, OutOfRangeError
from engine.ports import Record
from engine.values import Millis

ASK_S = 10.0
"""The longest wait for offsets."""

MOVED = frozenset(
    {
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.OFFSET_NOT_AVAILABLE,
        KafkaError._DESTROY_BROKER,  # noqa: SLF001 - its names of its own errors begin so
        KafkaError._TIMED_OUT,  # noqa: SLF001 - as above
    }
)
"""What a partition's former leader answers, its new one while it takes over, and the library where one has gone."""

AT_ONCE = 1_000
"""Messages of one call: what of each is needed is taken out before the next come, while the processor has it at hand."""

ATTEMPT_S = 2.0
"""A request to a broker that is gone waits for it as long as it may, though another one leads by then."""


class _RdOffsets:
    """`Offsets`."""

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer

    def firsts(self, topic: str, partitions: Collection[int]) -> Mapping[int, int]:
        """Ask for the beginnings."""
        return self._offsets(topic, partitions, OFFSET_BEGINNING)

    def ends(self, topic: str, partitions: Collection[int], timeout_ms: Millis = 10_000) -> Mapping[int, int]:
        """Ask for the ends, which are those of what is committed, by the consumer's isolation."""
        return self._offsets(topic, partitions, OFFSET_END, timeout_ms / 1000)

    def _offsets(
        self, topic: str, partitions: Collection[int], which: int, timeout_s: float = ASK_S
    ) -> Mapping[int, int]:
        deadline = time.monotonic() + timeout_s
        asked = [TopicPartition(topic, number, which) for number in partitions]
        with translated():
            while True:
                left = min(ATTEMPT_S, max(0.1, deadline - time.monotonic()))
                try:
                    answered = self._consumer.offsets_for_times(asked, timeout=left)
                    error = next((each.error for each in answered if each.error is not None), None)
                except KafkaException as raised:
                    error = raised.args[0]
                if error is None:
                    return {each.partition: each.offset for each in answered}
                if error.code() not in MOVED or time.monotonic() > deadline:
                    raise KafkaException(error)
                with suppress(KafkaException):
                    self._consumer.list_topics(topic, timeout=left)  # who leads, and in which epoch
                time.sleep(0.05)


class RdReader(_RdOffsets):
    """`Reader`."""

    def read(
        self, topic: str, starts: Mapping[int, int], ends: Mapping[int, int], timeout_s: float
    ) -> Sequence[Message]:
        """Assign, and follow the ends of partitions."""
        found: list[Message] = []
        at = dict(starts)
        deadline = time.monotonic() + timeout_s
        with translated():
            self._consumer.assign([TopicPartition(topic, number, start) for number, start in starts.items()])
            while any(at[number] < end for number, end in ends.items()):
                if time.monotonic() > deadline:
                    raise ClientError(f"{topic} was not read within {timeout_s:.0f} s")
                for each in chain.from_iterable(_taken(self._consumer, 10_000, 0.2)):
                    error, number, offset = each.error(), each.partition(), each.offset()
                    if error is None:
                        at[number] = max(at[number], offset + 1)
                        time_ms = each.timestamp()[1]
                        found.append(Message(number, offset, each.key(), each.value(), each.headers() or (), time_ms))
                    elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - as above
                        at[number] = max(at[number], offset)
                    else:
                        raise KafkaException(error)
            self._consumer.unassign()
        return found

    def close(self) -> None:
        """Close the consumer."""
        with translated():
            self._consumer.close()


class RdMember(_RdOffsets):
    """`Member`. Callbacks run in `poll` and `close`, on the caller's thread."""

    def __init__(self, consumer: Any, topic: str, held: Held) -> None:
        super().__init__(consumer)
        self._topic = topic
        self._tell = held
        self._held: set[int] = set()
        self._paused: set[int] = set()
        self._error: Exception | None = None
        with translated():
            try:
                consumer.subscribe([topic], on_assign=self._assigned, on_revoke=self._gone, on_lost=self._gone)
            except BaseException:
                consumer.close()
                raise

    def poll(self, limit: int, timeout_ms: Millis) -> Mapping[int, Sequence[Record]]:
        """Fetch."""
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        found: dict[int, list[Record]] = defaultdict(list)
        with translated():
            for messages in _taken(self._consumer, limit, timeout_ms / 1000):
                for each in messages:
                    failed = each.error()
                    if failed is not None:
                        self._error = self._failure(failed, each)
                        continue
                    # Others may write to the topic, too: a key or value that is missing, or is no text, is for the worker to judge.
                    partition, key = each.partition(), each.key()
                    text = "" if key is None else key.decode(errors="replace")
                    record = Record(partition, each.offset(), text, each.value() or b"", each.timestamp()[1])
                    found[partition].append(record)
        if self._error is not None and not found:
            error, self._error = self._error, None
            raise error
        return found

    def standing(self) -> tuple[int, Collection[int]] | None:
        """Look at the group.

        The generation is the new one as soon as the group was joined, the partitions are those of before until their
        new ones are given in `poll`. Those are ours, too: in a cooperative rebalance nobody else gets them in that
        generation, and who was put out of the group can't join before having been told that they are lost.
        """
        with translated():
            return _generation(self._consumer.consumer_group_metadata()), frozenset(self._held)

    def seek(self, partition: int, offset: int) -> None:
        """Seek, or assign anew."""
        where = TopicPartition(self._topic, partition, offset or OFFSET_BEGINNING)
        with translated():
            try:
                self._consumer.seek(where)
            except KafkaException:
                self._consumer.incremental_unassign([where])
                self._consumer.incremental_assign([where])
                if partition in self._paused:
                    self._consumer.pause([where])

    def pause(self, partitions: Collection[int]) -> None:
        """Pause."""
        self._paused |= set(partitions)
        with translated():
            self._consumer.pause(self._of(partitions))

    def resume(self, partitions: Collection[int]) -> None:
        """Resume."""
        self._paused -= set(partitions)
        with translated():
            self._consumer.resume(self._of(partitions))

    def commit(self, offsets: Mapping[int, int]) -> None:
        """Commit."""
        committed = [TopicPartition(self._topic, number, offset) for number, offset in offsets.items()]
        with translated():
            self._consumer.commit(offsets=committed, asynchronous=True)

    def close(self) -> None:
        """Leave."""
        with translated():
            self._consumer.close()

    def _assigned(self, consumer: Any, added: Iterable[TopicPartition]) -> None:
        self._held |= {tp.partition for tp in added}
        starts = self._tell(self._held)
        given = [TopicPartition(self._topic, number, start or OFFSET_BEGINNING) for number, start in starts.items()]
        consumer.incremental_assign(given)
        consumer.pause(given)
        self._paused |= starts.keys()

    def _gone(self, consumer: Any, removed: list[TopicPartition]) -> None:
        numbers = {tp.partition for tp in removed}
        self._held -= numbers
        self._paused -= numbers
        self._tell(self._held)
        consumer.incremental_unassign(removed)

    def _failure(self, error: KafkaError, message: Any) -> Exception:
        if error.code() == KafkaError._AUTO_OFFSET_RESET:  # noqa: SLF001 - as above
            return OutOfRangeError(error.str(), {message.partition(): message.offset()})
        return ClientError(error.str())

    def _of(self, partitions: Iterable[int]) -> list[TopicPartition]:
        return [TopicPartition(self._topic, number) for number in partitions]


def _taken(consumer: Any, limit: int, timeout_s: float) -> Iterator[list[Any]]:
    """What is there, once the first has come, by the call."""
    first = consumer.poll(timeout_s)
    messages = [] if first is None else [first]
    while messages:
        yield messages
        limit -= len(messages)
        messages = consumer.consume(min(limit, AT_ONCE), 0) if limit > 0 else []


def _generation(metadata: Any) -> int:
    """The generation within a group's metadata: `CGMDv2:`, then 32 bits in the machine's order, then names."""
    magic, (generation,) = metadata[:7], struct.unpack_from("=i", metadata, 7)
    if magic != b"CGMDv2:":
        raise ClientError(f"this release of confluent-kafka, {rd.version()}, has another form of a group's metadata")
    return int(generation)
