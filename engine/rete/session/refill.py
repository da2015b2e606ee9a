"""Quantities made anew from the retained events: after a reload that adds them, or a late `since` event."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from heapq import heappush

from engine.language.tree import Aggregate, Span
from engine.rete.alpha.aggregates import AggregateNode, Changed
from engine.rete.alpha.history import entry, selects, value_over
from engine.rete.alpha.windows import WindowNode
from engine.rete.conditions.quantity import Quantity, selections
from engine.rete.conditions.subjects import Presence
from engine.rete.memory.memory import Memory
from engine.rete.memory.retained import Kept
from engine.values import EpochMs, Value


def _no_fact(name: str) -> None:
    return None


def refill(memory: Memory, quantity: Quantity, node: AggregateNode, events: Sequence[Kept], changed: Changed) -> None:
    """Make the state of an aggregate node from what is retained; unknown where it needs what was dropped."""
    subject = quantity.subject
    assert isinstance(subject, Aggregate | Presence)
    index = quantity.index
    old = memory.values.get(index, quantity.default)
    scratch: Changed = {}
    node.reset(memory, scratch)
    needed = missing_until(quantity, events, memory)
    if needed is not None:
        memory.forgotten[index] = needed
        memory.values[index] = None
        if isinstance(node, WindowNode):
            heappush(memory.timed, (needed + node.window, index))
    since, window = subject.span.since, subject.span.window
    clock = memory.clock
    for event in events:
        if window is None or clock is None or event.time + window > clock:
            for selection, sign in selections(subject):
                if selects(selection, event, _no_fact):
                    node.enter(memory, scratch, event.time, entry(subject, selection, sign, event))
        if since is not None and event.type == since:
            node.reset(memory, scratch)
    if memory.values.get(index, quantity.default) != old:
        changed.setdefault(index, old)


def missing_until(quantity: Quantity, events: Sequence[Kept], memory: Memory) -> EpochMs | None:
    """The time of the latest dropped event where the quantity needs it; None where what is retained is enough."""
    subject = quantity.subject
    assert isinstance(subject, Aggregate | Presence)
    dropped = None if memory.retained is None else memory.retained.dropped
    if dropped is None:
        return None
    span = subject.span
    if span.window is not None:
        return dropped if memory.clock is not None and dropped + span.window > memory.clock else None
    if span.since is not None and any(event.type == span.since for event in events):
        return None
    return dropped


def scanned_value(
    memory: Memory, subject: Aggregate | Presence, now: EpochMs, fact: Callable[[str], Value | None]
) -> Value | None:
    """The value of any subject over events at `now`, read from the retained ones; unknown where these don't reach."""
    retained = memory.retained
    events = [] if retained is None else retained.read()
    found = value_over(subject, events, now, fact)
    if retained is not None and not _reaches_back(subject.span, retained.dropped, events, now):
        return True if isinstance(subject, Presence) and found else None
    return found


def _reaches_back(span: Span, dropped: EpochMs | None, events: Sequence[Kept], now: EpochMs) -> bool:
    """Whether nothing that lies in the span was dropped; `dropped` is the time of the latest event that was."""
    if dropped is None:
        return True
    if span.window is not None:
        return dropped + span.window <= now
    return span.since is not None and any(event.type == span.since for event in events)
