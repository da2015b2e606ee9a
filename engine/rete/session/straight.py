"""The short way of an event, which most take: nothing is late, new or due, and nothing follows from a change but rules.

It says again what `steps.Steps.step` does, for the one case in which nothing of that has to be asked.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from engine.activation import Activation, Step
from engine.event import Event
from engine.rete.agenda.agenda import activate
from engine.rete.agenda.rising import risen_rules
from engine.rete.agenda.settle import Failures, as_failures, blame
from engine.rete.alpha.aggregates import Changed
from engine.rete.alpha.network import AlphaType, Broken, Feed
from engine.rete.compilation import Compiled
from engine.rete.conditions.reading import Reader
from engine.rete.session.changes import expire_heap
from engine.rete.session.memory import Memory
from engine.rete.session.retained import Retained
from engine.values import EpochMs

NOTHING = Step()


def insert_straight(
    compiled: Compiled,
    memory: Memory,
    event: Event,
    kind: AlphaType,
    retained: Retained,
    clock: EpochMs,
) -> Step:
    """Take in an event that is not earlier than the clock.

    The network has no patterns, and no timer is due; what has left a window by itself can only end rules.
    """
    now, attributes, values, lazy = event.time, event.attributes, memory.values, memory.lazy
    changed: Changed = {}
    failures: Failures = {}
    if lazy and lazy[0][0] <= now:
        if clock < now and lazy[0][0] < now:
            expire_heap(compiled, memory, lazy, now - 1, {})
        if lazy and lazy[0][0] <= now:
            expire_heap(compiled, memory, lazy, now, changed)
    memory.clock = memory.evaluated = memory.last_event = now
    if event.customer_id is not None:
        memory.customer_id = event.customer_id
    retained.add(now, attributes, kind.shape, compiled.keep_events)
    if not kind.is_dull:
        table = kind.table
        if table is not None:
            feeds: Iterable[Feed] = table.get(attributes.get(kind.table_of), kind.plain)  # type: ignore[arg-type]
        else:
            broken: Broken = []
            feeds = kind.reached(attributes, now, broken)
            for index, error in broken:
                blame(compiled, index, error, failures)
        for into, attribute, sign, required, _ in feeds:
            if attribute is None:
                if required is None or attributes.get(required) is not None:
                    into(memory, changed, now, sign)
            else:
                item: Any = attributes.get(attribute)
                if item is not None:
                    into(memory, changed, now, item if sign > 0 else -item)
        if kind.resets:
            for node in kind.resets:
                node.reset(memory, changed)
            memory.resets[event.type] = now
    risen: set[int] = set()
    glances, get = compiled.index.glances, values.get
    for index, old in changed.items():
        glance = glances[index]
        if glance is None:
            continue  # no rule looks at it
        guards, default, leaves = glance
        value: Any
        for at, preset, passes, operand in guards:
            value = get(at, preset)
            if value is None or not passes(value, operand):
                break  # most changes end here: nothing has to be called for them
        else:
            if leaves is None:
                before = now - 1 if clock < now else now
                risen = risen_rules(compiled, values, now, before, changed, failures, is_first=False)
                break
            value = get(index, default)
            if value != old and value in leaves:
                risen.update(leaves[value])
    if risen:
        return _acting(compiled, memory, now, risen, failures)
    return Step((), as_failures(failures)) if failures else NOTHING


def _acting(compiled: Compiled, memory: Memory, now: EpochMs, risen: set[int], failures: Failures) -> Step:
    productions, acting, read = compiled.productions, [], None
    for at in compiled.in_order(risen):
        production = productions[at]
        messages = production.messages
        if production.is_prompt and messages is not None:
            acting.append(Activation(production.rule.id, now, (), True, None, messages))
        else:
            read = read or Reader(compiled, memory.values, is_score=False)
            acting.append(activate(production, memory, now, read, compiled.program.vocabulary, failures))
    return Step(tuple(acting), as_failures(failures))
