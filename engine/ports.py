"""The ports: what the core needs from the world, as protocols. `connectors/` implements each at least twice.

All are synchronous and safe to call from one thread at a time unless a method says otherwise; the decision API calls
them from threads or through an asynchronous implementation of the same shape. Every method raises `PortError` (or a
subclass) when the other side fails, never a client library's own exception.
"""

from __future__ import annotations

import enum
import zlib
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias

import msgspec

from engine.identity import Identity
from engine.regime import Regime
from engine.values import EpochMs, Millis

if TYPE_CHECKING:
    from engine.copies import PartitionCopy


class PortError(Exception):
    """The other side failed or could not be reached; the message names it and what was tried."""


class LogFullError(PortError):
    """The log can't take more now; nothing of the call was taken. Try again later."""


class ConflictError(PortError):
    """A row is not at the version that the writer expected; nothing was written."""


# ------------------------------------------------------------------ events in


class NewRecord(msgspec.Struct, frozen=True, gc=False):
    """A record to append; its partition is `partition_of(key, partitions)`."""

    key: str
    value: bytes


class Record(msgspec.Struct, frozen=True, gc=False):
    """A record of a partition. `time` is when it was appended."""

    partition: int
    offset: int
    key: str
    value: bytes
    time: EpochMs


class EventLog(Protocol):
    """The writing end of the event log."""

    @property
    def partitions(self) -> int:
        """How many partitions the log has; fixed when it was made."""

    def append(self, records: Sequence[NewRecord], done: Callable[[PortError | None], None]) -> None:
        """Take records for appending, in order per key, and return at once.

        `done` is called once, from any thread, when all are durable or one has failed. Raises `LogFullError` when the
        buffer is full. Safe to call from several threads.
        """

    def flush(self, timeout_ms: Millis) -> None:
        """Wait until everything taken is durable."""

    def close(self) -> None:
        """Flush, then let go."""


class EventSource(Protocol):
    """The reading end: one member of a group of workers that share the partitions."""

    def poll(self, limit: int, timeout_ms: Millis) -> Mapping[int, Sequence[Record]]:
        """Records by partition, in order of offset, at most `limit` in all; empty when none came in time.

        Starts a partition newly assigned where `seek` put it, else at its beginning.
        """

    def assignment(self) -> Mapping[int, int]:
        """The partitions held now, each with the generation of the group in which it was given."""

    def seek(self, partition: int, offset: int) -> None:
        """Make the next poll start there."""

    def pause(self, partitions: Collection[int]) -> None:
        """Deliver nothing of these until `resume`; the membership is kept."""

    def resume(self, partitions: Collection[int]) -> None:
        """Deliver again."""

    def commit(self, offsets: Mapping[int, int]) -> None:
        """Tell the group how far this member is: for displays of lag only, never to start from."""

    def ends(self, timeout_ms: Millis = 10_000) -> Mapping[int, int]:
        """The next offset to be written, for every partition of the log; raises `PortError` where that can't be had in time."""

    def close(self) -> None:
        """Leave the group."""


# ------------------------------------------------------------------ state, and what goes out with it


class OutputKind(enum.StrEnum):
    """Where an output of the worker goes."""

    TRIGGER = "trigger"
    DEAD = "dead"
    LATE = "late"


class Output(msgspec.Struct, frozen=True):
    """Something the worker sends: `id` is deterministic (hash of partition, offset, rule, ordinal).

    Attributes:
        offset: Of the record that brought it about.
        ordinal: Which output of that record, from 0. A replay gives each output the same two numbers.
    """

    id: str
    kind: OutputKind
    key: str
    value: bytes
    offset: int
    ordinal: int = 0

    @property
    def place(self) -> Place:
        """Where it stands among the outputs of its partition."""
        return Place(self.offset, self.ordinal)


class Place(msgspec.Struct, frozen=True, order=True):
    """A place among the outputs of a partition: before it are those of earlier records, and of its own the first few."""

    offset: int = 0
    ordinal: int = 0


