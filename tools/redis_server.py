"""Run a real Redis on loopback, for tests and demonstrations.

    with RedisServer(directory) as server:  # a free port; data in `directory`
        client(server.url); server.kill(); server.start()  # the same port and data

The folder holds redis.json (port and settings), redis.pid, redis.log and the data. By default nothing is
written to disk; `settings={"appendonly": "yes"}` keeps the data over a kill.
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from tools import children
from tools.ports import HOST, free_ports

PROGRAMS = ("redis-server", "valkey-server")
TIMEOUT_S = 15.0


class RedisServerError(RuntimeError):
    """The server is not installed or did not start; the message carries the end of its log."""


class RedisServer:
    """One Redis, kept in `directory`; port, settings and data survive stop, kill and start."""

    def __init__(self, directory: str | Path, *, settings: Mapping[str, object] | None = None) -> None:
        self.directory = Path(directory).resolve()
        self._child: subprocess.Popen[bytes] | None = None
        state = self.directory / "redis.json"
        if not state.exists():
            self.directory.mkdir(parents=True, exist_ok=True)
            state.write_text(json.dumps({"port": free_ports(1)[0], "settings": dict(settings or {})}) + "\n")
        self._layout = json.loads(state.read_text())

    @property
    def port(self) -> int:
        """The TCP port on 127.0.0.1."""
        return int(self._layout["port"])

    @property
    def url(self) -> str:
        """The address as redis-py takes it."""
        return f"redis://{HOST}:{self.port}/0"

    @property
    def pid(self) -> int | None:
        """The server's process id, or None where it does not run."""
        children.reap()
        if self._child and self._child.poll() is None:
            return self._child.pid
        with contextlib.suppress(OSError, ValueError):
            pid = int((self.directory / "redis.pid").read_text())
            if str(self.port).encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
        return None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> Self:
        """Start the server unless it runs, and wait until it answers.

        Raises:
            RedisServerError: it is not installed, or does not answer within 15 s.
        """
        if self.pid:
            return self
        program = next(filter(None, map(shutil.which, PROGRAMS)), None)
        if program is None:
            raise RedisServerError("redis-server is not installed; on Debian: apt install redis-server")
        settings = {"save": "", "appendonly": "no", "maxclients": 1000, **self._layout["settings"]}
        options = [part for key, value in settings.items() for part in (f"--{key}", str(value))]
        log = self.directory / "redis.log"
        with log.open("ab") as out:
            self._child = subprocess.Popen(
                [program, "--bind", HOST, "--port", str(self.port), "--dir", str(self.directory), *options],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        children.keep(self._child)
        (self.directory / "redis.pid").write_text(f"{self._child.pid}\n")
        deadline = time.monotonic() + TIMEOUT_S
        while not self._answers():
            if self._child.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RedisServerError(f"Redis did not start; {log} ends:\n{log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.02)
        return self

    def stop(self, grace_s: float = 10.0) -> None:
        """End the server (SIGTERM), by force (SIGKILL) when it is still there `grace_s` seconds later."""
        self._end(signal.SIGTERM, grace_s)
        self.kill()

    def kill(self) -> None:
        """End the server at once (SIGKILL), as a crash would."""
        self._end(signal.SIGKILL, TIMEOUT_S)

    def _end(self, signum: signal.Signals, limit_s: float) -> None:
        if pid := self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signum)
            deadline = time.monotonic() + limit_s
            while self.pid and time.monotonic() < deadline:
                time.sleep(0.02)

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection((HOST, self.port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            # A server with a password answers -NOAUTH, which is an answer too; -LOADING is not.
            return connection.recv(64).startswith((b"+PONG", b"-NOAUTH"))
        return False
