"""Short ways past the library's, for what goes to one server with each decision or batch.

Reads on a connection that is kept, writes in bulk, scripts with very many keys.

For each command, the asynchronous client takes a connection from its pool, watches its sending and its answer each by a task
or a timer of their own, and counts both: that is three times what an MGET costs the process itself. A pipeline makes much of
each command and of each reply: five times what packing and reading them costs. Of a script's arguments it takes twice as long to
pack them as its C library does alone. A thread that writes beside an event loop costs both more than the writing: each waits for
the interpreter whenever it has asked the system for something.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import hiredis
import redis
import redis.asyncio
from redis.commands.core import Script
from redis.connection import DefaultParser
from redis.exceptions import NoScriptError

from connectors.redis_client import RedisAddress

Command: TypeAlias = tuple[str | bytes | int, ...]

READ_AT_ONCE = 262_144
"""Bytes: as much as asyncio itself asks a socket for."""

_pack: Callable[[Any], bytes] = hiredis.pack_command
_NOTHING = object()


def send(address: RedisAddress, client: redis.Redis, commands: Sequence[Command]) -> None:
    """Send writes in one round trip, whose replies say nothing but whether they were done; raises `PortError`.

    A client of another kind than that of one server knows itself where each command goes.
    """
    with address.explained():
        if type(client) is not redis.Redis:
            with client.pipeline(transaction=False) as pipe:
                for command in commands:
                    pipe.execute_command(*command)  # type: ignore[no-untyped-call]  # it has no types here
                pipe.execute()
            return
        pool = client.connection_pool
        connection = pool.get_connection()
        try:
            packed = [b"".join(map(_pack, commands))]
            connection.send_packed_command(packed)  # type: ignore[no-untyped-call]  # it has no types here
            refused: list[redis.ResponseError] = []
            for _ in commands:
                try:
                    connection.read_response()
                except redis.ResponseError as error:
                    refused.append(error)
        finally:
            pool.release(connection)
        if refused:
            raise refused[0]


def call(client: redis.Redis, script: Script, keys: Sequence[str], arguments: Sequence[str | bytes | int]) -> Any:
    """Call a script, with many keys and arguments; raises what the library does.

    A client of another kind than that of one server knows itself where it goes.
    """
    if type(client) is redis.Redis:
        pool = client.connection_pool
        connection = pool.get_connection()
        try:
            packed = [_pack(("EVALSHA", script.sha, len(keys), *keys, *arguments))]
            connection.send_packed_command(packed)  # type: ignore[no-untyped-call]  # it has no types here
            return connection.read_response()
        except NoScriptError:
            pass  # a server that has started since: nothing was done
        finally:
            pool.release(connection)
    return script(keys=keys, args=arguments)


class Line:
    """One connection to one server, kept, for commands of one event loop.

    What is asked goes out at once, behind what is under way; the replies come in the same order. It connects, also anew, when it is
    asked.

    Args:
        address: The server.
        client: Its pool makes the connection: the library finds the server, opens and logs in.
    """

    def __init__(self, address: RedisAddress, client: redis.asyncio.Redis) -> None:
        self._timeout_s = address.timeout_ms / 1000
        self._pool = client.connection_pool
        self._connection: Any = None
        self._wire: _Wire | None = None
        self._waiting: list[tuple[bytes, _Asked]] = []
        self._connecting: asyncio.Task[None] | None = None

    def ask(self, packed: bytes, count: int) -> asyncio.Future[list[Any]]:
        """Send so many commands, packed.

        Returns:
            Of their replies, of which a refusal is a `redis.ResponseError`. Its error is one of the library's, or `TimeoutError`.
        """
        wire = self._wire
        if wire is not None and wire.is_open:
            return wire.send(packed, _Asked(wire.loop, count))
        loop = asyncio.get_running_loop()
        asked = _Asked(loop, count)
        self._waiting.append((packed, asked))
        if self._connecting is None:
            self._connecting = loop.create_task(self._connect())
        return asked.replies

    def mget(self, keys: Sequence[str]) -> asyncio.Future[list[Any]]:
        """As `ask`: the values of keys are the only reply."""
        return self.ask(_pack(("MGET", *keys)), 1)

    def send(self, commands: Sequence[Command]) -> asyncio.Future[list[Any]]:
        """As `ask`."""
        return self.ask(b"".join(map(_pack, commands)), len(commands))

    async def close(self) -> None:
        """Close the connection; what is under way fails."""
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.wait((self._connecting,))
        await self._disconnect()

    async def _connect(self) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._disconnect()
                self._connection = self._pool.make_connection()  # type: ignore[no-untyped-call]  # it has no types here
                await self._connection.connect()
            # From here on the replies come to us; nothing public of the library tells its transport.
            wire = self._wire = _Wire(self._connection._writer.transport, self._timeout_s)  # noqa: SLF001 - see above
        except BaseException as error:
            self._connecting = None
            waiting, self._waiting = self._waiting, []
            for _, asked in waiting:
                asked.fail(error)
            if not isinstance(error, redis.RedisError | OSError):
                raise
        else:
            self._connecting = None
            waiting, self._waiting = self._waiting, []
            for packed, asked in waiting:
                wire.send(packed, asked)

    async def _disconnect(self) -> None:
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.cut(redis.ConnectionError("the connection was closed"))
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)


class _Asked:
    """Commands under way, and who waits for their replies."""

    __slots__ = ("count", "found", "replies", "until")

    def __init__(self, loop: asyncio.AbstractEventLoop, count: int) -> None:
        self.replies: asyncio.Future[list[Any]] = loop.create_future()
        self.count = count
        self.found: list[Any] = []
        self.until = 0.0

    def fail(self, error: BaseException) -> None:
        """Tell who waits; cancelled is only who is asked for nothing any more."""
        if self.replies.done():
            return
        if isinstance(error, Exception):
            self.replies.set_exception(error)
        else:
            self.replies.cancel()


class _Wire(asyncio.BufferedProtocol):
    """An open connection whose replies are read as they come: no task, stream or timer of each stands between."""

    def __init__(self, transport: asyncio.Transport, timeout_s: float) -> None:
        self._transport = transport
        self._timeout_s = timeout_s
        self.loop = asyncio.get_running_loop()
        self._room = memoryview(bytearray(READ_AT_ONCE))
        self._reader = hiredis.Reader(
            protocolError=redis.InvalidResponse,
            replyError=DefaultParser.parse_error,
            notEnoughData=_NOTHING,
        )
        self._under_way: deque[_Asked] = deque()
        self._watch: asyncio.TimerHandle | None = None
        transport.set_protocol(self)

    @property
    def is_open(self) -> bool:
        """Whether it takes more."""
        return not self._transport.is_closing()

    def send(self, packed: bytes, asked: _Asked) -> asyncio.Future[list[Any]]:
        """Send commands."""
        asked.until = self.loop.time() + self._timeout_s
        self._under_way.append(asked)
        self._transport.write(packed)
        if self._watch is None:
            self._watch = self.loop.call_at(asked.until, self._look)
        return asked.replies

    def cut(self, error: Exception) -> None:
        """Give it up: what is still to come on it would be taken for the answer to the next."""
        self._transport.abort()
        if self._watch is not None:
            self._watch.cancel()
        while self._under_way:
            self._under_way.popleft().fail(error)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where bytes go that come."""
        return self._room

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes came."""
        self._reader.feed(self._room, 0, nbytes)  # type: ignore[arg-type]  # its types don't know that it takes any buffer
        try:
            while self._under_way:
                reply = self._reader.gets()
                if reply is _NOTHING:
                    return
                if type(reply) is hiredis.PushNotification:
                    continue  # said without having been asked
                oldest = self._under_way[0]
                oldest.found.append(reply)
                if len(oldest.found) == oldest.count:
                    self._under_way.popleft()
                    if not oldest.replies.done():
                        oldest.replies.set_result(oldest.found)
        except redis.RedisError as error:
            self.cut(error)

    def connection_lost(self, exc: Exception | None) -> None:
        """The other side closed it, or the network did."""
        self.cut(redis.ConnectionError(str(exc) if exc is not None else "it closed the connection"))

    def _look(self) -> None:
        """Give up where the oldest has waited for too long, else look again when it will have."""
        self._watch = None
        if self._under_way:
            until = self._under_way[0].until
            if until <= self.loop.time():
                self.cut(TimeoutError())
            else:
                self._watch = self.loop.call_at(until, self._look)
