"""One partition: from records that came to state that is written, in one write for each batch."""

from __future__ import annotations

import enum
import logging
from collections.abc import Sequence
from dataclasses import replace

from engine.event import Event
from engine.ports import Applied, Place, PortError, Position, Record
from engine.regime import SENT, Regime, merged, regime_at
from engine.values import EpochMs
from service.things import Lookup
from service.worker.allowing import withhold
from service.worker.counts import Counts
from service.worker.course import Course
from service.worker.equipment import Equipment, PastError
from service.worker.evaluation import PoisonError, evaluate
from service.worker.intake import Reading, Refused
from service.worker.sessions import Session, SessionCache, restored
from service.worker.stores import Stores
from service.worker.timers import Timers
from service.worker.work import Work, watermark_after
from service.worker.writing import regime_of, to_write

logger = logging.getLogger("salience.service.worker.partition")


class Standing(enum.Enum):
    """How a partition is with this worker."""

    UNCLAIMED = enum.auto()
    OWNED = enum.auto()
    FENCED = enum.auto()


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
        self._timers = Timers(number, stores, self.cache)
        self._has_leftover = False

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
        self._timers.clear()
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
        due = self._timers.until(until) if until > self.watermark else ()
        if self._timers.are_all(due):
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

    def _leftover(self, equipment: Equipment, counts: Counts) -> None:
        """Timers that are due at the watermark already."""
        while self.standing is Standing.OWNED and self._step != self.last_step:
            due = self._timers.stored(self.watermark)
            if due:
                self._write(self._work((), (), equipment), due, equipment, counts)
            if self._timers.are_all(due):
                self._has_leftover = False
                return

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
        seen = self._stores.seen(self.number, [event.id for event in events]) if events else ()
        visited = dict.fromkeys([event.session_id for event in events])
        wanted = visited | dict.fromkeys(due)
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
            for session_id, state in self._stores.load(self.number, missing).items():
                session = None if session_id in work.lost else restored(session_id, state, equipment.loaded)
                if session is None:
                    lost.add(session_id)
                else:
                    sessions[session_id] = session
        customers = {event.customer_id for event in events}
        customers.update(sessions[each].memory.customer_id for each in visited if each in sessions)
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
        applied = stores.apply(batch)
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
            self._timers.note(session_id, session)
            if session is None:
                self.cache.drop(session_id)
            else:
                self.cache.put(session_id, session, next(stored))
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
