"""What changes a session's quantities: an event, facts that are set, and what leaves its window.

Each writes into `changed` the value that a quantity had before.
"""

from __future__ import annotations

from collections.abc import Mapping
from heapq import heapify, heappop, heappush, heapreplace
from typing import Any, Final

from engine.event import Event
from engine.language.tree import Aggregate
from engine.rete.agenda.agenda import Failures
from engine.rete.alpha.aggregates import SAME, Changed
from engine.rete.alpha.network import AlphaType, Broken, Feed
from engine.rete.compilation import Compiled
from engine.rete.conditions.subjects import Presence
from engine.rete.memory.memory import Boxed, Memory
from engine.rete.memory.retained import Packing, Retained
from engine.rete.session.following import arrive, note_due
from engine.rete.session.reading import Reader
from engine.rete.session.refill import refill, scanned_value
from engine.rete.session.settle import blame
from engine.values import EpochMs, Value

_pop: Final = heappop
_replace: Final = heapreplace

MOST_MARKS = 8
"""Marks for each event that is kept, past which those of events that were dropped are taken away."""


def expire(compiled: Compiled, memory: Memory, horizon: EpochMs, changed: Changed) -> None:
    """Let go what has left its window by `horizon`."""
    for heap in (memory.timed, memory.lazy):
        if heap and heap[0][0] <= horizon:
            expire_heap(compiled, memory, heap, horizon, changed)


def expire_heap(
    compiled: Compiled, memory: Memory, heap: list[tuple[EpochMs, int]], horizon: EpochMs, changed: Changed
) -> None:
    """The same for one heap of marks."""
    windows = compiled.windows
    done, done_at = -1, horizon
    while heap:
        moment, index = heap[0]
        if moment > horizon:
            return
        node = windows.get(index)
        if node is None:
            _pop(heap)
            note_due(memory, index, moment)
            continue
        # A mark may stand here twice: what was late had one of its own.
        following = None if index == done and moment == done_at else node.expire(memory, changed, horizon)
        if following is None:
            _pop(heap)
        else:
            _replace(heap, (following, index))
        done, done_at = index, moment


def set_facts(compiled: Compiled, memory: Memory, facts: Mapping[str, Value | None], changed: Changed) -> None:
    """Set facts; None takes the value away. Names of nothing that may be set are ignored."""
    settable, values = compiled.settable, memory.values
    for name, value in facts.items():
        index = settable.get(name)
        if index is not None:
            old = values.get(index)
            if old != value or type(old) is not type(value):
                changed.setdefault(index, old)
                if value is None:
                    del values[index]
                else:
                    values[index] = value


def take_in(compiled: Compiled, memory: Memory, event: Event, changed: Changed, failures: Failures) -> None:
    """Retain the event and enter it into the quantities that it reaches; the clock already stands at its step."""
    time = event.time
    retained = memory.retained
    if retained is None:
        memory.retained = retained = Retained(time)
    kind = compiled.alpha.get(event.type)
    if kind is None:
        kind = AlphaType(Packing((event.type, *event.attributes)))  # not declared: kept all the same
    if compiled.patterns and (kind.joined is not None or retained.count >= compiled.keep_events):
        for index, error in arrive(compiled, memory, event, kind):
            blame(compiled, index, error, failures)
    retained.add(time, event.attributes, kind.shape, compiled.keep_events)
    if memory.last_event is None or time > memory.last_event:
        memory.last_event = time
    if not kind.is_dull:
        table = kind.table
        if table is not None:
            feeds = table.get(event.attributes.get(kind.table_of), kind.plain) if table else kind.plain  # type: ignore[arg-type]
        else:
            broken: Broken = []
            feeds = tuple(kind.reached(event.attributes, time, broken))
            for index, error in broken:
                blame(compiled, index, error, failures)
        if time < memory.clock:  # type: ignore[operator]
            _take_in_late(compiled, memory, event, kind, feeds, changed)
        else:
            enter(memory, time, event.attributes, feeds, changed)
            if kind.resets:
                for node in kind.resets:
                    node.reset(memory, changed)
                memory.resets[event.type] = time
    for quantity in compiled.scanned:
        window = quantity.window
        if window is not None and time + window > memory.clock:  # type: ignore[operator]
            heappush(memory.timed, (time + window, quantity.index))
    if compiled.scanned and retained.dropped is not None and len(memory.timed) > MOST_MARKS * compiled.keep_events:
        _unmark(compiled, memory, retained.dropped)


