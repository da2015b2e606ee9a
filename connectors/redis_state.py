"""Sessions, offset, seen ids, outbox and regimes of a partition in Redis: one script writes a batch.

How they lie there says `connectors.redis_layout`; how all of a partition is copied and replaced, `connectors.redis_copies`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec

from connectors.redis_client import RedisAddress
from connectors.redis_copies import RedisCopies, unfinished
from connectors.redis_layout import (
    BUCKET_MS,
    BUCKETS,
    RECENT,
    SESSION_TTL_MS,
    decode_output,
    decode_regime,
    decode_session,
    encode_output,
    encode_session,
    encode_terms,
    partition_key,
    seen_keys,
    session_key,
)
from connectors.redis_line import call
from engine.copies import PartitionCopy
from engine.ports import Applied, Output, Position, SessionState, StateBatch
from engine.regime import KEPT, Regime
from engine.values import EpochMs, Millis

CLAIM = """
local position = KEYS[1]
local generation = tonumber(ARGV[1])
local stored = redis.call('HMGET', position, 'generation', 'offset', 'watermark', 'step', 'brought', 'replacing')
if stored[6] then return -1 end
if stored[1] and generation < tonumber(stored[1]) then return false end
redis.call('HSET', position, 'generation', ARGV[1])
return {tonumber(stored[2] or 0), tonumber(stored[3] or 0), tonumber(stored[4] or 0), tonumber(stored[5] or 0)}
"""

IS_REPLACED = -1
APPLIED, FENCED, REWIND = 1, 2, 3
ANSWERS = {APPLIED: Applied.APPLIED, FENCED: Applied.FENCED, REWIND: Applied.REWIND}

# Arguments: 12 (see `apply`), then in msgpack how many sessions live, scores and ids for `due` and for `recent`, ids of sessions that
# ended, ids of events, and offsets of outputs; then the values of sessions and the payloads of outputs, which are no text, so that
# msgpack in Redis can't take them. Keys: the five below, the buckets, sessions that live, sessions that ended.
APPLY = """
local position, due, recent, outbox, regimes = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local bucket_count = tonumber(ARGV[8])
local stored = redis.call('HMGET', position, 'generation', 'offset', 'bucket', 'outputs', 'step', 'regime')
if tonumber(ARGV[1]) < tonumber(stored[1] or 0) then return 2 end
if tonumber(ARGV[2]) ~= tonumber(stored[2] or 0) or tonumber(ARGV[9]) ~= tonumber(stored[5] or 0) then return 3 end
local living, due_set, recent_set, gone, ids, offsets = unpack(cmsgpack.unpack(ARGV[13]))

