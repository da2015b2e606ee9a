"""Worker processes on a real Kafka and a real Redis, ended and killed in the midst, against one run in SQLite files."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.event import RawEvent
from engine.ports import NewRecord, Output, OutputKind, partition_of
from service.control import Control, ProcessReport
from service.settings import load
from service.wiring import Wiring
from tests.unit.service.small_shop import sources
from tests.unit.service.worker.bench import Bench, loaded, until
from tools.kafka.kafka_cluster import KafkaCluster

NOON = 1_700_000_000_000
PARTITIONS = 3
EVENTS = 3_000
MANY = 100_000
ROOT = Path(__file__).parents[3]


def history() -> list[NewRecord]:
    """Sessions with views, a few duplicates, a few records that are no events."""
    rng = random.Random(7)
    records: list[NewRecord] = []
    for n in range(EVENTS):
        session = f"s{rng.randrange(EVENTS // 8)}"
        event = RawEvent("seen", session, f"e{n}", NOON + n * 400, rng.choice((None, "c1")), {"product": "p"})
        records.append(NewRecord(session, msgspec.json.encode(event)))
        if rng.random() < 0.05:
            records.append(rng.choice(records))
        if rng.random() < 0.02:
            records.append(NewRecord(session, b"poison %d" % n))
    return records


def outputs_by_id(sent: list[Output]) -> dict[str, tuple[OutputKind, str, int, Any]]:
    """Without the moment at which a record was appended, which differs between two logs."""
    found = {}
    for each in sent:
        body = msgspec.json.decode(each.value)
        body.pop("received", None)
        found[f"{each.kind}/{each.id}"] = (each.kind, each.key, each.offset, body)
    return found


class Stream:
    """An installation on Kafka and Redis, with worker processes."""

    def __init__(self, folder: Path, addresses: Mapping[str, str]) -> None:
        shell = {name: value for name, value in os.environ.items() if not name.startswith("SALIENCE_")}
        self._environment = shell | dict(addresses) | {
            "SALIENCE_DATA_DIR": str(folder),
            "SALIENCE_KAFKA__PARTITIONS": str(PARTITIONS),
            "SALIENCE_REDIS__TIMEOUT_MS": "5000",
            "SALIENCE_WORKER__BATCH_EVENTS": "20",
            "SALIENCE_WORKER__IDLE_MS": "3600000",
        }  # fmt: skip
        self._folder = folder
        self._workers: list[subprocess.Popen[bytes]] = []
        self.wiring = Wiring(load(environ=self._environment, folder=folder).settings)
        self.wiring.ensure_topics()

    def start(self) -> subprocess.Popen[bytes]:
        with (self._folder / f"worker-{len(self._workers)}.log").open("wb") as log:
            argv = [sys.executable, "-m", "service.cli", "worker", "--no-watch"]
            worker = subprocess.Popen(argv, env=self._environment, cwd=ROOT, stdout=log, stderr=log)
        self._workers.append(worker)
        return worker

    def append(self, records: list[NewRecord]) -> None:
        log = self.wiring.event_log()
        for start in range(0, len(records), 500):
            log.append(records[start : start + 500], lambda _: None)
        log.flush(30_000)

    def outputs(self) -> dict[str, tuple[OutputKind, str, int, Any]]:
        topics = self.wiring.outputs()
        return outputs_by_id([each for kind in OutputKind for each in topics.read(kind, MANY)])

    def reports(self) -> list[ProcessReport]:
        return Control(self.wiring.tables()).processes(time.time_ns() // 1_000_000)

    def has_written(self, sessions: int) -> bool:
        return len(self.wiring.state().recent(MANY)) >= sessions

    def has_reached(self, event: int) -> bool:
        return any(state.time >= NOON + event * 400 for _session, state in self.wiring.state().recent(MANY))

    def until(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + 100
        while not condition():
            logs = [path.read_text()[-3000:] for path in sorted(self._folder.glob("worker-*.log"))]
            assert time.monotonic() < end, "\n\n".join(logs)
            time.sleep(0.1)

    def close(self) -> None:
        for worker in self._workers:
            worker.kill()
            worker.wait(10)
        self.wiring.close()


@pytest.fixture
def stream(tmp_path: Path, kafka_cluster: KafkaCluster, kafka_prefix: str, redis_url: str) -> Iterator[Stream]:
    addresses = {
        "SALIENCE_KAFKA__BOOTSTRAP": kafka_cluster.bootstrap,
        "SALIENCE_KAFKA__TOPIC_PREFIX": kafka_prefix,
        "SALIENCE_KAFKA__GROUP": f"{kafka_prefix}worker",
        "SALIENCE_REDIS__URL": redis_url,
    }
    made = Stream(tmp_path, addresses)
    yield made
    made.close()


@pytest.fixture
def oracle(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path / "oracle", PARTITIONS)
    yield bench
    bench.close()


@pytest.mark.kafka
@pytest.mark.redis
@pytest.mark.timeout(300)
def test_a_worker_killed_in_the_midst_and_its_successors_do_what_one_would(stream: Stream, oracle: Bench) -> None:
    """Nothing lost, nothing else sent, the same ids, the same state."""
    records = history()
    live = loaded(sources())
    oracle.log.append(records, lambda _: None)
    oracle.log.flush(30_000)
    worker = oracle.worker(lambda: live, batch=999)
    until(lambda: worker.counts.read == len(records), worker.round)
    worker.stop()
    worker.run()
    expected = outputs_by_id([each for kind in OutputKind for each in oracle.sent(kind)])

    stream.wiring.publisher().publish(sources(), "anna", "")
    assert stream.wiring.publisher().live() is not None
    stream.append(records[:1000])
    first = stream.start()
    stream.until(lambda: stream.has_written(20))
    first.kill()
    first.wait(10)
    stream.append(records[1000:2000])
    second = stream.start()
    stream.until(lambda: stream.has_reached(1_200))
    stream.append(records[2000:])
    second.terminate()
    assert second.wait(30) == 0
    third = stream.start()
    stream.until(lambda: len(stream.outputs()) >= len(expected))
    # Heartbeats tell the counts with a delay, so the outputs may all be there before the first one that has any.
    stream.until(lambda: any(each.counts.get("applied", 0) > 0 for each in stream.reports()))
    stream.until(lambda: not any(stream.wiring.state().outbox(number) for number in range(PARTITIONS)))
    third.terminate()
    assert third.wait(30) == 0

    assert stream.outputs() == expected
    sessions = sorted({record.key for record in records})
    for number in range(PARTITIONS):
        mine = [each for each in sessions if partition_of(each, PARTITIONS) == number]
        assert stream.wiring.state().load(number, mine) == oracle.state.load(number, mine)
