"""Aggregate nodes over a sliding window: what leaves it is known by a mark, not by looking."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterator
from heapq import heappush
from typing import Any, Final

from engine.language.tree import Aggregate, Aggregation
from engine.rete.alpha.aggregates import SAME, AggregateNode, Changed, session_node
from engine.rete.alpha.history import WHOLE, aggregate
from engine.rete.conditions.quantity import Quantity
from engine.rete.conditions.subjects import Presence
from engine.rete.memory.memory import Boxed, Memory
from engine.values import EpochMs, Millis, Value, ValueType

_push: Final = heappush


class WindowNode(AggregateNode):
    """A quantity over a sliding window: keeps its entries, at most `limit`, and leaves a mark for the next to leave.

    `is_timed` says on which heap the mark stands.
    """

    __slots__ = ("is_timed", "window")

    def __init__(self, quantity: Quantity, limit: int) -> None:
        super().__init__(quantity, limit)
        assert quantity.window is not None
        self.window: Millis = quantity.window
        self.is_timed = quantity.is_timed

    def expire(self, memory: Memory, changed: Changed, horizon: EpochMs) -> EpochMs | None:
        """Let go what has left the window at `horizon`; returns the next moment at which something leaves it."""
        raise NotImplementedError

    def value_at(self, memory: Memory, now: EpochMs) -> Value | None:
        """The value at a later moment, if nothing comes; changes nothing."""
        raise NotImplementedError

    def moments(self, memory: Memory) -> Iterator[EpochMs]:
        """The moments at which something leaves the window."""
        raise NotImplementedError

    def next_moment(self, memory: Memory) -> EpochMs | None:
        """The first of them."""
        return min(self.moments(memory), default=None)

    def resume(self, memory: Memory, packed: Any) -> EpochMs:
        """Take up what `pack` made at the memory's clock, where nothing was dropped; returns when something first leaves it."""
        clock = memory.clock
        assert clock is not None
        memory.states[self.index] = self.unpack(packed, clock)
        memory.values[self.index] = self.value_at(memory, clock)
        moment = self.next_moment(memory)
        if moment is None:
            message = "a window without an entry"
            raise ValueError(message)
        return moment

    def _forget_oldest(self, memory: Memory, time: EpochMs) -> None:
        """An entry had to go: the value is unknown until the latest of these would have left the window."""
        before = memory.forgotten.get(self.index)
        if before is None:
            _push(memory.timed, (time + self.window, self.index))  # it moves on as more is forgotten
        memory.forgotten[self.index] = time if before is None else max(time, before)

    def _mark(self, memory: Memory, moment: EpochMs) -> None:
        heap = memory.timed if self.is_timed else memory.lazy
        size = len(heap)
        if not size or heap[(size - 1) >> 1][0] < moment:
            heap.append((moment, self.index))  # most often it is the last: then it stands where a heap has it
        else:
            _push(heap, (moment, self.index))


class WindowedSeenNode(WindowNode):
    """Whether there was one within the window: the time of the latest is enough."""

    __slots__ = ()

    def resume(self, memory: Memory, packed: Any) -> EpochMs:
        """It is still in the window."""
        index, latest = self.index, packed
        time: EpochMs = latest
        memory.states[index] = latest
        memory.values[index] = True
        return time + self.window

    def take(self, memory: Memory, time: Boxed, item: Any) -> Any:
        """Remember the latest."""
        index, states = self.index, memory.states
        latest = states.get(index)
        if latest is None:
            at: EpochMs = time
            states[index] = time
            old = memory.values.get(index, False)
            memory.values[index] = True
            self._mark(memory, at + self.window)
            return old
        if time > latest:
            states[index] = time
        return SAME

    def expire(self, memory: Memory, changed: Changed, horizon: EpochMs) -> EpochMs | None:
        """It is gone when the latest is, unless what was dropped may still be there."""
        index, window = self.index, self.window
        latest: EpochMs | None = memory.states.get(index)
        if latest is not None:
            if latest + window > horizon:
                return latest + window
            del memory.states[index]
            changed.setdefault(index, True)
            if index in memory.values:
                del memory.values[index]
        forgotten = memory.forgotten.get(index) if memory.forgotten else None
        if forgotten is not None:
            if forgotten + window > horizon:
                memory.values[index] = None
                return forgotten + window
            del memory.forgotten[index]
            changed.setdefault(index, memory.values.pop(index, False))
        return None

    def value_at(self, memory: Memory, now: EpochMs) -> Value | None:
        """Whether the latest still counts then."""
        begin = now - self.window
        if memory.states.get(self.index, begin) > begin:
            return True
        return None if memory.forgotten.get(self.index, begin) > begin else False

    def moments(self, memory: Memory) -> Iterator[EpochMs]:
        """Of the entries only the latest matters."""
        for held in (memory.states, memory.forgotten):
            if self.index in held:
                yield held[self.index] + self.window

    def next_moment(self, memory: Memory) -> EpochMs | None:
        """When the latest leaves, else when what was dropped has left."""
        latest = memory.states.get(self.index)
        if latest is None:
            latest = memory.forgotten.get(self.index) if memory.forgotten else None
        return None if latest is None else int(latest + self.window)


