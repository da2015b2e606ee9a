"""Triggers, dead letters and late events on Kafka: a topic of each, partitioned like the events.

Key = the session id, value as given; headers `id` (deterministic: who must act once, drops an id that it knows) and
`offset` (of the event that brought it about).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from typing import Any

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError

from connectors.kafka_client import KafkaAddress
from engine.ports import Output, OutputKind, PortError, partition_of

SETTINGS = {
    "metrics_enabled": False,
    "enable_idempotence": True,
    "acks": "all",
    "linger_ms": 0,
    "compression_type": "lz4",
    "delivery_timeout_ms": 6_000,
    "max_block_ms": 10_000,
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


class KafkaOutputs:
    """`OutputLog` on three topics; connects with its first call.

    After a failed `send` some of its outputs may be there: to send them all again may leave some twice, with the same id.
    """

    def __init__(self, address: KafkaAddress, partitions: int) -> None:
        self._address = address
        self._partitions = partitions
        self._producer: Any = None

    def send(self, outputs: Sequence[Output]) -> None:
        """Write all, and look at the answer for each."""
        if not outputs:
            return
        try:
            with self._address.explained("sending"):
                self._send(outputs)
        except PortError:
            # What was written is not known, nor is the state of the producer.
            self._drop(0)
            raise

    def read(self, kind: OutputKind, limit: int) -> Sequence[Output]:
        """The latest by time; those of a key in reverse of the order in which they were sent."""
        topic = self._address.topic(kind)
        with (
            self._address.explained(f"reading {topic}"),
            closing(self._address.open(KafkaConsumer, READ_SETTINGS)) as consumer,
        ):
            partitions = [TopicPartition(topic, number) for number in range(self._partitions)]
            firsts = consumer.beginning_offsets(partitions, timeout_ms=READ_S * 1000)
            ends = consumer.end_offsets(partitions, timeout_ms=READ_S * 1000)
            consumer.assign(partitions)
            records = []
            for tp in partitions:
                # Aborted transactions and their markers take offsets, too: some may be less than asked for.
                consumer.seek(tp, max(firsts[tp], ends[tp] - 2 * limit))
            deadline = time.monotonic() + READ_S
            while any(consumer.position(tp, timeout_ms=READ_S * 1000) < ends[tp] for tp in partitions):
                if time.monotonic() > deadline:
                    raise PortError(f"Kafka at {self._address.shown}: {topic} was not read within {READ_S:.0f} s")
                for polled in consumer.poll(timeout_ms=200, max_records=10_000).values():
                    records += polled
        records.sort(key=lambda record: (record.timestamp, record.partition, record.offset), reverse=True)
        return [_output(kind, record) for record in records[:limit]]

    def close(self) -> None:
        """Close the connections."""
        self._drop(SEND_S)

    def _send(self, outputs: Sequence[Output]) -> None:
        if self._producer is None:
            self._producer = self._address.open(KafkaProducer, SETTINGS)
        futures = [
            self._producer.send(
                self._address.topic(output.kind),
                key=output.key.encode(),
                value=output.value,
                partition=partition_of(output.key, self._partitions),
                headers=[("id", output.id.encode()), ("offset", str(output.offset).encode())],
            )
            for output in outputs
        ]
        deadline = time.monotonic() + SEND_S
        for future in futures:
            future.get(timeout=max(0.001, deadline - time.monotonic()))

    def _drop(self, timeout_s: float) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            try:
                producer.close(timeout=timeout_s)
            except KafkaError:
                producer.close(timeout=0)


def _output(kind: OutputKind, record: Any) -> Output:
    headers = dict(record.headers)
    return Output(
        id=headers.get("id", b"").decode(errors="replace"),
        kind=kind,
        key=(record.key or b"").decode(errors="replace"),
        value=record.value or b"",
        offset=int(headers.get("offset", b"-1")),
    )
