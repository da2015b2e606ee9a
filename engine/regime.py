"""What a partition is evaluated with, from a place of its log on: recorded, so that a replay does what the first run did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from engine.values import Millis


class Regime(msgspec.Struct, frozen=True):
    """A revision, the models that answer, and the allowed lateness.

    Attributes:
        offset: The record from which on it holds.
        step: How many batches were written at that offset before: timers that are due may take several.
        revision: Its number.
        bundle: Its hash; the bundle pins versions of models.
        models: The version that answers each score; a score that is not here had no model, whatever the bundle pins.
        lateness: Allowed lateness.
    """

    offset: int
    step: int
    revision: int
    bundle: str
    models: Mapping[str, str]
    lateness: Millis

    @property
    def place(self) -> tuple[int, int]:
        """Offset and step, in order."""
        return self.offset, self.step

    def is_like(self, other: Regime) -> bool:
        """Whether it evaluates as another does, from wherever it holds."""
        return self.terms == other.terms

    @property
    def terms(self) -> tuple[int, str, Mapping[str, str], Millis]:
        """All but the place."""
        return self.revision, self.bundle, self.models, self.lateness


KEPT = 1_000
"""Regimes that a partition keeps, the latest: years of publishing."""


SENT = 8
"""Of these the latest go out with the outputs, for a state that lost its own."""


def merged(stored: Sequence[Regime], sent: Sequence[Regime]) -> list[Regime]:
    """What the state says, and what went out: that is right where both speak, and knows what the state has lost."""
    if not sent:
        return list(stored)
    first, last = sent[0].place, sent[-1].place
    return [*(each for each in stored if each.place < first), *sent, *(each for each in stored if each.place > last)]


def regime_at(regimes: Sequence[Regime], place: tuple[int, int]) -> Regime | None:
    """The one that holds at a place: the last that began there or before, else the first known; None of none."""
    before = [each for each in regimes if each.place <= place]
    return before[-1] if before else next(iter(regimes), None)
