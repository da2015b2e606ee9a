"""The stores of the small shop, in dicts: slow, full, gone or well, as the test wants."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from engine.identity import Identity, identified
from engine.offers import MemoryLimits
from engine.ports import LogFullError, NewRecord, PortError, Row, SessionState, SessionView, Verdict


class FakeLog:
    """An event log in a list."""

    partitions = 1

    def __init__(self) -> None:
        self.records: list[NewRecord] = []
        self.full = False
        self.fails = False
        self.silent = False

    def append(self, records: Sequence[NewRecord], done: Callable[[PortError | None], None]) -> None:
        if self.full:
            raise LogFullError("50000 records wait")
        if self.silent:
            return
        if self.fails:
            done(PortError("the disk is full"))
            return
        self.records.extend(records)
        done(None)

    def flush(self, timeout_ms: int) -> None:
        pass

    def close(self) -> None:
        pass


class FakeState:
    """`DecisionState` in dicts; `gone` and `delay_s` make it fail, and reads wait for an `opened` gate."""

    def __init__(self) -> None:
        self.sessions: dict[str, SessionState] = {}
        self.profiles: dict[str, bytes] = {}
        self.grants: dict[str, Mapping[str, bytes]] = {}
        self.identities: dict[str, Identity] = {}
        self.seen: set[str] = set()
        self.limits = MemoryLimits()
        self.catalogue: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.gone = False
        self.limits_gone = False
        self.things_gone = False
        self.delay_s = 0.0
        self.opened: asyncio.Event | None = None
        self.reads = 0
        self.puts = 0

    async def read(self, session_id: str, customer_id: str | None, ids: Sequence[str] = ()) -> SessionView:
        self.reads += 1
        await asyncio.sleep(self.delay_s)
        if self.opened is not None:
            await self.opened.wait()
        if self.gone:
            raise PortError("connection refused")
        state = self.sessions.get(session_id)
        customer = customer_id or (state.customer_id if state else None)
        return SessionView(
            state,
            self.profiles.get(customer or ""),
            self.grants.get(session_id, {}),
            self.identities.get(customer or ""),
            frozenset(ids) & self.seen,
        )

    async def things(self, ids: Sequence[str]) -> Mapping[str, bytes]:
        self.asked += list(ids)
        await asyncio.sleep(self.delay_s)
        if self.gone or self.things_gone:
            raise PortError("connection refused")
        return {each: self.catalogue[each] for each in ids if each in self.catalogue}

    async def identify(self, customer_id: str, session_id: str, *, was_anonymous: bool) -> Identity:
        if self.gone:
            raise PortError("connection refused")
        known = self.identities.get(customer_id)
        found = identified(known, customer_id, session_id, was_anonymous=was_anonymous)
        self.identities[customer_id] = found
        return found

    async def forget_identity(self, customer_id: str) -> None:
        self.identities.pop(customer_id, None)

    async def take(self, claims: Any, slots: int, now: int, hold: int | None) -> Sequence[Verdict]:
        if self.gone or self.limits_gone:
            raise PortError("connection refused")
        return self.limits.take(claims, slots, now, hold)

    async def confirm(self, token: str, now: int) -> bool:
        if self.gone or self.limits_gone:
            raise PortError("connection refused")
        return self.limits.confirm(token, now)

    async def put_grants(self, session_id: str, grants: Mapping[str, bytes], keep: int) -> None:
        self.puts += 1
        self.grants[session_id] = dict(grants)

    async def close(self) -> None:
        pass


class Decisions:
    """The decision log and the counters, in dicts."""

    def __init__(self) -> None:
        self.entries: dict[str, tuple[str, int, bytes]] = {}
        self.made_of: dict[str, bytes] = {}
        self.counts: dict[str, int] = {}
        self.gone = False

    def _check(self) -> None:
        if self.gone:
            raise PortError("no answer")

    def append(self, entries: Any) -> None:
        self._check()
        self.entries.update({each: (session, at, raw) for each, session, at, raw in entries})

    def of_session(self, session_id: str, limit: int) -> list[bytes]:
        self._check()
        return [raw for session, _, raw in reversed(self.entries.values()) if session == session_id][:limit]

    def recent(self, limit: int) -> list[bytes]:
        self._check()
        return [raw for _, _, raw in reversed(self.entries.values())][:limit]

    def close(self) -> None:
        pass

    def add(self, minute: int, counts: Mapping[str, int]) -> None:
        self._check()
        for key, count in counts.items():
            self.counts[key] = self.counts.get(key, 0) + count

    def keep_inputs(self, entries: Any) -> None:
        self._check()
        self.made_of.update({each: raw for each, _, raw in entries})

    def inputs(self, decision_id: str) -> bytes | None:
        self._check()
        return self.made_of.get(decision_id)

    def get(self, decision_id: str) -> bytes | None:
        self._check()
        found = self.entries.get(decision_id)
        return None if found is None else found[2]


class Profiles:
    """Profiles, where `FakeState` reads them."""

    def __init__(self, state: FakeState) -> None:
        self.state = state

    def put(self, profiles: Mapping[str, bytes | None]) -> None:
        if self.state.gone:
            raise PortError("connection refused")
        for customer, raw in profiles.items():
            if raw is None:
                self.state.profiles.pop(customer, None)
            else:
                self.state.profiles[customer] = raw

    def forget(self, customers: Sequence[str]) -> None:
        self.put(dict.fromkeys(customers))


class MemoryTables:
    """Control tables in a dict."""

    def __init__(self) -> None:
        self.written: dict[str, dict[str, Row]] = {}

    def get(self, table: str, key: str) -> Row | None:
        return self.written.get(table, {}).get(key)

    def put(self, table: str, key: str, value: bytes | None, expected: int | None = None) -> int:
        row = self.get(table, key)
        version = (row.version if row else 0) + 1
        self.written.setdefault(table, {})[key] = Row(value or b"", version)
        return version

    def rows(self, table: str) -> Mapping[str, Row]:
        return dict(sorted(self.written.get(table, {}).items()))

    def version(self, table: str) -> int:
        return sum(row.version for row in self.written.get(table, {}).values())

    def close(self) -> None:
        pass