class SessionState(msgspec.Struct, frozen=True):
    """A session as stored.

    Attributes:
        snapshot: The engine's bytes; None deletes the session.
        time: The session's clock.
        due: When the worker must look at it though no event comes (timer or end of session), or None.
    """

    snapshot: bytes | None
    time: EpochMs
    due: EpochMs | None
    customer_id: str | None = None


class StateBatch(msgspec.Struct, frozen=True):
    """What one batch of one partition writes, all of it or nothing.

    Attributes:
        expected_offset: Where the partition must stand, with `expected_step`, or nothing is written.
        brought: How many outputs the record before `next_offset` has brought by now, limited ones included.
        regime: What it was evaluated with; kept where it is not like the one before.
    """

    partition: int
    generation: int
    expected_offset: int
    next_offset: int
    sessions: Mapping[str, SessionState]
    seen: Sequence[str]
    outputs: Sequence[Output]
    watermark: EpochMs
    expected_step: int = 0
    brought: int = 0
    regime: Regime | None = None


class Applied(enum.StrEnum):
    """How a write ended. FENCED: a newer generation owns the partition. REWIND: it stands elsewhere than expected."""

    APPLIED = "applied"
    FENCED = "fenced"
    REWIND = "rewind"


class Position(msgspec.Struct, frozen=True):
    """Where a partition's state stands. `offset` 0 and no sessions: nothing was ever written.

    Attributes:
        step: How many batches were written at this offset without moving it: timers that are due may take several.
        brought: How many outputs the record before `offset` has brought.
    """

    offset: int
    watermark: EpochMs
    step: int = 0
    brought: int = 0


class StateStore(Protocol):
    """Sessions, next offset, ids already seen and the outbox of each partition, written together."""

    def claim(self, partition: int, generation: int) -> Position | None:
        """Make this generation the partition's owner and say where it stands; None where a newer one owns it."""

    def position(self, partition: int) -> Position:
        """Where a partition stands, without claiming it: for operators."""

    def load(self, partition: int, sessions: Sequence[str]) -> Mapping[str, SessionState]:
        """Those of the sessions that are stored."""

    def seen(self, partition: int, ids: Sequence[str]) -> Collection[str]:
        """Those of the ids that `apply` has stored before, within the store's horizon (at least 24 hours)."""

    def apply(self, batch: StateBatch) -> Applied:
        """Write all of the batch, or nothing of it."""

    def outbox(self, partition: int) -> Sequence[Output]:
        """Outputs written and not yet trimmed, in order."""

    def trim(self, partition: int, below_offset: int) -> None:
        """Forget outputs of records below this offset: they have been sent."""

    def due(self, partition: int, until: EpochMs, limit: int) -> Sequence[str]:
        """Sessions whose `due` is at or before `until`, earliest first."""

    def recent(self, limit: int) -> Sequence[tuple[str, SessionState]]:
        """Sessions over all partitions, latest clock first, without snapshots (b"")."""

    def regimes(self, partition: int) -> Sequence[Regime]:
        """What the partition was evaluated with, in order of place."""

    def copy(self, partition: int) -> PartitionCopy:
        """Everything of a partition, as of one moment."""

    def replace(self, copy: PartitionCopy) -> None:
        """Put a copy in the place of all that is stored of its partition; earlier owners are fenced.

        Until it is done, also after dying amid it, `claim`, `position` and `copy` raise `PortError`: do it again.
        """

    def close(self) -> None:
        """Let go of connections."""


class FencedError(PortError):
    """Another sender has claimed the partition's outputs since; nothing was sent."""


class Turn(msgspec.Struct, frozen=True):
    """The right to send a partition's outputs until the next claim, and what is out.

    Attributes:
        out: The place before which all are out.
        regimes: The latest of what they were evaluated with.
    """

    token: int
    out: Place
    regimes: Sequence[Regime] = ()


