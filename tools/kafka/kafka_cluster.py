"""Run a real Apache Kafka (KRaft) on loopback, from Maven artifacts alone.

Needs Linux, Python 3.11+, Java 17+ and Maven; no download of a distribution, no containers.

    python -m tools.kafka.kafka_cluster fetch            # jars into the cache, once
    ... start --brokers 3 --dir D        # prints the bootstrap address
    ... kill --dir D --broker 2          # SIGKILL
    ... restart --dir D --broker 2       # same ports, same data
    ... stop --dir D                     # data stays; `start` resumes it

    with KafkaCluster(directory, brokers=3) as cluster:  # the same, from a test
        client(cluster.bootstrap); cluster.kill(2); cluster.restart(2)

Every broker is also a controller. The settings are for tests: small heaps, few internal
partitions, quick failure detection, no automatic topic creation. With three brokers, topics
have three replicas and need two in sync. DIR holds cluster.json and, for each broker,
broker-N/{pid,server.properties,server.log,data}.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Self

from tools import children
from tools.ports import HOST, free_ports

POM = Path(__file__).resolve().with_name("pom.xml")
READY = b"Kafka Server started"

LOG4J = """\
rootLogger.level = INFO
rootLogger.appenderRef.out.ref = out
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = [%d] %p %m (%c)%n
"""


class ClusterError(RuntimeError):
    """Maven, the storage tool or a broker failed; the message carries the end of its output."""


def jars_folder(cache: Path | None = None) -> Path:
    """Return where the jars of this pom.xml lie, or would lie."""
    root = cache or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "salience-kafka"
    return root / hashlib.sha256(POM.read_bytes()).hexdigest()[:16]


def fetched(cache: Path | None = None) -> bool:
    """Tell whether the jars are there, so that neither Maven nor a network is needed."""
    return jars_folder(cache).is_dir()


def fetch(cache: Path | None = None) -> Path:
    """Return the folder with the jars of pom.xml, running Maven only if it is not there yet.

    Raises:
        ClusterError: Maven is missing or failed.
    """
    jars = jars_folder(cache)
    jars.parent.mkdir(parents=True, exist_ok=True)
    with (jars.parent / "lock").open("w") as lock:  # two test runs may fetch at once
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not jars.is_dir():
            partial = jars.with_suffix(".partial")
            shutil.rmtree(partial, ignore_errors=True)
            _run(["mvn", "-q", "-B", "-f", str(POM), "dependency:copy-dependencies", f"-DoutputDirectory={partial}"])
            partial.rename(jars)
    return jars


class KafkaCluster:
    """Brokers of one cluster, kept in `directory`; ports and data survive stop and start."""

    def __init__(
        self,
        directory: str | Path,
        brokers: int = 1,
        *,
        base_port: int | None = None,
        heap_mb: int = 320,
        settings: Mapping[str, object] | None = None,
        cache: Path | None = None,
        timeout: float = 90.0,
    ) -> None:
        self.directory = Path(directory).resolve()
        self.heap_mb = heap_mb
        self.timeout = timeout
        self._cache = cache
        self._children: dict[int, subprocess.Popen[bytes]] = {}
        self._state = self.directory / "cluster.json"
        if not self._state.exists():
            self._create(brokers, base_port, settings or {})
        self._layout = json.loads(self._state.read_text())

    @classmethod
    def open(cls, directory: str | Path) -> Self:
        """The cluster that an earlier process made in `directory`."""
        if not (Path(directory) / "cluster.json").exists():
            raise ClusterError(f"no cluster in {directory}")
        return cls(directory)

    @property
    def ids(self) -> list[int]:
        """The brokers' numbers, from 1."""
        return list(range(1, len(self._layout["ports"]) + 1))

    @property
    def bootstrap(self) -> str:
        """The addresses of all brokers, as a client takes them."""
        return ",".join(f"{HOST}:{port}" for port in self._layout["ports"])

    def address(self, broker: int) -> str:
        """The address of one broker."""
        return f"{HOST}:{self._layout['ports'][broker - 1]}"

    def pid(self, broker: int) -> int | None:
        """The broker's process id, or None where it does not run."""
        children.reap()
        try:
            pid = int(self._home(broker).joinpath("pid").read_text())
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            return None
        return pid if str(self._config(broker)).encode() in command else None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> Self:
        """Format storage where that is due, start every broker that is down, wait until all are ready."""
        jars = fetch(self._cache)
        try:
            self._format(jars)
            self._await_ready({broker: self._launch(broker, jars) for broker in self.ids if not self.pid(broker)})
        except BaseException:
            self.stop(grace=0)
            raise
        return self

    def stop(self, grace: float = 20.0) -> None:
        """SIGTERM to every broker, and SIGKILL to those still there `grace` seconds later."""
        for signum, limit in ((signal.SIGTERM, grace), (signal.SIGKILL, 20.0)):
            for broker in self.ids:
                self._signal(broker, signum)
            if _wait(lambda: not any(map(self.pid, self.ids)), limit):
                return
        raise ClusterError("a broker outlived SIGKILL")

    def kill(self, broker: int) -> None:
        """SIGKILL one broker, as a crash would."""
        self._signal(broker, signal.SIGKILL)
        _wait(lambda: not self.pid(broker), 20.0)

    def restart(self, broker: int) -> None:
        """Start one broker again on its ports and data; one that still runs is first told to end."""
        self._signal(broker, signal.SIGTERM)
        if not _wait(lambda: not self.pid(broker), 20.0):
            self.kill(broker)
        self._await_ready({broker: self._launch(broker, fetch(self._cache))})

    def _home(self, broker: int) -> Path:
        return self.directory / f"broker-{broker}"

    def _config(self, broker: int) -> Path:
        return self._home(broker) / "server.properties"

    def _create(self, brokers: int, base_port: int | None, settings: Mapping[str, object]) -> None:
        ports = list(range(base_port, base_port + 2 * brokers)) if base_port else free_ports(2 * brokers)
        clients, controllers = ports[:brokers], ports[brokers:]
        voters = ",".join(f"{n}@{HOST}:{port}" for n, port in enumerate(controllers, 1))
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory / "log4j2.properties").write_text(LOG4J)
        for broker, (port, controller_port) in enumerate(zip(clients, controllers, strict=True), 1):
            self._home(broker).mkdir(exist_ok=True)
            config = {
                "node.id": broker,
                "process.roles": "broker,controller",
                "controller.quorum.voters": voters,
                "listeners": f"PLAINTEXT://{HOST}:{port},CONTROLLER://{HOST}:{controller_port}",
                "advertised.listeners": f"PLAINTEXT://{HOST}:{port}",
                "controller.listener.names": "CONTROLLER",
                "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
                "log.dirs": self._home(broker) / "data",
                **_test_settings(brokers),
                **settings,
            }
            self._config(broker).write_text("".join(f"{key}={value}\n" for key, value in config.items()))
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
        self._state.write_text(json.dumps({"cluster_id": cluster_id, "ports": clients}) + "\n")

    def _java(self, jars: Path, heap_mb: int, *arguments: str) -> list[str]:
        java = Path(os.environ["JAVA_HOME"]) / "bin" / "java" if os.environ.get("JAVA_HOME") else "java"
        return [
            str(java), f"-Xmx{heap_mb}m", "-Xms64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
            f"-Dlog4j2.configurationFile={self.directory / 'log4j2.properties'}",
            "-cp", f"{jars}/*", *arguments,
        ]  # fmt: skip

    def _format(self, jars: Path) -> None:
        for broker in self.ids:
            if not (self._home(broker) / "data" / "meta.properties").exists():
                tool = ("kafka.tools.StorageTool", "format", f"--cluster-id={self._layout['cluster_id']}")
                _run(self._java(jars, 128, *tool, "-c", str(self._config(broker))))

    def _launch(self, broker: int, jars: Path) -> int:
        """Start the broker's process; return where in its log this life begins."""
        with (self._home(broker) / "server.log").open("ab") as log:
            offset = log.tell()
            command = self._java(jars, self.heap_mb, "kafka.Kafka", str(self._config(broker)))
            child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        self._children[broker] = children.keep(child)
        (self._home(broker) / "pid").write_text(f"{child.pid}\n")
        return offset

    def _await_ready(self, offsets: Mapping[int, int]) -> None:
        deadline = time.monotonic() + self.timeout
        for broker, offset in offsets.items():
            log = self._home(broker) / "server.log"
            while READY not in (text := log.read_bytes()[offset:]):
                if self._children[broker].poll() is not None or time.monotonic() > deadline:
                    raise ClusterError(f"broker {broker} did not start; {log} ends:\n{text[-3000:].decode()}")
                time.sleep(0.05)

    def _signal(self, broker: int, signum: signal.Signals) -> None:
        if pid := self.pid(broker):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signum)


