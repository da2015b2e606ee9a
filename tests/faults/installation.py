"""An installation for faults: Kafka, Redis with its append-only file, a feed, workers that are started again."""

from __future__ import annotations

import multiprocessing
import os
import random
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing, suppress
from itertools import islice
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Self

from kafka.protocol.metadata import CoordinatorType

from connectors.kafka_client import KafkaAddress
from connectors.kafka_port import ClientName, ClientOptions
from engine.ports import Cap, Claim, PortError
from service.settings import load
from service.wiring import Wiring
from tests.faults import worker as worker_module
from tests.faults.history import LATENESS_MS, NOON, history
from tests.faults.oracle import Difference, Oracle, sent
from tests.faults.proxy import CommitProxy
from tests.faults.worker import Fault
from tests.unit.service.small_shop import sources
from tools.kafka.kafka_cluster import KafkaCluster
from tools.ports import HOST, free_ports
from tools.redis_cluster import RedisCluster
from tools.redis_server import RedisServer, RedisServerError

PARTITIONS = 4
BATCH = 50
AHEAD = 3_000
"""So many records at most are fed that were not evaluated."""

REDIS = {
    "appendonly": "yes",
    "appendfsync": "everysec",
    "aof-load-truncated": "yes",
    "auto-aof-rewrite-percentage": "0",
}

STARTS = 5
"""So often a Redis that ends at once is started before it is given up."""

_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload([worker_module.__name__])


class Cluster:
    """Kafka for any number of scenarios; with `proxied`, all clients come through a `CommitProxy`.

    Attributes:
        library: Which one workers and the feed reach it with.
    """

    def __init__(
        self, folder: Path, brokers: int = 1, *, proxied: bool = False, library: ClientName = "kafka-python"
    ) -> None:
        settings: dict[str, object] = {"group.min.session.timeout.ms": 1_000}
        port = broker_port = 0
        if proxied:
            assert brokers == 1
            port, broker_port, _ = free_ports(3)
            settings["advertised.listeners"] = f"PLAINTEXT://{HOST}:{port}"
        base = {"base_port": broker_port} if proxied else {}
        self.kafka = KafkaCluster(folder, brokers, settings=settings, **base)  # type: ignore[arg-type]
        self.proxy = CommitProxy(port, broker_port) if proxied else None
        self.bootstrap = f"{HOST}:{port}" if proxied else self.kafka.bootstrap
        self.brokers = brokers
        self.library = library
        self._names = 0

    def __enter__(self) -> Self:
        self.kafka.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kafka.stop(grace=3)
        if self.proxy is not None:
            self.proxy.close()

    def name(self) -> str:
        """A prefix of topics that was not used."""
        self._names += 1
        return f"f{self._names}."


