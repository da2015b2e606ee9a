"""What is measured runs in processes of its own; each tells its CPU time from the first record on."""

from __future__ import annotations

import cProfile
import logging
import os
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from kafka import KafkaConsumer, OffsetAndMetadata, TopicPartition

from config.schema import KafkaSettings
from connectors import kafka_python
from connectors.kafka_client import KafkaAddress
from connectors.kafka_port import ClientOptions
from engine.event import RawEvent
from engine.ports import Output, OutputKind, Place, PortError, Turn, partition_of
from engine.regime import Regime
from service.settings import load
from service.worker.process import WorkerProcess


@dataclass(frozen=True)
class Cost:
    """From the first record to the last.

    Attributes:
        cpu_s: Of the process, all its threads.
    """

    records: int
    wall_s: float
    cpu_s: float

    @property
    def micros(self) -> float:
        """CPU for a record."""
        return self.cpu_s / self.records * 1e6 if self.records else 0.0


class _Stopwatch:
    def __init__(self) -> None:
        self._wall = time.monotonic()
        self._cpu = time.process_time()

    def cost(self, records: int) -> Cost:
        return Cost(records, time.monotonic() - self._wall, time.process_time() - self._cpu)


def floor(environment: Mapping[str, str], folder: str, goal: int, answer: Any) -> None:
    """Consume, decode, commit `goal` records, and nothing else, with the client and the settings of the worker."""
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    settings = load(environ=environment, folder=Path(folder)).settings
    loop = _floor_python if settings.kafka.client == "kafka-python" else _floor_librdkafka
    answer.send(loop(settings.kafka, goal, settings.worker.batch_events * settings.kafka.partitions))


def _floor_python(settings: KafkaSettings, goal: int, limit: int) -> Cost:
    address = address_of(settings)
    more = {"auto_offset_reset": "earliest", "group_id": f"{settings.topic_prefix}floor{os.getpid()}"}
    decode = msgspec.json.Decoder(RawEvent).decode
    with closing(address.open(KafkaConsumer, {**kafka_python.MEMBER, **more})) as consumer:
        consumer.assign([TopicPartition(address.events, number) for number in range(settings.partitions)])
        count, watch = 0, None
        while count < goal:
            polled = consumer.poll(timeout_ms=100, max_records=limit)
            if not polled:
                continue
            watch = watch or _Stopwatch()
            for found in polled.values():
                for each in found:
                    decode(each.value)
                count += len(found)
            consumer.commit_async({tp: OffsetAndMetadata(found[-1].offset + 1, "", -1) for tp, found in polled.items()})
        assert watch is not None
        return watch.cost(count)


def _floor_librdkafka(settings: KafkaSettings, goal: int, limit: int) -> Cost:
    import confluent_kafka as rd  # noqa: PLC0415 - an extra, not always there

    from connectors import kafka_librdkafka  # noqa: PLC0415 - as above

    address = address_of(settings)
    group = f"{settings.topic_prefix}floor{os.getpid()}"
    where = {"bootstrap.servers": ",".join(settings.bootstrap), "group.id": group}
    decode = msgspec.json.Decoder(RawEvent).decode
    with closing(rd.Consumer({**kafka_librdkafka.COMMON, **kafka_librdkafka.MEMBER, **where})) as consumer:
        consumer.assign(
            [rd.TopicPartition(address.events, number, rd.OFFSET_BEGINNING) for number in range(settings.partitions)]
        )
        count, watch = 0, None
        while count < goal:
            first = consumer.poll(0.1)
            if first is None:
                continue
            watch = watch or _Stopwatch()
            found = [first, *consumer.consume(limit - 1, 0)]
            for each in found:
                decode(each.value() or b"")
            count += len(found)
            consumer.commit(asynchronous=True)
        assert watch is not None
        return watch.cost(count)


def address_of(settings: KafkaSettings) -> KafkaAddress:
    """Where the Kafka of the benchmark is."""
    return KafkaAddress(settings.bootstrap, settings.topic_prefix, ClientOptions(settings.client))


class PlainOutputs:
    """An `OutputLog` without transactions: what is sent may be there twice after a crash. For comparison only."""

    def __init__(self, address: KafkaAddress, partitions: int) -> None:
        self._producer = address.client.producer()
        self._address = address
        self._partitions = partitions
        self._lock = threading.Lock()

    def claim(self, partition: int) -> Turn:
        """Nothing is known to be out."""
        return Turn(1, Place())

    def send(self, partition: int, token: int, outputs: Sequence[Output], regimes: Sequence[Regime] = ()) -> None:
        """Send, and wait until all is acknowledged."""
        ended = threading.Semaphore(0)
        with self._lock:
            for each in outputs:
                record = (partition_of(each.key, self._partitions), each.key.encode(), each.value)
                self._producer.send(self._address.topic(each.kind), [record], lambda _: ended.release())
        for _ in outputs:
            if not ended.acquire(timeout=30):
                raise PortError("an output was not acknowledged")

    def settle(self, partition: int, token: int) -> bool:
        """There are no marks."""
        return True

    def read(self, kind: OutputKind, limit: int) -> Sequence[Output]:
        """Nothing is read."""
        return ()

    def close(self) -> None:
        """Close the producer."""
        self._producer.close(5)


def work(
    environment: Mapping[str, str], folder: str, goal: int, *, plain: bool, profile: str, ends: Any, answer: Any
) -> None:
    """A worker until it has read `goal` records itself, or `ends` is set."""
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    settings = load(environ=environment, folder=Path(folder)).settings
    process = WorkerProcess(settings, watch=False)
    worker = process.worker
    if plain:
        outputs = PlainOutputs(address_of(settings.kafka), settings.kafka.partitions)
        worker._emission._outputs = outputs  # noqa: SLF001 - for comparison only
    found: list[Cost] = []

    def look() -> None:
        while not worker.counts.read and not ends.is_set():
            time.sleep(0.002)
        watch, before = _Stopwatch(), worker.counts.read
        while worker.counts.read < goal and not ends.is_set():
            time.sleep(0.01)
        read = worker.counts.read - before
        worker._emission.drain(30_000)  # noqa: SLF001 - sending what waits is part of it
        found.append(watch.cost(read))
        worker.stop()

    looking = threading.Thread(target=look)
    looking.start()
    if profile:
        profiler = cProfile.Profile()
        profiler.runcall(process.run)
        profiler.dump_stats(profile)
    else:
        process.run()
    looking.join()
    answer.send((found[0], worker.counts.numbers()))
