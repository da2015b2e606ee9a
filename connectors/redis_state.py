"""Sessions, offset, seen ids and outbox of a partition in Redis: one script writes a batch.

All keys of partition N share the hash tag `{p:N}`, so that they lie on one node of a Redis Cluster:

| key | type | holds |
|---|---|---|
| `{p:N}:position` | hash | `generation`, `offset`, `step`, `brought`, `watermark`; `bucket` of seen ids; `outputs`: how many there ever were |
| `{p:N}:s:<session>` | string | msgpack `[snapshot, time, due, customer]`; expires `session_ttl_ms` after its last write |
| `{p:N}:due` | sorted set | sessions by `due` |
| `{p:N}:recent` | sorted set | the latest `RECENT` sessions by clock |
| `{p:N}:seen:0` to `:4` | set | ids of 6 hours of the watermark each, used in turn |
| `{p:N}:outbox` | sorted set | 16-digit number + msgpack `[id, kind, key, value, offset, ordinal]`, by offset |

Expiry is a safety net only: the worker deletes a session when it ends.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec

from connectors.redis_client import RedisAddress
from engine.ports import Applied, Output, OutputKind, Position, SessionState, StateBatch
from engine.values import EpochMs, Millis

BUCKET_MS: Millis = 6 * 3_600_000
BUCKETS = 5
"""The bucket being filled and the four before it: ids are remembered for 24 to 30 hours of the watermark. A bucket leaves
as a whole, in the background (UNLINK), so that no batch waits for it."""

SESSION_TTL_MS: Millis = 30 * 86_400_000

RECENT = 1_000
"""Sessions of each partition that `recent` can list."""

CLAIM = """
local position = KEYS[1]
local generation = tonumber(ARGV[1])
local stored = redis.call('HMGET', position, 'generation', 'offset', 'watermark', 'step', 'brought')
if stored[1] and generation < tonumber(stored[1]) then return false end
redis.call('HSET', position, 'generation', ARGV[1])
return {tonumber(stored[2] or 0), tonumber(stored[3] or 0), tonumber(stored[4] or 0), tonumber(stored[5] or 0)}
"""

APPLIED, FENCED, REWIND = 1, 2, 3
ANSWERS = {APPLIED: Applied.APPLIED, FENCED: Applied.FENCED, REWIND: Applied.REWIND}

# Arguments: 10 numbers (see `apply`), then id, value, time and due of each session ('' for none; a session with the value ''
# is deleted), then seen ids, then offset and payload of each output. Keys: the five below, the buckets, the sessions.
APPLY = """
local position, due, recent, outbox = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local bucket_count = tonumber(ARGV[8])
local stored = redis.call('HMGET', position, 'generation', 'offset', 'bucket', 'outputs', 'step')
if tonumber(ARGV[1]) < tonumber(stored[1] or 0) then return 2 end
if tonumber(ARGV[2]) ~= tonumber(stored[2] or 0) or tonumber(ARGV[9]) ~= tonumber(stored[5] or 0) then return 3 end