class OutputLog(Protocol):
    """Where outputs go: a topic of each kind. Together with `StateStore` it makes state and outputs exactly once.

    A partition's outputs and the place up to which they are out become visible together or not at all, and only for the
    one who claimed last. So whoever claims knows what is out: it sends the rest of the outbox, and keeps back what a
    replay brings again. Safe to call from several threads, one for each partition.
    """

    def claim(self, partition: int) -> Turn:
        """End the turn of every earlier sender of this partition, undo what it left open, say what is out."""

    def send(self, partition: int, token: int, outputs: Sequence[Output], regimes: Sequence[Regime] = ()) -> None:
        """Send all, in order of their places, or nothing; return when they are durable.

        `regimes` replace those that the next claim is told; they alone may be sent, too.

        Raises `FencedError` where the turn is over. After any other `PortError` it is not known whether they are out,
        and the turn is over, too: claim again and compare.
        """

    def settle(self, partition: int, token: int) -> bool:
        """See to it that readers find all that was sent; False: that is not known yet, ask again. Raises as `send` does."""

    def read(self, kind: OutputKind, limit: int) -> Sequence[Output]:
        """The latest of a kind, newest first; for operators and tests."""

    def close(self) -> None:
        """Let go."""


# ------------------------------------------------------------------ limits, profiles, decisions


class Cap(msgspec.Struct, frozen=True):
    """One limit to be taken from.

    Attributes:
        key: What is counted, e.g. `rule/cart_recovery.nudge/customer/c17`.
        most: At most this much in the period.
        amount: How much this act takes (1, or its cost in minor units).
        sliding: Length of the sliding window, or None.
        bucket: For calendar periods: the moment at which the period began, and `expires` the one at which it ends.
        also: Keys whose takes of the same period count, too, though this one takes from `key` alone: what a customer was
            shown before signing in.
    """

    key: str
    most: int
    amount: int
    sliding: Millis | None = None
    bucket: EpochMs | None = None
    expires: EpochMs | None = None
    is_budget: bool = False
    also: tuple[str, ...] = ()


class Claim(msgspec.Struct, frozen=True):
    """An act that wants to take from all its caps. Taking the same token twice takes once."""

    token: str
    caps: tuple[Cap, ...]


class Verdict(msgspec.Struct, frozen=True):
    """Whether a claim was granted; else the key of the first cap that refused it. `asked` False: slots were full."""

    token: str
    granted: bool
    refused_by: str | None = None
    asked: bool = True


class LimitStore(Protocol):
    """Caps and budgets over all sessions. Atomic: concurrent claims never take more than there is."""

    def take(self, claims: Sequence[Claim], slots: int, now: EpochMs, hold: Millis | None) -> Sequence[Verdict]:
        """Grant claims in order until `slots` are granted, each wholly or not at all.

        What is granted is given back after `hold` ms unless confirmed; with `hold` None it is taken for good.
        """

    def confirm(self, token: str, now: EpochMs) -> bool:
        """Keep what a token took; False where it took nothing or was given back."""

    def used(self, caps: Sequence[Cap], now: EpochMs) -> Sequence[int]:
        """How much of each cap is taken."""

    def close(self) -> None:
        """Let go."""


class SessionView(msgspec.Struct, frozen=True):
    """All that is stored and bears on a decision about a session.

    Attributes:
        state: None for a session that the stream has not seen.
        profile: The customer's facts as JSON, None where unknown.
        grants: What was last granted to the session, by placement: a repeated decision is the same act.
        identity: Of the customer; None where nobody signed in or nothing was decided for the customer yet.
        seen: Those of the ids asked about that the stream has come to: what they brought is in `state`.
    """

    state: SessionState | None
    profile: bytes | None
    grants: Mapping[str, bytes]
    identity: Identity | None = None
    seen: frozenset[str] = frozenset()


