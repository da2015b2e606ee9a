"""Child processes: started together, started again when one dies, ended together."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from engine.values import Millis

GRACE_SECONDS = 10.0  # a worker finishes its batch, the API its requests; both take less than a second when healthy
GIVE_UP = (5, 60.0)  # deaths, seconds: a child that dies more often is broken, and starting it again only hides it
LOG_TAIL = 12  # lines of a dead child's log that are shown
PR_SET_PDEATHSIG = 1  # linux/prctl.h


class ChildError(Exception):
    """A child does not start or keeps dying; the message has the end of its log and where the rest is."""


@dataclass(slots=True)
class Child:
    """A program to keep running; its output goes to `log`."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    deaths: deque[float] = field(default_factory=deque)

    def start(self) -> None:
        """Start it, apart from the terminal's signals, and bound to end with this process on Linux."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.environment, "PYTHONUNBUFFERED": "1"},
                start_new_session=True,
                preexec_fn=_end_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509  one system call
            )

    def tail(self) -> str:
        """The last lines of its log."""
        try:
            return "\n".join(self.log.read_text("utf-8", "replace").splitlines()[-LOG_TAIL:])
        except OSError:
            return ""


class Supervisor:
    """Keeps children running until told to stop.

    Args:
        children: In the order in which they are started; they are ended in the opposite one.
        say: Called with a sentence when a child dies or is started again.
    """

    def __init__(self, children: Sequence[Child], say: Callable[[str], None]) -> None:
        self._children = children
        self._say = say
        self._stopping = False

    def start(self) -> None:
        """Start all."""
        for child in self._children:
            child.start()

    def await_ready(self, ready: Callable[[], bool], limit_ms: Millis) -> None:
        """Wait until `ready` says so. Raises `ChildError` when a child ends meanwhile or the time is over."""
        deadline = time.monotonic() + limit_ms / 1000
        while not ready():
            for child in self._children:
                if child.process is not None and child.process.poll() is not None:
                    raise ChildError(f"the {child.name} ended while it started; {child.log} ends:\n{child.tail()}")
            if time.monotonic() > deadline:
                raise ChildError(
                    f"not ready after {limit_ms / 1000:.0f} s; the logs are in {self._children[0].log.parent}"
                )
            time.sleep(0.05)

    def look(self) -> None:
        """Start again what has died since the last look. Raises `ChildError` for one that keeps dying."""
        for child in self._children:
            if self._stopping or child.process is None or (status := child.process.poll()) is None:
                continue
            now = time.monotonic()
            child.deaths.append(now)
            while child.deaths[0] < now - GIVE_UP[1]:
                child.deaths.popleft()
            how = f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
            if len(child.deaths) >= GIVE_UP[0]:
                raise ChildError(
                    f"the {child.name} {how}, the {len(child.deaths)}th time within {GIVE_UP[1]:.0f} s; "
                    f"{child.log} ends:\n{child.tail()}"
                )
            self._say(f"the {child.name} {how}; started again (log: {child.log})")
            child.start()

    def stop(self) -> None:
        """SIGTERM to all, and SIGKILL to those still there `GRACE_SECONDS` later."""
        self._stopping = True
        running = [child.process for child in reversed(self._children) if child.process is not None]
        for process in running:
            process.terminate()
        deadline = time.monotonic() + GRACE_SECONDS
        for process in running:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _end_with_parent() -> None:
    """Between fork and exec: have the kernel send SIGTERM when the supervisor is gone, however it went."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