-- unpack() is limited by Lua's stack
local function bulk(command, key, values)
    for first = 1, #values, 4000 do
        redis.call(command, key, unpack(values, first, math.min(first + 3999, #values)))
    end
end

local at = 10
local session_count = #KEYS - 4 - bucket_count
local due_set, due_gone, recent_set, gone = {}, {}, {}, {}
for i = 1, session_count do
    local key = KEYS[4 + bucket_count + i]
    local id, value, time, moment = ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
    at = at + 4
    if value == '' then
        redis.call('UNLINK', key)
        gone[#gone + 1] = id
        due_gone[#due_gone + 1] = id
    else
        redis.call('SET', key, value, 'PX', ARGV[5])
        recent_set[#recent_set + 1] = time
        recent_set[#recent_set + 1] = id
        if moment == '' then
            due_gone[#due_gone + 1] = id
        else
            due_set[#due_set + 1] = moment
            due_set[#due_set + 1] = id
        end
    end
end
bulk('ZADD', due, due_set)
bulk('ZREM', due, due_gone)
bulk('ZADD', recent, recent_set)
bulk('ZREM', recent, gone)
redis.call('ZREMRANGEBYRANK', recent, 0, -1 - tonumber(ARGV[6]))

local bucket = tonumber(ARGV[7])
local last = tonumber(stored[3] or bucket)
if bucket < last then bucket = last end
for entered = last + 1, math.min(bucket, last + bucket_count) do
    redis.call('UNLINK', KEYS[5 + entered % bucket_count])
end
-- where the clock leapt over more buckets than there are, all were emptied above
local ids, seen_end = {}, tonumber(ARGV[at + 1])
at = at + 1
for i = at + 1, at + seen_end do ids[#ids + 1] = ARGV[i] end
bulk('SADD', KEYS[5 + bucket % bucket_count], ids)
at = at + seen_end

local number = tonumber(stored[4] or 0)
local outputs = {}
while at < #ARGV do
    number = number + 1
    outputs[#outputs + 1] = ARGV[at + 1]
    outputs[#outputs + 1] = string.format('%016d', number) .. ARGV[at + 2]
    at = at + 2
end
bulk('ZADD', outbox, outputs)

redis.call('HSET', position, 'generation', ARGV[1], 'offset', ARGV[3], 'watermark', ARGV[4],
           'bucket', bucket, 'outputs', number, 'brought', ARGV[10],
           'step', ARGV[3] == ARGV[2] and tonumber(ARGV[9]) + 1 or 0)
return 1
"""

# Sessions that expired leave the index when they are met, or their caller would meet them for ever.
DUE = """
local found = {}
local count = tonumber(ARGV[2])
while true do
    local met = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', #found, count - #found)
    if #met == 0 then return found end
    for _, id in ipairs(met) do
        if redis.call('EXISTS', ARGV[3] .. id) == 1 then
            found[#found + 1] = id
        else
            redis.call('ZREM', KEYS[1], id)
        end
    end
    if #found >= count then return found end
end
"""

# Ids travel once for all buckets, and only the few that were seen come back, as their places among the ids.
SEEN = """
local found = {}
for _, key in ipairs(KEYS) do
    if redis.call('EXISTS', key) == 1 then
        for first = 1, #ARGV, 4000 do
            local answers = redis.call('SMISMEMBER', key, unpack(ARGV, first, math.min(first + 3999, #ARGV)))
            for i = 1, #answers do
                if answers[i] == 1 then found[#found + 1] = first + i - 2 end
            end
        end
    end
end
return found
"""

ORDER_DIGITS = 16

_encode = msgspec.msgpack.Encoder().encode
_decode_session = msgspec.msgpack.Decoder(tuple[bytes, int, int | None, str | None]).decode


class _Waiting(msgspec.Struct, array_like=True):
    """An output as stored; `ordinal` was not written before there were places."""

    id: str
    kind: OutputKind
    key: str
    value: bytes
    offset: int
    ordinal: int = 0


_decode_output = msgspec.msgpack.Decoder(_Waiting).decode


def session_key(prefix: str, partition: int, session_id: str) -> str:
    """The key of a session, which the decision API reads, too."""
    return f"{prefix}{{p:{partition}}}:s:{session_id}"


def seen_keys(prefix: str, partition: int) -> list[str]:
    """The keys of the ids seen, which the decision API reads, too."""
    return [f"{prefix}{{p:{partition}}}:seen:{number}" for number in range(BUCKETS)]


def decode_session(value: bytes) -> SessionState:
    """A session as stored."""
    return SessionState(*_decode_session(value))


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

    def claim(self, partition: int, generation: int) -> Position | None:
        """Store the generation where it is not older than the stored one."""
        with self._address.explained():
            found = self._claim(keys=[self._key(partition, "position")], args=[generation])
        return None if found is None else Position(*found)

    def position(self, partition: int) -> Position:
        """Read the hash."""
        with self._address.explained():
            found: Any = self._redis.hmget(self._key(partition, "position"), "offset", "watermark", "step", "brought")
        return Position(*[int(each or 0) for each in found])

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
            places = self._seen(keys=self._bucket_keys(partition), args=ids)
        return {ids[place] for place in places}

    def apply(self, batch: StateBatch) -> Applied:
        """Check owner and offset and write all parts in one script."""
        partition, prefix = batch.partition, self._address.prefix
        keys = [self._key(partition, name) for name in ("position", "due", "recent", "outbox")]
        keys += self._bucket_keys(partition)
        keys += [session_key(prefix, partition, session_id) for session_id in batch.sessions]
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
        ]
        for session_id, state in batch.sessions.items():
            value = (
                b"" if state.snapshot is None else _encode((state.snapshot, state.time, state.due, state.customer_id))
            )
            arguments += (session_id, value, state.time, "" if state.due is None else state.due)
        arguments.append(len(batch.seen))
        arguments += batch.seen
        for output in batch.outputs:
            payload = _encode((output.id, output.kind, output.key, output.value, output.offset, output.ordinal))
            arguments += (output.offset, payload)
        with self._address.explained():
            return ANSWERS[self._apply(keys=keys, args=arguments)]

    def outbox(self, partition: int) -> Sequence[Output]:
        """Read what is not yet trimmed, by offset, then as written."""
        with self._address.explained():
            members: Any = self._redis.zrange(self._key(partition, "outbox"), 0, -1)
        waiting = [_decode_output(member[ORDER_DIGITS:]) for member in members]
        return [Output(each.id, each.kind, each.key, each.value, each.offset, each.ordinal) for each in waiting]

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

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()

    def _key(self, partition: int, name: str) -> str:
        return f"{self._address.prefix}{{p:{partition}}}:{name}"

    def _bucket_keys(self, partition: int) -> list[str]:
        return seen_keys(self._address.prefix, partition)
