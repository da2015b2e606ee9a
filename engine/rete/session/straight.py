"""The short way of an event, which most take: nothing is late, new or due, and nothing follows from a change but rules.

It says again what `steps.Steps.step` does, for the one case in which nothing of that has to be asked.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.activation import Activation, Step
from engine.event import Event
from engine.rete.agenda.agenda import activate
from engine.rete.agenda.rising import risen_rules
from engine.rete.agenda.settle import Failures, as_failures, blame
from engine.rete.alpha.aggregates import Changed
from engine.rete.alpha.network import AlphaType, Broken, Feed
from engine.rete.compilation import Compiled
from engine.rete.conditions.reading import Reader
from engine.rete.session.changes import enter, expire_heap
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
    failures: Failures | None = None
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
            feeds: Sequence[Feed] = table.get(attributes.get(kind.table_of), kind.plain)  # type: ignore[arg-type]
        else:
            broken: Broken = []
            feeds = kind.reached(attributes, now, broken)
            if broken:
                failures = {}
                for index, error in broken:
                    blame(compiled, index, error, failures)
        enter(memory, now, attributes, feeds, changed)
        if kind.resets:
            for node in kind.resets:
                node.reset(memory, changed)
            memory.resets[event.type] = now
    risen: set[int] | None = None
    glances = compiled.index.glances
    for index, old in changed.items():
        glance = glances[index]
        if glance is None:
            continue  # no rule looks at it
        for at, preset, passes, operand in glance.guards:
            value = values.get(at, preset)
            if value is None or not passes(value, operand):
                break  # most changes end here: nothing has to be called for them
        else:
            leaves = glance.leaves
            if leaves is None:
                before = now - 1 if clock < now else now
                if failures is None:
                    failures = {}
                risen = risen_rules(compiled, values, now, before, changed, failures, is_first=False)
                break
            value = values.get(index, glance.default)
            if value != old and value in leaves:
                if risen is None:
                    risen = set()
                risen.update(leaves[value])
    if risen:
        return _acting(compiled, memory, now, risen, failures)
    return Step((), as_failures(failures)) if failures else NOTHING


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
