"""An installation with a worker that a test drives, on SQLite files or on a real Kafka and Redis."""

from __future__ import annotations

import contextlib
import os
import random
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec
from click.testing import CliRunner, Result
from kafka import TopicPartition

from connectors.kafka_client import KafkaAddress
from connectors.sqlite_events import SHIFT
from connectors.sqlite_state import SqliteState
from engine.copies import PartitionCopy
from engine.event import RawEvent
from engine.ports import NewRecord
from service.cli import cli
from service.installation import holdout_salt
from service.loading import Loaded, load_stored
from service.settings import load
from service.wiring import Wiring
from service.worker.loop import Pace, Ports, Worker
from tests.unit.service.small_shop import RULES, sources
from tests.unit.service.worker.bench import MINUTE, NOON, until

ROOT = Path(__file__).parents[4]
PARTITIONS = 3

TWICE = """\
  - rule: twice
    when:
      all:
        - {event: seen, as: first, within: 10 minutes}
        - {event: seen, where: {product: $first.product, price: {above: $first.price}}, within: 10 minutes}
    then: [{trigger: dearer, payload: {product: "{first.product}"}}]
    limits: {per_customer: 2 per day}
tests:
"""


def rules(views: int = 3) -> dict[str, str]:
    """The small shop with a join and a limit, and another threshold, so that later revisions differ."""
    text = RULES.replace("tests:\n", TWICE).replace("rule: third\n    when: {fact: views, at_least: 3}", f"rule: third\n    when: {{fact: views, at_least: {views}}}")  # fmt: skip
    return sources(greeting=text if views == 3 else text.split("tests:\n", maxsplit=1)[0])


def history(events: int, seed: int = 1) -> list[NewRecord]:
    """Sessions with views and purchases, duplicates, disorder, poison, and quiet times in which they end, but not lately."""
    rng = random.Random(seed)
    records: list[NewRecord] = []
    now = NOON
    for n in range(events):
        now += 20 * MINUTE if n < events // 2 and rng.random() < 0.01 else rng.choice((200, 900, 1_500))
        session = f"s{rng.randrange(40)}-{n // 500}"
        kind, attributes = rng.choice(
            (
                ("seen", {"product": f"p{rng.randrange(4)}", "price": f"{rng.randrange(50)}.00"}),
                ("bought", {"total": "9.00"}),
            )
        )
        at = now - rng.choice((0, 0, 0, 30_000, 90_000))
        customer = rng.choice((None, f"c{rng.randrange(9)}"))
        event = RawEvent(kind, session, f"e{n}", at, customer, dict(attributes))
        records.append(NewRecord(session, msgspec.json.encode(event)))
        if rng.random() < 0.05:
            records.append(rng.choice(records))
        if rng.random() < 0.02:
            records.append(NewRecord(session, b"poison %d" % n))
    return records


class Installed:
    """An installation.

    Args:
        folder: Of its data.
        addresses: Settings of servers; none: all is embedded.
    """

    def __init__(self, folder: Path, addresses: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        chosen = {
            "data_dir": str(folder), "kafka.partitions": str(PARTITIONS), "redis.timeout_ms": "5000",
            "worker.idle_ms": "3600000",
        }  # fmt: skip
        self.flags = [f"{name}={value}" for name, value in (chosen | dict(addresses or {})).items()]
        self.wiring = Wiring(load(environ={}, flags=self.flags, folder=folder).settings)
        self.wiring.ensure_topics()
        self.state = self.wiring.state()

    def publish(self, files: Mapping[str, str]) -> Loaded:
        publisher = self.wiring.publisher()
        revision = publisher.publish(files, "anna", "").revision
        return load_stored(publisher.control, self.wiring.signing(), revision, self.folder / "models")

    def append(self, records: Sequence[NewRecord]) -> None:
        self.wiring.event_log().append(records, lambda _: None)
        self.wiring.event_log().flush(30_000)

    def work(
        self, live: Callable[[], Loaded], *, lateness: int = MINUTE, batch: int = 37, until_read: int | None = None
    ) -> None:
        """A worker evaluates what there is, then ends."""
        wiring = self.wiring
        ports = Ports(
            wiring.event_source(), wiring.event_log(), wiring.state(), wiring.outputs(), wiring.limits(), wiring.profiles(),
            wiring.catalogue(), wiring.identities(), wiring.activity(),
        )  # fmt: skip
        pace = Pace(batch=batch, poll_ms=20, lateness=lateness, idle_ms=3_600_000)
        worker = Worker(ports, live, pace, salt=holdout_salt(wiring.tables()))
        ends = ports.source.ends()

        def is_done() -> bool:
            if until_read is not None:
                return worker.counts.read >= until_read
            return all(self.state.position(number).offset >= end for number, end in ends.items())

        until(is_done, worker.round, seconds=90)
        worker.stop()
        worker.run()

    def forget(self, begins: Sequence[int]) -> None:
        """Take the beginning of each partition's log away, as its retention does."""
        kafka = self.wiring.settings.kafka
        if not kafka.bootstrap:
            with contextlib.closing(sqlite3.connect(self.folder / "events.db")) as db, db:
                for number, first in enumerate(begins):
                    base = number << SHIFT
                    db.execute("DELETE FROM records WHERE place >= ? AND place < ?", (base, base | first))
            return
        with contextlib.closing(KafkaAddress(kafka.bootstrap, kafka.topic_prefix).admin()) as admin:
            topic = f"{kafka.topic_prefix}events"
            admin.delete_records({TopicPartition(topic, number): first for number, first in enumerate(begins)})

    def copies(self) -> list[PartitionCopy]:
        return [self.state.copy(number) for number in range(PARTITIONS)]

    def salience(self, *words: str) -> Result:
        return CliRunner().invoke(cli, [*(f"--set={flag}" for flag in self.flags), *words], standalone_mode=False)

    def kill_amid_rebuild(self, at_least: int) -> None:
        """Start a rebuild as a process and end it by SIGKILL once it evaluated so many records, before it is through."""
        argv = [sys.executable, "-m", "service.cli", *(f"--set={flag}" for flag in self.flags), "rebuild"]
        shell = {name: value for name, value in os.environ.items() if not name.startswith("SALIENCE_")}
        process = subprocess.Popen(argv, cwd=ROOT, env=shell, stderr=subprocess.DEVNULL)
        path = self.folder / "rebuild" / "build" / "state.db"
        end = time.monotonic() + 60
        try:
            while self._built(path) < at_least:
                assert process.poll() is None, "it was through before it could be killed"
                assert time.monotonic() < end
                time.sleep(0.005)
        finally:
            process.kill()
            process.wait(10)

    @staticmethod
    def _built(path: Path) -> int:
        if not path.exists():
            return 0
        state = SqliteState(path)
        try:
            return sum(state.position(number).offset for number in range(PARTITIONS))
        finally:
            state.close()

    def close(self) -> None:
        self.wiring.close()


def without_seen(copies: Sequence[PartitionCopy]) -> list[PartitionCopy]:
    """What must be equal byte for byte: all but when ids were seen, which Redis and SQLite tell in other steps."""
    return [msgspec.structs.replace(each, seen=dict.fromkeys(each.seen, 0)) for each in copies]
