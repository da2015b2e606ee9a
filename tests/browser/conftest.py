"""Admin UIs for the browser: a whole shop of real processes, and an application over a backend in memory."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from werkzeug.serving import make_server

from admin_ui.accounts import Accounts, Role
from admin_ui.application import create_app
from admin_ui.backend import Process
from admin_ui.options import Options
from config.schema import Settings
from engine.event import RawEvent
from engine.ports import NewRecord, partition_of
from service.keys import KeyKind, create
from service.ruleset_folder import read_sources
from service.settings import load
from service.wiring import Wiring
from tests.unit.admin_ui.memory_backend import MemoryBackend, shop_sources

PASSWORD = "correct horse battery"
START_S = 60


@dataclass
class Shop:
    """A running shop: its settings, the addresses, a key of the API."""

    settings: Settings
    admin: str
    api: tuple[str, int]
    key: str

    def send(self, events: list[RawEvent]) -> None:
        """Append events, and wait until the worker has them in its state."""
        with Wiring(self.settings) as wiring:
            records = [NewRecord(event.session_id, msgspec.json.encode(event)) for event in events]
            wiring.event_log().append(records, lambda _error: None)
            wiring.event_log().flush(5_000)
            state = wiring.state()
            latest = {event.session_id: event.time for event in events}

            def all_there() -> bool:
                for session, moment in latest.items():
                    found = state.load(partition_of(session, wiring.event_log().partitions), [session]).get(session)
                    if found is None or found.time < int(moment or 0):
                        return False
                return True

            wait_until(all_there, "the worker has not applied the events")

    def decide(self, body: Mapping[str, object]) -> dict[str, object]:
        """Ask the decision API as a storefront does."""
        connection = http.client.HTTPConnection(*self.api, timeout=10)
        try:
            headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
            connection.request("POST", "/v1/decide", msgspec.json.encode(body), headers)
            response = connection.getresponse()
            answer = response.read()
            assert response.status == 200, answer
            return msgspec.json.decode(answer, type=dict)
        finally:
            connection.close()


def wait_until(holds: Callable[[], bool], otherwise: str, seconds: float = START_S) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, otherwise
        time.sleep(0.05)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """API, worker and admin UI as processes of their own, over the embedded stores, with the example rules live."""
    folder = tmp_path_factory.mktemp("shop")
    admin_port, api_port = free_port(), free_port()
    environ = {
        "SALIENCE_DATA_DIR": str(folder / "data"),
        "SALIENCE_ADMIN__PORT": str(admin_port),
        "SALIENCE_API__PORT": str(api_port),
        "SALIENCE_BUNDLE__WATCH": "false",
    }
    settings = load(environ=environ, folder=folder).settings
    with Wiring(settings) as wiring:
        wiring.publisher().publish(read_sources(settings.bundle.folder), "ci", "First revision")
        Accounts(wiring.tables()).add("marta", Role.PUBLISHER, PASSWORD, 0)
        key = api_key(wiring)
    with running(["worker", "api", "admin"], environ, folder):
        wait_until(lambda: answers(admin_port, "/sign-in"), "the admin UI does not answer")
        wait_until(lambda: answers(api_port, "/readyz"), "the API is not ready")
        yield Shop(settings, f"http://127.0.0.1:{admin_port}", ("127.0.0.1", api_port), key)


def api_key(wiring: Wiring) -> str:
    """A key that may ask for decisions."""
    return create(wiring.tables(), "browser test", KeyKind.SERVER, 0)[1]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


@contextmanager
def running(commands: list[str], environ: Mapping[str, str], folder: Path) -> Iterator[None]:
    """The commands as processes; they are ended in order, and by force where they don't."""
    children = []
    try:
        for command in commands:
            with (folder / f"{command}.log").open("w") as log:
                argv = [sys.executable, "-m", "service.cli", command]
                child = subprocess.Popen(argv, env={**os.environ, **environ}, stdout=log, stderr=log)
                children.append(child)
        yield
    finally:
        for child in children:
            child.send_signal(signal.SIGTERM)
        for child in children:
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
    for command, child in zip(commands, children, strict=True):
        log_text = (folder / f"{command}.log").read_text("utf-8")
        assert child.returncode == 0, f"{command} did not end in order:\n{log_text[-3000:]}"
        assert "SIGABRT" not in log_text, f"a process of {command} died at its end:\n{log_text[-3000:]}"


@dataclass
class Desk:
    """An admin UI over a backend in memory, served to the browser."""

    url: str
    backend: MemoryBackend


@pytest.fixture(scope="session")
def first_desk() -> MemoryBackend:
    """Compiled, and its passwords hashed, once; each test goes on from there with a backend of its own."""
    first = MemoryBackend(shop_sources(), time=int(time.time() * 1000) - 3_600_000)
    for name, role in (("marta", Role.PUBLISHER), ("ed", Role.EDITOR), ("vic", Role.VIEWER)):
        Accounts(first.tables).add(name, role, PASSWORD, first.time)
    return first


@pytest.fixture
def desk(first_desk: MemoryBackend) -> Iterator[Desk]:
    """The application in a thread, with the example shop live and a user of each role."""
    backend = first_desk.successor(int(time.time() * 1000))
    backend.running = [Process("api-1", "api", backend.time, 1), Process("worker-1", "worker", backend.time, 1)]
    app = create_app(backend, Options("s" * 40))
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield Desk(f"http://127.0.0.1:{server.server_port}", backend)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
