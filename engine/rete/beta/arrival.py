"""Where an edge of the alpha network ends in a pattern."""

from __future__ import annotations

from typing import Any, final

from engine.rete.alpha.aggregates import SAME, AlphaSuccessor
from engine.rete.beta.pattern import Role
from engine.rete.memory.memory import Boxed, Memory


@final
class Arrival(AlphaSuccessor):
    """A pattern at the end of an edge of the alpha network; `index` is its quantity.

    Attributes:
        number: The alpha memory that the event goes to.
        required: Attributes without which it does not.
        roles: What it is to the pattern.
    """

    __slots__ = ("number", "required", "roles")

    def __init__(self, index: int, number: int, required: frozenset[str], roles: tuple[Role, ...]) -> None:
        super().__init__(index)
        self.number = number
        self.required = required
        self.roles = roles

    def take(self, memory: Memory, time: Boxed, item: Any) -> Any:
        """Nothing enters a pattern by itself: what an event touches is noted, see `following.arrive`."""
        return SAME