def _test_settings(brokers: int) -> dict[str, object]:
    replicas, in_sync = min(3, brokers), 2 if brokers >= 3 else 1
    return {
        "num.partitions": 4,
        "auto.create.topics.enable": "false",
        "default.replication.factor": replicas,
        "min.insync.replicas": in_sync,
        "offsets.topic.replication.factor": replicas,
        "offsets.topic.num.partitions": 4,
        "transaction.state.log.replication.factor": replicas,
        "transaction.state.log.min.isr": in_sync,
        "transaction.state.log.num.partitions": 4,
        "share.coordinator.state.topic.replication.factor": replicas,
        "share.coordinator.state.topic.min.isr": in_sync,
        "share.coordinator.state.topic.num.partitions": 4,
        "group.initial.rebalance.delay.ms": 0,
        # Abandoned transactions and dead brokers are noticed in seconds rather than tens of them.
        "transaction.abort.timed.out.transaction.cleanup.interval.ms": 500,
        "broker.heartbeat.interval.ms": 500,
        "broker.session.timeout.ms": 3000,
        # The defaults take 128 MiB of heap for the cleaner and 10 MiB of index for every segment.
        "log.cleaner.dedupe.buffer.size": 4 << 20,
        "log.index.size.max.bytes": 1 << 20,
        "num.network.threads": 2,
        "num.io.threads": 4,
        "background.threads": 2,
    }


