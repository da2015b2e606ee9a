"""Aggregate nodes: keep a quantity over events up to date in a session's memory, event by event.

The nodes hold no session state. Each gives exactly what `history.value_over` gives for the same events. `changed` is
the record of one step: the value that a quantity had before it.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Final, TypeAlias

from engine.language.tree import Aggregate, Aggregation
from engine.rete.alpha.history import rounded
from engine.rete.conditions.quantity import Quantity
from engine.rete.conditions.subjects import Presence
from engine.rete.memory.memory import Boxed, Memory
from engine.values import EpochMs, Kind, Value, ValueType

Changed: TypeAlias = dict[int, Value | None]

SAME: Final = object()
"""Said instead of the value before, where nothing changed."""


class AlphaSuccessor:
    """What an edge of the alpha network leads to: an aggregate node, or a pattern.

    Attributes:
        index: The quantity that it keeps.
    """

    __slots__ = ("index",)

    def __init__(self, index: int) -> None:
        self.index: Boxed = index

    def take(self, memory: Memory, time: Boxed, item: Any) -> Any:
        """Take in an entry that belongs to the span; returns the value before it, or `SAME`.

        Entries of one time come in the order of their arrival.
        """
        raise NotImplementedError

    def enter(self, memory: Memory, changed: Changed, time: Boxed, item: Any) -> None:
        """`take`, with what that changes put down."""
        old = self.take(memory, time, item)
        if old is not SAME and self.index not in changed:
            changed[self.index] = old


class AggregateNode(AlphaSuccessor):
    """A quantity over the events of the session, or since the latest event of a type: never loses an entry by time."""

    __slots__ = ("default", "limit")

    def __init__(self, quantity: Quantity, limit: int) -> None:
        super().__init__(quantity.index)
        self.default = quantity.default
        self.limit = limit

    def take(self, memory: Memory, time: Boxed, item: Any) -> Any:
        """See `AlphaSuccessor`."""
        index = self.index
        if memory.forgotten and index in memory.forgotten:
            return SAME
        old = memory.values.get(index, self.default)
        new = self._taken(memory, old, time, item)
        if new == old and type(new) is type(old):
            return SAME
        memory.values[index] = new
        return old

    def reset(self, memory: Memory, changed: Changed) -> None:
        """Begin anew: an event of the `since` type came."""
        index = self.index
        memory.states.pop(index, None)
        memory.forgotten.pop(index, None)
        if index in memory.values:
            changed.setdefault(index, memory.values.pop(index))

    def forget(self, memory: Memory, changed: Changed, time: EpochMs) -> None:
        """Become unknown: something that the quantity needs is gone for good (until a reset)."""
        changed.setdefault(self.index, self._lose(memory, time))

    def _lose(self, memory: Memory, time: EpochMs) -> Value | None:
        """`forget`; returns the value before."""
        index = self.index
        memory.states.pop(index, None)
        memory.forgotten[index] = time
        old = memory.values.get(index, self.default)
        memory.values[index] = None
        return old

    def pack(self, state: Any, clock: EpochMs) -> Any:
        """The node's state for a snapshot; one time alone as a distance from the clock, which is small."""
        return state

    def unpack(self, packed: Any, clock: EpochMs) -> Any:
        """The opposite of `pack`. Raises `TypeError` or `ValueError` for what `pack` did not make."""
        return packed

    def _taken(self, memory: Memory, old: Any, time: Boxed, item: Any) -> Any:
        """The new value; may change the node's state in memory."""
        raise NotImplementedError


class SeenNode(AggregateNode):
    """Whether there was one."""

    __slots__ = ()

    def take(self, memory: Memory, time: Boxed, item: Any) -> Any:
        """Only the first says something new."""
        index = self.index
        old = memory.values.get(index, False)
        if old is True:
            return SAME
        memory.values[index] = True
        memory.forgotten.pop(index, None)
        return old


class CountNode(AggregateNode):
    """Counts and sums of whole numbers: the value is all that there is to keep."""

    __slots__ = ()

    def take(self, memory: Memory, time: Boxed, item: Any) -> Any:
        """Add the entry."""
        index, values = self.index, memory.values
        if memory.forgotten and index in memory.forgotten:
            return SAME
        old: Any = values.get(index, 0)
        values[index] = old + item
        return old


