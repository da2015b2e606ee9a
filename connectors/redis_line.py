"""Short ways past the library's, for what goes to one server with each decision or batch.

Reads on a connection that is kept, writes in bulk, scripts with very many keys.

For each command, the asynchronous client takes a connection from its pool, watches its sending and its answer each by a task
or a timer of their own, and counts both: that is three times what an MGET costs the process itself. A pipeline makes much of
each command and of each reply: five times what packing and reading them costs. Of a script's arguments it takes twice as long to
pack them as its C library does alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import hiredis
import redis
import redis.asyncio
from redis.commands.core import Script
from redis.exceptions import NoScriptError

from connectors.redis_client import RedisAddress

Command: TypeAlias = tuple[str | bytes | int, ...]

_pack: Callable[[Any], bytes] = hiredis.pack_command


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
    """Asks one MGET at a time; connects, also anew, when it is asked.

    Args:
        address: The server.
        client: Its pool makes the connection.
    """

    def __init__(self, address: RedisAddress, client: redis.asyncio.Redis) -> None:
        self._timeout_s = address.timeout_ms / 1000
        self._pool = client.connection_pool
        self._connection: Any = None

    async def mget(self, keys: Sequence[str]) -> list[bytes | None]:
        """The values of keys; raises what the library does, and `TimeoutError`."""
        try:
            if self._connection is None or not _is_open(self._connection):
                async with asyncio.timeout(self._timeout_s):
                    await self._connect()
            async with asyncio.timeout(self._timeout_s):
                await self._connection.send_packed_command(_pack(("MGET", *keys)), check_health=False)
                found: list[bytes | None] = await self._connection.read_response()
        except BaseException:
            # What is still to come on it would be taken for the answer to the next.
            await self.close()
            raise
        return found

    async def _connect(self) -> None:
        await self.close()
        self._connection = self._pool.make_connection()  # type: ignore[no-untyped-call]  # it has no types here
        self._connection.socket_timeout = None  # `mget` watches
        await self._connection.connect()

    async def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)


def _is_open(connection: Any) -> bool:
    """Whether the other side has not closed it since; nothing public tells without waiting."""
    reader = connection._reader  # noqa: SLF001 - see above
    return reader is not None and not reader.at_eof()
