"""A worker on three brokers and a real Redis, beside the floor: a bare loop that consumes, decodes and commits.

    python -m benchmarks.stream --events 200000 --workers 1,2,4 --clients kafka-python,librdkafka

For each client: what a worker takes with and without transactions, an event and a batch; how soon triggers are readable at
20, 50 and 80 % of that; and workers side by side. `python -m tools.compiled` before it measures what a wheel holds. CPU time of one run is compared, so that what else the machine does matters little; wall time is printed beside it.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, get_args

import redis
from kafka import KafkaConsumer, TopicPartition

from benchmarks.stream import load, processes
from benchmarks.stream.processes import Cost
from connectors.kafka_client import KafkaAddress
from connectors.kafka_port import ClientName
from connectors.kafka_python import READER
from engine.ports import OutputKind
from engine.rete import IS_COMPILED
from service.settings import load as load_settings
from service.wiring import Wiring
from tools.kafka.kafka_cluster import KafkaCluster
from tools.redis_server import RedisServer

SPAWN = multiprocessing.get_context("spawn")
WAIT_S = 600
WARM_UP = 2_000
"""Events until the worker has started, whose latency is that of its start."""

LATENCY_AT_ONCE = 50
"""Few sessions side by side, so that triggers come from the first thousand events on, however slow the feed is."""


class Bench:
    """Servers, and a new prefix of topics and an empty Redis for each measurement."""

    def __init__(self, folder: Path, partitions: int, batch: int, stack: ExitStack) -> None:
        """With `batch` 0 as many events at once as when nobody sets it."""
        self.client: ClientName = "kafka-python"
        self.partitions = partitions
        self.batch = batch
        self.folder = folder
        self._stack = stack
        self._numbers = iter(range(1_000))
        self.kafka = stack.enter_context(KafkaCluster(folder / "kafka", brokers=3, heap_mb=512))
        settings = {"appendonly": "yes", "appendfsync": "everysec"}
        self.redis = stack.enter_context(RedisServer(folder / "redis", settings=settings))

    def filled(self, events: int) -> Place:
        """Topics of their own, with events: what was sent once from a log is not sent again."""
        place = self.place()
        load.fill(place.wiring.event_log(), events)
        return place

    def place(self, prefix: str = "") -> Place:
        """Where a measurement takes place: on topics of its own, or on events that are there."""
        return Place(self, prefix or f"b{next(self._numbers)}.", self._stack)


class Place:
    """One measurement's topics, group and rules."""

    def __init__(self, bench: Bench, prefix: str, stack: ExitStack) -> None:
        self.bench = bench
        self.prefix = prefix
        with closing(redis.Redis.from_url(bench.redis.url)) as client:
            client.flushall()
        self.environment = {
            "SALIENCE_KAFKA__BOOTSTRAP": bench.kafka.bootstrap,
            "SALIENCE_KAFKA__CLIENT": bench.client,
            "SALIENCE_KAFKA__TOPIC_PREFIX": prefix,
            "SALIENCE_KAFKA__GROUP": f"{prefix}{time.monotonic_ns()}",
            "SALIENCE_KAFKA__PARTITIONS": str(bench.partitions),
            "SALIENCE_KAFKA__REPLICAS": "3",
            "SALIENCE_REDIS__URL": bench.redis.url,
            "SALIENCE_DATA_DIR": str(bench.folder),
        } | ({"SALIENCE_WORKER__BATCH_EVENTS": str(bench.batch)} if bench.batch else {})
        self.address = KafkaAddress(bench.kafka.bootstrap.split(","), prefix)
        self.wiring = stack.enter_context(Wiring(load_settings(environ=self.environment, folder=bench.folder).settings))
        self.wiring.ensure_topics()
        self.wiring.publisher().publish(load.sources(), "benchmark", "")

    def floor(self, goal: int) -> Cost:
        """The bare loop."""
        mine, theirs = SPAWN.Pipe()
        arguments = (self.environment, str(self.bench.folder), goal, theirs)
        child = SPAWN.Process(target=processes.floor, args=arguments)
        child.start()
        cost: Cost = _answer(mine, child)
        return cost

    def fed(self, rate: float, seconds: float) -> tuple[float, int | None]:
        """Append at a rate, from a process of its own: when that began, in ms, and up to which event; None: too many for it."""
        mine, theirs = SPAWN.Pipe()
        arguments = (self.environment, str(self.bench.folder), WARM_UP, rate, seconds, LATENCY_AT_ONCE, theirs)
        child = SPAWN.Process(target=processes.feed, args=arguments)
        child.start()
        found: tuple[float, int | None] = _answer(mine, child)
        return found

    def worker(self, goal: int, *, plain: bool = False, profile: str = "") -> Worker:
        """Start a worker."""
        return Worker(self, goal, plain=plain, profile=profile)


