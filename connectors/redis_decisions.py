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
from connectors.redis_line import Command, send
from engine.values import EpochMs, Millis

KEEP_MS: Millis = 7 * 86_400_000
PER_SESSION = 500
RECENT = 10_000


class RedisDecisions:
    """`DecisionLog` in Redis. An entry with an id that is there replaces it."""

    def __init__(self, address: RedisAddress, *, keep_ms: Millis = KEEP_MS) -> None:
        self._address = address
        self._keep_ms = keep_ms
        self._redis = address.connect()

    def append(self, entries: Sequence[tuple[str, str, EpochMs, bytes]]) -> None:
        """Write in one round trip."""
        if not entries:
            return
        commands: list[Command] = []
        by_session: dict[str, list[str | int]] = {}
        all_of_them: list[str | int] = []
        for decision_id, session_id, time, entry in entries:
            commands.append(("SET", self._entry(decision_id), entry, "PX", self._keep_ms))
            by_session.setdefault(session_id, []).extend((time, decision_id))
            all_of_them += (time, decision_id)
        for session_id, times in by_session.items():
            key = self._session(session_id)
            commands.append(("ZADD", key, *times))
            commands.append(("ZREMRANGEBYRANK", key, 0, -1 - PER_SESSION))
            commands.append(("PEXPIRE", key, self._keep_ms))
        commands.append(("ZADD", self._all, *all_of_them))
        commands.append(("ZREMRANGEBYRANK", self._all, 0, -1 - RECENT))
        send(self._address, self._redis, commands)

    def keep_inputs(self, entries: Sequence[tuple[str, EpochMs, bytes]]) -> None:
        """Write in one round trip."""
        keep = self._keep_ms
        if entries:
            commands = [("SET", self._inputs(decision_id), inputs, "PX", keep) for decision_id, _, inputs in entries]
            send(self._address, self._redis, commands)

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
