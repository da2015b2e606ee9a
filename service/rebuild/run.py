"""A whole rebuild: plan, replay into a store of its own, compare, put in place."""

from __future__ import annotations

import contextlib
import fcntl
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing

import msgspec

from connectors.embedded import Embedded
from engine.copies import PartitionCopy
from engine.ports import EventSource, PortError, SessionState, StateStore
from service.installation import holdout_salt
from service.past import Past
from service.rebuild.plan import Goal, PlanFile, RebuildError, is_current, make_plan
from service.rebuild.replay import Replay
from service.wiring import Wiring

FOLDER = "rebuild"
POLL_RECORDS = 5_000
POLL_MS = 500
SILENT_S = 60.0
"""So long without a record that is still needed means that it does not come."""
SHOWN = 5
"""Sessions that differ, named for each partition."""


class Rebuilt(msgspec.Struct, frozen=True):
    """What became of a partition.

    Attributes:
        offset: How far it was built.
        sessions: How many it has.
        differing: How many sessions were otherwise before, or on one side only; None where nothing was there to compare.
        examples: Some of them.
        is_assumed: Whether it is not recorded what it was evaluated with, so that the live revision was taken.
        begins: The offset at which the log begins, where what came before is gone; else 0.
    """

    partition: int
    offset: int
    sessions: int
    differing: int | None
    examples: tuple[str, ...] = ()
    is_assumed: bool = False
    begins: int = 0