class Worker:
    """A worker process."""

    def __init__(self, place: Place, goal: int, *, plain: bool, profile: str) -> None:
        self._mine, theirs = SPAWN.Pipe()
        self._ends = SPAWN.Event()
        arguments = (place.environment, str(place.bench.folder), goal)
        named = {"plain": plain, "profile": profile, "ends": self._ends, "answer": theirs}
        self._child = SPAWN.Process(target=processes.work, args=arguments, kwargs=named)
        self._child.start()

    @property
    def pid(self) -> int:
        """Of its process."""
        return int(self._child.pid or 0)

    def result(self) -> tuple[Cost, dict[str, int]]:
        """Its cost and counts, when it has ended."""
        found: tuple[Cost, dict[str, int]] = _answer(self._mine, self._child)
        return found

    def end(self) -> tuple[Cost, dict[str, int]]:
        """Tell it to end."""
        self._ends.set()
        return self.result()


def _answer(pipe: Any, child: Any) -> Any:
    deadline = time.monotonic() + WAIT_S
    while not pipe.poll(0.2):
        if child.exitcode is not None or time.monotonic() > deadline:
            raise SystemExit("a process of the benchmark ended without an answer")
    answer = pipe.recv()
    child.join()
    return answer


def capacity(bench: Bench, events: int, repeat: int, profile: str) -> float:
    """One worker beside the floor; its events a second of wall time."""
    rates: list[float] = []
    ratios: list[float] = []
    print(
        "| run | CPU us an event | events/s of CPU | events/s of wall time | triggers | batches | CPU ms a batch | ms a batch |\n"
        "|---|---|---|---|---|---|---|---|",
        flush=True,
    )
    for _ in range(repeat):
        filled = bench.filled(events)
        bare = filled.floor(events)
        _row("floor: consume, decode, commit", bare, {})
        for name, plain in (("worker, plain producer", True), ("worker, exactly once", False)):
            place = bench.place(filled.prefix)
            cost, counts = place.worker(events, plain=plain, profile="" if plain else profile).result()
            _row(name, cost, counts)
            if not plain:
                rates.append(cost.records / cost.wall_s)
                ratios.append(cost.micros / bare.micros)
    print(f"\nexactly once costs {statistics.median(ratios):.1f} times the floor (median of {repeat})", flush=True)
    return statistics.median(rates)


def _row(name: str, cost: Cost, counts: Mapping[str, int]) -> None:
    rates = f"{1e6 / cost.micros:,.0f} | {cost.records / cost.wall_s:,.0f}"
    batches = counts.get("batches", 0)
    each = f"{cost.cpu_s / batches * 1e3:.1f} | {cost.wall_s / batches * 1e3:.1f}" if batches else "|"
    print(
        f"| {name} | {cost.micros:.1f} | {rates} | {counts.get('triggers', '')} | {batches or ''} | {each} |",
        flush=True,
    )