class WindowedCountNode(WindowNode):
    """How many within the window: their times, oldest first."""

    __slots__ = ()

    def resume(self, memory: Memory, packed: Any) -> EpochMs:
        """All of them are still in the window."""
        index = self.index
        times: list[Boxed] = packed
        first: EpochMs = times[0]
        memory.states[index] = times
        memory.values[index] = len(times)
        return first + self.window

    def next_moment(self, memory: Memory) -> EpochMs | None:
        """When the oldest leaves."""
        if memory.forgotten and self.index in memory.forgotten:
            return memory.forgotten[self.index] + self.window
        times = memory.states.get(self.index)
        return int(times[0] + self.window) if times else None

    def take(self, memory: Memory, time: Boxed, item: Any) -> Any:
        """Add its time."""
        index, values = self.index, memory.values
        at: EpochMs = time
        times: list[Boxed] | None = memory.states.get(index)
        if times is None:
            memory.states[index] = times = [time]
            self._mark(memory, at + self.window)
        else:
            latest: EpochMs = times[-1]
            if at >= latest:
                times.append(time)
            else:
                insort(times, time)
                if times[0] == at:
                    self._mark(memory, at + self.window)
        old = values.get(index, 0)
        held = len(times)
        if held > self.limit:
            self._forget_oldest(memory, times.pop(0))
            held -= 1
        values[index] = None if memory.forgotten and index in memory.forgotten else held
        return old

    def expire(self, memory: Memory, changed: Changed, horizon: EpochMs) -> EpochMs | None:
        """Drop the oldest times."""
        index, window, values = self.index, self.window, memory.values
        times: list[EpochMs] | None = memory.states.get(index)
        begin = horizon - window
        forgotten = memory.forgotten.get(index) if memory.forgotten else None
        if forgotten is not None:
            if forgotten > begin:
                return forgotten + window
            del memory.forgotten[index]
        elif times is None:
            return None
        elif times[0] > begin:
            return times[0] + window
        if index not in changed:
            changed[index] = values.get(index, 0)
        if times is None or times[-1] <= begin:
            if times is not None:
                del memory.states[index]
            if index in values:
                del values[index]
            return None
        if times[0] <= begin:
            if times[1] > begin:
                del times[0]  # most often one leaves
            else:
                del times[: bisect_right(times, begin)]
        values[index] = len(times)
        return times[0] + window

    def value_at(self, memory: Memory, now: EpochMs) -> Value | None:
        """Those that are still in the window then."""
        begin = now - self.window
        if memory.forgotten.get(self.index, begin) > begin:
            return None
        times = memory.states.get(self.index, ())
        return len(times) - bisect_right(times, begin)

    def moments(self, memory: Memory) -> Iterator[EpochMs]:
        """Each time that leaves, and what was dropped."""
        for time in memory.states.get(self.index, ()):
            yield time + self.window
        if self.index in memory.forgotten:
            yield memory.forgotten[self.index] + self.window


