"""Every port in SQLite files of one folder: nothing to install, several processes of one machine.

| file | holds |
|---|---|
| `events.db` | the event log, offsets told to the group, leases of readers |
| `state.db` | sessions, offsets, seen ids, outbox |
| `outputs.db` | triggers, dead letters, late events |
| `limits.db` | caps and budgets |
| `grants.db` | what was last granted to each session, identities of customers |
| `profiles.db` | facts of customers |
| `catalogue.db` | facts of things |
| `decisions.db` | decisions and exposures |
| `activity.db` | counters by minute |
| `tables.db` | control tables |

The folder must be on a disk of this machine: SQLite's write-ahead log does not work on network file systems.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, TypeVar

from connectors.sqlite_activity import SqliteActivity
from connectors.sqlite_decisions import SqliteDecisions
from connectors.sqlite_events import SqliteEventLog
from connectors.sqlite_facts import SqliteFacts
from connectors.sqlite_grants import SqliteGrants
from connectors.sqlite_limits import SqliteLimits
from connectors.sqlite_outputs import SqliteOutputs
from connectors.sqlite_source import SqliteEventSource
from connectors.sqlite_state import SqliteState
from connectors.sqlite_tables import SqliteTables
from engine.identity import Identity
from engine.ports import Claim, SessionView, Verdict, partition_of
from engine.values import EpochMs, Millis

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Embedded:
    """Opens the ports of a folder; each call opens anew, and its caller closes it.

    Attributes:
        folder: Made where it is missing.
        partitions: How many a new event log gets; one that exists keeps its own.
        retention_ms: Events older than this are forgotten; None keeps them. The default is Kafka's.
    """

    folder: Path
    partitions: int = 8
    retention_ms: Millis | None = 7 * 86_400_000

    def event_log(self) -> SqliteEventLog:
        """The writing end of the log."""
        return SqliteEventLog(self.folder / "events.db", self.partitions, retention_ms=self.retention_ms)

    def event_source(self, group: str = "worker") -> SqliteEventSource:
        """The reading end of the log, as a member of a group."""
        return SqliteEventSource(self.folder / "events.db", group, partitions=self.partitions)

    def state(self) -> SqliteState:
        """Sessions, offsets, seen ids, outbox."""
        return SqliteState(self.folder / "state.db")

    def outputs(self) -> SqliteOutputs:
        """Triggers, dead letters, late events."""
        return SqliteOutputs(self.folder / "outputs.db")

    def limits(self) -> SqliteLimits:
        """Caps and budgets."""
        return SqliteLimits(self.folder / "limits.db")

    def profiles(self) -> SqliteFacts:
        """Facts of customers."""
        return SqliteFacts(self.folder / "profiles.db")

    def catalogue(self) -> SqliteFacts:
        """Facts of things."""
        return SqliteFacts(self.folder / "catalogue.db")

    def identities(self) -> SqliteGrants:
        """Identities of customers."""
        return SqliteGrants(self.folder / "grants.db")

    def decisions(self) -> SqliteDecisions:
        """Decisions and exposures."""
        return SqliteDecisions(self.folder / "decisions.db")

    def decision_writer(self) -> None:
        """None: files are written by threads."""

    def activity(self) -> SqliteActivity:
        """Counters by minute."""
        return SqliteActivity(self.folder / "activity.db")

    def tables(self) -> SqliteTables:
        """Control tables."""
        return SqliteTables(self.folder / "tables.db")

    def decision_state(self) -> EmbeddedDecisionState:
        """What the decision API reads and takes."""
        source = self.event_source()
        try:
            partitions = len(source.ends())
        finally:
            source.close()
        grants = SqliteGrants(self.folder / "grants.db")
        return EmbeddedDecisionState(self.state(), self.profiles(), self.catalogue(), self.limits(), grants, partitions)


class EmbeddedDecisionState:
    """`DecisionState` over the synchronous stores, all of which it owns, in one thread of its own.

    One thread, since SQLite has one writer anyway, and a read takes some tens of microseconds.
    """

    def __init__(
        self,
        state: SqliteState,
        profiles: SqliteFacts,
        catalogue: SqliteFacts,
        limits: SqliteLimits,
        grants: SqliteGrants,
        partitions: int,
    ) -> None:
        self._state = state
        self._profiles = profiles
        self._catalogue = catalogue
        self._limits = limits
        self._grants = grants
        self._partitions = partitions
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="decision state")

    async def read(self, session_id: str, customer_id: str | None, ids: Sequence[str] = ()) -> SessionView:
        """Read everything in one visit to the thread."""
        return await self._run(self._read, session_id, customer_id, ids)

    async def things(self, ids: Sequence[str]) -> Mapping[str, bytes]:
        """As `SqliteFacts.get`."""
        return await self._run(self._catalogue.get, ids)

    async def take(self, claims: Sequence[Claim], slots: int, now: EpochMs, hold: Millis | None) -> Sequence[Verdict]:
        """As `SqliteLimits.take`."""
        return await self._run(self._limits.take, claims, slots, now, hold)

    async def confirm(self, token: str, now: EpochMs) -> bool:
        """As `SqliteLimits.confirm`."""
        return await self._run(self._limits.confirm, token, now)

    async def put_grants(self, session_id: str, grants: Mapping[str, bytes], keep: Millis) -> None:
        """Replace all grants of the session."""
        await self._run(self._grants.put, session_id, grants, keep)

    async def identify(self, customer_id: str, session_id: str, *, was_anonymous: bool) -> Identity:
        """As `SqliteGrants.identify`."""
        return await self._run(self._grants.identify, customer_id, session_id, was_anonymous=was_anonymous)

    async def forget_identity(self, customer_id: str) -> None:
        """As `SqliteGrants.forget_identity`."""
        await self._run(self._grants.forget_identity, customer_id)

    async def close(self) -> None:
        """Let running calls end, then close the files."""
        await asyncio.to_thread(self._thread.shutdown)
        for store in (self._state, self._profiles, self._catalogue, self._limits, self._grants):
            store.close()

    def _read(self, session_id: str, customer_id: str | None, ids: Sequence[str]) -> SessionView:
        state, seen = self._state.load_with_seen(partition_of(session_id, self._partitions), session_id, ids)
        customer = customer_id if customer_id is not None or state is None else state.customer_id
        profile = None if customer is None else self._profiles.get([customer]).get(customer)
        identity = None if customer is None else self._grants.identity(customer)
        return SessionView(state, profile, self._grants.get(session_id), identity, seen)

    async def _run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: call(*args, **kwargs))
