"""The pure step of the stream: a batch and the sessions it touches in, what is to be written and sent out.

No clock, no client: the same records on the same stored state give the same result, in whatever batches they come.
Timers act between records, as soon as the watermark passes them, and carry the offset of the record that moved it.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Mapping, MutableMapping

from engine.activation import Activation, Step
from engine.event import Event
from engine.language.tree import Rule
from engine.ports import OutputKind, Record
from engine.values import EpochMs
from service.worker.intake import Refused
from service.worker.messages import act_id, rejected_output, trigger_outputs
from service.worker.sessions import Session
from service.worker.work import Act, Outcome, Sending, Work, watermark_after


class PoisonError(Exception):
    """Something that the engine can't get past: a fault of ours, which must not stop the partition.

    Attributes:
        index: The record, by its place in the batch; None where a timer of a stored session failed.
        session_id: The session.
    """

    def __init__(self, index: int | None, session_id: str, error: Exception) -> None:
        super().__init__(f"{type(error).__name__}: {error}")
        self.index = index
        self.session_id = session_id


def evaluate(work: Work, sessions: MutableMapping[str, Session]) -> Outcome:
    """Evaluate a batch.

    Args:
        work: The batch.
        sessions: All stored sessions that it can touch, by id. They are changed in place; where the batch can't be
            written, they must be thrown away and loaded again.

    Raises:
        PoisonError: One record or session fails; evaluate the batch again without it, from what is stored.
    """
    return _Evaluation(work, sessions).run()


class _Evaluation:
    """One run of `evaluate`."""

    def __init__(self, work: Work, sessions: MutableMapping[str, Session]) -> None:
        self._work = work
        self._loaded = work.loaded
        self._network = work.loaded.network
        self._score = work.loaded.scorer.answer
        self._catalogue = work.catalogue
        self._timeout = work.loaded.program.vocabulary.session_timeout
        self._rules: Mapping[str, Rule] = {}
        self._sessions = sessions
        self._outcome = Outcome(work.offset, work.watermark)
        self._counts = self._outcome.counts
        self._watermark = work.watermark
        self._seen = set(work.seen)
        self._due = list(work.due)
        heapq.heapify(self._due)
        self._until = watermark_after(work)
        self._ordinals: Counter[str] = Counter()  # of what the event at hand did

    def run(self) -> Outcome:
        """All records in order; before them, the timers that an earlier batch left."""
        outcome, counts, work = self._outcome, self._counts, self._work
        for session_id in work.lost:
            counts.lost += 1
            outcome.touched[session_id] = None
        self._pass_timers(work.offset - 1)
        for index, (record, reading) in enumerate(zip(work.records, work.readings, strict=True)):
            counts.read += 1
            if isinstance(reading, Event):
                try:
                    time = self._event(record, reading)
                except Exception as error:
                    raise PoisonError(index, reading.session_id, error) from error
            elif isinstance(reading, Refused):
                counts.dead += 1
                output = rejected_output(OutputKind.DEAD, record, reading.code, reading.reason, reading.field)
                outcome.acts.append(Act((output,), record.time))
                continue
            else:
                counts.ticks += 1
                time = reading
            if time - work.lateness > self._watermark:
                self._watermark = time - work.lateness
                self._pass_timers(record.offset)
        if work.records:
            outcome.offset = work.records[-1].offset + 1
        outcome.watermark = self._watermark
        return outcome

    # -------------------------------------------------------------- records

    def _event(self, record: Record, event: Event) -> EpochMs:
        """Apply an event, once; return its time."""
        counts = self._counts
        if event.id in self._seen:
            counts.duplicates += 1
            return event.time
        self._seen.add(event.id)
        self._outcome.seen.append(event.id)
        if event.time < self._watermark:
            counts.late += 1
            behind = (self._watermark - event.time) // 1000
            reason = (
                f"{behind} s behind the watermark, which is {self._work.lateness // 1000} s behind the latest event"
            )
            output = rejected_output(OutputKind.LATE, record, "late", reason, "time")
            self._outcome.acts.append(Act((output,), event.time))
            return event.time
        counts.applied += 1
        if self._ordinals:
            self._ordinals = Counter()
        session = self._session(event, record.offset)
        customer, memory = event.customer_id, session.memory
        if customer is not None and memory.customer_id is None and memory.clock is not None:
            self._outcome.signed_in.append((event.session_id, customer))
        if customer is not None or memory.customer_id is not None:
            self._enrich(session, event, record.offset, self._ordinals)
        step = self._network.insert(memory, event, self._score, self._catalogue)
        if step.activations or step.failures:
            self._take(session, step, record.offset, "event", self._ordinals, is_named=customer is not None)
        self._touch(event.session_id, session)
        return event.time

    def _session(self, event: Event, offset: int) -> Session:
        """The session of an event; one that timed out before it ends first, and another begins."""
        session = self._sessions.get(event.session_id)
        if session is not None and session.loaded is not self._loaded:
            self._move(event.session_id, session)
            session = self._sessions.get(event.session_id)
        if session is not None and session.memory.has_ended(event.time, self._timeout):
            step = self._network.advance(session.memory, self._end(session), self._score, self._catalogue)
            self._take(session, step, offset, "event", self._ordinals)
            self._counts.ended += 1
            session = None
        if session is None:
            memory = self._network.open(event.session_id, event.customer_id)
            session = self._sessions[event.session_id] = Session(memory, self._loaded, is_new=True)
            self._counts.opened += 1
        return session

    def _enrich(self, session: Session, event: Event, offset: int, ordinals: Counter[str]) -> None:
        """Give the memory the facts of the customer's profile, where it does not have them."""
        memory = session.memory
        customer = event.customer_id or memory.customer_id
        if customer is None:
            return
        profile = self._work.profiles.get(customer)
        if profile is None or profile is session.profile:
            return
        memory.customer_id = customer
        if profile.has_facts or not session.is_new:
            # Just before the event: what is past by then is past, what expires at its very time is seen with it.
            now = event.time if memory.clock is None else max(memory.clock, event.time - 1)
            step = self._network.set_facts(memory, profile.facts, now, self._score, self._catalogue)
            self._take(session, step, offset, "event", ordinals)
        session.profile = profile
        session.is_new = False

    # -------------------------------------------------------------- time

    def _pass_timers(self, offset: int) -> None:
        """Act for every session that comes due at or before the watermark."""
        due, watermark = self._due, self._watermark
        while due and due[0][0] <= watermark:
            moment, session_id = heapq.heappop(due)
            session = self._sessions.get(session_id)
            if session is not None and session.due == moment:
                try:
                    self._time_out(session_id, session, offset)
                except Exception as error:
                    raise PoisonError(None, session_id, error) from error

    def _time_out(self, session_id: str, session: Session, offset: int) -> None:
        self._move(session_id, session)
        if self._sessions.get(session_id) is not session:
            return
        end = self._end(session)
        step = self._network.advance(session.memory, min(self._watermark, end), self._score, self._catalogue)
        self._take(session, step, offset, "timer", Counter())
        if end <= self._watermark:
            self._counts.ended += 1
            del self._sessions[session_id]
            self._outcome.touched[session_id] = None
        else:
            self._touch(session_id, session)

    def _end(self, session: Session) -> EpochMs:
        memory = session.memory
        latest = memory.last_event if memory.last_event is not None else memory.started
        return (self._watermark if latest is None else latest) + self._timeout

    def _move(self, session_id: str, session: Session) -> None:
        """Take a session over that an earlier revision evaluated last."""
        if session.loaded is self._loaded:
            return
        try:
            session.move_to(self._loaded)
        except Exception:  # noqa: BLE001 - whatever a snapshot of another revision does, it must not stop the partition
            self._counts.lost += 1
            del self._sessions[session_id]
            self._outcome.touched[session_id] = None

    def _touch(self, session_id: str, session: Session) -> None:
        """Note that a session changed, and when it comes due."""
        due = self._network.due(session.memory)
        end = self._end(session)
        # Later than the watermark in any case: what is due now has just been done.
        session.due = max(end if due is None or end < due else due, self._watermark + 1)
        if session.due <= self._until:
            heapq.heappush(self._due, (session.due, session_id))
        self._outcome.touched[session_id] = session

    # -------------------------------------------------------------- what follows

    def _take(
        self,
        session: Session,
        step: Step,
        offset: int,
        cause: str,
        ordinals: Counter[str],
        *,
        is_named: bool = False,
    ) -> None:
        counts = self._counts
        for failure in step.failures:
            counts.failures += 1
            counts.errors[failure.rule] += 1
        for activation in step.activations:
            if not activation.acts:
                counts.held_back += 1
                continue
            counts.activations += 1
            counts.fired[activation.rule] += 1
            if activation.triggers:
                self._act(session, activation, offset, cause, ordinals, is_named=is_named)

    def _act(
        self,
        session: Session,
        activation: Activation,
        offset: int,
        cause: str,
        ordinals: Counter[str],
        *,
        is_named: bool,
    ) -> None:
        work, memory = self._work, session.memory
        if not self._rules:
            self._rules = {rule.id: rule for rule in self._loaded.program.rules}
        rule = self._rules[activation.rule]
        ordinal = ordinals[rule.id]
        ordinals[rule.id] += 1
        act = act_id(work.partition, offset, memory.session_id, cause, rule.id, ordinal)
        revision = self._loaded.revision
        outputs = trigger_outputs(
            act, offset, memory.session_id, memory.customer_id, activation, revision.number, revision.bundle
        )
        sending = Sending(rule, act, memory.session_id, memory.customer_id, is_named)
        self._outcome.acts.append(Act(outputs, activation.time, sending))