class Rebuild:
    """Builds the state of all partitions anew.

    Everything is built aside, in `data_dir`, and put in place at the end. So one that was ended amid it goes on when it is
    run again; what is stored keeps serving meanwhile.

    Args:
        wiring: The installation.
        compares: Put nothing in place: say only what differs from what was stored when it began. Workers may go on.
    """

    def __init__(self, wiring: Wiring, *, compares: bool = False) -> None:
        self._wiring = wiring
        self._compares = compares
        settings = wiring.settings
        self._folder = settings.data_dir / FOLDER / ("compare" if compares else "build")
        self._plan = PlanFile(self._folder / "plan.json")
        self._embedded = Embedded(self._folder, settings.kafka.partitions)

    def run(self, started: Callable[[int, bool], None], advanced: Callable[[int], None]) -> list[Rebuilt]:
        """Do it.

        Args:
            started: Called with the number of records to evaluate, and whether an earlier run is resumed.
            advanced: Called with the number of records that were evaluated since the last call.

        Raises:
            RebuildError: It can't be done.
            PortError: A store or the log does not answer.
        """
        with ExitStack() as stack:
            stack.enter_context(self._alone())
            goals, is_resumed = self._goals()
            scratch = stack.enter_context(closing(self._embedded.state()))
            self._build(goals, scratch, is_resumed, started, advanced)
            done = self._place(goals, scratch)
        shutil.rmtree(self._folder)
        return done

    # -------------------------------------------------------------- steps

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise RebuildError(f"another rebuild is at work in {self._folder}") from error
            yield

    def _goals(self) -> tuple[list[Goal], bool]:
        """What is to be done, and whether it was begun before."""
        goals = self._plan.read()
        if goals is not None and (self._compares or is_current(self._wiring, goals)):
            return goals, True
        for path in self._folder.glob("state.db*"):
            path.unlink()
        goals = make_plan(self._wiring, sends=not self._compares)
        if self._compares:
            goals = self._keep_before(goals)
        self._plan.write(goals)
        return goals, False

    def _keep_before(self, goals: Sequence[Goal]) -> list[Goal]:
        """Copy what is to be compared with; the goal is where the copy stands, since workers may go on."""
        kept = []
        with closing(self._before()) as before:
            for goal in goals:
                copy = self._wiring.state().copy(goal.partition)
                before.replace(copy)
                at = copy.position
                regimes = copy.regimes or goal.regimes
                kept.append(msgspec.structs.replace(goal, offset=at.offset, step=at.step, regimes=regimes))
        return kept

    def _before(self) -> StateStore:
        return Embedded(self._folder / "before", self._wiring.settings.kafka.partitions).state()

    def _build(
        self,
        goals: list[Goal],
        scratch: StateStore,
        is_resumed: bool,
        started: Callable[[int, bool], None],
        advanced: Callable[[int], None],
    ) -> None:
        wiring = self._wiring
        control, settings = wiring.publisher().control, wiring.settings
        past = Past(control, wiring.signing(), settings.models.registry, wiring.profiles(), wiring.catalogue())
        salt = holdout_salt(wiring.tables())
        replays = {
            goal.partition: Replay(goal, scratch, wiring.limits(), wiring.identities(), salt, past)
            for goal in goals
            if not goal.is_replaced
        }
        started(sum(max(0, each.goal.offset - each.position) for each in replays.values()), is_resumed)
        waiting = {number: each for number, each in replays.items() if not each.is_done}
        if not waiting:
            return
        source = wiring.event_source(f"{settings.kafka.group}-{FOLDER}")
        _join(source, waiting)
        source.pause([number for number in source.assignment() if number not in waiting])
        heard = time.monotonic()
        while waiting:
            for number, records in source.poll(POLL_RECORDS, POLL_MS).items():
                replay = waiting.get(number)
                if replay is None:
                    continue
                position = replay.position
                replay.look(records)
                if replay.begins != replay.goal.begins:
                    replay.goal = self._note_begin(goals, replay)
                replay.feed(records)
                if replay.position > position:
                    advanced(replay.position - position)
                    heard = time.monotonic()
                if replay.is_done:
                    del waiting[number]
                    source.pause([number])
            if time.monotonic() - heard > SILENT_S:
                told = ", ".join(
                    f"{number} (at {each.position} of {each.goal.offset})" for number, each in waiting.items()
                )
                raise RebuildError(
                    f"for {SILENT_S:.0f} s no record came of partitions {told}: the log may no longer have them; "
                    "where it does, run this again, it goes on"
                )

    def _note_begin(self, goals: list[Goal], replay: Replay) -> Goal:
        """Remember where the log begins, also for a run that goes on with this one."""
        known = msgspec.structs.replace(replay.goal, begins=replay.begins)
        goals[goals.index(replay.goal)] = known
        self._plan.write(goals)
        return known

    def _place(self, goals: Sequence[Goal], scratch: StateStore) -> list[Rebuilt]:
        """Put what was built in the place of what is stored, partition by partition; or only compare."""
        done, goals = [], list(goals)
        for index, goal in enumerate(goals):
            copy = scratch.copy(goal.partition)
            before = self._stored(goal)
            names = [] if before is None else differing(before.sessions, copy.sessions)
            if not self._compares:
                self._wiring.state().replace(copy)
                goals[index] = msgspec.structs.replace(goal, is_replaced=True)
                self._plan.write(goals)
            done.append(
                Rebuilt(
                    goal.partition,
                    goal.offset,
                    len(copy.sessions),
                    None if before is None else len(names),
                    tuple(names[:SHOWN]),
                    goal.is_assumed,
                    goal.begins,
                )
            )
        return done

    def _stored(self, goal: Goal) -> PartitionCopy | None:
        """What there is to compare with; None where the state was lost, or is half replaced."""
        if self._compares:
            with closing(self._before()) as before:
                return before.copy(goal.partition)
        try:
            copy = self._wiring.state().copy(goal.partition)
        except PortError:
            return None
        return copy if (copy.position.offset, copy.position.step) == goal.place else None


def differing(one: Mapping[str, SessionState], other: Mapping[str, SessionState]) -> list[str]:
    """Ids of the sessions that are not equal, byte for byte, or only on one side."""
    return sorted(each for each in one.keys() | other.keys() if one.get(each) != other.get(each))


def _join(source: EventSource, replays: Mapping[int, Replay]) -> None:
    """Become the one reader of all partitions that are needed, from where each stands."""
    until = time.monotonic() + SILENT_S
    while not replays.keys() <= source.assignment().keys():
        source.poll(1, POLL_MS)
        if time.monotonic() > until:
            raise RebuildError("the event log gave no partitions to read: is another rebuild reading it?")
    for number, replay in replays.items():
        source.seek(number, replay.position)