def _wait(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not (met := condition()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return met


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    except FileNotFoundError as error:
        raise ClusterError(
            f"{command[0]} is not installed; on Debian: apt install default-jre-headless maven"
        ) from error
    if done.returncode:
        raise ClusterError(f"{command[0]} exited {done.returncode}:\n{done.stdout[-3000:]}")


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, text: str, *, directory: bool = True, broker: bool = False) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        if directory:
            sub.add_argument("--dir", type=Path, required=True, help="the cluster's folder")
        if broker:
            sub.add_argument("--broker", type=int, required=True, help="the broker's number, from 1")
        return sub

    fetching = command("fetch", "copy the jars into the cache; print the folder", directory=False)
    starting = command("start", "start a cluster; print its bootstrap address")
    starting.add_argument("--brokers", type=int, choices=(1, 3), default=1)
    starting.add_argument("--base-port", type=int, help="first of 2 x brokers ports; default: free ones")
    starting.add_argument("--heap-mb", type=int, default=320, help="heap of each broker (default: 320)")
    starting.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a further broker setting")
    for sub in (fetching, starting):
        sub.add_argument("--cache", type=Path, help="cache folder; default: the user's cache")
    command("stop", "end every broker")
    command("status", "print each broker's address and process id")
    command("kill", "SIGKILL one broker", broker=True)
    command("restart", "start one broker again on its data", broker=True)
    return parser.parse_args(argv)


def _output(options: argparse.Namespace) -> Iterator[str]:
    match options.command:
        case "fetch":
            yield str(fetch(options.cache))
        case "start":
            settings = dict(item.split("=", 1) for item in options.set)
            yield KafkaCluster(
                options.dir, options.brokers, base_port=options.base_port, heap_mb=options.heap_mb,
                settings=settings, cache=options.cache,
            ).start().bootstrap  # fmt: skip
        case "status":
            cluster = KafkaCluster.open(options.dir)
            yield from (f"{n} {cluster.address(n)} {cluster.pid(n) or 'down'}" for n in cluster.ids)
        case "stop":
            KafkaCluster.open(options.dir).stop()
        case name:
            getattr(KafkaCluster.open(options.dir), name)(options.broker)


def main(argv: list[str] | None = None) -> int:
    """Carry out one command; return the exit code."""
    try:
        for line in _output(_arguments(argv)):
            print(line)
    except ClusterError as error:
        print(f"kafka_cluster: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