def _unmark(compiled: Compiled, memory: Memory, dropped: EpochMs) -> None:
    """Take away the marks of scanned quantities for events that were dropped, but for the last: till then it is unknown."""
    windows = {quantity.index: quantity.window for quantity in compiled.scanned if quantity.window is not None}
    memory.timed[:] = {
        (moment, index) for moment, index in memory.timed if index not in windows or moment >= dropped + windows[index]
    }
    heapify(memory.timed)


def scan(compiled: Compiled, memory: Memory, now: EpochMs, changed: Changed, failures: Failures) -> None:
    """Read again the quantities over events whose `where` looks at facts."""
    for quantity in compiled.scanned:
        index = quantity.index
        assert isinstance(quantity.subject, Aggregate | Presence)
        old = memory.values.get(index, quantity.default)
        try:
            new = scanned_value(memory, quantity.subject, now, Reader(compiled, memory.values, is_score=False))
        except Exception as problem:  # noqa: BLE001 - it is unknown then, and the rules that look at it say why
            new = None
            blame(compiled, index, f"{type(problem).__name__}: {problem}", failures)
        if new != old or type(new) is not type(old):
            changed.setdefault(index, old)
            memory.values[index] = new


def enter(memory: Memory, time: Boxed, attributes: dict[str, Value], feeds: tuple[Feed, ...], changed: Changed) -> None:
    """Along the edges into the aggregate nodes."""
    for feed in feeds:
        old = follow(feed, memory, time, attributes)
        if old is not SAME:
            index = feed.node.index
            if index not in changed:
                changed[index] = old


def follow(feed: Feed, memory: Memory, time: Boxed, attributes: dict[str, Value]) -> Any:
    """Along one of them; returns what `AlphaSuccessor.take` does."""
    attribute = feed.attribute
    if attribute is None:
        if feed.required is None or attributes.get(feed.required) is not None:
            return feed.node.take(memory, time, feed.sign)
        return SAME
    item: Any = attributes.get(attribute)
    if item is None:
        return SAME
    return feed.node.take(memory, time, item if feed.sign > 0 else -item)


def _take_in_late(
    compiled: Compiled, memory: Memory, event: Event, kind: AlphaType, feeds: tuple[Feed, ...], changed: Changed
) -> None:
    """As for any event, but only what still belongs to its span at the session's clock."""
    clock = memory.clock
    assert clock is not None
    belonging = []
    for feed in feeds:
        span = compiled.quantities.all[feed.node.index].span
        assert span is not None
        if span.window is not None and event.time + span.window <= clock:
            continue
        # An event at the time of the reset arrived after it, and counts.
        if span.since is not None and event.time < memory.resets.get(span.since, event.time):
            continue
        belonging.append(feed)
    enter(memory, event.time, event.attributes, tuple(belonging), changed)
    for node in kind.resets:
        _reset_late(compiled, memory, event, node.index, changed)
    if kind.resets:
        memory.resets[event.type] = max(event.time, memory.resets.get(event.type, event.time))


def _reset_late(compiled: Compiled, memory: Memory, event: Event, index: int, changed: Changed) -> None:
    """A late `since` event: where it is the latest of its type, the aggregate is made anew from what is retained."""
    if event.time < memory.resets.get(event.type, event.time):
        return
    retained = memory.retained
    assert retained is not None
    node = compiled.nodes[index]
    if retained.dropped is not None and retained.dropped > event.time:
        node.forget(memory, changed, retained.dropped)
        return
    refill(memory, compiled.quantities.all[index], node, retained.read(), changed)
