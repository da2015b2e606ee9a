"""What a partition evaluates again with: what was recorded of those places, as far as it is known."""

from __future__ import annotations

from collections.abc import Sequence

from engine.ports import Place
from engine.regime import Regime, regime_at

Offset = tuple[int, int]
"""Offset and step: a place in the evaluation of a log."""


class Course:
    """Regimes up to where the outputs or the records of regimes reach; from there on, what is live.

    Batches end where the regime changed, to the step: so each record and each timer is evaluated with what it was evaluated
    with. What the batches are otherwise cut like does not matter.
    """

    def __init__(self, regimes: Sequence[Regime], out: Place) -> None:
        # Of the record of which some outputs are out, the others must be those that belong to them.
        ends = [(out.offset + (out.ordinal > 0), 0), *(each.place for each in regimes[-1:])]
        self._regimes = regimes
        self._end = max(ends) if regimes else (0, 0)
        self._cuts = sorted({self._end, *(each.place for each in regimes)})

    def cut(self, place: Offset) -> Offset | None:
        """Where the next batch from there has to end; None: what is live holds."""
        return next((each for each in self._cuts if each > place), None)

    def regime(self, place: Offset) -> Regime | None:
        """What was evaluated with there; None: what is live."""
        return regime_at(self._regimes, place) if place < self._end else None

    def passed(self, cut: Offset) -> None:
        """There are fewer timers at this offset than there were: what follows begins with the next record."""
        self._cuts.remove(cut)
