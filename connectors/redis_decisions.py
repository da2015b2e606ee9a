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

import redis

from connectors.redis_client import RedisAddress
from connectors.redis_line import Command, Line, send
from engine.ports import LogEntry
from engine.values import EpochMs, Millis

KEEP_MS: Millis = 7 * 86_400_000
PER_SESSION = 500
RECENT = 10_000
WRITTEN_AT_ONCE = 64
"""Entries that are packed in one go in an event loop: half a millisecond in which nobody is answered."""


class _Keys:
    """The keys, and the commands that write."""

    def __init__(self, prefix: str, keep_ms: Millis) -> None:
        self._entries = f"{prefix}decision:"
        self._inputs = f"{prefix}decision:i:"
        self._sessions = f"{prefix}decisions:s:"
        self.all = f"{prefix}decisions"
        self._keep_ms = str(keep_ms).encode()

    def entry(self, decision_id: str) -> str:
        return self._entries + decision_id

    def inputs(self, decision_id: str) -> str:
        return self._inputs + decision_id

    def session(self, session_id: str) -> str:
        return self._sessions + session_id

    def append(self, entries: Sequence[LogEntry]) -> list[Command]:
        """Write entries, and where they are found."""
        commands: list[Command] = []
        by_session: dict[str, list[str | int]] = {}
        all_of_them: list[str | int] = []
        for decision_id, session_id, time, entry in entries:
            commands.append(("SET", self.entry(decision_id), entry, "PX", self._keep_ms))
            by_session.setdefault(session_id, []).extend((time, decision_id))
            all_of_them += (time, decision_id)
        for session_id, times in by_session.items():
            key = self.session(session_id)
            commands.append(("ZADD", key, *times))
            commands.append(("ZREMRANGEBYRANK", key, 0, -1 - PER_SESSION))
            commands.append(("PEXPIRE", key, self._keep_ms))
        commands.append(("ZADD", self.all, *all_of_them))
        commands.append(("ZREMRANGEBYRANK", self.all, 0, -1 - RECENT))
        return commands

    def keep_inputs(self, decision_id: str, inputs: bytes) -> Command:
        """Write what a decision was made of."""
        return ("SET", self.inputs(decision_id), inputs, "PX", self._keep_ms)


class RedisDecisionWriter:
    """`DecisionWriter` to one server, for one event loop; it connects with its first call."""

    def __init__(self, address: RedisAddress, *, keep_ms: Millis = KEEP_MS) -> None:
        self._address = address
        self._keys = _Keys(address.prefix, keep_ms)
        self._redis = address.connect_async()
        self._line = Line(address, self._redis)

    async def append(self, entries: Sequence[tuple[LogEntry, bytes | None]]) -> None:
        """One round trip for some dozens."""
        for start in range(0, len(entries), WRITTEN_AT_ONCE):
            part = entries[start : start + WRITTEN_AT_ONCE]
            # What they were made of first: whoever finds a decision finds that, too.
            commands = [self._keys.keep_inputs(entry[0], inputs) for entry, inputs in part if inputs is not None]
            commands += self._keys.append([entry for entry, _ in part])
            with self._address.explained():
                for reply in await self._line.send(commands):
                    if isinstance(reply, redis.RedisError):
                        raise reply

    async def close(self) -> None:
        """Close the connection."""
        await self._line.close()
        await self._redis.aclose()


class RedisDecisions:
    """`DecisionLog` in Redis. An entry with an id that is there replaces it."""

    def __init__(self, address: RedisAddress, *, keep_ms: Millis = KEEP_MS) -> None:
        self._address = address
        self._keys = _Keys(address.prefix, keep_ms)
        self._redis = address.connect()

    def append(self, entries: Sequence[LogEntry]) -> None:
        """Write in one round trip."""
        if entries:
            send(self._address, self._redis, self._keys.append(entries))

    def keep_inputs(self, entries: Sequence[tuple[str, EpochMs, bytes]]) -> None:
        """Write in one round trip."""
        if entries:
            commands = [self._keys.keep_inputs(decision_id, inputs) for decision_id, _, inputs in entries]
            send(self._address, self._redis, commands)

    def get(self, decision_id: str) -> bytes | None:
        """Read one."""
        return self._read(self._keys.entry(decision_id))

    def inputs(self, decision_id: str) -> bytes | None:
        """Read what one was made of."""
        return self._read(self._keys.inputs(decision_id))

    def of_session(self, session_id: str, limit: int) -> Sequence[bytes]:
        """Read a session's, latest time first: two round trips."""
        return self._latest(self._keys.session(session_id), limit)

    def recent(self, limit: int) -> Sequence[bytes]:
        """Read all sessions', latest time first: two round trips."""
        return self._latest(self._keys.all, limit)

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
                pipe.get(self._keys.entry(decision_id.decode()))
            return [entry for entry in pipe.execute() if entry is not None]  # None: expired before its index
