"""What the admin UI needs from the rest of Salience; `service/admin.py` implements it.

Everything raises `engine.ports.PortError` when the other side can't be reached; the UI then says so and offers to try again.
Implementations must be safe to call from several threads.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

from engine.activation import ScoreFunction
from engine.bundle import Revision
from engine.language import Checked
from engine.language.tree import Program, Vocabulary
from engine.ports import Activity, DecisionLog, PortError, Tables
from engine.rete import Network
from engine.testing import TestResult
from engine.values import EpochMs, Value


@dataclass(frozen=True, slots=True)
class Live:
    """What serves now: the revision, its sources, and the same compiled."""

    revision: Revision
    sources: Mapping[str, str]
    program: Program
    network: Network


class Process(msgspec.Struct, frozen=True):
    """A process that reports itself.

    Attributes:
        name: Unique, e.g. `api-4711`.
        kind: What it is: `api`, `worker`, `admin`.
        seen: When it was last heard of.
        revision: The revision that it serves, None before it has loaded one.
        problem: What is wrong with it, in its own words; empty when nothing is.
    """

    name: str
    kind: str
    seen: EpochMs
    revision: int | None
    problem: str = ""


class PublishState(enum.StrEnum):
    """How far a publication is."""

    CHECKING = "checking"
    WAITING = "waiting"
    LIVE = "live"
    REFUSED = "refused"


class Progress(msgspec.Struct, frozen=True):
    """A publication or a rollback on its way.

    Attributes:
        loaded: Processes that have loaded the bundle, run its tests and said yes.
        waiting: Processes not heard from yet.
        reasons: Why it was refused, one plain sentence each.
        revision: The number, once it is known.
    """

    state: PublishState
    title: str
    loaded: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    revision: int | None = None


class SessionSummary(msgspec.Struct, frozen=True):
    """A session that the stream has seen lately."""

    id: str
    customer_id: str | None
    clock: EpochMs


class StoredSession(msgspec.Struct, frozen=True):
    """A session as the stream stored it, with its customer's profile (JSON bytes), where there is one."""

    id: str
    customer_id: str | None
    clock: EpochMs
    snapshot: bytes
    profile: bytes | None = None


class Catalogued(Protocol):
    """A `Catalogue` that says whether it could be asked."""

    @property
    def failure(self) -> PortError | None:
        """Why it could not; what was found with it is then not to be shown."""

    def __call__(self, fact: str, key: Value) -> Value | None:
        """A fact of a thing."""


class Backend(Protocol):
    """The rest of Salience, as the admin UI sees it."""

    def now(self) -> EpochMs:
        """The time."""

    @property
    def tables(self) -> Tables:
        """Control tables, for users and drafts; usable from the calling thread."""

    @property
    def activity(self) -> Activity:
        """Counters by minute; usable from the calling thread."""

    @property
    def decisions(self) -> DecisionLog:
        """Decisions of the last days; usable from the calling thread."""

    def live(self) -> Live | None:
        """What serves now; None before the first publication."""

    def history(self) -> Sequence[Revision]:
        """All revisions, newest first."""

    def sources(self, revision: int) -> Mapping[str, str]:
        """The files of a revision; raises `KeyError` for a number that there never was."""

    def processes(self) -> Sequence[Process]:
        """Processes heard of in the last hour, by name."""

    def check(self, sources: Mapping[str, str], previous: Checked | None = None) -> Checked:
        """The checker over all files. What did not change since `previous`, or since what is live, is taken over."""

    def test(self, program: Program, network: Network) -> Sequence[TestResult]:
        """Run the tests beside the rules."""

    def publish(self, sources: Mapping[str, str], author: str, note: str) -> str:
        """Start to publish in the background; returns a ticket to ask `progress` with."""

    def rollback(self, to: int, author: str, reason: str) -> str:
        """Start to bring the bundle of a revision back, likewise."""

    def progress(self, ticket: str) -> Progress | None:
        """How far a publication is; None for a ticket that is not known (any more)."""

    def recent_sessions(self, limit: int) -> Sequence[SessionSummary]:
        """Sessions of all partitions, latest clock first."""

    def session(self, session_id: str) -> StoredSession | None:
        """One session, None where the stream has not seen it or it has ended."""

    def profile(self, customer_id: str) -> bytes | None:
        """What is known of a customer, JSON; None where nothing is."""

    def scores(self) -> ScoreFunction:
        """Answers of the real models of the live revision, for simulations and reports."""

    def catalogue(self, vocabulary: Vocabulary) -> Catalogued:
        """What is known of things now, as the worker is told, for one simulation or report."""
