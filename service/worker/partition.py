"""One partition: from records that came to state that is written, in one write for each batch."""

from __future__ import annotations

import enum
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from engine.event import Event
from engine.facts import FactStore
from engine.ports import Applied, Output, Place, PortError, Position, Record, SessionState, StateStore, Turn
from engine.regime import SENT, Regime, merged, regime_at
from engine.values import EpochMs, Millis
from service.clock import Clock
from service.loading import Loaded
from service.things import Lookup, Things
from service.worker.allowing import Identities, Limits, concerns_persons, withhold
from service.worker.baton import Baton
from service.worker.counts import Counts
from service.worker.course import Course
from service.worker.evaluation import PoisonError, Work, evaluate, regime_of, to_write, watermark_after
from service.worker.intake import Intake, Reading, Refused
from service.worker.sessions import Profiles, Session, SessionCache, restored

logger = logging.getLogger("salience.service.worker.partition")

DUE_AT_ONCE = 5_000
"""Timers of so many sessions in one write: after a quiet night all sessions end at the first event of the morning."""


LOOK_AHEAD_MS: Millis = 2_000
"""Timers are asked for so far ahead of the watermark, or each small batch of live traffic would ask the store again."""

BEHIND_MS: Millis = 1_000
"""Events that have waited for so long were held up by others before them."""

PATIENCE_PART = 4
PATIENCE_MS: Millis = 1_000
"""Where it is behind, a worker sends the outputs of several batches together, since a transaction costs the same for one as for many:
triggers then come a quarter later than they would, and a second at most."""


class Standing(enum.Enum):
    """How a partition is with this worker."""

    UNCLAIMED = enum.auto()
    OWNED = enum.auto()
    FENCED = enum.auto()


