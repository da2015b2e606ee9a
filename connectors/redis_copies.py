"""All of a partition at once: copied as of one moment, and replaced by a copy.

A copy is read in one transaction, which other commands wait for: some 1.3 us of Redis's CPU a session, so that 50,000 sessions
take 65 ms; on a cluster by one script, which takes 2.5 to 4.5. Older ids are read before it, since they don't change. A copy is put back in steps, since as
much in one would stop the server for longer; while that lasts, the field `replacing` keeps the partition from being claimed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

import redis

from connectors.redis_client import RedisAddress
from connectors.redis_layout import (
    BUCKET_MS,
    BUCKETS,
    ORDER_DIGITS,
    RECENT,
    decode_output,
    decode_regime,
    decode_session,
    encode_output,
    encode_regime,
    encode_session,
    encode_terms,
    partition_key,
    seen_keys,
    session_key,
)
from engine.copies import PartitionCopy
from engine.ports import PortError, Position
from engine.values import EpochMs, Millis

Item = TypeVar("Item")

AT_ONCE = 1_000
"""Sessions, ids or outputs in one round trip: some 300 KB."""

# All of a partition on a cluster, which has no `SORT ... GET` and whose transactions follow no slot. The sessions are keys that are not named: read together with one that is, so that on a
# cluster a slot that is being moved is an error, and not a session that is gone. Keys: position, due, the bucket that is being
# filled, outbox, regimes. Argument: how the key of a session begins.
COPY = """
local ids, sessions = redis.call('ZRANGE', KEYS[2], 0, -1), {}
for first = 1, #ids, 1000 do
    local keys = {KEYS[1]}
    for i = first, math.min(first + 999, #ids) do keys[#keys + 1] = ARGV[1] .. ids[i] end
    local values = redis.call('MGET', unpack(keys))
    for i = 2, #values do sessions[first + i - 2] = values[i] end
end
return {redis.call('HGETALL', KEYS[1]), ids, sessions, redis.call('SMEMBERS', KEYS[3]),
        redis.call('ZRANGE', KEYS[4], 0, -1), redis.call('LRANGE', KEYS[5], 0, -1)}
"""

# Fences the owner, forbids to claim, and deletes everything but that. The generation after the owner's may claim then, however
# often this is done: half of one lies between. Keys: position, due, recent, then the rest.
EMPTY = """
redis.call('HSET', KEYS[1], 'replacing', 1)
local generation = redis.call('HGET', KEYS[1], 'generation')
if generation then
    redis.call('HSET', KEYS[1], 'generation', string.format('%.1f', math.floor(tonumber(generation)) + 0.5))
end
redis.call('HDEL', KEYS[1], 'offset', 'watermark', 'step', 'brought', 'bucket', 'outputs', 'regime')
for i = 2, 3 do
    for _, id in ipairs(redis.call('ZRANGE', KEYS[i], 0, -1)) do
        -- with a key that is there: else a session that is still to be moved to this node of a cluster would be left
        if redis.call('EXISTS', ARGV[1] .. id, KEYS[1]) == 2 then redis.call('UNLINK', ARGV[1] .. id) end
    end
end
for i = 2, #KEYS do redis.call('UNLINK', KEYS[i]) end
"""


class RedisCopies:
    """Copies and replaces partitions, over a client of its owner."""

    def __init__(self, address: RedisAddress, client: redis.Redis, session_ttl_ms: Millis) -> None:
        self._address = address
        self._redis = client
        self._session_ttl_ms = session_ttl_ms
        self._copy = client.register_script(COPY)
        self._empty = client.register_script(EMPTY)

    def copy(self, partition: int) -> PartitionCopy:
        """As `StateStore.copy`."""
        with self._address.explained():
            found = None
            while found is None:
                found = self._read(partition)
        position, ids, sessions, seen, outbox, regimes = found
        if b"replacing" in position:
            raise unfinished(self._address, partition)
        pairs = zip(ids, sessions, strict=True)
        stored = {id_.decode(): decode_session(value) for id_, value in pairs if value is not None}
        return PartitionCopy(
            partition,
            Position(*[int(position.get(name, 0)) for name in (b"offset", b"watermark", b"step", b"brought")]),
            dict(sorted(stored.items())),
            dict(sorted(_dated(seen, int(position.get(b"bucket", 0))))),
            [decode_output(member) for member in outbox],
            [decode_regime(member) for member in regimes],
        )

    def _read(self, partition: int) -> Any:
        """What is stored; None where meanwhile another bucket of ids was begun."""
        prefix = self._address.prefix
        position, due, outbox, regimes = (
            partition_key(prefix, partition, name) for name in ("position", "due", "outbox", "regimes")
        )
        buckets, session = seen_keys(prefix, partition), session_key(prefix, partition, "")
        bucket: Any = self._redis.hget(position, "bucket")
        filled = int(bucket or 0) % BUCKETS
        seen: list[Any] = [() if slot == filled else self._redis.smembers(key) for slot, key in enumerate(buckets)]
        keys = [position, due, buckets[filled], outbox, regimes]
        if self._address.is_cluster:
            fields, ids, sessions, *rest = self._copy(keys=keys, args=[session])
            at = dict(zip(fields[::2], fields[1::2], strict=True))
        else:
            with self._redis.pipeline(transaction=True) as pipe:
                pipe.hgetall(position)
                pipe.sort(due, by="nosort", get=["#", f"{session}*"])
                pipe.smembers(buckets[filled])
                pipe.zrange(outbox, 0, -1)
                pipe.lrange(regimes, 0, -1)
                at, sorted_, *rest = pipe.execute()
            ids, sessions = sorted_[::2], sorted_[1::2]
        seen[filled], waiting, under = rest
        return None if at.get(b"bucket") != bucket else (at, ids, sessions, seen, waiting, under)

    def replace(self, copy: PartitionCopy) -> None:
        """As `StateStore.replace`."""
        prefix, partition = self._address.prefix, copy.partition
        position, due, recent, outbox, regimes = (
            partition_key(prefix, partition, name) for name in ("position", "due", "recent", "outbox", "regimes")
        )
        buckets = seen_keys(prefix, partition)
        with self._address.explained():
            self._empty(
                keys=[position, due, recent, outbox, regimes, *buckets], args=[session_key(prefix, partition, "")]
            )
            for sessions in _steps(copy.sessions.items()):
                with self._redis.pipeline(transaction=False) as pipe:
                    for session_id, state in sessions:
                        key = session_key(prefix, partition, session_id)
                        pipe.set(key, encode_session(state), px=self._session_ttl_ms)
                    pipe.zadd(due, {id_: "+inf" if each.due is None else each.due for id_, each in sessions})
                    pipe.execute()
            latest = sorted(copy.sessions.items(), key=lambda each: -each[1].time)[:RECENT]
            if latest:
                self._redis.zadd(recent, {session_id: state.time for session_id, state in latest})
            bucket = copy.position.watermark // BUCKET_MS
            kept = [(id_, time // BUCKET_MS) for id_, time in copy.seen.items()]
            for ids in _steps(each for each in kept if bucket - BUCKETS < each[1] <= bucket):
                with self._redis.pipeline(transaction=False) as pipe:
                    for id_, number in ids:
                        pipe.sadd(buckets[number % BUCKETS], id_)
                    pipe.execute()
            numbered = enumerate(copy.outbox, 1)
            for outputs in _steps(numbered):
                self._redis.zadd(
                    outbox, {b"%0*d" % (ORDER_DIGITS, n) + encode_output(each): each.offset for n, each in outputs}
                )
            if copy.regimes:
                self._redis.rpush(regimes, *map(encode_regime, copy.regimes))
            self._finish(position, copy, bucket)

    def _finish(self, key: str, copy: PartitionCopy, bucket: int) -> None:
        """Let it be claimed: the last thing."""
        at = copy.position
        fields: dict[str, int | bytes] = {
            "offset": at.offset, "watermark": at.watermark, "step": at.step, "brought": at.brought, "bucket": bucket,
            "outputs": len(copy.outbox),
        }  # fmt: skip
        if copy.regimes:
            fields["regime"] = encode_terms(copy.regimes[-1])
        self._redis.hset(key, mapping=fields)  # type: ignore[arg-type]  # the library's types allow no mixture
        self._redis.hdel(key, "replacing")


def unfinished(address: RedisAddress, partition: int) -> PortError:
    """What keeps a partition from being claimed, read or copied."""
    return PortError(
        f"Redis at {address.shown}: the state of partition {partition} is being replaced, by `salience rebuild` or "
        "`salience snapshot load`: let it end, or where it was ended, run it again"
    )


def _dated(seen: Sequence[Sequence[bytes]], last: int) -> Iterator[tuple[str, EpochMs]]:
    """Ids with the beginning of the time that their bucket stands for."""
    for slot, ids in enumerate(seen):
        began = (last - (last - slot) % BUCKETS) * BUCKET_MS
        for id_ in ids:
            yield id_.decode(), max(0, began)


def _steps(items: Iterable[Item]) -> Iterator[list[Item]]:
    rest = iter(items)
    while step := list(islice(rest, AT_ONCE)):
        yield step
