"""Counters by minute in Redis.

| key | type | holds |
|---|---|---|
| `activity:<minute>` | hash | counts by key; expires `keep_minutes` after its last write |
| `activity` | sorted set | the minutes that have one |
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connectors.redis_client import RedisAddress

KEEP_MINUTES = 7 * 24 * 60


class RedisActivity:
    """`Activity` in Redis; minutes more than `keep_minutes` before the one written are forgotten."""

    def __init__(self, address: RedisAddress, *, keep_minutes: int = KEEP_MINUTES) -> None:
        self._address = address
        self._keep_minutes = keep_minutes
        self._redis = address.connect()

    def add(self, minute: int, counts: Mapping[str, int]) -> None:
        """Add all in one round trip."""
        if not counts:
            return
        key = f"{self._address.prefix}activity:{minute}"
        index = f"{self._address.prefix}activity"
        with self._address.explained(), self._redis.pipeline(transaction=False) as pipe:
            for name, count in counts.items():
                pipe.hincrby(key, name, count)
            pipe.expire(key, self._keep_minutes * 60)
            pipe.zadd(index, {str(minute): minute})
            pipe.zremrangebyscore(index, "-inf", f"({minute - self._keep_minutes}")
            pipe.execute()

    def read(self, since_minute: int) -> Mapping[str, Mapping[int, int]]:
        """Read counters from a minute on: two round trips."""
        found: dict[str, dict[int, int]] = {}
        with self._address.explained(), self._redis.pipeline(transaction=False) as pipe:
            members: Any = self._redis.zrangebyscore(f"{self._address.prefix}activity", since_minute, "+inf")
            minutes = [int(member) for member in members]
            if not minutes:
                return found
            for minute in minutes:
                pipe.hgetall(f"{self._address.prefix}activity:{minute}")
            for minute, counts in zip(minutes, pipe.execute(), strict=True):
                for name, count in counts.items():
                    found.setdefault(name.decode(), {})[minute] = int(count)
        return found

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()
