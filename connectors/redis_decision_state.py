"""What the decision API reads and takes in Redis, asynchronously.

Everything that is read is a string, so that one MGET reads it; and all reads of one turn of the event loop share an MGET.
Sending and receiving is most of what a read costs the API's process: shared, it answers about twice as many requests.

Beside the keys of state, limits and profiles: `grants:<session>`, a string of msgpack, expires with the grants.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import redis.asyncio

from connectors.redis_client import RedisAddress
from connectors.redis_limits import CONFIRM, TAKE, confirm_arguments, take_arguments, verdicts
from connectors.redis_profiles import profile_key
from connectors.redis_state import decode_session, session_key
from engine.ports import Claim, PortError, SessionView, Verdict, partition_of
from engine.values import EpochMs, Millis

_encode = msgspec.msgpack.Encoder().encode
_decode_grants = msgspec.msgpack.Decoder(dict[str, bytes]).decode


class RedisDecisionState:
    """`DecisionState` in Redis, for one event loop; it connects with its first call."""

    def __init__(self, address: RedisAddress, partitions: int) -> None:
        self._address = address
        self._partitions = partitions
        self._redis = address.connect_async()
        self._reads = _SharedReads(address, self._redis)
        self._take = self._redis.register_script(TAKE)
        self._confirm = self._redis.register_script(CONFIRM)

    async def read(self, session_id: str, customer_id: str | None) -> SessionView:
        """One round trip; a second one for the profile where only the session knows the customer."""
        prefix = self._address.prefix
        keys = [
            session_key(prefix, partition_of(session_id, self._partitions), session_id),
            f"{prefix}grants:{session_id}",
        ]
        if customer_id is not None:
            keys.append(profile_key(prefix, customer_id))
        session, grants, *profiles = await self._reads.get(keys)
        state = None if session is None else decode_session(session)
        if customer_id is None and state is not None and state.customer_id is not None:
            profiles = [*await self._reads.get([profile_key(prefix, state.customer_id)])]
        return SessionView(state, profiles[0] if profiles else None, _decode_grants(grants) if grants else {})

    async def take(self, claims: Sequence[Claim], slots: int, now: EpochMs, hold: Millis | None) -> Sequence[Verdict]:
        """As `RedisLimits.take`, by the same script."""
        if not claims:
            return []
        keys, arguments = take_arguments(self._address.prefix, claims, slots, now, hold)
        with self._address.explained():
            return verdicts(claims, await self._take(keys=keys, args=arguments))

    async def confirm(self, token: str, now: EpochMs) -> bool:
        """As `RedisLimits.confirm`, by the same script."""
        keys, arguments = confirm_arguments(self._address.prefix, token, now)
        with self._address.explained():
            return bool(await self._confirm(keys=keys, args=arguments))

    async def put_grants(self, session_id: str, grants: Mapping[str, bytes], keep: Millis) -> None:
        """Replace all grants of the session."""
        key = f"{self._address.prefix}grants:{session_id}"
        with self._address.explained():
            if grants:
                await self._redis.set(key, _encode(grants), px=max(1, keep))
            else:
                await self._redis.delete(key)

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()


class _SharedReads:
    """Gathers the reads of one turn of the event loop into one MGET."""

    def __init__(self, address: RedisAddress, client: redis.asyncio.Redis) -> None:
        self._address = address
        self._redis = client
        self._waiting: list[tuple[Sequence[str], asyncio.Future[Sequence[bytes | None]]]] = []
        self._running: set[asyncio.Task[None]] = set()  # the loop itself holds tasks weakly

    async def get(self, keys: Sequence[str]) -> Sequence[bytes | None]:
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._start)
        future: asyncio.Future[Sequence[bytes | None]] = loop.create_future()
        self._waiting.append((keys, future))
        return await future

    def _start(self) -> None:
        waiting, self._waiting = self._waiting, []
        task = asyncio.get_running_loop().create_task(self._read(waiting))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _read(self, waiting: list[tuple[Sequence[str], asyncio.Future[Sequence[bytes | None]]]]) -> None:
        try:
            with self._address.explained():
                values: Any = await self._redis.mget([key for keys, _ in waiting for key in keys])
        except PortError as error:
            for _, future in waiting:
                if not future.done():
                    # An own exception for each: one raised in several tasks would gather their tracebacks.
                    future.set_exception(PortError(str(error)))
            return
        except BaseException:
            for _, future in waiting:
                future.cancel()
            raise
        start = 0
        for keys, future in waiting:
            if not future.done():
                future.set_result(values[start : start + len(keys)])
            start += len(keys)
