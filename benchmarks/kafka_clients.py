"""The two clients of Kafka beside each other: what a worker gets through, what an event costs, how soon a trigger is seen.

    python -m benchmarks.kafka_clients [--brokers 3] [--events 20000] [--rules 100] [--rounds 3] [--probes 200]

A real Kafka and a real Redis (appendfsync everysec) are started. In each round, by turns with each client:

- `worker`: a worker of its own process reads a full topic of 4 partitions: events of about 200 bytes, sessions of 20 events,
  one trigger in 100 events. Counted from the first tenth to the end: events/s by the wall clock, and the worker's own
  processor time an event (user and system, from /proc).
- `floor`: a bare loop of the same client on the same topic in this process: read, decode, commit.
- `append`: the log's processor time for one event, acknowledged by all.
- `visible`: from the append of an event to its trigger being readable as committed, one every 50 ms, worker idle otherwise.

Medians of the rounds, and p50 and p99 over all probes. On a machine with other work only processor times and ratios mean
something. Ends with 1 where a trigger is missing or there is one too many.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import get_args

import msgspec

from benchmarks.decide_http import VOCABULARY, ruleset
from benchmarks.recording import processor_seconds
from connectors.kafka_client import KafkaAddress
from connectors.kafka_port import ClientName, ClientOptions
from engine.event import RawEvent
from engine.ports import NewRecord, OutputKind, PortError
from service.clock import wall_ms
from service.settings import load
from service.wiring import Wiring
from tools.kafka.kafka_cluster import KafkaCluster
from tools.redis_server import RedisServer

ROOT = Path(__file__).resolve().parent.parent
PARTITIONS = 4
SESSION = 20
TRIGGER_EVERY = 100
PACE_S = 0.05
PATIENCE_S = 300.0

BOUGHT = """
ruleset: bought
owner: bench
rules:
  - rule: bought
    when: {event: purchase, within: 1 minutes}
    then: [{trigger: bought, payload: {}}]
