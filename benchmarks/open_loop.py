"""Requests at a constant rate over loopback: each has a moment at which it is to be sent, whatever became of those before.

Latency counts from that moment, so that a server that stands still makes everybody late who would have asked meanwhile; a
generator that waits for answers would have asked fewer, and not have noticed (coordinated omission). The load is bounded
by its rate, its seconds and its connections, and goes to 127.0.0.1 alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

HOST = "127.0.0.1"
PATIENCE_S = 10.0


@dataclass(frozen=True, slots=True)
class Reply:
    """What became of one request.

    Attributes:
        number: Of the request, from 0.
        at_s: When it was to be sent, from the start.
        latency_ms: From then to the last byte of its answer.
        status: Of HTTP; 0: the connection was lost; -1: given up, as patience was over.
        body: Of the answer; empty where it was lost.
    """

    number: int
    at_s: float
    latency_ms: float
    status: int
    body: bytes


@dataclass(slots=True)
class Loaded:
    """All replies of a run.

    Attributes:
        late_ms: How late the generator itself was at most in handing a request to a connection that was free. Where this is
            large, the machine was too small for the run.
    """

    replies: list[Reply] = field(default_factory=list)
    seconds: float = 0.0
    late_ms: float = 0.0

    def of(self, status: int) -> list[Reply]:
        """Those with this status."""
        return [reply for reply in self.replies if reply.status == status]


def percentile(latencies: Sequence[float], share: float) -> float:
    """A latency that this share of them did not exceed; 0 of none."""
    if not latencies:
        return 0.0
    return sorted(latencies)[min(int(share * len(latencies)), len(latencies) - 1)]


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> tuple[int, bytes]:
    """One request over HTTP/1.1 on an open connection. Raises `OSError` or `EOFError` where it is lost."""
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    lower = head.lower()
    length = lower.partition(b"content-length:")[2].partition(b"\r\n")[0]
    body = await reader.readexactly(int(length)) if length else b""
    if b"\r\nconnection: close" in lower:
        writer.close()
    return int(head[9:12]), body


async def leave(writer: asyncio.StreamWriter | None) -> None:
    """End a connection, and wait until it has gone."""
    if writer is not None:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def constant_rate(
    port: int,
    request: Callable[[int], bytes],
    per_second: float,
    seconds: float,
    connections: int = 64,
    patience_s: float = PATIENCE_S,
) -> Loaded:
    """Ask `per_second` times a second for so many seconds, and wait for all answers.

    Args:
        port: Of a server on this machine.
        request: The bytes of request number n.
        per_second: Constant.
        seconds: Of sending.
        connections: Open ones at most; a request for which none is free waits, and that counts.
        patience_s: From a request's moment; then its sender is gone, as a shopper is.
    """
    count = int(per_second * seconds)
    loaded = Loaded()
    waiting: deque[int] = deque()
    free: deque[asyncio.Future[None]] = deque()
    over = False
    clock = time.perf_counter

    async def connection() -> None:
        reader: asyncio.StreamReader | None = None
        writer: asyncio.StreamWriter | None = None
        while True:
            while not waiting:
                if over:
                    await leave(writer)
                    return
                turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                free.append(turn)
                await turn
            number = waiting.popleft()
            at = number / per_second
            status, body = -1, b""
            left = began + at + patience_s - clock()
            if left > 0:
                try:
                    async with asyncio.timeout(left):
                        if reader is None or writer is None or writer.is_closing():
                            await leave(writer)
                            reader, writer = await asyncio.open_connection(HOST, port)
                        status, body = await ask(reader, writer, request(number))
                except (OSError, EOFError, TimeoutError) as error:
                    status = -1 if isinstance(error, TimeoutError) else 0
                    await leave(writer)
                    reader = writer = None
            done = clock()
            loaded.replies.append(Reply(number, at, 1000 * (done - began - at), status, body))

    def hand_out() -> None:
        while free and waiting:
            turn = free.popleft()
            if not turn.done():
                turn.set_result(None)
                return

    began = clock()
    working = [asyncio.create_task(connection()) for _ in range(connections)]
    for number in range(count):
        at = began + number / per_second
        while (now := clock()) < at:  # noqa: ASYNC110  a moment is waited for, not an event
            await asyncio.sleep(at - now)
        loaded.late_ms = max(loaded.late_ms, 1000 * (now - at))
        waiting.append(number)
        hand_out()
        if number % 16 == 15:
            await asyncio.sleep(0)  # a generator that is late must let answers in all the same
    over = True
    for turn in free:
        if not turn.done():
            turn.set_result(None)
    await asyncio.gather(*working)
    loaded.seconds = clock() - began
    return loaded


async def closed_loop(port: int, request: Callable[[int], bytes], seconds: float, connections: int = 16) -> Loaded:
    """As much as some connections get answered, each waiting for its answer: the server's capacity."""
    loaded = Loaded()
    began = time.perf_counter()

    async def connection(first: int) -> None:
        reader, writer = await asyncio.open_connection(HOST, port)
        number = first
        while (sent := time.perf_counter()) - began < seconds:
            status, body = await ask(reader, writer, request(number))
            done = time.perf_counter()
            loaded.replies.append(Reply(number, sent - began, 1000 * (done - sent), status, body))
            number += connections
        await leave(writer)

    await asyncio.gather(*(connection(first) for first in range(connections)))
    loaded.seconds = time.perf_counter() - began
    return loaded
