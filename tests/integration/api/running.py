"""`salience api` and `salience worker` as processes of their own, on a port that the system chooses."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self, TypeVar

import httpx

from config.schema import Settings
from service.clock import wall_ms
from service.keys import KeyKind, Scope, create
from service.ruleset_folder import read_sources
from service.settings import load
from service.wiring import Wiring

ROOT = Path(__file__).parents[3]
SHOP = ROOT / "rulesets" / "shop"
ORIGIN = "https://shop.example"
START_S = 60.0

UNHURRIED = {"api.deadline_ms": 20_000}
"""Settings of tests that are about something else than how fast a busy machine answers."""
BIG_CART = """ruleset: big_cart
owner: tests
rules:
  - rule: big_cart
    when: {fact: cart.value, above: 1000}
    then: [{offer: free_shipping, placement: cart_banner}]
"""

T = TypeVar("T")


def big_cart_shop(folder: Path) -> Path:
    """The rules of the example shop and one that a request decides: a cart above 1,000 is sent for nothing."""
    rules = folder / "shop"
    shutil.copytree(SHOP, rules)
    (rules / "big_cart.yaml").write_text(BIG_CART)
    return rules


class Process:
    """A `salience` command that runs until it is ended."""

    def __init__(self, folder: Path, command: Sequence[str], settings: Mapping[str, object]) -> None:
        self.folder = folder
        flags = [f"--set={name}={value}" for name, value in {"data_dir": folder / "data", **settings}.items()]
        self._command = [sys.executable, "-m", "service.cli", *flags, *command]
        self.log = folder / f"{command[0]}.log"
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        with self.log.open("wb") as log:
            self._child = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=ROOT, env=dict(os.environ)
            )
        return self

    @property
    def output(self) -> str:
        return self.log.read_text("utf-8", "replace")

    @property
    def pid(self) -> int:
        assert self._child is not None
        return self._child.pid

    def wait_for(self, pattern: str) -> re.Match[str]:
        assert self._child is not None
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            if found := re.search(pattern, self.output):
                return found
            assert self._child.poll() is None, self.output
            time.sleep(0.02)
        raise AssertionError(f"no {pattern} in:\n{self.output}")

    def wait(self) -> int:
        """Its exit code, of a command that ends by itself."""
        assert self._child is not None
        return self._child.wait(START_S)

    def end(self, number: int = signal.SIGTERM) -> int:
        """Its exit code; -9 where it did not end in 20 s."""
        if self._child is None:
            return 0
        if self._child.poll() is None:
            self._child.send_signal(number)
        try:
            return self._child.wait(20)
        except subprocess.TimeoutExpired:
            self._child.kill()
            return self._child.wait()


class Running:
    """The API over a published ruleset, with a key of each kind.

    Args:
        folder: Empty; everything is written below it.
        settings: Beside the data folder.
        ruleset: Published before the start; None: nothing is live.
    """

    def __init__(self, folder: Path, settings: Mapping[str, object] | None = None, ruleset: Path | None = SHOP) -> None:
        self.folder = folder
        self.given = dict(settings or {})
        flags = [f"{name}={value}" for name, value in {"data_dir": folder / "data", **self.given}.items()]
        self.settings: Settings = load(flags=flags, environ={}, folder=folder).settings
        with Wiring(self.settings) as wiring:
            if ruleset is not None:
                wiring.publisher().publish(read_sources(ruleset), "test", "")
            tables = wiring.tables()
            _, self.server_key = create(tables, "server", KeyKind.SERVER, wall_ms())
            _, self.page_key = create(tables, "page", KeyKind.STOREFRONT, wall_ms(), origins=[ORIGIN])
            _, self.panel_key = create(
                tables, "panel", KeyKind.STOREFRONT, wall_ms(), origins=["*"], scopes=set(Scope) - {Scope.CUSTOMERS}
            )
        self._processes: list[Process] = []
        self.api = Process(folder, ["api", "--port=0"], self.given)
        self.url = ""

    def __enter__(self) -> Self:
        try:
            self.start_api()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in [*self._processes, self.api]:
            process.end()

    def start_api(self) -> None:
        """Start the API and wait until it answers."""
        self.api.start()
        self.url = self.api.wait_for(r"decision API on (http://\S+)")[1]
        until = time.monotonic() + START_S
        while not self._answers():
            assert time.monotonic() < until, self.api.output
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/healthz").status_code == 200
        except httpx.TransportError:
            return False

    def start_worker(self) -> Process:
        """A stream worker beside it."""
        worker = Process(self.folder, ["worker", "--no-watch"], self.given).start()
        self._processes.append(worker)
        return worker

    def client(self, key: str | None = None) -> httpx.Client:
        """A client, by default with the server key."""
        headers = {"Authorization": f"Bearer {key or self.server_key}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=30)


def wait_until(holds: Callable[[], T], seconds: float = 30.0) -> T:
    """What is found when it holds; fails where that takes longer."""
    until = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < until, "it did not come about"
        time.sleep(0.02)
    return found


def is_known(client: httpx.Client, session: str) -> bool:
    """Whether the stream has come to the session; a busy machine may not answer in time."""
    answer = client.get(f"/v1/sessions/{session}/why")
    return answer.status_code == 200 and bool(answer.json()["known"])
