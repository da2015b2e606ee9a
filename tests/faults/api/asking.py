"""What the scenarios of the decision API share: a running API, requests to it, a Redis that can be cut off or slow."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from benchmarks.decide_http import http_request
from benchmarks.open_loop import leave
from tests.integration.api.running import Running

START_S = 60.0


def port_of(running: Running) -> int:
    """Where it listens."""
    return int(running.url.rpartition(":")[2])


def children_of(running: Running) -> list[int]:
    """The processes that answer."""
    pid = running.api.pid
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def cpu_s(running: Running) -> float:
    """CPU that the processes that answer have used."""
    ticks = 0
    for pid in children_of(running):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def decide(key: str, session_id: str, *placements: str, **more: object) -> bytes:
    """A request for a decision, as bytes."""
    body = {"session_id": session_id, "placements": placements, **more}
    return http_request("/v1/decide", key, msgspec.json.encode(body))


def ruleset(folder: Path, files: Mapping[str, str]) -> Path:
    """A folder of rules."""
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


class RedisProxy:
    """Stands between the API and Redis: lets through, cuts off, or keeps each answer back for some seconds.

    Args:
        redis_port: Of the server on this machine.
    """

    def __init__(self, redis_port: int) -> None:
        self._redis_port = redis_port
        self._loop = asyncio.new_event_loop()
        self._writers: set[asyncio.StreamWriter] = set()
        self._started = threading.Event()
        self.port = 0
        self.is_cut = False
        self.delay_s = 0.0
        self._thread = threading.Thread(target=self._run, name="redis proxy", daemon=True)
        self._thread.start()
        assert self._started.wait(10)

    @property
    def url(self) -> str:
        """The address to give to the API."""
        return f"redis://127.0.0.1:{self.port}/0"

    def cut(self) -> None:
        """End all connections, and each new one at once."""
        self.is_cut = True
        self._loop.call_soon_threadsafe(self._cut)

    def mend(self) -> None:
        """Let through again."""
        self.is_cut, self.delay_s = False, 0.0

    def close(self) -> None:
        """End."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _cut(self) -> None:
        for writer in self._writers:
            writer.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self._started.set()
        self._loop.run_forever()
        server.close()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_cut:
            await leave(writer)
            return
        with suppress(OSError, asyncio.CancelledError):
            from_redis, to_redis = await asyncio.open_connection("127.0.0.1", self._redis_port)
            ours = {writer, to_redis}
            self._writers |= ours
            try:
                await asyncio.gather(
                    self._pump(reader, to_redis, is_late=False), self._pump(from_redis, writer, is_late=True)
                )
            finally:
                self._writers -= ours
                for each in ours:
                    await leave(each)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_late: bool) -> None:
        while data := await reader.read(65_536):
            if is_late and self.delay_s:
                await asyncio.sleep(self.delay_s)
            writer.write(data)
            await writer.drain()
        writer.close()
