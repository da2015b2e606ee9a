"""What the decision API reads and takes in Redis, asynchronously.

Everything that is read is a string, so that one MGET reads it, on a cluster one for each node. Reads that come while an MGET is under way share the next one.
Sending and receiving is most of what a read costs the API's process: the busier it is, the more share it.

Beside the keys of state, limits and profiles: `grants:<session>`, a string of msgpack, expires with the grants;
`identity:<customer>`, a string of msgpack `[drawn as, session, ...]`.
"""

from __future__ import annotations

import asyncio
import functools
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import msgspec
import redis.asyncio

from connectors.redis_client import RedisAddress
from connectors.redis_facts import facts_key, read_facts
from connectors.redis_identities import (
    IDENTIFY,
    decode_grants,
    decode_identity,
    grants_key,
    identify_arguments,
    identity_key,
)
from connectors.redis_layout import decode_session, seen_keys, session_key
from connectors.redis_limits import CONFIRM, TAKE, confirm_arguments, take_arguments, verdicts
from connectors.redis_line import Line
from engine.identity import Identity
from engine.ports import Claim, PortError, SessionView, Verdict, partition_of
from engine.values import EpochMs, Millis

_Read: TypeAlias = "tuple[Sequence[str], asyncio.Future[Sequence[bytes | None]]]"

_encode = msgspec.msgpack.Encoder().encode

# A session, and for each bucket of ids which of the arguments are in it.
READ_WITH_SEEN = """
local found = {redis.call('GET', KEYS[1])}
for i = 2, #KEYS do found[i] = redis.call('SMISMEMBER', KEYS[i], unpack(ARGV)) end
return found
"""


class RedisDecisionState:
    """`DecisionState` in Redis, for one event loop; it connects with its first call."""

    def __init__(self, address: RedisAddress, partitions: int) -> None:
        self._address = address
        self._partitions = partitions
        self._redis = address.connect_async()
        self._reads = _SharedReads(address, self._redis)
        self._take = self._redis.register_script(TAKE)
        self._confirm = self._redis.register_script(CONFIRM)
        self._identify = self._redis.register_script(IDENTIFY)
        self._with_seen = self._redis.register_script(READ_WITH_SEEN)

    async def read(self, session_id: str, customer_id: str | None, ids: Sequence[str] = ()) -> SessionView:
        """One round trip; one more for the profile where only the session knows the customer, and one for ids."""
        prefix = self._address.prefix
        partition = partition_of(session_id, self._partitions)
        keys = [session_key(prefix, partition, session_id), grants_key(prefix, session_id)]
        if customer_id is not None:
            keys += self._customer_keys(customer_id)
        seen: frozenset[str] = frozenset()
        if ids:
            (session, seen), (grants, *customer) = await asyncio.gather(
                self._read_with_seen(partition, keys[0], ids), self._reads.get(keys[1:])
            )
        else:
            session, grants, *customer = await self._reads.get(keys)
        state = None if session is None else decode_session(session)
        if customer_id is None and state is not None and state.customer_id is not None:
            customer = [*await self._reads.get(self._customer_keys(state.customer_id))]
        profile, identity = customer or (None, None)
        return SessionView(
            state,
            read_facts(profile),
            decode_grants(grants),
            decode_identity(identity) if identity else None,
            seen,
        )

    async def things(self, ids: Sequence[str]) -> Mapping[str, bytes]:
        """Read them with what else is read in this turn of the event loop."""
        prefix = self._address.prefix
        values = await self._reads.get([facts_key(prefix, "thing", id_) for id_ in ids]) if ids else []
        found = zip(ids, map(read_facts, values), strict=True)
        return {id_: facts for id_, facts in found if facts is not None}

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
        key = grants_key(self._address.prefix, session_id)
        with self._address.explained():
            if grants:
                await self._redis.set(key, _encode(grants), px=max(1, keep))
            else:
                await self._redis.delete(key)

    async def identify(self, customer_id: str, session_id: str, *, was_anonymous: bool) -> Identity:
        """One script, so that of two devices that sign in at once one draws for both."""
        arguments = identify_arguments(customer_id, session_id, was_anonymous=was_anonymous)
        with self._address.explained():
            found: Any = await self._identify(keys=[identity_key(self._address.prefix, customer_id)], args=arguments)
        return decode_identity(found)

    async def forget_identity(self, customer_id: str) -> None:
        """Delete it."""
        with self._address.explained():
            await self._redis.delete(identity_key(self._address.prefix, customer_id))

    async def close(self) -> None:
        """Close the connections."""
        await self._reads.close()
        await self._redis.aclose()

    async def _read_with_seen(
        self, partition: int, key: str, ids: Sequence[str]
    ) -> tuple[bytes | None, frozenset[str]]:
        """A session and which of the ids are in it, as of one moment."""
        with self._address.explained():
            session, *buckets = await self._with_seen(
                keys=[key, *seen_keys(self._address.prefix, partition)], args=list(ids)
            )
        return session, frozenset(id_ for id_, *found in zip(ids, *buckets, strict=True) if any(found))

    def _customer_keys(self, customer_id: str) -> list[str]:
        prefix = self._address.prefix
        return [facts_key(prefix, "profile", customer_id), identity_key(prefix, customer_id)]


