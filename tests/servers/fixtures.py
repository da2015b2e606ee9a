"""Real servers for tests: Kafka, Redis, Chromium, and the recordings that are not part of the project.

Kafka is one broker for all workers of a test run, so tests take names from `kafka_prefix`. Redis is one server per worker;
`redis_url` is emptied before each test. A test that kills its server makes its own: `RedisServer(tmp_path)` or
`KafkaCluster(tmp_path)`, with the fixture `redis_required` or `kafka_required`.
"""

import contextlib
import fcntl
import shutil
import socket
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.servers.strictness import data_folder
from tools import chromium
from tools.kafka import kafka_cluster
from tools.kafka.kafka_cluster import KafkaCluster
from tools.redis_cluster import RedisCluster
from tools.redis_server import PROGRAMS, RedisServer

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Request

_FOLDER = pytest.StashKey[Path]()


# ------------------------------------------------------------------------- one folder for all workers of a run


def pytest_configure(config: pytest.Config) -> None:
    """Make the folder of the servers that all workers share; workers are told where it is."""
    workerinput = getattr(config, "workerinput", None)
    folder = workerinput["servers"] if workerinput else tempfile.mkdtemp(prefix="salience-tests-")
    config.stash[_FOLDER] = Path(folder)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker (xdist) where the shared servers are."""
    node.workerinput["servers"] = str(node.config.stash[_FOLDER])


def pytest_unconfigure(config: pytest.Config) -> None:
    """End the shared servers when the last worker is done; the first process does it, also after a crash of a worker."""
    if hasattr(config, "workerinput") or _FOLDER not in config.stash:
        return
    kafka = config.stash[_FOLDER] / "kafka"
    if (kafka / "cluster.json").exists():
        KafkaCluster.open(kafka).stop(grace=5)
    shutil.rmtree(config.stash[_FOLDER], ignore_errors=True)


# -------------------------------------------------------------------------------------------------------- Kafka


@pytest.fixture(scope="session")
def kafka_required() -> None:
    """Skip, by name, where a Kafka can't be started."""
    for program in ("java",) if kafka_cluster.fetched() else ("java", "mvn"):
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed, so no Kafka can be started (`make test` installs it as root)")


@pytest.fixture(scope="session", name="kafka_cluster")
def shared_kafka(pytestconfig: pytest.Config, kafka_required: None) -> KafkaCluster:
    """A running Kafka of one broker, shared by all workers: `kafka_cluster.bootstrap` is its address. Never end it."""
    folder = pytestconfig.stash[_FOLDER] / "kafka"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:  # the first to come starts it, the others wait
        fcntl.flock(lock, fcntl.LOCK_EX)
        return KafkaCluster(folder).start()


@pytest.fixture
def kafka_prefix() -> str:
    """A prefix for topics and groups that no other test has."""
    return f"t{uuid.uuid4().hex[:12]}."


# -------------------------------------------------------------------------------------------------------- Redis


@pytest.fixture(scope="session")
def redis_required() -> None:
    """Skip, by name, where no Redis is installed."""
    if not any(map(shutil.which, PROGRAMS)):
        pytest.skip("redis-server is not installed (`make test` installs it as root)")


@pytest.fixture(scope="session")
def redis_server(redis_required: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A running Redis of this worker. Never end it: make your own for that."""
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """The address of this worker's Redis, emptied."""
    with socket.create_connection(("127.0.0.1", redis_server.port), timeout=5) as connection:
        connection.sendall(b"FLUSHALL\r\n")
        assert connection.recv(64) == b"+OK\r\n"
    return redis_server.url


@pytest.fixture(scope="session")
def redis_cluster(redis_required: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    """A running Redis Cluster of this worker, three masters. Never end one of them: make your own for that."""
    with RedisCluster(tmp_path_factory.mktemp("cluster"), replicas=0, settings={"appendonly": "no"}) as cluster:
        yield cluster


@pytest.fixture
def redis_cluster_url(redis_cluster: RedisCluster) -> str:
    """The address of this worker's cluster, emptied."""
    redis_cluster.flush()
    return redis_cluster.url


# ------------------------------------------------------------------------------------------------------ browser


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    """A running Chromium.

    It lives as long as its module of tests: Playwright keeps an event loop running in this thread meanwhile, in which a
    test of another module could not run its own.
    """
    program = chromium.find()
    if program is None:
        pytest.skip("Chromium is not installed (`make test` installs it as root)")
    from playwright.sync_api import sync_playwright

    with (
        sync_playwright() as playwright,
        contextlib.closing(playwright.chromium.launch(executable_path=program, args=list(chromium.FLAGS))) as running,
    ):
        yield running


@pytest.fixture
def page(browser: "Browser") -> "Iterator[Page]":
    """An empty page, 1280 x 800, of a new visitor. An uncaught script error, or a request to another host, fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, locale="en-GB", timezone_id="Europe/Berlin")
    context.set_default_timeout(15_000)
    errors: list[str] = []
    fresh = context.new_page()

    def on_request(request: "Request") -> None:
        if not request.url.startswith(("http://127.0.0.1", "http://localhost", "data:", "blob:", "about:")):
            errors.append(f"request to another host: {request.url}")

    fresh.on("pageerror", lambda error: errors.append(f"script error: {error}"))
    fresh.on("request", on_request)
    yield fresh
    context.close()
    assert not errors, "\n".join(errors)


# --------------------------------------------------------------------------------------------------- recordings


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of recordings that SALIENCE_DATA names; they are no part of the project."""
    folder = data_folder()
    if folder is None:
        pytest.skip("no recordings: SALIENCE_DATA names no folder")
    return folder
