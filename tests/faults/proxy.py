"""Stands between Kafka's clients and one broker, and drops or delays the answer to a commit.

The broker advertises the proxy's address, so that every client comes through it. Only the frames' headers are read:
size, and of a request its kind, version and correlation id; of an answer its correlation id.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress

END_TXN = 26
HEAD = 4


class CommitProxy:
    """Faults armed with `drop` and `delay` befall the answers to the next commits, one each.

    Args:
        port: To listen on.
        broker_port: Of the broker.
    """

    def __init__(self, port: int, broker_port: int) -> None:
        self._port = port
        self._broker_port = broker_port
        self._armed: list[float | None] = []
        self.done = 0
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="commit proxy", daemon=True)
        self._thread.start()
        assert self._started.wait(10)

    @property
    def armed(self) -> int:
        """Faults that have yet to befall an answer."""
        return len(self._armed)

    def drop(self) -> None:
        """The broker commits, the client's connection breaks before it hears of it."""
        self._armed.append(None)

    def delay(self, seconds: float) -> None:
        """The client hears of it so much later."""
        self._armed.append(seconds)

    def close(self) -> None:
        """Cut all connections and end."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", self._port))
        self._started.set()
        self._loop.run_forever()
        self._server.close()
        pending = asyncio.all_tasks(self._loop)
        for task in pending:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*pending, return_exceptions=True))
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        commits: set[bytes] = set()
        broker_writer = None
        try:
            broker_reader, broker_writer = await asyncio.open_connection("127.0.0.1", self._broker_port)
            ways = [
                asyncio.ensure_future(self._requests(reader, broker_writer, commits)),
                asyncio.ensure_future(self._answers(broker_reader, writer, commits)),
            ]
            _, pending = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in pending:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
        except OSError:
            pass  # the broker is down: so is this connection
        finally:
            for each in (writer, broker_writer):
                if each is not None:
                    each.close()
                    with suppress(OSError):
                        await each.wait_closed()

    async def _requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, commits: set[bytes]) -> None:
        with suppress(asyncio.IncompleteReadError, OSError):
            while True:
                size = await reader.readexactly(HEAD)
                frame = await reader.readexactly(int.from_bytes(size, "big"))
                if int.from_bytes(frame[:2], "big") == END_TXN:
                    commits.add(frame[4:8])
                writer.write(size + frame)
                await writer.drain()

    async def _answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, commits: set[bytes]) -> None:
        with suppress(asyncio.IncompleteReadError, OSError):
            while True:
                size = await reader.readexactly(HEAD)
                frame = await reader.readexactly(int.from_bytes(size, "big"))
                if frame[:4] in commits:
                    commits.discard(frame[:4])
                    if self._armed:
                        seconds = self._armed.pop(0)
                        self.done += 1
                        if seconds is None:
                            return
                        await asyncio.sleep(seconds)
                writer.write(size + frame)
                await writer.drain()
