"""A backend in memory: the real checker, engine and tests beside rules; tables, counters and sessions in dictionaries."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

import rulesets
from admin_ui.backend import Live, Process, Progress, PublishState, SessionSummary, StoredSession
from engine.activation import ScoreAnswer, ScoreFunction, ScoreStatus
from engine.bundle import Bundle, Revision
from engine.decision import Decision
from engine.language import Checked, check
from engine.language.tree import Program, Vocabulary
from engine.ports import ConflictError, PortError, Row
from engine.rete import Network
from engine.testing import TestResult, run_tests
from engine.values import EpochMs
from service.things import Lookup, Things

NOON: EpochMs = 1_795_435_200_000  # Monday 23 November 2026, 12:00 UTC


def shop_sources() -> dict[str, str]:
    """The example shop as it ships."""
    folder = Path(rulesets.__file__).parent / "shop"
    return {file.name: file.read_text("utf-8") for file in sorted(folder.glob("*.yaml"))}


class MemoryTables:
    """`Tables` in a dictionary; versions go on after a deletion, as in the real ones."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], tuple[bytes | None, int]] = {}
        self._versions: dict[str, int] = {}
        self.is_gone = False

    def get(self, table: str, key: str) -> Row | None:
        self._look()
        value, version = self._rows.get((table, key), (None, 0))
        return None if value is None else Row(value, version)

    def put(self, table: str, key: str, value: bytes | None, expected: int | None = None) -> int:
        self._look()
        stored, version = self._rows.get((table, key), (None, 0))
        current = 0 if stored is None else version
        if expected is not None and expected != current:
            raise ConflictError(f"{table}/{key} is at version {current}, expected {expected}")
        if stored is None and value is None:
            return version
        self._rows[table, key] = (value, version + 1)
        self._versions[table] = self._versions.get(table, 0) + 1
        return version + 1

    def rows(self, table: str) -> Mapping[str, Row]:
        self._look()
        found = sorted((key, row) for (name, key), row in self._rows.items() if name == table)
        return {key: Row(value, version) for key, (value, version) in found if value is not None}

    def version(self, table: str) -> int:
        return self._versions.get(table, 0)

    def close(self) -> None:
        """Nothing to let go of."""

    def _look(self) -> None:
        if self.is_gone:
            raise PortError("the tables do not answer")


class MemoryActivity:
    """`Activity` in a dictionary."""

    def __init__(self) -> None:
        self.counts: dict[str, dict[int, int]] = {}

    def add(self, minute: int, counts: Mapping[str, int]) -> None:
        for key, count in counts.items():
            by_minute = self.counts.setdefault(key, {})
            by_minute[minute] = by_minute.get(minute, 0) + count

    def read(self, since_minute: int) -> Mapping[str, Mapping[int, int]]:
        return {
            key: {minute: count for minute, count in by_minute.items() if minute >= since_minute}
            for key, by_minute in self.counts.items()
        }

    def close(self) -> None:
        """Nothing to let go of."""


