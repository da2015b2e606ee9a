"""How often each node of a network is reached, and how long it takes: for a listing, on a network of its own.

What is found and tested in the indexes is in no node, and so only in the time of the whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from engine.activation import Step
from engine.rete.alpha.aggregates import AlphaSuccessor, Changed
from engine.rete.alpha.network import AlphaMemory, AlphaType, Feed
from engine.rete.alpha.windows import WindowNode
from engine.rete.beta.pattern import PARTS, Pattern
from engine.rete.beta.selector import Look
from engine.rete.compilation import Compiled
from engine.rete.conditions.quantity import Quantity
from engine.rete.memory.joins import PatternState, Pins, Token
from engine.rete.memory.memory import Boxed, Memory
from engine.values import EpochMs, Truth, Value


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
            compiled.windows[index] = _MeteredWindow(node, compiled.quantities.all[index], self._watch(index))
        for index, pattern in compiled.patterns.items():
            compiled.patterns[index] = _MeteredPattern(pattern, self._watch(index))

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
                    entrance = _MeteredEntrance(feed.node, self._watch(feed.node.index))
                    made = known[id(feed)] = Feed(entrance, feed.attribute, feed.sign, feed.required)
                found.append(made)
            return tuple(found)

        kind.plain = through(kind.plain)
        kind.lead(AlphaMemory(each.checks, each.tests, through(each.feeds)) for each in kind.memories)
        if kind.table is not None:
            kind.table = {value: through(feeds) for value, feeds in kind.table.items()}

    def _watch(self, index: int) -> Watch:
        return Watch(self.spent.setdefault(index, Spent()), self._clock)


class Watch:
    """Adds to what a node took, from when it is started."""

    def __init__(self, spent: Spent, clock: Callable[[], int]) -> None:
        self._spent = spent
        self._clock = clock

    def __enter__(self) -> None:
        self._began = self._clock()

    def __exit__(self, *_: object) -> None:
        self._spent.ns += self._clock() - self._began
        self._spent.times += 1


class _MeteredEntrance(AlphaSuccessor):
    """A node at the end of an edge; how long it takes to enter it is metered."""

    def __init__(self, node: AlphaSuccessor, watch: Watch) -> None:
        super().__init__(node.index)
        self._node = node
        self._watch = watch

    def take(self, memory: Memory, time: Boxed, item: Any) -> Any:
        with self._watch:
            return self._node.take(memory, time, item)


class _MeteredWindow(WindowNode):
    """A window whose letting go is metered; all else is its own."""

    def __init__(self, node: WindowNode, quantity: Quantity, watch: Watch) -> None:
        super().__init__(quantity, node.limit)
        self._node = node
        self._watch = watch

    def expire(self, memory: Memory, changed: Changed, horizon: EpochMs) -> EpochMs | None:
        with self._watch:
            return self._node.expire(memory, changed, horizon)

    def take(self, memory: Memory, time: Boxed, item: Any) -> Any:
        return self._node.take(memory, time, item)

    def value_at(self, memory: Memory, now: EpochMs) -> Value | None:
        return self._node.value_at(memory, now)

    def moments(self, memory: Memory) -> Iterator[EpochMs]:
        return self._node.moments(memory)

    def next_moment(self, memory: Memory) -> EpochMs | None:
        return self._node.next_moment(memory)

    def pack(self, state: Any, clock: EpochMs) -> Any:
        return self._node.pack(state, clock)

    def unpack(self, packed: Any, clock: EpochMs) -> Any:
        return self._node.unpack(packed, clock)

    def resume(self, memory: Memory, packed: Any) -> EpochMs:
        return self._node.resume(memory, packed)


class _MeteredPattern(Pattern):
    """A pattern whose combinations are looked at by the clock."""

    def __init__(self, pattern: Pattern, watch: Watch) -> None:
        for name in PARTS:
            setattr(self, name, getattr(pattern, name))
        self._watch = watch

    def refresh(
        self,
        state: PatternState,
        look: Look,
        touched: Iterable[Pins] | None,
        since: EpochMs | None,
        was: dict[Token, Truth],
    ) -> None:
        with self._watch:
            super().refresh(state, look, touched, since, was)
