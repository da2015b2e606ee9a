"""Triggers, dead letters and late events on Kafka: a topic of each, partitioned like the events, in transactions.

Key = the session id, value as given; headers `id` (deterministic), `offset` and `ordinal` (of the record that brought it
about, and which of its outputs this is).

Each partition of the events has a producer with a transactional id of its own. A transaction carries outputs and one record
of the compacted topic of positions: key = the partition, value = `[offset, ordinal]`, the place after the last output.
Making a producer with the same id fences the former one and undoes what it left open; then the position is read. Marks of
transactions that the brokers left out are written before and after (`connectors.kafka_marks`).
Consumer offsets are no part of the transaction: with a killed coordinator that call never returns.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from typing import Any

import msgspec
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import InvalidProducerEpochError, KafkaError, ProducerFencedError

from connectors.kafka_client import KafkaAddress, close_at_once
from connectors.kafka_marks import TransactionMarks
from engine.ports import FencedError, Output, OutputKind, Place, PortError, Turn, partition_of

SETTINGS = {
    "metrics_enabled": False,
    "enable_idempotence": True,
    "acks": "all",
    "linger_ms": 0,
    "compression_type": "lz4",
    "delivery_timeout_ms": 6_000,
    "max_block_ms": 10_000,
    "transaction_timeout_ms": 15_000,
    "allow_auto_create_topics": False,
}

READ_SETTINGS = {
    "metrics_enabled": False,
    "isolation_level": "read_committed",
    "enable_auto_commit": False,
    "allow_auto_create_topics": False,
}

SEND_S = 15.0
"""Longer than the client's own limits add up to."""

READ_S = 10.0

POSITIONS_AT_ONCE = 100
"""Records of the topic of positions that are looked through for the last one; every second is a transaction's mark."""

_encode = msgspec.json.Encoder().encode
_decode_place = msgspec.json.Decoder(tuple[int, int]).decode


class _Sender:
    """A producer for the outputs of one partition, good until anything fails."""

    def __init__(self, producer: Any, token: int) -> None:
        self.producer = producer
        self.token = token
        self.touched: set[Any] = set()  # partitions whose marks were not seen yet
        self.lock = threading.Lock()

    def close(self) -> None:
        """Close the producer at once; a transaction left open is undone by the next claim."""
        close_at_once(self.producer)


