"""The short way of an event, which most take: nothing is late, new or due, and nothing follows from a change but rules.

It says again what `steps.Steps.step` does, for the one case in which nothing of that has to be asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from engine.activation import Activation, Step
from engine.event import Event
from engine.rete.agenda.agenda import Failures, activate
from engine.rete.agenda.conflict import Glance
from engine.rete.alpha.aggregates import SAME, Changed
from engine.rete.alpha.discrimination import End
from engine.rete.alpha.network import AlphaType, Broken
from engine.rete.compilation import Compiled
from engine.rete.memory.memory import Boxed, Memory
from engine.rete.memory.retained import Retained
from engine.rete.session.changes import enter, expire_heap, follow
from engine.rete.session.reading import Reader
from engine.rete.session.rising import risen_rules
from engine.rete.session.settle import as_failures, blame
from engine.values import EpochMs

NOTHING: Final = Step()
NO_ENDS: Final[tuple[End, ...]] = ()


def insert_straight(
    compiled: Compiled,
    memory: Memory,
    event: Event,
    kind: AlphaType,
    retained: Retained,
    clock: EpochMs,
    time: Boxed,
) -> Step:
    """Take in an event of this time, which is not earlier than the clock.

    The network has no patterns, and no timer is due; what has left a window by itself can only end rules.
    """
    now: EpochMs = time
    attributes, lazy = event.attributes, memory.lazy
    changed: Changed = {}
    failures: Failures | None = None
    if lazy and lazy[0][0] <= now:
        if clock < now and lazy[0][0] < now:
            expire_heap(compiled, memory, lazy, now - 1, {})
        if lazy and lazy[0][0] <= now:
            expire_heap(compiled, memory, lazy, now, changed)
    memory.clock = memory.evaluated = memory.last_event = time
    customer = event.customer_id
    if customer is not None:
        memory.customer_id = customer
    retained.add(now, attributes, kind.shape, compiled.keep_events)
    if not kind.is_dull:
        table = kind.table
        if table is not None:
            feeds = table.get(attributes.get(kind.table_of), kind.plain) if table else kind.plain  # type: ignore[arg-type]
        else:
            broken: Broken = []
            feeds = tuple(kind.reached(attributes, now, broken))
            if broken:
                failures = {}
                for index, error in broken:
                    blame(compiled, index, error, failures)
        if len(feeds) == 1 and not changed and not kind.resets:
            # Most events change one quantity: nothing has to be put down then.
            feed = feeds[0]
            old = follow(feed, memory, time, attributes)
            if old is SAME:
                return Step((), as_failures(failures)) if failures else NOTHING
            index = feed.node.index
            glance = compiled.index.glances[index]
            found = NO_ENDS if glance is None else _risen(glance, memory.values, index, old)
            if found is not None:
                if found:
                    return _acting_at(compiled, memory, time, found, failures)
                return Step((), as_failures(failures)) if failures else NOTHING
            changed[index] = old
        else:
            enter(memory, time, attributes, feeds, changed)
        if kind.resets:
            for node in kind.resets:
                node.reset(memory, changed)
            memory.resets[event.type] = time
    if not changed:
        return Step((), as_failures(failures)) if failures else NOTHING
    values: dict[Any, Any] = memory.values
    ends: list[End] = []
    glances = compiled.index.glances
    for index, old in changed.items():
        glance = glances[index]
        if glance is None:
            continue  # no rule looks at it
        found = _risen(glance, values, index, old)
        if found is None:
            before = now - 1 if clock < now else now
            if failures is None:
                failures = {}
            risen = risen_rules(compiled, memory.values, now, before, changed, failures, is_first=False)
            if risen:
                return _acting(compiled, memory, now, risen, failures)
            return Step((), as_failures(failures)) if failures else NOTHING
        if found:
            ends += found
    if ends:
        return _acting_at(compiled, memory, time, ends, failures)
    return Step((), as_failures(failures)) if failures else NOTHING


def _risen(glance: Glance, values: dict[Any, Any], index: Boxed, old: Any) -> Sequence[End] | None:
    """The ends of rules that this change made true; None where that takes more than a walk, or the walk can't be made."""
    for guard in glance.guards:
        value = values.get(guard.index, guard.default)
        if value is None:
            return NO_ENDS  # most changes end here: nothing has to be called for them
        if guard.passes is None:
            if value != guard.operand:
                return NO_ENDS
        elif not guard.passes(value, guard.operand):
            return NO_ENDS
    new = values.get(index, glance.default)
    end = glance.end
    if end is not None:
        return (end,) if new == glance.value and new != old else NO_ENDS
    leaves = glance.leaves
    if leaves is not None:
        return leaves.get(new, NO_ENDS) if new != old else NO_ENDS
    trie = glance.trie
    if trie is None:
        return None
    try:
        if not trie.may_rise(old, new):
            return NO_ENDS
        found = trie.reached(values, old)
        for end in found:
            if end.checks or not end.is_certain:
                return None
    except Exception:  # noqa: BLE001 - a test raised in the index: who looks at the rules one by one says whose it was
        return None
    return found


def _acting_at(compiled: Compiled, memory: Memory, time: Boxed, ends: Sequence[End], failures: Failures | None) -> Step:
    """What `_acting` makes of the rules that have these ends; most are read no further than their end."""
    if len(ends) == 1:
        end = ends[0]
        messages = end.messages
        if messages is None:
            return _acting(compiled, memory, time, {end.production}, failures)
        only = Activation(end.rule, time, (), True, None, messages)
        return Step((only,), as_failures(failures) if failures else ())
    by_rule = {end.production: end for end in ends}
    acting: list[Activation] = []
    for at in compiled.in_order(by_rule):
        end = by_rule[at]
        messages = end.messages
        if messages is None:
            return _acting(compiled, memory, time, set(by_rule), failures)
        acting.append(Activation(end.rule, time, (), True, None, messages))
    return Step(tuple(acting), as_failures(failures) if failures else ())


def _acting(compiled: Compiled, memory: Memory, now: EpochMs, risen: set[int], failures: Failures | None) -> Step:
    acting: list[Activation] = []
    read: Reader | None = None
    if failures is None:
        failures = {}
    for at in compiled.in_order(risen):
        production = compiled.productions[at]
        messages = production.messages
        if production.is_prompt and messages is not None:
            acting.append(Activation(production.rule.id, now, (), True, None, messages))
        else:
            if read is None:
                read = Reader(compiled, memory.values, is_score=False)
            acting.append(activate(production, memory, now, read, compiled.program.vocabulary, failures))
    return Step(tuple(acting), as_failures(failures) if failures else ())