-- unpack() is limited by Lua's stack
local function bulk(command, key, values)
    for first = 1, #values, 4000 do
        redis.call(command, key, unpack(values, first, math.min(first + 3999, #values)))
    end
end

local at = 5 + bucket_count
for i = 1, living do
    redis.call('SET', KEYS[at + i], ARGV[13 + i], 'PX', ARGV[5])
end
for i = at + living + 1, #KEYS do
    redis.call('UNLINK', KEYS[i])
end
bulk('ZADD', due, due_set)
bulk('ZREM', due, gone)
bulk('ZADD', recent, recent_set)
bulk('ZREM', recent, gone)
redis.call('ZREMRANGEBYRANK', recent, 0, -1 - tonumber(ARGV[6]))

local bucket = tonumber(ARGV[7])
local last = tonumber(stored[3] or bucket)
if bucket < last then bucket = last end
for entered = last + 1, math.min(bucket, last + bucket_count) do
    redis.call('UNLINK', KEYS[6 + entered % bucket_count])
end
-- where the clock leapt over more buckets than there are, all were emptied above
bulk('SADD', KEYS[6 + bucket % bucket_count], ids)

local number = tonumber(stored[4] or 0)
local outputs = {}
for i = 1, #offsets do
    number = number + 1
    outputs[2 * i - 1] = offsets[i]
    outputs[2 * i] = string.format('%016d', number) .. ARGV[13 + living + i]
end
bulk('ZADD', outbox, outputs)

if ARGV[11] ~= '' and ARGV[11] ~= stored[6] then
    redis.call('RPUSH', regimes, ARGV[2] .. ' ' .. ARGV[9] .. ' ' .. ARGV[11])
    redis.call('LTRIM', regimes, -tonumber(ARGV[12]), -1)
    redis.call('HSET', position, 'regime', ARGV[11])
end
redis.call('HSET', position, 'generation', ARGV[1], 'offset', ARGV[3], 'watermark', ARGV[4],
           'bucket', bucket, 'outputs', number, 'brought', ARGV[10],
           'step', ARGV[3] == ARGV[2] and tonumber(ARGV[9]) + 1 or 0)
return 1
"""

# Sessions that expired leave the index when they are met, or their caller would meet them for ever. They are looked up with
# a key that is there: where a cluster is moving the slot that is an error, as it must be, since what is not here is there.
DUE = """
local found = {}
local count = tonumber(ARGV[2])
while true do
    local met = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', #found, count - #found)
    if #met == 0 then return found end
    for _, id in ipairs(met) do
        if redis.call('EXISTS', ARGV[3] .. id, KEYS[1]) == 2 then
            found[#found + 1] = id
        else
            redis.call('ZREM', KEYS[1], id)
        end
    end
    if #found >= count then return found end
end
"""

# Ids travel once for all buckets, in msgpack, and only the few that were seen come back, as their places among the ids.
SEEN = """
local found = {}
local ids = cmsgpack.unpack(ARGV[1])
for _, key in ipairs(KEYS) do
    if redis.call('EXISTS', key) == 1 then
        for first = 1, #ids, 4000 do
            local answers = redis.call('SMISMEMBER', key, unpack(ids, first, math.min(first + 3999, #ids)))
            for i = 1, #answers do
                if answers[i] == 1 then found[#found + 1] = first + i - 2 end
            end
        end
    end
end
return found
"""

_pack = msgspec.msgpack.Encoder().encode


class RedisState:
    """`StateStore` in Redis.

    Args:
        address: The server.
        partitions: How many the event log has; `recent` looks at all of them.
    """

    def __init__(self, address: RedisAddress, partitions: int, *, session_ttl_ms: Millis = SESSION_TTL_MS) -> None:
        self._address = address
        self._partitions = partitions
        self._session_ttl_ms = session_ttl_ms
        self._redis = address.connect()
        self._claim = self._redis.register_script(CLAIM)
        self._apply = self._redis.register_script(APPLY)
        self._due = self._redis.register_script(DUE)
        self._seen = self._redis.register_script(SEEN)
        self._copies = RedisCopies(address, self._redis, session_ttl_ms)

    def claim(self, partition: int, generation: int) -> Position | None:
        """Store the generation where it is not older than the stored one."""
        with self._address.explained():
            found = self._claim(keys=[self._key(partition, "position")], args=[generation])
        if found == IS_REPLACED:
            raise unfinished(self._address, partition)
        return None if found is None else Position(*found)

    def position(self, partition: int) -> Position:
        """Read the hash."""
        with self._address.explained():
            found: Any = self._redis.hmget(
                self._key(partition, "position"), "offset", "watermark", "step", "brought", "replacing"
            )
        *position, is_replaced = found
        if is_replaced:
            raise unfinished(self._address, partition)
        return Position(*[int(each or 0) for each in position])

    def load(self, partition: int, sessions: Sequence[str]) -> Mapping[str, SessionState]:
        """Read sessions by id with one MGET."""
        if not sessions:
            return {}
        with self._address.explained():
            values: Any = self._redis.mget([session_key(self._address.prefix, partition, each) for each in sessions])
        return {each: decode_session(v) for each, v in zip(sessions, values, strict=True) if v is not None}

    def seen(self, partition: int, ids: Sequence[str]) -> Collection[str]:
        """Look ids up in all buckets, in one round trip."""
        if not ids:
            return set()
        with self._address.explained():
            places = call(self._redis, self._seen, seen_keys(self._address.prefix, partition), [_pack(ids)])
        return {ids[place] for place in places}

    def apply(self, batch: StateBatch) -> Applied:
        """Check owner and offset and write all parts in one script."""
        partition, prefix = batch.partition, self._address.prefix
        keys = [self._key(partition, name) for name in ("position", "due", "recent", "outbox", "regimes")]
        keys += seen_keys(prefix, partition)
        beginning = session_key(prefix, partition, "")
        due: list[str] = []
        recent: list[str] = []
        gone: list[str] = []
        payloads: list[bytes] = []
        for session_id, state in batch.sessions.items():
            if state.snapshot is None:
                gone.append(session_id)
                continue
            keys.append(beginning + session_id)
            payloads.append(encode_session(state))
            due += ("+inf" if state.due is None else str(state.due), session_id)
            recent += (str(state.time), session_id)
        keys += [beginning + session_id for session_id in gone]
        offsets = [str(output.offset) for output in batch.outputs]
        arguments: list[str | bytes | int] = [
            batch.generation,
            batch.expected_offset,
            batch.next_offset,
            batch.watermark,
            self._session_ttl_ms,
            RECENT,
            batch.watermark // BUCKET_MS,
            BUCKETS,
            batch.expected_step,
            batch.brought,
            encode_terms(batch.regime),
            KEPT,
            _pack((len(payloads), due, recent, gone, batch.seen, offsets)),
        ]
        payloads += map(encode_output, batch.outputs)
        with self._address.explained():
            return ANSWERS[call(self._redis, self._apply, keys, [*arguments, *payloads])]

    def outbox(self, partition: int) -> Sequence[Output]:
        """Read what is not yet trimmed, by offset, then as written."""
        with self._address.explained():
            members: Any = self._redis.zrange(self._key(partition, "outbox"), 0, -1)
        return [decode_output(member) for member in members]

    def trim(self, partition: int, below_offset: int) -> None:
        """Delete what has been sent."""
        with self._address.explained():
            self._redis.zremrangebyscore(self._key(partition, "outbox"), "-inf", f"({below_offset}")

    def due(self, partition: int, until: EpochMs, limit: int) -> Sequence[str]:
        """Read the sessions by their due time; equal times by id."""
        with self._address.explained():
            found = self._due(
                keys=[self._key(partition, "due")],
                args=[until, limit, session_key(self._address.prefix, partition, "")],
            )
        return [id_.decode() for id_ in found]

    def recent(self, limit: int) -> Sequence[tuple[str, SessionState]]:
        """Read the latest of each partition, then the sessions themselves: two round trips."""
        with self._address.explained(), self._redis.pipeline(transaction=False) as pipe:
            for partition in range(self._partitions):
                pipe.zrange(self._key(partition, "recent"), 0, limit - 1, desc=True, withscores=True)
            latest = sorted(
                (-score, id_.decode(), partition)
                for partition, found in enumerate(pipe.execute())
                for id_, score in found
            )[:limit]
            for _, session_id, partition in latest:
                pipe.get(session_key(self._address.prefix, partition, session_id))
            values = pipe.execute() if latest else []
        return [
            (session_id, msgspec.structs.replace(decode_session(value), snapshot=b""))
            for (_, session_id, _), value in zip(latest, values, strict=True)
            if value is not None
        ]

    def regimes(self, partition: int) -> Sequence[Regime]:
        """Read the list."""
        with self._address.explained():
            members: Any = self._redis.lrange(self._key(partition, "regimes"), 0, -1)
        return [decode_regime(member) for member in members]

    def copy(self, partition: int) -> PartitionCopy:
        """Read everything by one script."""
        return self._copies.copy(partition)

    def replace(self, copy: PartitionCopy) -> None:
        """Delete, write in steps, and let it be claimed again."""
        self._copies.replace(copy)

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()

    def _key(self, partition: int, name: str) -> str:
        return partition_key(self._address.prefix, partition, name)