"""


def event(number: int, session: str, kind: str, now: int) -> NewRecord:
    """One of about 200 bytes."""
    attributes: dict[str, object] = {}
    if kind != "purchase":
        attributes = {"product_id": f"p{number % 997}", "category": f"c{number % 7}"}
    if kind == "cart_added":
        attributes["price"] = "40.00"
    raw = RawEvent(kind, session, f"{session}-{number}", now, f"customer-{session}", attributes)
    return NewRecord(session, msgspec.json.encode(raw))


def events(count: int, now: int) -> Iterator[NewRecord]:
    """Sessions interleaved, as shoppers are; by one more than lies between two purchases, so that none has two."""
    for number in range(count):
        session = f"s{number // ((TRIGGER_EVERY + 1) * SESSION)}-{number % (TRIGGER_EVERY + 1)}"
        kind = "purchase" if number % TRIGGER_EVERY == TRIGGER_EVERY - 1 else "product_viewed"
        yield event(number, session, "cart_added" if number % 4 == 3 and kind != "purchase" else kind, now)


class Bench:
    """One client on topics of its own."""

    def __init__(self, folder: Path, kafka: KafkaCluster, redis: RedisServer, library: ClientName, rules: int) -> None:
        prefix = f"b{uuid.uuid4().hex[:8]}."
        self.library = library
        self._folder = folder
        self._brokers = len(kafka.ids)
        self.environment = {
            "SALIENCE_KAFKA__BOOTSTRAP": kafka.bootstrap,
            "SALIENCE_KAFKA__CLIENT": library,
            "SALIENCE_KAFKA__TOPIC_PREFIX": prefix,
            "SALIENCE_KAFKA__GROUP": f"{prefix}worker",
            "SALIENCE_KAFKA__PARTITIONS": str(PARTITIONS),
            "SALIENCE_KAFKA__REPLICAS": str(self._brokers),
            "SALIENCE_REDIS__URL": redis.url,
            "SALIENCE_REDIS__TIMEOUT_MS": "2000",
            "SALIENCE_DATA_DIR": str(folder / "data"),
            "SALIENCE_WORKER__IDLE_MS": "3600000",
        }
        self.address = KafkaAddress(kafka.bootstrap.split(","), prefix, ClientOptions(library))
        self.wiring = Wiring(load(environ=self.environment, folder=folder).settings)
        self.wiring.ensure_topics()
        sources = ruleset(rules) | {"vocabulary.yaml": VOCABULARY, "bought.yaml": BOUGHT}
        self.wiring.publisher().publish(sources, "bench", "")

    @contextmanager
    def worker(self) -> Iterator[int]:
        """A worker; its process id."""
        with (self._folder / "worker.log").open("ab") as log:
            argv = [sys.executable, "-m", "service.cli", "worker", "--no-watch"]
            child = subprocess.Popen(argv, env=self.environment, cwd=ROOT, stdout=log, stderr=log)
            try:
                yield child.pid
            finally:
                child.terminate()
                child.wait(60)

    def position(self) -> int:
        """How many events the state has."""
        try:
            return sum(self.wiring.state().position(number).offset for number in range(PARTITIONS))
        except PortError:
            return 0

    def await_position(self, least: int) -> None:
        """Until the state has so many."""
        deadline = time.monotonic() + PATIENCE_S
        while self.position() < least:
            if time.monotonic() > deadline:
                raise SystemExit(f"{self.library}: the worker stands at {self.position()} of {least}")
            time.sleep(0.02)

    def triggers(self, least: int) -> list[str]:
        """The sessions of all committed triggers, once there are so many."""
        numbers = range(PARTITIONS)
        topic = self.address.topic(OutputKind.TRIGGER)
        deadline = time.monotonic() + 30
        while True:
            with closing(self.address.client.reader()) as reader:
                found = reader.read(topic, reader.firsts(topic, numbers), reader.ends(topic, numbers), 60)
            if len(found) >= least or time.monotonic() > deadline:
                return [(each.key or b"").decode() for each in found]

    def append(self, count: int) -> float:
        """Fill the topic; processor microseconds an event."""
        records = list(events(count, wall_ms()))
        log = self.wiring.event_log()
        failed: list[PortError] = []
        before = time.process_time()
        for start in range(0, count, 500):
            log.append(records[start : start + 500], lambda error: failed.append(error) if error else None)
        log.flush(int(PATIENCE_S * 1000))
        if failed:
            raise SystemExit(f"{self.library}: {failed[0]}")
        return (time.process_time() - before) / count * 1e6

    def work(self, count: int) -> tuple[float, float]:
        """Events/s and processor microseconds an event."""
        with self.worker() as pid:
            self.await_position(count // 10)
            first, used, began = self.position(), processor_seconds(pid), time.monotonic()
            self.await_position(count)
            took = time.monotonic() - began
            done = count - first
            return done / took, (processor_seconds(pid) - used) / done * 1e6

    def floor(self, count: int) -> float:
        """Processor microseconds an event of reading, decoding and committing alone."""
        decode = msgspec.json.Decoder(RawEvent).decode
        given: dict[int, int] = {}

        def held(partitions: object) -> Mapping[int, int]:
            return dict.fromkeys(range(PARTITIONS), 0)

        member = self.address.client.member(f"{self.address.prefix}floor", self.address.events, held, 10_000)
        with closing(member):
            while not (standing := member.standing()) or len(standing[1]) < PARTITIONS:
                member.poll(1, 100)
            member.resume(range(PARTITIONS))
            before, read = time.process_time(), 0
            while read < count:
                for partition, records in member.poll(2_000, 100).items():
                    for record in records:
                        decode(record.value)
                    read += len(records)
                    given[partition] = records[-1].offset + 1
                if given:
                    member.commit(given)
            return (time.process_time() - before) / count * 1e6

    def visible(self, probes: int) -> list[float]:
        """Milliseconds from append to readable."""
        before = len(self.triggers(0))
        took: list[float] = []
        log = self.wiring.event_log()
        topic = self.address.topic(OutputKind.TRIGGER)
        with self.worker(), closing(KafkaTail(self.address, topic)) as tail:
            warm = self.position() + 1
            log.append([event(0, "warm", "purchase", wall_ms())], lambda _: None)
            self.await_position(warm)
            for number in range(probes + 1):
                name = f"probe-{number}" if number else "warm"
                began = time.perf_counter()
                if number:
                    log.append([event(number, name, "purchase", wall_ms())], lambda _: None)
                while not any(each.key == name for records in tail.poll(100, 50).values() for each in records):
                    if time.perf_counter() - began > 30:
                        raise SystemExit(f"{self.library}: the trigger of {name} was not seen within 30 s")
                if number:
                    took.append((time.perf_counter() - began) * 1000)
                time.sleep(PACE_S)
        if len(self.triggers(0)) != before + probes + 1:
            raise SystemExit(f"{self.library}: a trigger is there twice")
        return took

    def close(self) -> None:
        """Let go."""
        self.wiring.close()


class KafkaTail:
    """A member of a group of its own at the end of a topic."""

    def __init__(self, address: KafkaAddress, topic: str) -> None:
        with closing(address.client.reader()) as reader:
            ends = reader.ends(topic, range(PARTITIONS))
        group = f"{address.prefix}tail-{uuid.uuid4().hex[:8]}"
        self._member = address.client.member(group, topic, lambda _: ends, 10_000)
        while not (standing := self._member.standing()) or len(standing[1]) < PARTITIONS:
            self._member.poll(1, 100)
        self._member.resume(range(PARTITIONS))
        self.poll = self._member.poll
        self.close = self._member.close


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--brokers", type=int, choices=(1, 3), default=3)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--rules", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--probes", type=int, default=100, help="in each round")
    options = parser.parse_args()
    for name in ("kafka", "librdkafka"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    libraries = get_args(ClientName)
    figures: dict[tuple[str, str], list[float]] = {}
    wrong = 0
    with (
        tempfile.TemporaryDirectory(prefix="salience-clients-") as name,
        KafkaCluster(Path(name) / "kafka", options.brokers) as kafka,
        RedisServer(Path(name) / "redis", settings={"appendonly": "yes", "appendfsync": "everysec"}) as redis,
    ):
        for round_number in range(options.rounds):
            for library in libraries:
                bench = Bench(Path(name), kafka, redis, library, options.rules)
                with closing(bench):
                    append = bench.append(options.events)
                    rate, cost = bench.work(options.events)
                    expected = options.events // TRIGGER_EVERY
                    found = bench.triggers(expected)
                    wrong += abs(len(found) - expected)
                    floor = bench.floor(options.events)
                    visible = bench.visible(options.probes)
                for what, value in (("rate", rate), ("cost", cost), ("floor", floor), ("append", append)):
                    figures.setdefault((library, what), []).append(value)
                figures.setdefault((library, "visible"), []).extend(visible)
                print(
                    f"round {round_number + 1} {library:12} worker {rate:7,.0f} events/s, {cost:5.0f} us; floor "
                    f"{floor:5.1f} us; append {append:5.1f} us; visible p50 {statistics.median(visible):.0f} ms; "
                    f"{len(found)} of {expected} triggers",
                    flush=True,
                )
                empty(redis)
    print(f"\n{options.brokers} brokers, {options.rules} rules, {options.events:,} events, medians of {options.rounds}")
    print(
        "| client | worker, events/s | worker, us an event | floor, us an event | append, us an event | visible p50 | p99 |"
    )
    print("|---|---|---|---|---|---|---|")
    for library in libraries:
        rate, cost, floor, append = (
            statistics.median(figures[library, what]) for what in ("rate", "cost", "floor", "append")
        )
        ordered = sorted(figures[library, "visible"])
        p50, p99 = ordered[len(ordered) // 2], ordered[len(ordered) * 99 // 100]
        print(f"| {library} | {rate:,.0f} | {cost:.0f} | {floor:.1f} | {append:.1f} | {p50:.0f} ms | {p99:.0f} ms |")
    if wrong:
        print(f"WRONG: {wrong} triggers missing or too many")
    return 1 if wrong else 0


def empty(redis: RedisServer) -> None:
    """Begin the next from nothing."""
    with Wiring(load(environ={"SALIENCE_REDIS__URL": redis.url}, folder=redis.directory).settings) as wiring:
        wiring.state()._redis.flushall()  # type: ignore[attr-defined]  # noqa: SLF001 - of this program alone


if __name__ == "__main__":
    sys.exit(main())
