"""What must come out of a recording, found the slow way: the naive evaluator of the tests over the same rows.

It shares with the product what reads the language and types values. Reading of rows, duplicates, time, sessions and
limits is said again here, without caches, batches or stores.
"""

from __future__ import annotations

import csv
import datetime as dt
import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from engine.activation import FactReader, ScoreAnswer, ScoreStatus
from engine.event import Event, RawEvent
from engine.language.tree import FactRef, LimitScope, Program, Rule, Template, TriggerAction
from engine.ports import partition_of
from engine.vocabulary import Admission, EventRefusedError
from tests.naive.evaluator import Act, Naive, State

DAY = 24 * 3_600_000
TYPES = {"view": "product_viewed", "cart": "cart_added", "purchase": "purchase"}
ATTRIBUTES = ("product_id", "category_id", "category_code", "brand", "price")


@dataclass
class Expected:
    """What must come out.

    Attributes:
        fired: Activations that act, by rule.
        triggers: Messages, by rule.
        live: Sessions that have not ended, by id.
        last_event: Time of the latest event.
    """

    rows: int = 0
    applied: int = 0
    duplicates: int = 0
    dead: int = 0
    late: int = 0
    opened: int = 0
    ended: int = 0
    held_back: int = 0
    limited: int = 0
    fired: Counter[str] = field(default_factory=Counter)
    triggers: Counter[str] = field(default_factory=Counter)
    live: dict[str, Naive] = field(default_factory=dict)
    last_event: int = 0


def no_score(_name: str, _reader: FactReader) -> ScoreAnswer:
    """The rules of the recording ask no model."""
    return ScoreAnswer(ScoreStatus.MISSING)


def expect(path: Path, program: Program, shift: int, partitions: int, lateness: int) -> Expected:
    """Evaluate a file with the columns of REES46, one session after the other within each partition.

    Args:
        path: The CSV file.
        program: The rules.
        shift: Added to every time, ms.
        partitions: Of the event log.
        lateness: Allowed lateness, ms.
    """
    return _Oracle(program, partitions, lateness).run(path, shift)


class _Oracle:
    def __init__(self, program: Program, partitions: int, lateness: int) -> None:
        self.program = program
        self.rules: Mapping[str, Rule] = {rule.id: rule for rule in program.rules}
        self.timeout = program.vocabulary.session_timeout
        self.partitions = partitions
        self.lateness = lateness
        self.watermarks: dict[int, int] = defaultdict(int)
        self.sessions: dict[str, Naive] = {}
        self.customers: dict[str, str | None] = {}
        self.taken: dict[tuple[str, str], list[int]] = defaultdict(list)
        self.found = Expected()

    def run(self, path: Path, shift: int) -> Expected:
        found = self.found
        admission = Admission(self.program.vocabulary)
        seen: set[str] = set()
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                found.rows += 1
                moment = dt.datetime.strptime(row["event_time"], "%Y-%m-%d %H:%M:%S %Z").replace(tzinfo=dt.UTC)
                whole = hashlib.sha256("\x1f".join(cell or "" for cell in row.values()).encode()).hexdigest()
                raw = RawEvent(
                    type=TYPES.get(row["event_type"], row["event_type"]),
                    session_id=row["user_session"] or "",
                    id=whole,
                    time=round(moment.timestamp() * 1000) + shift,
                    customer_id=row["user_id"] or None,
                    attributes={name: row[name] for name in ATTRIBUTES if row[name]},
                )
                try:
                    event = admission.admit(raw, 0)
                except EventRefusedError:
                    found.dead += 1
                    continue
                number = partition_of(event.session_id, self.partitions)
                if whole in seen:
                    found.duplicates += 1
                    continue
                seen.add(whole)
                if event.time < self.watermarks[number]:
                    found.late += 1
                    continue
                found.applied += 1
                found.last_event = max(found.last_event, event.time)
                self._insert(event)
                self.watermarks[number] = max(self.watermarks[number], event.time - self.lateness)
        for name, session in list(self.sessions.items()):
            watermark = self.watermarks[partition_of(name, self.partitions)]
            end = self._end(session)
            self._take(name, session, session.advance(min(watermark, end), no_score))
            if end <= watermark:
                found.ended += 1
                del self.sessions[name]
        found.live = self.sessions
        return found

    def _insert(self, event: Event) -> None:
        name = event.session_id
        session = self.sessions.get(name)
        if session is not None and self._end(session) <= event.time:
            self._take(name, session, session.advance(self._end(session), no_score))
            self.found.ended += 1
            session = None
        if session is None:
            session = self.sessions[name] = Naive(self.program)
            self.found.opened += 1
            self.customers[name] = None
        self.customers[name] = event.customer_id or self.customers[name]
        self._take(name, session, session.insert(event, no_score))

    def _end(self, session: Naive) -> int:
        return max(event.time for event in session.history) + self.timeout

    def _take(self, name: str, session: Naive, acts: list[Act]) -> None:
        """Count acts, and the messages that they send within the limits over sessions."""
        for act in acts:
            if not act.acts:
                self.found.held_back += 1
                continue
            self.found.fired[act.rule] += 1
            rule = self.rules[act.rule]
            state = State(act.time, session.facts, session.derived)
            messages = sum(
                all(session.value(FactRef(hole), state) is not None for hole in holes(action.payload))
                for action in rule.actions
                if isinstance(action, TriggerAction)
            )
            if messages and self._may(rule, name, act.time):
                self.found.triggers[act.rule] += messages
            else:
                self.found.limited += messages

    def _may(self, rule: Rule, name: str, now: int) -> bool:
        keys = []
        for limit in rule.limits:
            if limit.scope is LimitScope.SESSION:
                continue
            assert limit.sliding == DAY, "the oracle knows limits per day only"
            who = "" if limit.scope is LimitScope.TOTAL else (self.customers[name] or f"session {name}")
            acts = self.taken[rule.id, who]
            if sum(at > now - DAY for at in acts) >= limit.most:
                return False
            keys.append((rule.id, who))
        for key in keys:
            self.taken[key].append(now)
        return True


def holes(payload: object) -> set[str]:
    """The facts that a payload names."""
    if isinstance(payload, Template):
        return set(payload.parts[1::2])
    if isinstance(payload, tuple | list):
        parts = [each[1] if isinstance(payload, tuple) and isinstance(each, tuple) else each for each in payload]
        return set().union(*map(holes, parts)) if parts else set()
    return set()