class Installation:
    """One scenario's topics, Redis, feed and workers.

    Attributes:
        done: How often each fault befell, by name.
    """

    def __init__(
        self,
        folder: Path,
        cluster: Cluster,
        seed: int,
        *,
        without: str = "",
        pace: float = 0.05,
        redis_cluster: RedisCluster | None = None,
    ) -> None:
        self.done: Counter[str] = Counter()
        self.rng = random.Random(seed)
        self.cluster = cluster
        self._folder = folder
        self._log = folder / "workers.log"
        self._without = without
        self._pace = pace
        self._closing = ExitStack()
        folder.mkdir(parents=True, exist_ok=True)
        prefix = cluster.name()
        self.group = f"{prefix}worker"
        self.redis = RedisServer(folder / "redis", settings=REDIS)
        self._closing.enter_context(redis_cluster or self.redis)
        self._environment = {
            "SALIENCE_KAFKA__BOOTSTRAP": cluster.bootstrap,
            "SALIENCE_KAFKA__CLIENT": cluster.library,
            "SALIENCE_KAFKA__TOPIC_PREFIX": prefix,
            "SALIENCE_KAFKA__GROUP": self.group,
            "SALIENCE_KAFKA__PARTITIONS": str(PARTITIONS),
            "SALIENCE_KAFKA__REPLICAS": str(cluster.brokers),
            "SALIENCE_REDIS__URL": (redis_cluster or self.redis).url,
            "SALIENCE_DATA_DIR": str(folder),
            "SALIENCE_WORKER__BATCH_EVENTS": str(BATCH),
            "SALIENCE_WORKER__IDLE_MS": "3600000",
            "SALIENCE_WORKER__ALLOWED_LATENESS_MS": str(LATENESS_MS),
        }
        self.address = KafkaAddress(cluster.bootstrap.split(","), prefix, ClientOptions(cluster.library))
        self.wiring = Wiring(load(environ=self._environment, folder=folder).settings)
        self._closing.callback(self.wiring.close)
        self.wiring.ensure_topics()
        self.publish()
        self._workers: list[BaseProcess] = []
        self._events = history(seed)
        self._feeding = threading.Event()
        self._feed = threading.Thread(target=self._feed_on, name="feed", daemon=True)
        self._feed.start()
        self._published = {} if redis_cluster else {(file := self._append_only_file()): file.stat().st_size}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._feeding.set()
        self._feed.join()
        for each in self._workers:
            if each.is_alive() and each.pid is not None:
                os.kill(each.pid, signal.SIGKILL)
            each.join()
        self._closing.close()

    # -------------------------------------------------------------- faults

    def publish(self) -> None:
        """Make the rules live."""
        self.wiring.publisher().publish(sources(), "anna", "")

    def start(self, fault: Fault | None = None) -> BaseProcess:
        """Start a worker."""
        arguments = (self._environment, str(self._folder), str(self._log), fault, self._without)
        process = _PROCESSES.Process(target=worker_module.run, args=arguments)
        process.start()
        self._workers = [each for each in self._workers if each.is_alive()] + [process]
        return process

    def kill_at(self, step: str, timeout_s: float = 30.0) -> None:
        """A worker that gets SIGKILL at a step, at one of the first times that it is there."""
        process = self.start(Fault(step, self.rng.randrange(1, 4)))
        process.join(timeout_s)
        if process.is_alive() and process.pid is not None:
            os.kill(process.pid, signal.SIGKILL)  # it never came to the step
            process.join()
            self.done["killed elsewhere"] += 1
        else:
            self.done[f"killed when {step}"] += 1

    def stop_at(self, step: str) -> None:
        """A worker that is stopped at a step until another has taken over, and then goes on."""
        process = self.start(Fault(step, self.rng.randrange(1, 4), signal.SIGSTOP))
        assert process.pid is not None
        if not wait_for(lambda: _is_stopped(process.pid), 30):
            self.done["never stopped"] += 1
            os.kill(process.pid, signal.SIGKILL)
            return
        before = self.positions()
        successor = self.start()
        is_followed = wait_for(lambda: all(now > then for now, then in zip(self.positions(), before, strict=True)), 60)
        self.done[f"stopped when {step}" if is_followed else "never followed"] += 1
        os.kill(process.pid, signal.SIGCONT)
        wait_for(lambda: f"{process.pid} went on" in self._log.read_text(), 30)
        for each in (process, successor):
            os.kill(each.pid or 0, signal.SIGKILL)
            each.join()

    def cut_redis(self, most: int = 100_000) -> None:
        """Kill Redis, take a random piece off the end of what it wrote, start it again."""
        file = self._append_only_file()
        self.redis.kill()
        size = file.stat().st_size
        cut = min(self.rng.randrange(1, most), size - self._published.get(file, 0))
        os.truncate(file, size - cut)
        start_again(self.redis)
        self.done["Redis cut"] += 1

    def tear_redis(self) -> None:
        """Crash Redis so that its file ends amid a batch; another store writes; crash it again. Workers stand still."""
        running = [each.pid for each in self._workers if each.is_alive() and each.pid is not None]
        for pid in running:
            os.kill(pid, signal.SIGSTOP)
        file = self._append_only_file()
        self.redis.kill()
        written = file.read_bytes()
        at = _amid_a_batch(written, self._published.get(file, 0))
        self.done["Redis torn" if at else "never torn"] += 1
        os.truncate(file, at or len(written))
        start_again(self.redis)
        caps = [Cap(f"torn/{number}", 1_000, 1) for number in range(2)]
        self.wiring.limits().take([Claim(f"torn/{self.rng.random()}", tuple(caps))], 1, NOON, None)
        self.redis.kill()
        start_again(self.redis)
        for pid in running:
            os.kill(pid, signal.SIGCONT)

    def flush_redis(self) -> None:
        """Take everything from Redis; the rules are published anew."""
        import redis

        with redis.Redis.from_url(self.redis.url) as client:
            client.flushall()
        self.publish()
        self.done["FLUSHALL"] += 1

    # -------------------------------------------------------------- looking

    def positions(self) -> list[int]:
        """The next offset of each partition's state."""
        found = []
        state = self.wiring.state()
        for number in range(PARTITIONS):
            try:
                position = state._redis.hget(state._key(number, "position"), "offset")  # type: ignore[attr-defined]
            except Exception:  # noqa: BLE001 - a Redis that is being killed stands nowhere
                position = None
            found.append(int(position or 0))
        return found

    def is_out(self, goal: Sequence[int]) -> bool:
        """Whether each partition's state has come to an offset, and all outputs below it are sent."""
        state = self.wiring.state()
        with suppress(PortError):
            waiting = [
                min((each.offset for each in state.outbox(number)), default=None) for number in range(PARTITIONS)
            ]
            there = zip(self.positions(), waiting, goal, strict=True)
            return all(now >= to and (first is None or first >= to) for now, first, to in there)
        return False

    def leader(self, topic: str, partition: int) -> int:
        """The broker that leads a partition."""
        with closing(self.address.admin()) as admin:
            (described,) = admin.describe_topics([topic])
        leaders = {each["partition_index"]: int(each["leader_id"]) for each in described["partitions"]}
        return leaders[partition]

    def coordinator(self, name: str, *, is_group: bool = False) -> int:
        """The broker that coordinates a transactional id or a group."""
        kind = CoordinatorType.GROUP if is_group else CoordinatorType.TRANSACTION
        with closing(self.address.admin()) as admin:
            return int(admin._manager.run(admin._find_coordinator_ids, [name], kind)[name])

    def ends(self) -> list[int]:
        """The end of each partition's log."""
        with closing(self.address.client.reader()) as reader:
            ends = reader.ends(self.address.events, range(PARTITIONS))
        return [ends[number] for number in range(PARTITIONS)]

    def advance(self, records: int = 400, timeout_s: float = 60.0) -> bool:
        """Wait until the state has moved on by so many records in all."""
        goal = sum(self.positions()) + records
        return wait_for(lambda: sum(self.positions()) >= goal, timeout_s)

    def finish(self, timeout_s: float = 120.0, alike: Callable[[bytes], bytes] | None = None) -> Difference:
        """End the feed, let a worker without faults do the rest, and compare; with `alike` as `compare_outputs` does."""
        self._feeding.set()
        self._feed.join()
        if not any(each.is_alive() for each in self._workers):
            self.start()
        ends = self.ends()
        state = self.wiring.state()

        def is_done() -> bool:
            with suppress(PortError):
                return self.positions() == ends and not any(state.outbox(number) for number in range(PARTITIONS))
            return False

        at = self.positions()
        while not wait_for(is_done, timeout_s) and self.positions() != at:
            at = self.positions()
        if not is_done():
            for each in self._workers:
                if each.is_alive() and each.pid is not None:
                    os.kill(each.pid, signal.SIGUSR1)
            time.sleep(3)
            log = self._log.read_text()[-6_000:]
            raise AssertionError(f"the state stands at {self.positions()} of {ends}\n{log}")
        for each in self._workers:
            if each.is_alive():
                each.terminate()
                each.join(20)
        oracle = Oracle(self._folder, self.address, PARTITIONS)
        if alike is not None:
            return oracle.compare_outputs(sent(self.address, PARTITIONS), alike)
        states = {number: state.load(number, sorted(keys)) for number, keys in oracle.keys.items()}
        return oracle.compare(states, sent(self.address, PARTITIONS))

    def _append_only_file(self) -> Path:
        """The one that is written to: the worker has a new one begun after each start of Redis."""
        files = (self._folder / "redis").glob("appendonlydir/*.incr.aof")
        return max(files, key=lambda each: int(each.name.split(".")[-3]))

    def _feed_on(self) -> None:
        log = self.wiring.event_log()
        fed = 0
        while not self._feeding.wait(self._pace):
            if fed - sum(self.positions()) > AHEAD:
                continue  # or a busy machine would do nothing but catch up
            with suppress(PortError):
                log.append(list(islice(self._events, 20)), lambda _: None)
                fed += 20
        with suppress(PortError):
            log.flush(30_000)


def _amid_a_batch(written: bytes, after: int) -> int:
    """Where the latest batch of some sessions has written most of them; 0 where there is none."""
    end = len(written)
    while (begin := written.rfind(b"\r\nMULTI\r\n", after, end)) >= 0:
        keys = [each.start() for each in re.finditer(rb":s:", written[begin:end])]
        if len(keys) >= 4:
            return begin + keys[-1] + 3
        end = begin
    return 0


def start_again(server: RedisServer) -> None:
    """Start a Redis that crashed, as whatever watches over it does: again where it ended at once.

    It does so, having mended its files, where it crashed while it rewrote them and the former one was torn; and where its child
    that rewrote them still has the port.
    """
    for _ in range(STARTS - 1):
        with suppress(RedisServerError):
            server.start()
            return
        time.sleep(0.1)
    server.start()


def wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether it came about in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _is_stopped(pid: int | None) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "T"
    except OSError:
        return False


def shuffled(rng: random.Random, names: Sequence[str]) -> list[str]:
    """The names in another order."""
    return rng.sample(list(names), len(names))
