"""One partition, evaluated again from its log: each record with what was live when it was evaluated first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from engine.identity import Identities, Identity, identified
from engine.ports import Claim, LimitStore, Output, Place, Record, StateStore, Turn, Verdict
from engine.regime import Regime, regime_at
from engine.values import EpochMs, Millis
from service.past import Past
from service.rebuild.plan import Goal, RebuildError
from service.worker.equipment import PastError
from service.worker.partition import Partition
from service.worker.stores import Stores

CACHE_BYTES = 128 << 20


class Replay:
    """Builds the state of a partition up to its goal, in a store of its own.

    Batches end where the regime changed and at the goal, to the step: so each record and each timer is evaluated with what it
    was evaluated with. What the batches are otherwise cut like does not matter.

    Attributes:
        begins: The offset at which the log begins, where it should have begun before; else 0.
    """

    def __init__(
        self,
        goal: Goal,
        scratch: StateStore,
        limits: LimitStore,
        identities: Identities,
        salt: str | None,
        past: Past,
    ) -> None:
        self.goal = goal
        self.begins = goal.begins
        self._past = past
        self._has_read = False
        self._limits = _Limits(limits)
        self._partition = Partition(
            goal.partition, 1, Stores(scratch, self._limits, _Withheld(goal.out), _Known(identities), salt), CACHE_BYTES
        )
        self._partition.claim()
        self._partition.must_begin_at_start = False
        self._cuts = sorted({goal.place, (goal.out.offset, 0), *(each.place for each in goal.regimes)})

    @property
    def position(self) -> int:
        """The offset that it needs next."""
        return self._partition.position

    @property
    def is_done(self) -> bool:
        """Whether the goal is reached."""
        return self._partition.place >= self.goal.place

    def look(self, records: Sequence[Record]) -> None:
        """See whether the log still has what is needed first; before any of it is evaluated."""
        rest = [each.offset for each in records if each.offset >= self.position]
        if rest and not self._has_read:
            self._has_read = True
            if rest[0] > self.position:
                self.begins = rest[0]

    def feed(self, records: Sequence[Record]) -> None:
        """Evaluate records, in order; those that were evaluated, or lie behind the goal, are left out.

        Raises:
            PortError: A store does not answer.
            RebuildError: The log is not what it was.
        """
        rest = [each for each in records if each.offset >= self.position]
        while not self.is_done:
            place = self._partition.place
            cut = self._next_cut(place)
            if cut[0] == place[0]:
                self._evaluate((), place, cut)
                if self._partition.place == place:
                    raise RebuildError(
                        f"partition {self.goal.partition} had {cut[1]} steps of timers at offset {cut[0]} and has {place[1]} now: "
                        "the log is not what it was, or was evaluated by another release"
                    )
                continue
            if not rest:
                return
            start = max(place, (rest[0].offset, 0))
            if start >= self.goal.place:
                raise RebuildError(
                    f"partition {self.goal.partition} has no records from offset {place[0]} to {self.goal.offset} any more: its log "
                    f"begins at {rest[0].offset}. Restore a snapshot with `salience snapshot load`"
                )
            cut = self._next_cut(start)
            batch = [each for each in rest if each.offset < cut[0] - 1] or rest[:1]
            self._evaluate(batch, start, cut)
            rest = rest[len(batch) :]

    def _next_cut(self, place: tuple[int, int]) -> tuple[int, int]:
        return next(each for each in self._cuts if each > place)

    def _evaluate(self, batch: Sequence[Record], start: tuple[int, int], cut: tuple[int, int]) -> None:
        """One batch, or timers alone; the record before a cut comes by itself, so that its timers can stop there."""
        partition = self._partition
        is_last = not batch or batch[-1].offset == cut[0] - 1
        partition.last_step = cut[1] if is_last else None
        self._limits.is_open = partition.position >= self.goal.out.offset
        regime = regime_at(self.goal.regimes, start)
        assert regime is not None
        try:
            equipment = self._past.equipment(regime)
        except PastError as error:
            raise RebuildError(str(error)) from error
        partition.process(batch, equipment)


class _Withheld:
    """A `Sender` that sends nothing: what is not out stays in the outbox, for the worker that comes next."""

    def __init__(self, out: Place) -> None:
        self._out = out

    def claim(self, partition: int) -> Turn:
        return Turn(1, self._out)

    def offer(
        self, partition: int, outputs: Sequence[Output], regimes: Sequence[Regime] = (), patience: Millis = 0
    ) -> None:
        pass

    def has_failed(self, partition: int) -> bool:
        return False

    def drop(self, partition: int) -> None:
        pass


class _Known:
    """Identities as they are: what is evaluated again makes none."""

    def __init__(self, identities: Identities) -> None:
        self._identities = identities

    def read(self, who: Sequence[tuple[str, str]]) -> Sequence[tuple[Identity | None, Mapping[str, bytes]]]:
        return self._identities.read(who)

    def identify(self, customer_id: str, session_id: str, *, was_anonymous: bool) -> Identity:
        ((known, _),) = self._identities.read([(session_id, customer_id)])
        return identified(known, customer_id, session_id, was_anonymous=was_anonymous)


class _Limits:
    """Grants what is out already without asking: its takes were made, and may be forgotten by now."""

    def __init__(self, limits: LimitStore) -> None:
        self.is_open = False
        self._limits = limits

    def take(self, claims: Sequence[Claim], slots: int, now: EpochMs, hold: Millis | None) -> Sequence[Verdict]:
        if self.is_open:
            return self._limits.take(claims, slots, now, hold)
        return [Verdict(claim.token, granted=True) for claim in claims]