class KafkaOutputs:
    """`OutputLog` on three topics and one of positions; connects with its first call."""

    def __init__(self, address: KafkaAddress, partitions: int) -> None:
        self._address = address
        self._partitions = partitions
        self._lock = threading.Lock()
        self._reading = threading.Lock()
        self._senders: dict[int, _Sender] = {}
        self._tokens = 0
        self._reader: Any = None
        self._marking = threading.Lock()
        self._marks = TransactionMarks(address)

    def claim(self, partition: int) -> Turn:
        """Make a producer with the partition's transactional id, then read the position."""
        self._retire(partition)
        topics = map(self._address.topic, OutputKind)
        shared = [TopicPartition(topic, number) for topic in topics for number in range(self._partitions)]
        with self._address.explained(f"taking over the outputs of partition {partition}"):
            with self._marking:
                self._complete(partition, shared)
            producer = self._address.open(KafkaProducer, SETTINGS, transactional_id=self._transactional_id(partition))
            try:
                producer.init_transactions()
                with self._marking:
                    self._complete(partition, shared)
                out = self._position(partition)
            except BaseException:
                close_at_once(producer)
                raise
        with self._lock:
            self._tokens += 1
            self._senders[partition] = _Sender(producer, self._tokens)
            return Turn(self._tokens, out)

    def send(self, partition: int, token: int, outputs: Sequence[Output]) -> None:
        """Write all with the position in one transaction, looking at the answer for each record before the commit."""
        if not outputs:
            return
        with self._using(partition, token, "sending outputs") as sender:
            self._send(sender, partition, outputs)

    def settle(self, partition: int, token: int) -> bool:
        """Write the marks of what was sent that the brokers left out, before the next mark decides over it."""
        with self._using(partition, token, "settling what was sent") as sender:
            if not self._marking.acquire(blocking=False):
                return False
            try:
                is_settled = self._complete(partition, sorted(sender.touched))
            finally:
                self._marking.release()
            if is_settled:
                sender.touched.clear()
            return is_settled

    def read(self, kind: OutputKind, limit: int) -> Sequence[Output]:
        """The latest committed by time; those of a key in reverse of the order in which they were sent."""
        topic = self._address.topic(kind)
        with (
            self._address.explained(f"reading {topic}"),
            closing(self._address.open(KafkaConsumer, READ_SETTINGS)) as consumer,
        ):
            partitions = [TopicPartition(topic, number) for number in range(self._partitions)]
            firsts = consumer.beginning_offsets(partitions, timeout_ms=READ_S * 1000)
            ends = consumer.end_offsets(partitions, timeout_ms=READ_S * 1000)
            # Aborted transactions and their markers take offsets, too: some may be less than asked for.
            starts = {tp: max(firsts[tp], ends[tp] - 2 * limit) for tp in partitions}
            records = self._read(consumer, starts, ends)
        records.sort(key=lambda record: (record.timestamp, record.partition, record.offset), reverse=True)
        return [_output(kind, record) for record in records[:limit]]

    def close(self) -> None:
        """Close the connections."""
        for partition in list(self._senders):
            self._retire(partition)
        with self._reading:
            self._drop_reader()
        with self._marking:
            self._marks.close()

    def _transactional_id(self, partition: int) -> str:
        return f"{self._address.prefix}outputs-{partition}"

    def _send(self, sender: _Sender, partition: int, outputs: Sequence[Output]) -> None:
        producer = sender.producer
        targets = [
            TopicPartition(self._address.topic(output.kind), partition_of(output.key, self._partitions))
            for output in outputs
        ]
        sender.touched.update(targets)
        producer.begin_transaction()
        futures = [
            producer.send(
                target.topic,
                key=output.key.encode(),
                value=output.value,
                partition=target.partition,
                headers=[
                    ("id", output.id.encode()),
                    ("offset", str(output.offset).encode()),
                    ("ordinal", str(output.ordinal).encode()),
                ],
            )
            for target, output in zip(targets, outputs, strict=True)
        ]
        last = outputs[-1]
        value = _encode((last.offset, last.ordinal + 1))
        key = str(partition).encode()
        futures.append(producer.send(self._address.positions, key=key, value=value, partition=partition))
        deadline = time.monotonic() + SEND_S
        for future in futures:
            # A commit answers well though sends have failed, so that each has to be looked at.
            future.get(timeout=max(0.001, deadline - time.monotonic()))
        producer.commit_transaction()

    @contextmanager
    def _using(self, partition: int, token: int, doing: str) -> Iterator[_Sender]:
        """The sender of a turn. What fails inside ends the turn: what was written is not known, nor the producer's state."""
        with self._lock:
            sender = self._senders.get(partition)
        if sender is None or sender.token != token:
            raise FencedError(
                f"Kafka at {self._address.shown}: the turn for the outputs of partition {partition} is over"
            )
        with sender.lock:
            try:
                with self._address.explained(f"{doing} of partition {partition}"):
                    yield sender
            except PortError as error:
                with self._lock:
                    if self._senders.get(partition) is sender:
                        del self._senders[partition]
                if isinstance(error.__cause__, (ProducerFencedError, InvalidProducerEpochError)):
                    raise FencedError(str(error)) from error
                raise
            finally:
                if self._senders.get(partition) is not sender:
                    sender.close()

    def _complete(self, partition: int, shared: Sequence[Any]) -> bool:
        """Write the marks of the partition's transactions that are missing; whether all is decided."""
        own = TopicPartition(self._address.positions, partition)
        return self._marks.complete(self._transactional_id(partition), own, shared)

    def _position(self, partition: int) -> Place:
        """The last committed position, up to the end that the broker names now."""
        with self._reading:
            try:
                return self._last_position(partition)
            except BaseException:
                self._drop_reader()
                raise

    def _last_position(self, partition: int) -> Place:
        if self._reader is None:
            self._reader = self._address.open(KafkaConsumer, READ_SETTINGS)
        tp = TopicPartition(self._address.positions, partition)
        first = self._reader.beginning_offsets([tp], timeout_ms=READ_S * 1000)[tp]
        end = self._reader.end_offsets([tp], timeout_ms=READ_S * 1000)[tp]
        back = POSITIONS_AT_ONCE
        while end > first:
            start = max(first, end - back)
            records = self._read(self._reader, {tp: start}, {tp: end})
            if records:
                return Place(*_decode_place(max(records, key=lambda record: record.offset).value))
            if start == first:
                break
            back *= 10
        return Place()

    def _read(self, consumer: Any, starts: dict[Any, int], ends: dict[Any, int]) -> list[Any]:
        """All committed records between two offsets of each partition."""
        partitions = list(starts)
        consumer.assign(partitions)
        for tp, start in starts.items():
            consumer.seek(tp, start)
        records: list[Any] = []
        deadline = time.monotonic() + READ_S
        while any(consumer.position(tp, timeout_ms=READ_S * 1000) < ends[tp] for tp in partitions):
            if time.monotonic() > deadline:
                raise PortError(
                    f"Kafka at {self._address.shown}: {partitions[0].topic} was not read within {READ_S:.0f} s"
                )
            for polled in consumer.poll(timeout_ms=200, max_records=10_000).values():
                records += polled
        return records

    def _retire(self, partition: int) -> None:
        """End the turn of this process, if it has one. A send on its way is not waited for: the next claim fences it."""
        with self._lock:
            sender = self._senders.pop(partition, None)
        if sender is not None and sender.lock.acquire(blocking=False):
            try:
                sender.close()
            finally:
                sender.lock.release()

    def _drop_reader(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            with suppress(KafkaError, OSError, RuntimeError):
                reader.close()


def _output(kind: OutputKind, record: Any) -> Output:
    headers = dict(record.headers)
    return Output(
        id=headers.get("id", b"").decode(errors="replace"),
        kind=kind,
        key=(record.key or b"").decode(errors="replace"),
        value=record.value or b"",
        offset=int(headers.get("offset", b"-1")),
        ordinal=int(headers.get("ordinal", b"0")),
    )
