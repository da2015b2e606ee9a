"""What the control tables hold about publishing, typed: revisions, the live pointer, stages, answers, processes.

| table | key | row |
|---|---|---|
| `bundles` | bundle hash | the bundle's bytes |
| `digests` | bundle hash | digests of its rules, for sessions that an older revision wrote |
| `revisions` | number, ten digits | `Revision` |
| `publishing` | `live`, `staged`, `refusal`, `folder` | `Revision`, `Stage`, `Refusal`, `FolderReport` |
| `answers` | stage id / process | `Answer` |
| `processes` | process | `ProcessReport` |

`publishing` is written only when something happens, so that its version is cheap to poll; heartbeats are elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import msgspec

from engine.bundle import Bundle, Revision
from engine.ports import Row, Tables
from engine.values import EpochMs, Millis

BUNDLES = "bundles"
DIGESTS = "digests"
REVISIONS = "revisions"
PUBLISHING = "publishing"
ANSWERS = "answers"
PROCESSES = "processes"

LIVE = "live"
STAGED = "staged"
REFUSAL = "refusal"
FOLDER = "folder"

BEAT_MS: Millis = 1_000
DEAD_AFTER_MS: Millis = 3_000  # three heartbeats missed
FORGET_AFTER_MS: Millis = 3_600_000  # an ended process is shown for an hour

SERVING_ROLES = frozenset({"api", "worker"})
"""Who must agree before a revision goes live: the processes that decide by it."""

ANCESTORS = 200
"""How many former bundles a process knows the rules of. A session lives for hours; 200 publications last longer."""


class Stage(msgspec.Struct, frozen=True):
    """A revision that the processes are asked to load. `until`: after it, another publisher may take its place."""

    id: str
    revision: Revision
    until: EpochMs


class Answer(msgspec.Struct, frozen=True):
    """What a process says to a stage; `reason` is set where it refuses."""

    process: str
    accepted: bool
    time: EpochMs
    reason: str = ""


class ProcessReport(msgspec.Struct, frozen=True):
    """A process's heartbeat.

    Attributes:
        name: Unique, e.g. `worker-host-4711`.
        role: `api`, `worker` or `admin`.
        seen: When it was written.
        revision: The revision that it serves, None before it has one.
        problem: What is wrong with it, in its own words; empty when nothing is.
        counts: Its counters since it started (the worker's events read, applied, ...).
        is_compiled: Whether it runs the network as machine code, not in Python.
    """

    name: str
    role: str
    seen: EpochMs
    started: EpochMs
    revision: int | None = None
    problem: str = ""
    counts: Mapping[str, int] = {}
    is_compiled: bool = False

    def is_live(self, now: EpochMs) -> bool:
        """Whether its last heartbeat is recent."""
        return now - self.seen < DEAD_AFTER_MS


class Refusal(msgspec.Struct, frozen=True):
    """The last publication that was refused."""

    time: EpochMs
    author: str
    note: str
    reasons: tuple[str, ...]


class FolderReport(msgspec.Struct, frozen=True):
    """What became of the watched folder.

    Attributes:
        seen: Hash of the content that was last published or refused; it is not tried again.
        held: Content that a rollback took out of service; it is held back until the folder changes.
        problem: Why the content of the folder is not live, empty when it was published.
        unreadable: Why the folder can't be read just now, empty when it can.
    """

    path: str = ""
    seen: str | None = None
    held: str | None = None
    time: EpochMs = 0
    problem: str = ""
    unreadable: str = ""


Item = TypeVar("Item", bound=msgspec.Struct)


class Control:
    """Typed reading and writing of the tables of this page; `tables` decides how failures show (`PortError`)."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables

    def version(self) -> int:
        """Grows when something was staged, flipped, refused or withdrawn."""
        return self.tables.version(PUBLISHING)

    # -------------------------------------------------------------- revisions

    def live(self) -> tuple[Revision | None, int]:
        """What is live, and the version of the pointer for a compare-and-set (0 before the first)."""
        row = self.tables.get(PUBLISHING, LIVE)
        return (None, 0) if row is None else (_read(row, Revision), row.version)

    def history(self) -> list[Revision]:
        """All revisions that ever went live, newest first."""
        live, _ = self.live()
        if live is None:
            return []
        revisions = (_read(row, Revision) for row in self.tables.rows(REVISIONS).values())
        # One above the live number is of a publisher that ended between its two writes: it never was live.
        return sorted((r for r in revisions if r.number <= live.number), key=lambda r: -r.number)

    def revision(self, number: int) -> Revision | None:
        """One that was live once."""
        live, _ = self.live()
        row = self.tables.get(REVISIONS, _key(number))
        return None if row is None or live is None or number > live.number else _read(row, Revision)

    def record(self, revision: Revision, expected: int) -> None:
        """Write a revision's row, where it still is at the expected version (`row_version`)."""
        self.tables.put(REVISIONS, _key(revision.number), msgspec.json.encode(revision), expected)

    def row_version(self, number: int) -> int:
        """The version of a revision's row, 0 where there is none."""
        row = self.tables.get(REVISIONS, _key(number))
        return 0 if row is None else row.version

    def flip(self, revision: Revision, expected: int) -> None:
        """Make a revision live; raises `ConflictError` where the pointer moved meanwhile."""
        self.tables.put(PUBLISHING, LIVE, msgspec.json.encode(revision), expected)

    # -------------------------------------------------------------- bundles

    def bundle(self, bundle_hash: str) -> Bundle:
        """A stored bundle, its hash checked; raises `KeyError` where there is none, `BundleError` where damaged."""
        row = self.tables.get(BUNDLES, bundle_hash)
        if row is None:
            raise KeyError(bundle_hash)
        return Bundle.from_bytes(row.value, bundle_hash)

    def store(self, bundle: Bundle, digests: frozenset[str]) -> None:
        """Keep a bundle and the digests of its rules."""
        bundle_hash = bundle.hash
        if self.tables.get(BUNDLES, bundle_hash) is None:
            self.tables.put(BUNDLES, bundle_hash, bundle.to_bytes())
        if self.tables.get(DIGESTS, bundle_hash) is None:
            self.tables.put(DIGESTS, bundle_hash, msgspec.json.encode(sorted(digests)))

    def ancestry(self) -> dict[str, frozenset[str]]:
        """Digests of the rules of the latest bundles, by bundle hash."""
        bundles = list(dict.fromkeys(revision.bundle for revision in self.history()))[:ANCESTORS]
        rows = ((each, self.tables.get(DIGESTS, each)) for each in bundles)
        return {each: frozenset(msgspec.json.decode(row.value, type=list[str])) for each, row in rows if row}

    # -------------------------------------------------------------- stages

    def staged(self) -> tuple[Stage | None, int]:
        """What is staged, and the row's version."""
        row = self.tables.get(PUBLISHING, STAGED)
        return (None, 0) if row is None else (_read(row, Stage), row.version)

    def stage(self, stage: Stage, expected: int) -> int:
        """Ask the processes to load; the stage is also what keeps two publishers apart (`ConflictError`)."""
        return self.tables.put(PUBLISHING, STAGED, msgspec.json.encode(stage), expected)

    def unstage(self, expected: int) -> None:
        """Withdraw a stage."""
        self.tables.put(PUBLISHING, STAGED, None, expected)

    def answer(self, stage: Stage, answer: Answer) -> None:
        """A process says yes or no."""
        self.tables.put(ANSWERS, f"{stage.id}/{answer.process}", msgspec.json.encode(answer))

    def answers(self, stage: Stage) -> dict[str, Answer]:
        """Answers to a stage by process."""
        rows = self.tables.rows(ANSWERS)
        found = (_read(row, Answer) for key, row in rows.items() if key.startswith(f"{stage.id}/"))
        return {answer.process: answer for answer in found}

    def forget_answers(self) -> None:
        """Clear the answers to all stages but the present one."""
        stage, _ = self.staged()
        for key in self.tables.rows(ANSWERS):
            if stage is None or not key.startswith(f"{stage.id}/"):
                self.tables.put(ANSWERS, key, None)

    # -------------------------------------------------------------- reports

    def beat(self, report: ProcessReport) -> None:
        """Write a heartbeat."""
        self.tables.put(PROCESSES, report.name, msgspec.json.encode(report))

    def leave(self, name: str) -> None:
        """A process ends in order: it is no longer waited for."""
        self.tables.put(PROCESSES, name, None)

    def processes(self, now: EpochMs) -> list[ProcessReport]:
        """Processes heard of in the last hour, by name; older rows are cleared away."""
        found = []
        for name, row in self.tables.rows(PROCESSES).items():
            report = _read(row, ProcessReport)
            if now - report.seen < FORGET_AFTER_MS:
                found.append(report)
            else:
                self.tables.put(PROCESSES, name, None)
        return found

    def serving(self, now: EpochMs) -> list[str]:
        """Names of the live processes that decide."""
        return [each.name for each in self.processes(now) if each.role in SERVING_ROLES and each.is_live(now)]

    def refuse(self, refusal: Refusal) -> None:
        """Keep why a publication was refused."""
        self.tables.put(PUBLISHING, REFUSAL, msgspec.json.encode(refusal))

    def refusal(self) -> Refusal | None:
        """The last refusal, None where there never was one."""
        row = self.tables.get(PUBLISHING, REFUSAL)
        return None if row is None else _read(row, Refusal)

    def folder(self) -> tuple[FolderReport, int]:
        """The watched folder, and the row's version."""
        row = self.tables.get(PUBLISHING, FOLDER)
        return (FolderReport(), 0) if row is None else (_read(row, FolderReport), row.version)

    def report_folder(self, report: FolderReport, expected: int) -> None:
        """Write it; `ConflictError` where a rollback came in between."""
        self.tables.put(PUBLISHING, FOLDER, msgspec.json.encode(report), expected)


def _key(number: int) -> str:
    return f"{number:010d}"


def _read(row: Row, kind: type[Item]) -> Item:
    return msgspec.json.decode(row.value, type=kind)