def latency(bench: Bench, rate: float, seconds: float) -> tuple[float, float, int] | None:
    """p50 and p99 in ms from the append of an event to its trigger being readable, and how many triggers.

    None where so many can't be appended: capacity is measured with a log that was filled before, and here who fills it takes
    its share of the cores.
    """
    place = bench.place()
    arrived: dict[tuple[int, int], float] = {}
    ended = threading.Event()
    reader = threading.Thread(target=_read_triggers, args=(place, arrived, ended))
    reader.start()
    worker = place.worker(1 << 60)
    place.wiring.event_log().append(list(load.records(0, WARM_UP, LATENCY_AT_ONCE)), lambda _: None)
    started = time.monotonic() + WAIT_S
    while sum(positions(place)) < WARM_UP and time.monotonic() < started:
        time.sleep(0.05)
    began_ms, number = place.fed(rate, seconds)
    expected = time.monotonic() + 30
    while number is not None and sum(positions(place)) < number and time.monotonic() < expected:
        time.sleep(0.05)
    time.sleep(1)
    worker.end()
    ended.set()
    reader.join()
    if number is None:
        return None
    appended = {(each.partition, each.offset): each.timestamp for each in _all_events(place)}
    took = sorted(at * 1000 - appended[key] for key, at in arrived.items() if appended[key] >= began_ms)
    if not took:
        raise SystemExit("no trigger could be read: the run was too short for its rate")
    return took[len(took) // 2], took[len(took) * 99 // 100], len(took)


def positions(place: Place) -> Sequence[int]:
    """The offset of each partition up to which its events are applied."""
    state = place.wiring.state()
    return [state.position(number).offset for number in range(place.bench.partitions)]


def _read_triggers(place: Place, arrived: dict[tuple[int, int], float], ended: threading.Event) -> None:
    topic = place.address.topic(OutputKind.TRIGGER)
    with closing(place.address.open(KafkaConsumer, READER)) as consumer:
        tps = [TopicPartition(topic, number) for number in range(place.bench.partitions)]
        consumer.assign(tps)
        consumer.seek_to_beginning(*tps)
        while not ended.is_set():
            for records in consumer.poll(timeout_ms=50).values():
                now = time.time()
                for each in records:
                    arrived.setdefault((each.partition, int(dict(each.headers)["offset"])), now)


def _all_events(place: Place) -> Iterator[Any]:
    with closing(place.address.open(KafkaConsumer, READER)) as consumer:
        tps = [TopicPartition(place.address.events, number) for number in range(place.bench.partitions)]
        ends = consumer.end_offsets(tps)
        consumer.assign(tps)
        consumer.seek_to_beginning(*tps)
        while any(consumer.position(tp) < ends[tp] for tp in tps):
            for records in consumer.poll(timeout_ms=200, max_records=10_000).values():
                yield from records


def scaling(bench: Bench, events: int, workers: Sequence[int]) -> None:
    """Workers side by side on one log: wall time, and what all of them cost."""
    print("| workers | events/s of wall time | CPU us an event, all of them |\n|---|---|---|", flush=True)
    for count in workers:
        place = bench.filled(events)
        running = [place.worker(1 << 60) for _ in range(count)]
        while not sum(positions(place)):
            time.sleep(0.01)
        began, first = time.monotonic(), sum(positions(place))
        while (done := sum(positions(place))) < events:
            time.sleep(0.02)
        wall = time.monotonic() - began
        costs = [each.end()[0] for each in running]
        cpu, read = sum(each.cpu_s for each in costs), sum(each.records for each in costs)
        print(f"| {count} | {(done - first) / wall:,.0f} | {cpu / read * 1e6:.1f} |", flush=True)


def measure(bench: Bench, options: argparse.Namespace) -> None:
    """All that was asked for, with the bench's client."""
    print(f"\n{bench.client}, {bench.batch or 'the usual'} events in a batch at most\n", flush=True)
    rate = capacity(bench, options.events, options.repeat, options.profile)
    if options.seconds:
        print("\n| load | events/s | p50 ms | p99 ms | triggers |\n|---|---|---|---|---|", flush=True)
        for share in (0.2, 0.5, 0.8):
            found = latency(bench, rate * share, options.seconds)
            told = "can't be appended here | |" if found is None else f"{found[0]:.0f} | {found[1]:.0f} | {found[2]}"
            print(f"| {share:.0%} | {rate * share:,.0f} | {told} |", flush=True)
    if options.workers:
        print()
        scaling(bench, options.events, [int(each) for each in options.workers.split(",")])


def main() -> None:
    """Run the parts that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--partitions", type=int, default=8)
    parser.add_argument("--clients", default=",".join(get_args(ClientName)), help="one after the other")
    parser.add_argument("--batch", type=int, default=0, help="worker.batch_events; 0: what it is when nobody sets it")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=20, help="of each latency run; 0: none")
    parser.add_argument("--workers", default="1,2,4", help="for the scaling; empty: none")
    parser.add_argument("--profile", default="", help="write a profile of the worker there, which slows it")
    options = parser.parse_args()
    clients = options.clients.split(",")
    if unknown := [each for each in clients if each not in get_args(ClientName)]:
        parser.error(f"no client {', '.join(unknown)}; there are {', '.join(get_args(ClientName))}")
    compiled = "machine code" if IS_COMPILED else "all in Python: see tools.compiled"
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {compiled}", flush=True)
    with tempfile.TemporaryDirectory(prefix="salience-stream-") as folder, ExitStack() as stack:
        bench = Bench(Path(folder), options.partitions, options.batch, stack)
        for bench.client in clients:
            measure(bench, options)


if __name__ == "__main__":
    main()
