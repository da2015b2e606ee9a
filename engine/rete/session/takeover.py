"""A session's memory taken over from another network: as it is, where what the networks differ in does not touch it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from engine.rete.compilation import Compiled
from engine.rete.conditions.quantity import Quantity, events_of
from engine.rete.memory.memory import NOTHING_FRESH, Memory
from engine.rete.session.names import Names


@dataclass(frozen=True, slots=True)
class Succession:
    """What is different between a network and one of the same lineage that a session was in.

    Attributes:
        rules: The rules that are new to it.
        changed: Those and all that are no more what they were, by their index in both.
        gone: Quantities that nothing needs any more.
        events: The types of events by which the quantities that it did not have change.
        is_other: Whether their quantities differ.
    """

    rules: frozenset[int]
    changed: frozenset[int]
    gone: frozenset[int]
    events: frozenset[str]
    is_other: bool


class Successor:
    """A network to which memories of others come."""

    def __init__(self, compiled: Compiled, names: Names) -> None:
        self.compiled = compiled
        self.names = names
        self._successions: dict[int, Succession | None] = {}

    def takes_over(self, memory: Memory, former: Successor) -> bool:
        """Make a memory of another network one of this.

        False, and nothing is done, where it has to be written there and read here: the difference touches it.
        """
        number = former.compiled.number
        if number not in self._successions:
            self._successions[number] = self._succession(former)
        following = self._successions[number]
        if following is None or memory.clock is None or _is_touched(self.compiled, memory, following):
            return False
        changed = following.changed
        memory.new = memory.new.difference(changed).union(following.rules)
        if memory.held:
            memory.held = memory.held.difference(changed)
        if memory.quiet:
            memory.quiet = memory.quiet.difference(changed)
        for index in changed.intersection(memory.acts):
            del memory.acts[index]
        if memory.joins is not None:
            for index in changed.intersection(memory.joins.told):
                del memory.joins.told[index]
        # The models may be others, and a rule that is new may be worth asking for.
        memory.fresh = NOTHING_FRESH
        memory.is_asking = bool(self.compiled.scored)
        return True

    def _succession(self, former: Successor) -> Succession | None:
        """What a memory of the former network needs to go on in this one; None where it can't."""
        compiled, names = self.compiled, self.names
        difference = names.difference(former.names.bundle)
        if (
            difference is None
            or names.bundle == former.names.bundle
            or compiled.lineage is not former.compiled.lineage
            or len(compiled.defaults) < len(former.compiled.defaults)
            or len(compiled.productions) < len(former.compiled.productions)
        ):
            return None
        pairs = zip(names.rules, former.names.rules, strict=False)  # those behind them are new
        changed = frozenset(index for index, (name, was) in enumerate(pairs) if name != was)
        networks = (compiled, former.compiled)
        asserting, before = ([rule.index for each in net.strata for rule in each.rules] for net in networks)
        if asserting != before or any(each.productions[index].asserts for each in networks for index in changed):
            return None  # derived facts are to be settled anew
        if any(stratum.is_volatile for stratum in compiled.strata):
            return None
        gone = compiled.quantities.gone
        added = [each for each in compiled.quantities.all[len(former.compiled.defaults) :] if each.index not in gone]
        return Succession(
            difference.rules,
            changed,
            gone.difference(former.compiled.quantities.gone),
            frozenset(name for each in added for name in self._events_of(each)),
            names.signature != former.names.signature,
        )

    def _events_of(self, quantity: Quantity) -> Iterable[str]:
        pattern = self.compiled.patterns.get(quantity.index)
        if pattern is None:
            return events_of(quantity)
        selections = self.compiled.numbering.selections
        return (selections[number][0] for number in pattern.roles)


def _is_touched(compiled: Compiled, memory: Memory, following: Succession) -> bool:
    gone, retained, joins = following.gone, memory.retained, memory.joins
    if joins is not None and following.is_other:
        if not (gone.isdisjoint(joins.states) and gone.isdisjoint(joins.unsettled)):
            return True
        for index, state in joins.states.items():
            pattern = compiled.patterns[index]
            if pattern.reads and (pattern.asks_catalogue or state.clocked is not None):
                return True  # it is looked at again: what it looks at may mean something else
    if gone and not (
        gone.isdisjoint(memory.values)
        and gone.isdisjoint(memory.states)
        and gone.isdisjoint(memory.forgotten)
        and gone.isdisjoint(index for _, index in (*memory.timed, *memory.lazy))
    ):
        return True
    if not following.events or retained is None:
        return False
    return retained.dropped is not None or any(shape.names[0] in following.events for shape in retained.shapes)