class WindowedEntriesNode(WindowNode):
    """Any other function within the window: its entries (time, item), oldest first."""

    __slots__ = ("best", "function", "is_running", "kind")

    def __init__(self, quantity: Quantity, limit: int, function: Aggregation, kind: ValueType) -> None:
        super().__init__(quantity, limit)
        self.function = function
        self.kind = kind
        # Whole numbers are added and taken away one by one; all else is computed again from the entries.
        self.is_running = function is Aggregation.COUNT or (function is Aggregation.SUM and kind.kind in WHOLE)
        self.best = {Aggregation.MINIMUM: min, Aggregation.MAXIMUM: max}.get(function)

    def pack(self, state: Any, clock: EpochMs) -> Any:
        """The moment of each, and the item, one after the other."""
        return [part for entry in state for part in entry]

    def unpack(self, packed: Any, clock: EpochMs) -> Any:
        """The opposite of `pack`."""
        items = (tuple(item) if isinstance(item, list) else item for item in packed[1::2])
        return [*zip(packed[::2], items, strict=True)]

    def next_moment(self, memory: Memory) -> EpochMs | None:
        """When the oldest leaves."""
        if memory.forgotten and self.index in memory.forgotten:
            return memory.forgotten[self.index] + self.window
        entries = memory.states.get(self.index)
        return int(entries[0][0] + self.window) if entries else None

    def take(self, memory: Memory, time: Boxed, item: Any) -> Any:
        """Add the entry in its place."""
        index = self.index
        entries = memory.states.get(index)
        if entries is None:
            memory.states[index] = entries = [(time, item)]
            self._mark(memory, time + self.window)
        elif time >= entries[-1][0]:
            entries.append((time, item))
        else:
            at = bisect_right(entries, time, key=_time_of)
            entries.insert(at, (time, item))
            if at == 0:
                self._mark(memory, time + self.window)
        old = memory.values.get(index, self.default)
        if len(entries) > self.limit:
            self._forget_oldest(memory, entries.pop(0)[0])
        if memory.forgotten and index in memory.forgotten:
            memory.values[index] = None
        elif self.is_running:
            memory.values[index] = old + item
        elif self.best is not None and old is not None and entries[-1][0] == time:
            memory.values[index] = self.best(old, item)
        else:
            memory.values[index] = aggregate(self.function, [each for _, each in entries], self.kind)
        return old

    def expire(self, memory: Memory, changed: Changed, horizon: EpochMs) -> EpochMs | None:
        """Drop the oldest entries."""
        index, window = self.index, self.window
        entries = memory.states.get(index, [])
        begin = horizon - window
        forgotten = memory.forgotten.get(index) if memory.forgotten else None
        if forgotten is not None:
            if forgotten > begin:
                return int(forgotten + window)
            del memory.forgotten[index]
        elif not entries or entries[0][0] > begin:
            return int(entries[0][0] + window) if entries else None
        gone = bisect_right(entries, begin, key=_time_of)
        if index not in changed:
            changed[index] = memory.values.get(index, self.default)
        if gone == len(entries):
            memory.states.pop(index, None)
            memory.values.pop(index, None)
            return None
        left = entries[:gone]
        del entries[:gone]
        if self.is_running and forgotten is None:
            memory.values[index] -= sum(item for _, item in left)
        elif self.best is None or forgotten is not None or memory.values[index] in [item for _, item in left]:
            memory.values[index] = aggregate(self.function, [item for _, item in entries], self.kind)
        return int(entries[0][0] + window)

    def value_at(self, memory: Memory, now: EpochMs) -> Value | None:
        """Over the entries that are still in the window then."""
        begin = now - self.window
        if memory.forgotten.get(self.index, begin) > begin:
            return None
        left = [item for time, item in memory.states.get(self.index, ()) if time > begin]
        return aggregate(self.function, left, self.kind) if left else self.default

    def moments(self, memory: Memory) -> Iterator[EpochMs]:
        """Each entry that leaves, and what was dropped."""
        for time, _ in memory.states.get(self.index, ()):
            yield time + self.window
        if self.index in memory.forgotten:
            yield memory.forgotten[self.index] + self.window


def _time_of(entry: tuple[EpochMs, Any]) -> EpochMs:
    return entry[0]


def node_of(quantity: Quantity, limit: int) -> AggregateNode:
    """The node that keeps this quantity; `limit` bounds the events of which it keeps entries and values in a session."""
    subject = quantity.subject
    assert isinstance(subject, Aggregate | Presence)
    if isinstance(subject, Aggregate) and subject.minus is not None:
        limit *= 2  # an event may be among what is added and among what is taken off
    if subject.span.window is None:
        return session_node(quantity, limit)
    if isinstance(subject, Presence):
        return WindowedSeenNode(quantity, limit)
    if subject.function is Aggregation.COUNT and subject.minus is None:
        return WindowedCountNode(quantity, limit)
    return WindowedEntriesNode(quantity, limit, subject.function, subject.type)
