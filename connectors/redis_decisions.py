"""Decisions and exposures in Redis, forgotten after a time.

| key | type | holds |
|---|---|---|
| `decision:<id>` | string | the entry; expires after `keep_ms` |
| `decision:i:<id>` | string | what the decision was made of; expires likewise |
| `decisions:s:<session>` | sorted set | ids of a session's latest `PER_SESSION` entries by time; expires likewise |
| `decisions` | sorted set | ids of the latest `RECENT` entries by time |
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from connectors.redis_client import RedisAddress
from engine.values import EpochMs, Millis

KEEP_MS: Millis = 7 * 86_400_000
PER_SESSION = 500
RECENT = 10_000


AT_ONCE = 100
"""Entries of one call of a script, which Redis carries out in half a millisecond, while reads wait."""

# Keys: the sorted set of all, those of the sessions, the entries. Arguments: 4, then id, time, place of the session among the
# sessions, and value of each entry.
APPEND = """
local keep, sessions = ARGV[1], tonumber(ARGV[4])
for i = 1, #KEYS - 1 - sessions do
    local at = 4 * i
    redis.call('SET', KEYS[1 + sessions + i], ARGV[at + 4], 'PX', keep)
    redis.call('ZADD', KEYS[1 + tonumber(ARGV[at + 3])], ARGV[at + 2], ARGV[at + 1])
    redis.call('ZADD', KEYS[1], ARGV[at + 2], ARGV[at + 1])
end
for i = 2, 1 + sessions do
    redis.call('ZREMRANGEBYRANK', KEYS[i], 0, -1 - tonumber(ARGV[2]))
    redis.call('PEXPIRE', KEYS[i], keep)
end
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -1 - tonumber(ARGV[3]))
"""

KEEP = """
for i, key in ipairs(KEYS) do redis.call('SET', key, ARGV[1 + i], 'PX', ARGV[1]) end
"""


class RedisDecisions:
    """`DecisionLog` in Redis. An entry with an id that is there replaces it.

    It is written by scripts: the commands one by one would cost the writing process more than all else about a decision
    that is made again.
    """

    def __init__(self, address: RedisAddress, *, keep_ms: Millis = KEEP_MS) -> None:
        self._address = address
        self._keep_ms = keep_ms
        self._redis = address.connect()
        self._append = self._redis.register_script(APPEND)
        self._keep = self._redis.register_script(KEEP)

    def append(self, entries: Sequence[tuple[str, str, EpochMs, bytes]]) -> None:
        """Write in one round trip for each `AT_ONCE`."""
        for first in range(0, len(entries), AT_ONCE):
            self._append_some(entries[first : first + AT_ONCE])

    def _append_some(self, entries: Sequence[tuple[str, str, EpochMs, bytes]]) -> None:
        places: dict[str, int] = {}
        arguments: list[str | bytes | int] = []
        for decision_id, session_id, time, entry in entries:
            arguments += (decision_id, time, places.setdefault(session_id, len(places) + 1), entry)
        keys = [self._all, *map(self._session, places), *(self._entry(entry[0]) for entry in entries)]
        with self._address.explained():
            self._append(keys=keys, args=[self._keep_ms, PER_SESSION, RECENT, len(places), *arguments])

    def keep_inputs(self, entries: Sequence[tuple[str, EpochMs, bytes]]) -> None:
        """Write in one round trip for each `AT_ONCE`."""
        for first in range(0, len(entries), AT_ONCE):
            some = entries[first : first + AT_ONCE]
            keys = [self._inputs(decision_id) for decision_id, _, _ in some]
            with self._address.explained():
                self._keep(keys=keys, args=[self._keep_ms, *(inputs for _, _, inputs in some)])

    def get(self, decision_id: str) -> bytes | None:
        """Read one."""
        return self._read(self._entry(decision_id))

    def inputs(self, decision_id: str) -> bytes | None:
        """Read what one was made of."""
        return self._read(self._inputs(decision_id))

    def of_session(self, session_id: str, limit: int) -> Sequence[bytes]:
        """Read a session's, latest time first: two round trips."""
        return self._latest(self._session(session_id), limit)

    def recent(self, limit: int) -> Sequence[bytes]:
        """Read all sessions', latest time first: two round trips."""
        return self._latest(self._all, limit)

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()

    def _read(self, key: str) -> bytes | None:
        with self._address.explained():
            found: Any = self._redis.get(key)
        return None if found is None else bytes(found)

    def _latest(self, index: str, limit: int) -> Sequence[bytes]:
        with self._address.explained(), self._redis.pipeline(transaction=False) as pipe:
            ids: Any = self._redis.zrange(index, 0, limit - 1, desc=True) if limit > 0 else []
            if not ids:
                return []
            for decision_id in ids:
                pipe.get(self._entry(decision_id.decode()))
            return [entry for entry in pipe.execute() if entry is not None]  # None: expired before its index

    @property
    def _all(self) -> str:
        return f"{self._address.prefix}decisions"

    def _entry(self, decision_id: str) -> str:
        return f"{self._address.prefix}decision:{decision_id}"

    def _inputs(self, decision_id: str) -> str:
        return f"{self._address.prefix}decision:i:{decision_id}"

    def _session(self, session_id: str) -> str:
        return f"{self._address.prefix}decisions:s:{session_id}"
