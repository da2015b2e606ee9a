"""How far each partition is to be built, and with what: settled once, kept on disk, so that a rebuild can be resumed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from engine.ports import Place, PortError, Position, Turn
from engine.regime import Regime, merged
from service.clock import wall_ms
from service.control import Control
from service.loading import BundleRefusedError, load_stored
from service.wiring import Wiring
from service.worker.writing import regime_of

ALL_OUT = Place(1 << 62)
"""Behind every output: nothing is to be sent."""


class RebuildError(Exception):
    """The state can't be built as it was, or not now; the message says why and what to do."""


class Goal(msgspec.Struct, frozen=True):
    """How far a partition is to be built.

    Attributes:
        offset: Where the stored state stands; where it is lost, where the outputs do.
        step: Batches at that offset.
        out: The place before which outputs are out; the rebuilt outbox has those from there on.
        regimes: What it was evaluated with.
        is_assumed: Whether nothing is recorded of that, so that the live revision is taken.
        is_replaced: Whether the rebuilt state is in its place.
        begins: The offset at which the log begins, where what came before is gone.
    """

    partition: int
    offset: int
    step: int
    out: Place
    regimes: Sequence[Regime]
    is_assumed: bool = False
    is_replaced: bool = False
    begins: int = 0

    @property
    def place(self) -> tuple[int, int]:
        """Offset and step."""
        return self.offset, self.step


class PlanFile:
    """The plan on disk."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> list[Goal] | None:
        """The plan of a rebuild that did not end; None where there is none."""
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=list[Goal])
        except FileNotFoundError:
            return None

    def write(self, goals: Sequence[Goal]) -> None:
        """Replace it."""
        partial = self._path.with_suffix(".part")
        with partial.open("wb") as file:
            file.write(msgspec.json.encode(goals))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self._path)


def workers_at_work(control: Control) -> list[str]:
    """Names of the workers that gave a sign of life lately."""
    now = wall_ms()
    return [each.name for each in control.processes(now) if each.role == "worker" and each.is_live(now)]


def make_plan(wiring: Wiring, *, sends: bool) -> list[Goal]:
    """A goal for each partition that has something.

    Args:
        wiring: The installation.
        sends: Whether the outputs are taken over, so that the outbox has what is not out; else nothing is sent after it.

    Raises:
        PortError: A store does not answer, or holds a state that was being replaced.
        RebuildError: Nothing is live and nothing is recorded.
    """
    state, goals = wiring.state(), []
    for partition in range(wiring.settings.kafka.partitions):
        position = state.position(partition)
        turn = wiring.outputs().claim(partition) if sends else Turn(0, ALL_OUT)
        out = turn.out
        offset = position.offset or (out.offset if sends else 0)
        if offset:
            regimes = merged(state.regimes(partition), turn.regimes)
            goals.append(Goal(partition, offset, position.step, out, regimes or [_live(wiring)], not regimes))
    return goals


def is_current(wiring: Wiring, goals: Sequence[Goal]) -> bool:
    """Whether the stored state still stands where a plan found it: no worker has gone on since."""
    return all(goal.is_replaced or _stands(wiring, goal) for goal in goals)


def _stands(wiring: Wiring, goal: Goal) -> bool:
    try:
        position = wiring.state().position(goal.partition)
    except PortError:
        return True  # it was being replaced when the rebuild ended: nobody can have gone on
    return position == Position(0, 0) or (position.offset, position.step) == goal.place


def _live(wiring: Wiring) -> Regime:
    control, settings = wiring.publisher().control, wiring.settings
    live, _ = control.live()
    if live is None:
        raise RebuildError("nothing is live to evaluate with: publish the rules that were with `salience publish`")
    try:
        loaded = load_stored(control, wiring.signing(), live, settings.models.registry)
    except BundleRefusedError as error:
        raise RebuildError(f"revision {live.number} is live but can't be loaded: {error}") from error
    return regime_of(loaded, settings.worker.allowed_lateness_ms, 0, 0)