class MemoryDecisions:
    """`DecisionLog` in a list."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, str, EpochMs, bytes]] = []

    def append(self, entries: Sequence[tuple[str, str, EpochMs, bytes]]) -> None:
        self.entries.extend(entries)

    def keep_inputs(self, entries: Sequence[tuple[str, EpochMs, bytes]]) -> None:
        """The screens never look at them."""

    def inputs(self, decision_id: str) -> bytes | None:
        return None

    def add(self, decision: Decision) -> None:
        """Log a decision."""
        self.append([(decision.id, decision.session_id, decision.time, msgspec.json.encode(decision))])

    def get(self, decision_id: str) -> bytes | None:
        return next((raw for known, _, _, raw in self.entries if known == decision_id), None)

    def of_session(self, session_id: str, limit: int) -> Sequence[bytes]:
        return [raw for _, session, _, raw in reversed(self.entries) if session == session_id][:limit]

    def recent(self, limit: int) -> Sequence[bytes]:
        return [raw for *_, raw in reversed(self.entries)][:limit]

    def close(self) -> None:
        """Nothing to let go of."""


class MemoryBackend:
    """`admin_ui.backend.Backend` of one test; a publication is live at once."""

    def __init__(self, sources: Mapping[str, str] | None = None, time: EpochMs = NOON) -> None:
        self.time = time
        self.tables = MemoryTables()
        self.activity = MemoryActivity()
        self.decisions = MemoryDecisions()
        self.sessions: dict[str, StoredSession] = {}
        self.profiles: dict[str, bytes] = {}
        self.things: dict[str, bytes] = {}
        self.is_catalogue_gone = False
        self.running: list[Process] = []
        self.score: ScoreFunction = lambda _name, _reader: ScoreAnswer(ScoreStatus.OK, 0.2, "test")
        self.compiled: dict[str, Live] = {}
        self.revisions: list[Revision] = []
        self.tickets: dict[str, Progress] = {}
        self.before_publish: Callable[[], None] = lambda: None
        if sources is not None:
            self.publish(sources, "ci", "First revision")

    def successor(self, time: EpochMs) -> MemoryBackend:
        """A backend that begins with the revisions and the people of this one, and shares nothing that changes."""
        fresh = MemoryBackend(time=time)
        fresh.compiled = dict(self.compiled)
        fresh.revisions = list(self.revisions)
        for name, row in self.tables.rows("users").items():
            fresh.tables.put("users", name, row.value)
        return fresh

    def now(self) -> EpochMs:
        return self.time

    def live(self) -> Live | None:
        if not self.revisions:
            return None
        revision = self.revisions[-1]
        return as_revision(self.compiled[revision.bundle], revision)

    def history(self) -> Sequence[Revision]:
        return list(reversed(self.revisions))

    def sources(self, revision: int) -> Mapping[str, str]:
        found = next((each for each in self.revisions if each.number == revision), None)
        if found is None:
            raise KeyError(revision)
        return self.compiled[found.bundle].sources

    def processes(self) -> Sequence[Process]:
        return self.running

    def check(self, sources: Mapping[str, str], previous: Checked | None = None) -> Checked:
        return check(sources, previous)

    def test(self, program: Program, network: Network) -> Sequence[TestResult]:
        return run_tests(program, network)

    def publish(self, sources: Mapping[str, str], author: str, note: str) -> str:
        self.before_publish()
        ticket = f"ticket-{len(self.tickets) + 1}"
        bundle = Bundle(dict(sources))
        program = check(sources).program
        number = len(self.revisions) + 1
        if program is None:
            self.tickets[ticket] = Progress(PublishState.REFUSED, "Publishing", reasons=("the checker says no",))
            return ticket
        revision = Revision(number, bundle.hash, author, self.time, note)
        self.compiled[bundle.hash] = Live(revision, dict(sources), program, Network.build(program, bundle.hash))
        self.revisions.append(revision)
        names = tuple(process.name for process in self.running)
        self.tickets[ticket] = Progress(PublishState.LIVE, "Publishing", names, revision=number)
        return ticket

    def rollback(self, to: int, author: str, reason: str) -> str:
        ticket = f"ticket-{len(self.tickets) + 1}"
        target = next(each for each in self.revisions if each.number == to)
        number = len(self.revisions) + 1
        self.revisions.append(Revision(number, target.bundle, author, self.time, reason, restores=to))
        self.tickets[ticket] = Progress(PublishState.LIVE, f"Going back to revision {to}", revision=number)
        return ticket

    def progress(self, ticket: str) -> Progress | None:
        return self.tickets.get(ticket)

    def recent_sessions(self, limit: int) -> Sequence[SessionSummary]:
        ordered = sorted(self.sessions.values(), key=lambda each: -each.clock)
        return [SessionSummary(each.id, each.customer_id, each.clock) for each in ordered][:limit]

    def session(self, session_id: str) -> StoredSession | None:
        return self.sessions.get(session_id)

    def profile(self, customer_id: str) -> bytes | None:
        return self.profiles.get(customer_id)

    def scores(self) -> ScoreFunction:
        return self.score

    def catalogue(self, vocabulary: Vocabulary) -> Lookup:
        return Lookup(Things(vocabulary), self.time, self.ask_catalogue)

    def ask_catalogue(self, ids: Sequence[str]) -> Mapping[str, bytes]:
        if self.is_catalogue_gone:
            raise PortError("the catalogue does not answer")
        return {each: self.things[each] for each in ids if each in self.things}


def as_revision(compiled: Live, revision: Revision) -> Live:
    """The compiled bundle under another revision's number."""
    return Live(revision, compiled.sources, compiled.program, compiled.network)