class DecisionState(Protocol):
    """What the decision API reads and takes, asynchronously, each call one round trip. Safe from many tasks of a loop."""

    async def read(self, session_id: str, customer_id: str | None, ids: Sequence[str] = ()) -> SessionView:
        """Session, profile, grants, identity. Without `customer_id`, that of the stored session counts.

        Which of the event ids `ids` the stream has come to is read at the same moment as the session.
        """

    async def things(self, ids: Sequence[str]) -> Mapping[str, bytes]:
        """As `engine.facts.FactStore.get` of the catalogue."""

    async def identify(self, customer_id: str, session_id: str, *, was_anonymous: bool) -> Identity:
        """Give a customer an identity, or one more session; atomic, and the same again changes nothing.

        Args:
            customer_id: Who signed in.
            session_id: Where.
            was_anonymous: Whether something was decided for the session before: then its acts count for the customer
                from now on, and it draws for a customer who has not been drawn yet.
        """

    async def forget_identity(self, customer_id: str) -> None:
        """Forget what `identify` keeps of a customer."""

    async def take(self, claims: Sequence[Claim], slots: int, now: EpochMs, hold: Millis | None) -> Sequence[Verdict]:
        """As `LimitStore.take`."""

    async def confirm(self, token: str, now: EpochMs) -> bool:
        """As `LimitStore.confirm`."""

    async def put_grants(self, session_id: str, grants: Mapping[str, bytes], keep: Millis) -> None:
        """Replace all grants of the session, for at least `keep` ms."""

    async def close(self) -> None:
        """Let go."""


LogEntry: TypeAlias = "tuple[str, str, EpochMs, bytes]"
"""Decision id, session id, time, JSON."""


class DecisionLog(Protocol):
    """Decisions and exposures, kept for a time to be asked why, and what decisions were made of, to make them again."""

    def append(self, entries: Sequence[LogEntry]) -> None:
        """Write entries."""

    def keep_inputs(self, entries: Sequence[tuple[str, EpochMs, bytes]]) -> None:
        """(decision id, time, what the decision was made of); forgotten when the decision is."""

    def get(self, decision_id: str) -> bytes | None:
        """One decision."""

    def inputs(self, decision_id: str) -> bytes | None:
        """What a decision was made of."""

    def of_session(self, session_id: str, limit: int) -> Sequence[bytes]:
        """A session's, newest first."""

    def recent(self, limit: int) -> Sequence[bytes]:
        """Of all sessions, newest first."""

    def close(self) -> None:
        """Let go."""


class DecisionWriter(Protocol):
    """Writes to the decision log from an event loop, without a thread beside it."""

    async def append(self, entries: Sequence[tuple[LogEntry, bytes | None]]) -> None:
        """Write entries, and what the decisions were made of where that is known; the same again changes nothing."""

    async def close(self) -> None:
        """Let go."""


class Activity(Protocol):
    """Counters by minute: what the sparklines show."""

    def add(self, minute: int, counts: Mapping[str, int]) -> None:
        """Add to counters of a minute (epoch ms // 60,000); keys like `fired/<rule>`, `shown/<rule>`, `error/<rule>`."""

    def read(self, since_minute: int) -> Mapping[str, Mapping[int, int]]:
        """Counts by key and minute, from `since_minute` on."""

    def close(self) -> None:
        """Let go."""


# ------------------------------------------------------------------ control


class Row(msgspec.Struct, frozen=True):
    """A row of a table; its version grows by one with each write."""

    value: bytes
    version: int


class Tables(Protocol):
    """Small control tables shared by all processes: bundles, revisions, acknowledgements, keys, users, drafts."""

    def get(self, table: str, key: str) -> Row | None:
        """One row."""

    def put(self, table: str, key: str, value: bytes | None, expected: int | None = None) -> int:
        """Write (None deletes) and return the new version.

        With `expected` (0: must not exist) raises `ConflictError` where the row is at another version.
        """

    def rows(self, table: str) -> Mapping[str, Row]:
        """All rows by key, sorted by key."""

    def version(self, table: str) -> int:
        """A number that grows with every write to the table: cheap to poll."""

    def close(self) -> None:
        """Let go."""


def partition_of(key: str, partitions: int) -> int:
    """The partition of a session id: CRC-32 (ISO 3309) of its UTF-8, modulo; the same in every process and language."""
    return zlib.crc32(key.encode()) % partitions
