"""Joined conditions that no rule has, looked at on their own: of a draft, or of an offer that is tried out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from engine.activation import Catalogue
from engine.language.tree import Vocabulary
from engine.rete.beta.pattern import Pattern
from engine.rete.beta.selector import Look
from engine.rete.compilation import patterns_apart
from engine.rete.conditions.subjects import Joined
from engine.rete.memory.alphas import Alphas
from engine.rete.memory.joins import PatternState
from engine.rete.memory.retained import Kept
from engine.rete.session.following import arrivals_of
from engine.values import EpochMs, Truth, Value


class Apart:
    """A pattern that is no part of a network, over what a session has kept.

    Attributes:
        pattern: The pattern.
        state: Its combinations at the moment.
        look: What it was looked at with.
        value: Its truth.
    """

    def __init__(
        self,
        subject: Joined,
        vocabulary: Vocabulary,
        events: Sequence[Kept],
        dropped: EpochMs | None,
        now: EpochMs,
        value: Callable[[Any], Value | None],
        catalogue: Catalogue | None,
    ) -> None:
        """`value` gives the value of what the conditions look at beside `events`, of which `dropped` was the last to go."""
        self.pattern: Pattern
        self.pattern, alpha, quantities = patterns_apart(subject, vocabulary)
        alphas = Alphas()
        for event in events:
            kind = alpha.get(event.type)
            numbers = set() if kind is None else {arrival.number for arrival in arrivals_of(kind, event)}
            if numbers:
                alphas.add(numbers, event.time, event.attributes)
        values = {index: value(quantities.all[index].subject) for index in self.pattern.reads}
        self.look = Look(alphas, values, [each.default for each in quantities.all], now, catalogue)
        self.state = PatternState()
        self.state.dropped, self.state.lost = dropped, None
        self.pattern.refresh(self.state, self.look, None, None, {})
        self.value: Truth = self.pattern.value(self.state)
