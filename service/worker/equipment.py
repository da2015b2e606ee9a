"""What a partition is evaluated with: a revision, and what reads events, profiles and things by its vocabulary."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from engine.event import Event
from engine.facts import FactStore
from engine.ports import Record
from engine.regime import Regime
from engine.values import Millis
from service.clock import Clock
from service.loading import Loaded
from service.things import Lookup, Things
from service.worker.allowing import concerns_persons
from service.worker.intake import Intake
from service.worker.sessions import Profiles

BEHIND_MS: Millis = 1_000
"""Events that have waited for so long were held up by others before them."""

PATIENCE_PART = 4
PATIENCE_MS: Millis = 1_000
"""Where it is behind, a worker sends the outputs of several batches together, since a transaction costs the same for one as for many:
triggers then come a quarter later than they would, and a second at most."""


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


class PastError(Exception):
    """What was evaluated with once can't be had any more; the message says what and why."""


Past = Callable[[Regime], Equipment]
"""Makes what a regime evaluates with; raises `PastError`."""
