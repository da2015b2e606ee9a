"""Facts of customers, or of things of the catalogue, in Redis, without expiry.

| key | type | holds |
|---|---|---|
| `profile:<customer>`, `thing:<kind>/<key>` | string | JSON; before it `<partition>:<offset>` and a line feed, where it came from a topic; `-` of who was forgotten, which expires |
| `profile:followed`, `thing:followed` | hash | the next offset of each partition of the topic |

What a topic says of a key is taken by a script that compares the offsets, so that a reader that was frozen, or one that begins
again after Redis lost something, brings nothing older back. Each key stands for itself: they may lie on different nodes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

from connectors.redis_client import RedisAddress
from engine.facts import FORGOTTEN_MS, FactChange

Kind = Literal["profile", "thing"]

FORGOTTEN = b"-"

# Of what a topic deleted it is known as long: a reader that was frozen for longer has lost its partitions.
TAKE = """
local stored = redis.call('GET', KEYS[1])
if stored == '-' then return -1 end
if stored then
    local partition, offset = string.match(stored, '^(%d+):(%d+)\\n')
    if partition == ARGV[1] and tonumber(offset) >= tonumber(ARGV[2]) then return 0 end
end
local value = ARGV[1] .. ':' .. ARGV[2] .. '\\n' .. ARGV[3]
if ARGV[3] == '' then redis.call('SET', KEYS[1], value, 'PX', ARGV[4]) else redis.call('SET', KEYS[1], value) end
return 1
"""

NOTE = """
if tonumber(redis.call('HGET', KEYS[1], ARGV[1]) or 0) ~= tonumber(ARGV[2]) then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1
"""

# What another system says: not of who was forgotten, or deleted by a topic.
LEARN = """
local stored = redis.call('GET', KEYS[1])
if stored and (stored == '-' or string.find(stored, '^%d+:%d+\\n$')) then return 0 end
redis.call('SET', KEYS[1], ARGV[1])
return 1
"""


def facts_key(prefix: str, kind: Kind, id_: str) -> str:
    """The key of facts, which the decision API reads, too."""
    return f"{prefix}{kind}:{id_}"


def read_facts(value: bytes | None) -> bytes | None:
    """The JSON of a stored value; None where there is none, or it was deleted; `{}` of who was forgotten."""
    if value == FORGOTTEN:
        return b"{}"
    if value is None or not value[:1].isdigit():
        return value
    return value[value.index(b"\n") + 1 :] or None


class RedisFacts:
    """`FactStore` in Redis."""

    def __init__(self, address: RedisAddress, kind: Kind) -> None:
        self._address = address
        self._kind: Kind = kind
        self._followed = f"{address.prefix}{kind}:followed"
        self._redis = address.connect()
        self._take = self._redis.register_script(TAKE)
        self._note = self._redis.register_script(NOTE)
        self._learn = self._redis.register_script(LEARN)

    def get(self, ids: Sequence[str]) -> Mapping[str, bytes]:
        """Read in one round trip."""
        if not ids:
            return {}
        with self._address.explained(), self._redis.pipeline(transaction=False) as pipe:
            for id_ in ids:
                pipe.get(self._key(id_))
            found = zip(ids, map(read_facts, pipe.execute()), strict=True)
        return {id_: facts for id_, facts in found if facts is not None}

    def put(self, facts: Mapping[str, bytes | None]) -> None:
        """Write in one round trip; each by itself."""
        if not facts:
            return
        with self._address.explained(), self._redis.pipeline(transaction=False) as pipe:
            for id_, value in facts.items():
                if value is None:
                    pipe.delete(self._key(id_))
                else:
                    pipe.set(self._key(id_), value)
            pipe.execute()

    def forget(self, ids: Sequence[str]) -> None:
        """Write the mark in one round trip."""
        if not ids:
            return
        with self._address.explained(), self._redis.pipeline(transaction=False) as pipe:
            for id_ in ids:
                pipe.set(self._key(id_), FORGOTTEN, px=FORGOTTEN_MS)
            pipe.execute()

    def learn(self, facts: Mapping[str, bytes]) -> Collection[str]:
        """Write each by the script, in one round trip."""
        if not facts:
            return []
        with self._address.explained(), self._redis.pipeline(transaction=False) as pipe:
            for id_, value in facts.items():
                self._learn(keys=[self._key(id_)], args=[value], client=pipe)
            taken = pipe.execute()
        return [id_ for id_, is_taken in zip(facts, taken, strict=True) if not is_taken]

    def follow(self, partition: int, begin: int, changes: Sequence[FactChange]) -> int | None:
        """Take each by the script, then note the offset where it is as expected: what is taken twice changes nothing."""
        if not changes:
            return 0
        with self._address.explained(), self._redis.pipeline(transaction=False) as pipe:
            for each in changes:
                self._take(
                    keys=[self._key(each.id)],
                    args=[partition, each.offset, each.facts or b"", FORGOTTEN_MS],
                    client=pipe,
                )
            answers = pipe.execute()
            if not self._note(keys=[self._followed], args=[partition, begin, changes[-1].offset + 1]):
                return None
        return sum(1 for each, answer in zip(changes, answers, strict=True) if answer < 0 and each.facts)

    def followed(self) -> Mapping[int, int]:
        """Read the hash."""
        with self._address.explained():
            found: Any = self._redis.hgetall(self._followed)
        return {int(partition): int(offset) for partition, offset in found.items()}

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()

    def _key(self, id_: str) -> str:
        return facts_key(self._address.prefix, self._kind, id_)
