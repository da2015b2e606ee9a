"""What a partition reads from and writes to."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from engine.ports import Applied, Output, SessionState, StateBatch, StateStore, Turn
from engine.regime import Regime
from engine.values import EpochMs, Millis
from service.worker.allowing import Identities, Limits
from service.worker.baton import Baton
from service.worker.equipment import Past


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


@dataclass(frozen=True, slots=True)
class Stores:
    """The ports of partitions, and what holds for all of them.

    While a partition waits for the state store in one of these methods, others are evaluated; each raises `PortError`.

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

    def seen(self, partition: int, ids: Sequence[str]) -> Collection[str]:
        """As `StateStore.seen`."""
        with self.baton.handed_on():
            return self.state.seen(partition, ids)

    def load(self, partition: int, sessions: Sequence[str]) -> Mapping[str, SessionState]:
        """As `StateStore.load`."""
        with self.baton.handed_on():
            return self.state.load(partition, sessions)

    def due(self, partition: int, until: EpochMs, limit: int) -> Sequence[str]:
        """As `StateStore.due`."""
        with self.baton.handed_on():
            return self.state.due(partition, until, limit)

    def apply(self, batch: StateBatch) -> Applied:
        """As `StateStore.apply`."""
        with self.baton.handed_on():
            return self.state.apply(batch)