@dataclass(frozen=True, slots=True)
class Equipment:
    """A revision, and what reads events, profiles and things by its vocabulary; replaced as a whole between batches.

    Attributes:
        things: What the catalogue says, kept for a while.
        lateness: Allowed lateness.
        concerns_persons: Whether it matters to a trigger who a session is.
    """

    loaded: Loaded
    intake: Intake
    profiles: Profiles
    things: Things
    lateness: Millis
    concerns_persons: bool
    _catalogue: FactStore
    _clock: Clock

    @classmethod
    def of(cls, loaded: Loaded, profiles: FactStore, catalogue: FactStore, clock: Clock, lateness: Millis) -> Equipment:
        """What goes with a revision."""
        vocabulary = loaded.program.vocabulary
        reading = Intake(vocabulary), Profiles(profiles, vocabulary, clock), Things(vocabulary)
        return cls(loaded, *reading, lateness, concerns_persons(loaded.program), catalogue, clock)

    def patience(self, records: Sequence[Record]) -> Millis:
        """How long the outputs of a batch may wait for those of the next: a part of how long its events have waited."""
        waited = self._clock() - records[-1].time if records else 0
        return min(PATIENCE_MS, waited // PATIENCE_PART) if waited > BEHIND_MS else 0

    def lookup(self, events: Sequence[Event]) -> Lookup:
        """Looks things up for one batch. Those that its events name are asked for at once; raises `PortError`."""
        now = self._clock()
        asked = self.things.unknown(self.things.named_by(events), now)
        if asked:
            self.things.take(asked, self._catalogue.get(asked), now)
        return Lookup(self.things, now, self._catalogue.get)


class Sender(Protocol):
    """What a partition hands its outputs to; `service.worker.emission.Emission` says what each does."""

    def claim(self, partition: int) -> Turn:
        """Own the partition's outputs; what is out."""

    def offer(
        self, partition: int, outputs: Sequence[Output], regimes: Sequence[Regime] = (), patience: Millis = 0
    ) -> None:
        """Send these after all that were offered before, and what they were evaluated with; so much later at most."""

    def has_failed(self, partition: int) -> bool:
        """Whether sending failed."""

    def drop(self, partition: int) -> None:
        """Forget what waits."""


class PastError(Exception):
    """What was evaluated with once can't be had any more; the message says what and why."""


Past = Callable[[Regime], Equipment]
"""Makes what a regime evaluates with; raises `PastError`."""


@dataclass(frozen=True, slots=True)
class Stores:
    """The ports that a partition writes to, and what holds for all partitions.

    Attributes:
        past: For what a replay brings again; None: it is evaluated with what it is given.
        baton: Held by the partition that is evaluated.
    """

    state: StateStore
    limits: Limits
    emission: Sender
    identities: Identities
    salt: str | None
    past: Past | None = None
    baton: Baton = field(default_factory=Baton)


class Partition:
    """A partition that the group gave to this worker.

    Everything that fails leaves it UNCLAIMED: caches are dropped, and the next claim says where the stored state
    stands. So there is one way to recover, whatever happened.

    Attributes:
        position: Offset of the next record, while OWNED.
        watermark: Event time that will not be gone behind.
        out: The place before which outputs are out, as the claim found it: what a replay brings again is kept back.
        last_step: Timers act up to this step of an offset only; None: all that are due. A rebuild sets it, to stop where
            the worker had been.
        must_begin_at_start: Whether a state that is gone may be built from the log's offset 0 only. Where a rebuild begins
            later, sessions that were open then lack what came before.
    """

    def __init__(self, number: int, generation: int, stores: Stores, cache_bytes: int) -> None:
        self.number = number
        self.generation = generation
        self.standing = Standing.UNCLAIMED
        self.position = 0
        self.watermark: EpochMs = 0
        self.out = Place()
        self.last_step: int | None = None
        self.must_begin_at_start = True
        self._step = 0
        self._brought = 0
        self._regimes: list[Regime] = []
        self._course: Course | None = None
        self.cache = SessionCache(cache_bytes)
        self._stores = stores
        self._has_leftover = False
        self._moments: dict[str, EpochMs] = {}  # when sessions come due, for all that do at or before the horizon
        self._horizon: EpochMs = -1

    @property
    def place(self) -> tuple[int, int]:
        """Where its state stands: the offset, and how many batches were written at it."""
        return self.position, self._step

    def claim(self) -> bool:
        """Own state and outputs from where they stand, and reconcile the two; whether its caches can be kept.

        State first: who is refused there must not disturb the sender of the newer owner. What the state is ahead is sent
        from the outbox; what the outputs are ahead is kept back while records are read again. False: read on from
        `position`. Raises `PortError`.
        """
        stores = self._stores
        position = stores.state.claim(self.number, self.generation)
        if position is None:
            self.fence()
            return False
        is_kept = self.standing is Standing.OWNED and self._stands_at(position)
        if is_kept and not stores.emission.has_failed(self.number):
            return True
        if not is_kept:
            self.reset()
        turn = stores.emission.claim(self.number)
        out = turn.out
        outbox = stores.state.outbox(self.number)
        waiting = [each for each in outbox if each.place >= out]
        if len(waiting) < len(outbox):
            # Their sender died before it could: nobody else would until more goes out.
            is_offset_out = not waiting or waiting[0].offset > out.offset
            stores.state.trim(self.number, out.offset + is_offset_out)
        self._regimes = merged(stores.state.regimes(self.number), turn.regimes)
        stores.emission.offer(self.number, waiting, self._regimes[-SENT:])
        if not is_kept:
            self._course = None if stores.past is None else Course(self._regimes, out)
            self._stand_at(position)
            self.out = out
            self._has_leftover = True
            self.standing = Standing.OWNED
        return is_kept

    def reset(self) -> None:
        """Forget all that is not stored."""
        self.cache.clear()
        self._moments.clear()
        self._horizon = -1
        self._stores.emission.drop(self.number)
        if self.standing is Standing.OWNED:
            self.standing = Standing.UNCLAIMED

    def fence(self) -> None:
        """A newer generation owns it: write nothing more."""
        self.reset()
        self.standing = Standing.FENCED

    def process(self, records: Sequence[Record], equipment: Equipment) -> Counts:
        """Evaluate and write records, which follow `position`; and timers that are due.

        What was not counted in the answer was not written: look at `standing` after it. Raises `PortError`; the caller
        then resets, claims, and reads on from where that says. Several partitions may be at it, each in a thread.
        """
        with self._stores.baton:
            return self._process(records, equipment)

    def _process(self, records: Sequence[Record], equipment: Equipment) -> Counts:
        counts = Counts()
        is_gone = self.must_begin_at_start and not self.position and self.out.offset
        if records and is_gone and records[0].offset > 0:
            raise PortError(
                f"the state of partition {self.number} is gone, and the event log begins at offset {records[0].offset}, "
                "so that what sessions knew before is not in it: stop the workers, put a copy back with `salience snapshot "
                "load`, or build what the log has with `salience rebuild`"
            )
        records = self._again(records, equipment, counts)
        if self._course is None:
            if self._has_leftover:
                self._leftover(equipment, counts)
            if records and self.standing is Standing.OWNED:
                self._records(records, equipment, counts)
        return counts

    def is_due(self, until: EpochMs) -> bool:
        """Whether a session waits for a moment at or before `until`."""
        return bool(self._stores.state.due(self.number, until, 1))

    # -------------------------------------------------------------- what was evaluated before

    def _again(self, records: Sequence[Record], live: Equipment, counts: Counts) -> Sequence[Record]:
        """Evaluate what was evaluated before with what it was then; the records that were not."""
        while (course := self._course) is not None and self.standing is Standing.OWNED:
            place = self.place
            cut = course.cut(place)
            if cut is not None and self._has_leftover:
                self.last_step = cut[1] if cut[0] == place[0] else None
                self._leftover(self._then(course, place, live, counts), counts)
                continue
            if cut is not None and cut[0] == place[0]:
                course.passed(cut)
                continue
            if not records and cut is not None:
                return records
            start = max(place, (records[0].offset, 0)) if records else place
            cut = course.cut(start)
            if cut is None:
                self._course = self.last_step = None
                break
            batch = [each for each in records if each.offset < cut[0] - 1] or records[:1]
            # The record before a cut comes by itself, so that its timers can stop there.
            self.last_step = cut[1] if batch[-1].offset == cut[0] - 1 else None
            self._records(batch, self._then(course, start, live, counts), counts)
            records = records[len(batch) :]
        return records

    def _then(self, course: Course, place: tuple[int, int], live: Equipment, counts: Counts) -> Equipment:
        """What was evaluated with there; where that can't be had any more, what is live."""
        regime, past = course.regime(place), self._stores.past
        if regime is None or past is None or regime.terms == regime_of(live.loaded, live.lateness, *place).terms:
            return live
        try:
            return past(regime)
        except PastError as error:
            counts.replayed_otherwise += 1
            logger.error("partition %d replays offset %d with revision %d instead: %s",  # noqa: TRY400 - ours, not a bug
                         self.number, place[0], live.loaded.revision.number, error)  # fmt: skip
            return live

    def _note(self, regime: Regime | None) -> None:
        """Remember what a batch was evaluated with, for the outputs."""
        known = regime_at(self._regimes, self.place)
        if regime is not None and (known is None or not known.is_like(regime)):
            self._regimes = [each for each in self._regimes if each.place < self.place] + [regime]

    # -------------------------------------------------------------- steps

    def _stands_at(self, position: Position) -> bool:
        return (position.offset, position.step) == (self.position, self._step)

    def _stand_at(self, position: Position) -> None:
        self.position = position.offset
        self.watermark = position.watermark
        self._step = position.step
        self._brought = position.brought

    def _records(self, records: Sequence[Record], equipment: Equipment, counts: Counts) -> None:
        readings = equipment.intake.read(records)
        work = self._work(records, readings, equipment)
        until = watermark_after(work)
        due = self._due(until) if until > self.watermark else ()
        if len(due) < DUE_AT_ONCE:
            self._write(work, due, equipment, counts)
            return
        half = len(records) // 2
        if half:
            for part in (records[:half], records[half:]):
                if self.standing is Standing.OWNED:
                    self._records(part, equipment, counts)
            return
        # One record that moves the time past very many timers: itself first, then they in steps, under its offset.
        self._write(work, (), equipment, counts)
        self._has_leftover = True
        self._leftover(equipment, counts)

    def _due(self, until: EpochMs) -> Sequence[str]:
        """Stored sessions that come due at or before a moment, earliest first, at most `DUE_AT_ONCE`."""
        if until > self._horizon:
            horizon = until + LOOK_AHEAD_MS
            ahead = self._stored_due(horizon)
            if len(ahead) == DUE_AT_ONCE:
                self._horizon = -1
                return self._stored_due(until)
            known = {each: session.due for each in ahead if (session := self.cache.get(each)) is not None}
            missing = [each for each in ahead if each not in known]
            if missing:
                known.update((each, stored.due) for each, stored in self._stored(missing).items())
            self._moments = {each: moment for each, moment in known.items() if moment is not None}
            self._horizon = horizon
        return sorted(
            (each for each, moment in self._moments.items() if moment <= until),
            key=lambda each: (self._moments[each], each),
        )

    def _leftover(self, equipment: Equipment, counts: Counts) -> None:
        """Timers that are due at the watermark already."""
        while self.standing is Standing.OWNED and self._step != self.last_step:
            due = self._stored_due(self.watermark)
            if due:
                self._write(self._work((), (), equipment), due, equipment, counts)
            if len(due) < DUE_AT_ONCE:
                self._has_leftover = False
                return

    def _seen(self, ids: Sequence[str]) -> Collection[str]:
        with self._stores.baton.handed_on():
            return self._stores.state.seen(self.number, ids)

    def _stored(self, sessions: Sequence[str]) -> Mapping[str, SessionState]:
        with self._stores.baton.handed_on():
            return self._stores.state.load(self.number, sessions)

    def _stored_due(self, until: EpochMs) -> Sequence[str]:
        with self._stores.baton.handed_on():
            return self._stores.state.due(self.number, until, DUE_AT_ONCE)

    def _work(self, records: Sequence[Record], readings: Sequence[Reading], equipment: Equipment) -> Work:
        return Work(
            partition=self.number,
            offset=self.position,
            watermark=self.watermark,
            records=records,
            readings=readings,
            seen=(),
            due=(),
            profiles={},
            loaded=equipment.loaded,
            lateness=equipment.lateness,
            step=self._step,
            brought=self._brought,
        )

    def _with_sessions(self, work: Work, due: Sequence[str], equipment: Equipment) -> tuple[Work, dict[str, Session]]:
        """Load what the batch can touch: each store is asked once."""
        events = [each for each in work.readings if isinstance(each, Event)]
        seen = self._seen([event.id for event in events]) if events else ()
        wanted = dict.fromkeys([event.session_id for event in events])
        wanted.update(dict.fromkeys(due))
        sessions: dict[str, Session] = {}
        missing: list[str] = []
        for session_id in wanted:
            session = self.cache.get(session_id)
            if session is None:
                missing.append(session_id)
            else:
                sessions[session_id] = session
        lost: set[str] = set(work.lost)
        if missing:
            for session_id, state in self._stored(missing).items():
                session = None if session_id in work.lost else restored(session_id, state, equipment.loaded)
                if session is None:
                    lost.add(session_id)
                else:
                    sessions[session_id] = session
        customers = {event.customer_id for event in events}
        customers.update(
            sessions[event.session_id].memory.customer_id for event in events if event.session_id in sessions
        )
        profiles = equipment.profiles.get([each for each in customers if each is not None])
        lookup = equipment.lookup(events)
        moments = [(sessions[each].due, each) for each in due if each in sessions]
        complete = replace(
            work,
            seen=seen,
            due=[(moment, each) for moment, each in moments if moment is not None],
            profiles=profiles,
            lost=sorted(lost),
            catalogue=lookup,
        )
        return complete, sessions

    def _write(self, work: Work, due: Sequence[str], equipment: Equipment, counts: Counts) -> None:
        """Evaluate, take limits, write all in one; then hand the outputs to the sender."""
        work, sessions = self._with_sessions(work, due, equipment)
        while True:
            try:
                outcome = evaluate(work, sessions)
                break
            except PoisonError as poison:
                # What the failed attempt changed in memory goes; the rest of the batch is evaluated from what is stored.
                logger.exception("session %s fails in the engine; the partition goes on", poison.session_id)
                self.cache.clear()
                work, sessions = self._with_sessions(_without(work, poison), due, equipment)
        if isinstance(work.catalogue, Lookup) and work.catalogue.failure is not None:
            raise work.catalogue.failure  # evaluated without what is known of a thing: again, when that can be had
        stores = self._stores
        signed_in = outcome.signed_in if equipment.concerns_persons else ()
        withheld = withhold(outcome.acts, signed_in, stores.limits, stores.identities, stores.salt)
        batch, sizes = to_write(work, outcome, self.generation, withheld.limited, withheld.held_out, self.out)
        with stores.baton.handed_on():
            applied = stores.state.apply(batch)
        if applied is Applied.FENCED:
            self.fence()
            return
        if applied is Applied.REWIND:
            logger.info("partition %d goes back to what is stored: it does not stand at %d", self.number, work.offset)
            counts.rewinds += 1
            self.reset()
            return
        self._note(batch.regime)
        step = self._step + 1 if outcome.offset == self.position else 0
        self._stand_at(Position(outcome.offset, outcome.watermark, step, batch.brought))
        stored = iter(sizes)
        for session_id, session in outcome.touched.items():
            self._moments.pop(session_id, None)
            if session is None:
                self.cache.drop(session_id)
                continue
            self.cache.put(session_id, session, next(stored))
            if session.due is not None and session.due <= self._horizon:
                self._moments[session_id] = session.due
        self.cache.shrink()
        stores.emission.offer(self.number, batch.outputs, self._regimes[-SENT:], equipment.patience(work.records))
        outcome.counts.batches += 1
        counts.add(outcome.counts)


def _without(work: Work, poison: PoisonError) -> Work:
    """The batch with a poisonous record as a dead letter, or without a session whose timer fails."""
    if poison.index is None:
        return replace(work, lost=[*work.lost, poison.session_id])
    readings = list(work.readings)
    readings[poison.index] = Refused("evaluation-failed", f"the engine failed on this event: {poison}")
    return replace(work, readings=readings)
