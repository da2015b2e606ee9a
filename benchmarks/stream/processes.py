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
from kafka import KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition

from connectors.kafka_client import KafkaAddress
from connectors.kafka_python import MEMBER, TRANSACTOR
from engine.event import RawEvent
from engine.ports import Output, OutputKind, Place, Turn, partition_of
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


def floor(bootstrap: Sequence[str], prefix: str, partitions: int, goal: int, batch: int, answer: Any) -> None:
    """Consume, decode, commit, and nothing else, with the client and the settings of the worker."""
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    address = KafkaAddress(bootstrap, prefix)
    settings = {**MEMBER, "auto_offset_reset": "earliest", "group_id": f"{prefix}floor{os.getpid()}"}
    decode = msgspec.json.Decoder(RawEvent).decode
    with closing(address.open(KafkaConsumer, settings)) as consumer:
        consumer.assign([TopicPartition(address.events, number) for number in range(partitions)])
        count, watch = 0, None
        while count < goal:
            polled = consumer.poll(timeout_ms=100, max_records=batch * partitions)
            if not polled:
                continue
            watch = watch or _Stopwatch()
            for found in polled.values():
                for each in found:
                    decode(each.value)
                count += len(found)
            consumer.commit_async({tp: OffsetAndMetadata(found[-1].offset + 1, "", -1) for tp, found in polled.items()})
        assert watch is not None
        answer.send(watch.cost(count))


class PlainOutputs:
    """An `OutputLog` without transactions: what is sent may be there twice after a crash. For comparison only."""

    def __init__(self, address: KafkaAddress, partitions: int) -> None:
        settings = {name: value for name, value in TRANSACTOR.items() if name != "transaction_timeout_ms"}
        self._producer = address.open(KafkaProducer, settings | {"compression_type": address.options.compression})
        self._address = address
        self._partitions = partitions

    def claim(self, partition: int) -> Turn:
        """Nothing is known to be out."""
        return Turn(1, Place())

    def send(self, partition: int, token: int, outputs: Sequence[Output], regimes: Sequence[Regime] = ()) -> None:
        """Send, and wait until all is acknowledged."""
        topic = self._address.topic
        futures = [
            self._producer.send(
                topic(each.kind),
                key=each.key.encode(),
                value=each.value,
                partition=partition_of(each.key, self._partitions),
            )
            for each in outputs
        ]
        for future in futures:
            future.get(timeout=30)

    def settle(self, partition: int, token: int) -> bool:
        """There are no marks."""
        return True

    def read(self, kind: OutputKind, limit: int) -> Sequence[Output]:
        """Nothing is read."""
        return ()

    def close(self) -> None:
        """Close the producer."""
        self._producer.close(timeout=5)


def work(
    environment: Mapping[str, str], folder: str, goal: int, *, plain: bool, profile: str, ends: Any, answer: Any
) -> None:
    """A worker until it has read `goal` records itself, or `ends` is set."""
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    settings = load(environ=environment, folder=Path(folder)).settings
    process = WorkerProcess(settings, watch=False)
    worker = process.worker
    if plain:
        address = KafkaAddress(settings.kafka.bootstrap, settings.kafka.topic_prefix)
        worker._emission._outputs = PlainOutputs(address, settings.kafka.partitions)  # noqa: SLF001 - for comparison only
    found: list[Cost] = []

    def look() -> None:
        while not worker.counts.read and not ends.is_set():
            time.sleep(0.002)
        watch, before = _Stopwatch(), worker.counts.read
        while worker.counts.read < goal and not ends.is_set():
            time.sleep(0.01)
        found.append(watch.cost(worker.counts.read - before))
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
