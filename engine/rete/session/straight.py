"""The short way of an event, which most take: nothing is late, new or due, and nothing follows from a change but rules.

It says again what `steps.Steps.step` does, for the one case in which nothing of that has to be asked.
"""

from __future__ import annotations

from typing import Any, Final

from engine.activation import Activation, Step
from engine.event import Event
from engine.rete.agenda.agenda import activate
from engine.rete.agenda.conflict import Glance
from engine.rete.agenda.rising import risen_rules
from engine.rete.agenda.settle import Failures, as_failures, blame
from engine.rete.alpha.aggregates import Changed
from engine.rete.alpha.discrimination import End
from engine.rete.alpha.network import AlphaType, Broken
from engine.rete.compilation import Compiled
from engine.rete.conditions.reading import Reader
from engine.rete.session.changes import enter, expire_heap
from engine.rete.session.memory import Boxed, Memory
from engine.rete.session.retained import Retained
from engine.values import EpochMs

NOTHING: Final = Step()


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
        for guard in glance.guards:
            value = values.get(guard.index, guard.default)
            if value is None:
                break  # most changes end here: nothing has to be called for them
            if guard.passes is None:
                if value != guard.operand:
                    break
            elif not guard.passes(value, guard.operand):
                break
        else:
            value, leaves = values.get(index, glance.default), glance.leaves
            if leaves is not None:
                if value != old and value in leaves:
                    ends += leaves[value]
            elif (found := _certain(glance, values, old, value)) is None:
                before = now - 1 if clock < now else now
                if failures is None:
                    failures = {}
                risen = risen_rules(compiled, memory.values, now, before, changed, failures, is_first=False)
                if risen:
                    return _acting(compiled, memory, now, risen, failures)
                return Step((), as_failures(failures)) if failures else NOTHING
            elif found:
                ends += found
    if ends:
        return _acting_at(compiled, memory, time, ends, failures)
    return Step((), as_failures(failures)) if failures else NOTHING


def _certain(glance: Glance, values: dict[Any, Any], old: Any, new: Any) -> list[End] | None:
    """The ends of rules that this change made true; None where that takes more than a walk, or the walk can't be made."""
    trie = glance.trie
    if trie is None:
        return None
    try:
        if not trie.may_rise(old, new):
            return []
        found = trie.reached(values, old)
        for end in found:
            if end.checks or not end.is_certain:
                return None
    except Exception:  # noqa: BLE001 - a test raised in the index: who looks at the rules one by one says whose it was
        return None
    return found


def _acting_at(compiled: Compiled, memory: Memory, time: Boxed, ends: list[End], failures: Failures | None) -> Step:
    """What `_acting` makes of the rules that have these ends; most are read no further than their end."""
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
