"""After a restart of Redis, before anything of ours is written: a new append-only file.

A script's writes are in the append-only file between MULTI and EXEC. Where a crash took the end of the file from the midst
of them, Redis (7.0 as much as Valkey, whose pull request 4342 mends it) starts without them, as it should, but with
`aof-load-truncated yes`, its default, it cuts off the torn command only: the MULTI and the whole commands after it stay in
the file, and new writes go behind them. At the next restart all up to the next EXEC is one transaction: half a batch that
never was comes back, below newer ones. Sessions are then newer than the offset, and the replay applies events twice.

So the first of our connections to a server that has just started sends BGREWRITEAOF: from then on writes go to a file
of their own, behind no open MULTI. (Should Redis die before the rewriting is done, its next start cuts the former file
off before the MULTI; it ends with "the truncated file is not the last file", and the start after that is good.) That a
running server has done it is marked in its script cache, which is gone with its process, is no key, and lies on each node.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Generator
from typing import Any

import redis

logger = logging.getLogger("salience.connectors.redis_restart")

MARK = "return 'salience: this server has begun a new append-only file since it started'"
MARK_SHA = hashlib.sha1(MARK.encode(), usedforsecurity=False).hexdigest()

Steps = Generator[tuple[str, ...], Any, None]


def begin_file(connection: Any) -> None:
    """What the library does for a new connection, then a new file where it is due; for `redis_connect_func`."""
    connection.on_connect()
    steps = _steps()
    command = next(steps)
    while command:
        connection.send_command(*command)
        try:
            reply = connection.read_response()
        except redis.ResponseError as error:
            reply = error
        command = _following(steps, reply)


async def begin_file_async(connection: Any) -> None:
    """As `begin_file`, for asynchronous connections."""
    await connection.on_connect()
    steps = _steps()
    command = next(steps)
    while command:
        await connection.send_command(*command)
        try:
            reply = await connection.read_response()
        except redis.ResponseError as error:
            reply = error
        command = _following(steps, reply)


def _following(steps: Steps, reply: object) -> tuple[str, ...]:
    try:
        return steps.send(reply)
    except StopIteration:
        return ()


def _steps() -> Steps:
    """The commands to send; each gets its reply, which may be a `ResponseError`."""
    if (yield ("SCRIPT", "EXISTS", MARK_SHA)) == [1]:
        return
    persistence = yield ("INFO", "persistence")
    if not (isinstance(persistence, bytes) and b"aof_enabled:0" in persistence):
        answer = yield ("BGREWRITEAOF",)
        if isinstance(answer, redis.ResponseError):
            if "in progress" not in str(answer):
                # Not marked: every new connection tries again, and says so.
                logger.warning(
                    "Redis did not begin a new append-only file after its start (%s). Until it does, two crashes in "
                    "a row may leave sessions that don't fit their offset: allow BGREWRITEAOF to this user, or set "
                    "aof-load-truncated to no and repair the file with redis-check-aof",
                    answer,
                )
                return
        elif b"scheduled" in bytes(answer):
            raise redis.ConnectionError(
                "it is saving just after its start, and begins a new append-only file after that"
            )
        else:
            logger.info("Redis has started: it begins a new append-only file")
    yield ("SCRIPT", "LOAD", MARK)
