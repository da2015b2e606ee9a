"""How often each node of a network is reached, and how long it takes: for a listing, on a network of its own.

What is found and tested in the indexes is in no node, and so only in the time of the whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, cast

from engine.activation import Step
from engine.rete.alpha.aggregates import Changed
from engine.rete.alpha.network import AlphaType, Feed
from engine.rete.alpha.windows import WindowNode
from engine.rete.beta.pattern import Pattern
from engine.rete.compilation import Compiled
from engine.rete.session.memory import Memory
from engine.values import EpochMs


@dataclass(slots=True)
class Spent:
    """What a quantity or pattern took.

    Attributes:
        times: How often an event entered it, something left it, or its combinations were looked at again.
        ns: Nanoseconds in all, by the clock that the meter was given.
    """

    times: int = 0
    ns: int = 0


class Meter:
    """Counts in a network that nobody else uses: from now on, every session of it is metered.

    Args:
        compiled: Of that network; its edges are led through the meter.
        clock: Nanoseconds.

    Attributes:
        spent: By quantity.
        activations: By rule.
    """

    def __init__(self, compiled: Compiled, clock: Callable[[], int]) -> None:
        self.spent: dict[int, Spent] = {}
        self.activations: Counter[str] = Counter()
        self._clock = clock
        for kind in compiled.alpha.values():
            self._lead(kind)
        for index, node in compiled.windows.items():
            compiled.windows[index] = cast("WindowNode", _Metered(node, "expire", self._timed(node.expire, index)))
        for index, pattern in compiled.patterns.items():
            compiled.patterns[index] = cast(
                "Pattern", _Metered(pattern, "refresh", self._timed(pattern.refresh, index))
            )

    def note(self, step: Step) -> None:
        """Count the activations of a step."""
        self.activations.update(each.rule for each in step.activations)

    def _lead(self, kind: AlphaType) -> None:
        known: dict[int, Feed] = {}

        def through(feeds: Iterable[Feed]) -> tuple[Feed, ...]:
            found = []
            for feed in feeds:
                made = known.get(id(feed))
                if made is None:
                    made = known[id(feed)] = feed._replace(enter=self._entering(feed))
                found.append(made)
            return tuple(found)

        kind.plain = through(kind.plain)
        kind.memories = tuple(memory._replace(feeds=through(memory.feeds)) for memory in kind.memories)
        if kind.table is not None:
            kind.table = {value: through(feeds) for value, feeds in kind.table.items()}

    def _entering(self, feed: Feed) -> Callable[[Memory, Changed, EpochMs, Any], None]:
        return self._timed(feed.enter, feed.node.index)

    def _timed(self, call: Callable[..., Any], index: int) -> Callable[..., Any]:
        spent, clock = self.spent.setdefault(index, Spent()), self._clock

        def timed(*given: Any) -> Any:
            began = clock()
            try:
                return call(*given)
            finally:
                spent.ns += clock() - began
                spent.times += 1

        return timed


class _Metered:
    """A node of which one call is metered; all else is its own."""

    def __init__(self, node: object, name: str, call: Callable[..., Any]) -> None:
        self._node = node
        setattr(self, name, call)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._node, name)