class _SharedReads:
    """Gathers reads into MGETs, of which few are under way at once: what comes meanwhile shares the next."""

    UNDER_WAY = 2
    """One would let every read wait for the whole of the trip before; more share less."""
    MOST_KEYS = 512
    """Of one MGET, which Redis answers without doing anything else."""

    def __init__(self, address: RedisAddress, client: redis.asyncio.Redis) -> None:
        self._address = address
        self._client = client
        # A client of another kind than that of one server knows itself where each key is.
        self._line = Line(address, client) if type(client) is redis.asyncio.Redis else None
        self._idle = self.UNDER_WAY
        self._loop: asyncio.AbstractEventLoop | None = None  # asked for once: for the answer the system is asked, too
        self._waiting: deque[_Read] = deque()
        self._running: set[asyncio.Future[list[Any]]] = set()  # the loop itself holds tasks weakly

    def get(self, keys: Sequence[str]) -> asyncio.Future[Sequence[bytes | None]]:
        """The values of keys; raises `PortError`."""
        loop = self._loop
        if loop is None:
            loop = self._loop = asyncio.get_running_loop()
        if not self._waiting and self._idle:
            loop.call_soon(self._start)  # with what else comes in this turn
        future: asyncio.Future[Sequence[bytes | None]] = loop.create_future()
        self._waiting.append((keys, future))
        return future

    async def close(self) -> None:
        """Close the connection."""
        if self._line is not None:
            await self._line.close()

    def _start(self) -> None:
        if not self._idle:
            return  # whoever ends goes on
        gathered: list[_Read] = []
        keys: list[str] = []
        while self._waiting and len(keys) < self.MOST_KEYS:
            read = self._waiting.popleft()
            if not read[1].done():  # whose deadline has passed needs no answer
                gathered.append(read)
                keys += read[0]
        if gathered:
            self._idle -= 1
            if self._line is not None:
                coming = self._line.mget(keys)
            else:
                coming = asyncio.get_running_loop().create_task(self._of_cluster(keys))
                self._running.add(coming)
                coming.add_done_callback(self._running.discard)
            coming.add_done_callback(functools.partial(self._answer, gathered))

    async def _of_cluster(self, keys: list[str]) -> list[Any]:
        return [await self._client.mget(keys)]

    def _answer(self, reads: list[_Read], done: asyncio.Future[list[Any]]) -> None:
        self._idle += 1
        if self._waiting:
            self._start()
        if done.cancelled():
            for _, future in reads:
                future.cancel()
            return
        try:
            with self._address.explained():
                values = done.result()[0]
                if isinstance(values, redis.RedisError):
                    raise values
        except PortError as error:
            for _, future in reads:
                if not future.done():
                    # An own exception for each: one raised in several tasks would gather their tracebacks.
                    future.set_exception(PortError(str(error)))
            return
        start = 0
        for keys, future in reads:
            if not future.done():
                future.set_result(values[start : start + len(keys)])
            start += len(keys)
