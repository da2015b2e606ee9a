"""`salience run` as a person starts it: real processes in an empty folder, on ports of its own."""

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from service.shop.prepare import PAGE_KEY, read_key
from tools.ports import free_ports

START_SECONDS = 300.0  # with training, on two cores that other tests use too
ROOT = Path(__file__).parents[2]


@dataclass
class Running:
    """A `salience run` with its output so far."""

    process: subprocess.Popen[bytes]
    folder: Path
    shop: int
    api: int

    def out(self) -> str:
        return (self.folder / "out").read_text()

    def err(self) -> str:
        return (self.folder / "err").read_text()

    def children(self) -> dict[str, int]:
        """Process ids by the last word of the command."""
        found = {}
        listed = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        for pid in listed:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
            if len(words) > 1:  # one that has ended and was not waited for yet has none
                found[words[-2]] = int(pid)
        return found

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.api, timeout=20)
        try:
            key = read_key(self.folder / "data", PAGE_KEY)
            headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
            connection.request(method, path, None if body is None else msgspec.json.encode(body), headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


def start(folder: Path, *flags: str) -> Running:
    shop, api, admin = free_ports(3)
    given = [f"shop.port={shop}", f"api.port={api}", f"admin.port={admin}", f"data_dir={folder / 'data'}", *flags]
    command = [sys.executable, "-m", "service.cli", *(word for each in given for word in ("--set", each)), "run"]
    with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
        process = subprocess.Popen(command, stdout=out, stderr=err, cwd=ROOT, start_new_session=True)
    return Running(process, folder, shop, api)


def until(holds: Callable[[], bool], what: str, running: Running, seconds: float = START_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"{what} did not come; {running.out()}\n{running.err()}"
        time.sleep(0.1)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1][0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    started = start(tmp_path_factory.mktemp("run"), "shop.sessions_per_minute=120")
    try:
        until(
            lambda: "Salience is running" in started.out() or started.process.poll() is not None, "the start", started
        )
        assert started.process.poll() is None, started.err()
        yield started
    finally:
        children = started.children() if started.process.poll() is None else {}
        started.process.send_signal(signal.SIGINT)
        assert started.process.wait(60) == 0, started.err()
        assert not [name for name, pid in children.items() if alive(pid)]


@pytest.mark.timeout(600)
def test_a_first_start_says_where_the_shop_is_and_how_to_sign_in(running: Running) -> None:
    text = running.out()
    assert f"http://127.0.0.1:{running.shop}/" in text
    assert re.search(r"sign in as marketer / \S+", text)
    assert "training the purchase-intent model" in running.err()
    assert set(running.children()) == {"worker", "api", "admin", "service.shop", "service.shop.traffic"}


@pytest.mark.timeout(300)
def test_it_decides_with_reasons_and_the_model(running: Running) -> None:
    coat = {"product_id": "clothing-5", "category": "clothing", "quantity": 1, "price": 249}
    body = {
        "session_id": "visitor",
        "placements": ["cart_banner"],
        "explain": True,
        "events": [
            {"type": "cart_added", "session_id": "visitor", "id": "e1", "attributes": coat},
            {"type": "checkout_viewed", "session_id": "visitor", "id": "e2", "attributes": {"step": "cart"}},
        ],
    }
    status, raw = running.ask("POST", "/v1/decide", body)
    assert status == 200, raw
    answer = msgspec.json.decode(raw)
    assert not answer.get("degraded"), answer
    assert answer["models"]["purchase_intent"]
    (rule,) = (each for each in answer["rules"] if each["rule"] == "cart_recovery.free_shipping_nudge")
    assert {"cart.value", "purchase_intent"} <= {part.get("subject") for part in rule["condition"]["parts"]}


@pytest.mark.timeout(300)
def test_simulated_shoppers_come_and_the_worker_sees_them(running: Running) -> None:
    def events_read() -> int:
        command = [
            sys.executable,
            "-m",
            "service.cli",
            "--set",
            f"data_dir={running.folder / 'data'}",
            "status",
            "--json",
        ]
        done = subprocess.run(command, capture_output=True, cwd=ROOT, check=True)
        status = msgspec.json.decode(done.stdout)
        return sum(each["counts"].get("applied", 0) for each in status["processes"] if each["role"] == "worker")

    until(lambda: events_read() > 10, "events of shoppers", running, 120)


@pytest.mark.timeout(300)
def test_a_killed_child_is_named_and_back(running: Running) -> None:
    before = running.children()["worker"]
    os.kill(before, signal.SIGKILL)
    until(lambda: "the worker was ended by SIGKILL; started again" in running.err(), "the sentence", running, 60)
    until(lambda: running.children().get("worker", before) != before, "another worker", running, 60)


@pytest.mark.timeout(120)
def test_a_port_in_use_is_a_sentence_with_another_port(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused = start(tmp_path, f"api.port={port}")
        assert refused.process.wait(60) == 1
    assert re.fullmatch(
        rf"salience: port {port} is in use, perhaps by another `salience run`; end that, or choose another one with "
        r"--set api\.port=\d+\n",
        refused.err(),
    )


@pytest.mark.timeout(120)
def test_a_folder_that_can_not_be_written_is_a_sentence(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    refused = start(tmp_path, f"data_dir={blocked / 'data'}")
    assert refused.process.wait(60) == 1
    assert refused.err() == (
        f"salience: {blocked / 'data'} can't be written (Not a directory); give another folder with --set data_dir=FOLDER\n"
    )