class RationalNode(AggregateNode):
    """Averages, and sums of fractional numbers, kept exactly: (entries, numerator, power of two below it)."""

    __slots__ = ("averages", "kind")

    def __init__(self, quantity: Quantity, limit: int, function: Aggregation, kind: ValueType) -> None:
        super().__init__(quantity, limit)
        self.averages = function is Aggregation.AVERAGE
        self.kind = kind

    def pack(self, state: Any, clock: EpochMs) -> Any:
        """The sum as text: it may be of any length."""
        count, total, shift = state
        return [count, str(total), shift]

    def unpack(self, packed: Any, clock: EpochMs) -> Any:
        """The opposite of `pack`."""
        count, total, shift = packed
        return (count, int(total), shift)

    def _taken(self, memory: Memory, old: Any, time: Boxed, item: Any) -> Any:
        count, total, shift = memory.states.get(self.index, (0, 0, 0))
        numerator, denominator = item.as_integer_ratio()
        own = denominator.bit_length() - 1  # the denominator of a float is a power of two
        if own > shift:
            total, shift = (total << (own - shift)) + numerator, own
        else:
            total += numerator << (shift - own)
        count += 1
        memory.states[self.index] = (count, total, shift)
        exact = Fraction(total, (count if self.averages else 1) << shift)
        return rounded(exact, self.kind)


class ExtremeNode(AggregateNode):
    """Minimum or maximum of all entries."""

    __slots__ = ("is_minimum",)

    def __init__(self, quantity: Quantity, limit: int, function: Aggregation) -> None:
        super().__init__(quantity, limit)
        self.is_minimum = function is Aggregation.MINIMUM

    def _taken(self, memory: Memory, old: Any, time: Boxed, item: Any) -> Any:
        if old is None:
            return item
        return item if (item < old if self.is_minimum else item > old) else old


class EndNode(AggregateNode):
    """First or last entry in order of time, then of arrival: its time is kept, for late events."""

    __slots__ = ("is_first",)

    def __init__(self, quantity: Quantity, limit: int, function: Aggregation) -> None:
        super().__init__(quantity, limit)
        self.is_first = function is Aggregation.FIRST

    def pack(self, state: Any, clock: EpochMs) -> Any:
        """How old it is."""
        return clock - state

    def unpack(self, packed: Any, clock: EpochMs) -> Any:
        """The opposite of `pack`."""
        return clock - packed

    def _taken(self, memory: Memory, old: Any, time: Boxed, item: Any) -> Any:
        held = memory.states.get(self.index)
        if held is None or (time < held if self.is_first else time >= held):
            memory.states[self.index] = time
            return item
        return old


class DistinctNode(AggregateNode):
    """How many different values; past the limit of kept values it is unknown."""

    __slots__ = ()

    def pack(self, state: Any, clock: EpochMs) -> Any:
        """The values in the order in which they came."""
        return list(state)

    def unpack(self, packed: Any, clock: EpochMs) -> Any:
        """The opposite of `pack`."""
        return dict.fromkeys((tuple(item) if isinstance(item, list) else item for item in packed), True)

    def take(self, memory: Memory, time: Boxed, item: Any) -> Any:
        """Count the value where it is new."""
        index = self.index
        if memory.forgotten and index in memory.forgotten:
            return SAME
        seen = memory.states.get(index)
        if seen is None:
            memory.states[index] = seen = {}
        if item in seen:
            return SAME
        if len(seen) >= self.limit:
            return self._lose(memory, time)
        seen[item] = True
        memory.values[index] = len(seen)
        return len(seen) - 1


def session_node(quantity: Quantity, limit: int) -> AggregateNode:
    """The node that keeps a quantity without a window, see `windows.node_of`."""
    subject = quantity.subject
    assert isinstance(subject, Aggregate | Presence)
    if isinstance(subject, Presence):
        return SeenNode(quantity, limit)
    function, kind = subject.function, subject.type
    if function is Aggregation.COUNT or (function is Aggregation.SUM and kind.kind is not Kind.NUMBER):
        return CountNode(quantity, limit)
    if function in {Aggregation.SUM, Aggregation.AVERAGE}:
        return RationalNode(quantity, limit, function, kind)
    if function is Aggregation.DISTINCT:
        return DistinctNode(quantity, limit)
    if function in {Aggregation.FIRST, Aggregation.LAST}:
        return EndNode(quantity, limit, function)
    return ExtremeNode(quantity, limit, function)
