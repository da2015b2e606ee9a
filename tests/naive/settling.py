"""Derived facts: what rules assert, settled layer by layer from nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from engine.language.tree import AssertAction, Condition, FactRef, FactSource, Program, Rule
from engine.schedule import is_open
from engine.values import Value
from tests.naive.conditions import leaves, once, operands
from tests.naive.history import History, State


class Settling(History):
    """A history with rules that assert.

    Attributes:
        unsettled: Derived facts that fed their own opposite, in the last step.
    """

    unsettled: set[str]

    def settle(self, state: State, holds: Callable[[Rule], bool]) -> None:
        """The least fixed point, layer by layer: each begins with nothing asserted."""
        self.unsettled = set()
        for together, rules in layers_of(self.program):
            for _ in range(2 * len(rules) + 2):
                asserted: dict[str, Value | None] = {}
                for rule in rules:
                    if not rule.enabled or not is_open(rule.schedule, state.now):
                        continue
                    mine = [a for a in rule.actions if isinstance(a, AssertAction)]
                    if all(action.fact in asserted for action in mine) or not holds(rule):
                        continue
                    for action in mine:
                        if action.fact in together:
                            asserted.setdefault(action.fact, action.value)
                if asserted == {fact: state.derived[fact] for fact in together if fact in state.derived}:
                    break
                for fact in together:
                    state.derived.pop(fact, None)
                state.derived.update(asserted)
            else:
                state.derived.update(dict.fromkeys(together, None))
                self.unsettled |= together
        state.known = {}

    def derived_in(self, condition: Condition) -> set[str]:
        """The derived facts that a condition looks at."""
        return derived_in(condition, self.program)

    def derived_under(self, name: str) -> set[str]:
        """The derived facts from which a fact is made."""
        return derived_under(name, self.program)


@once
def layers_of(program: Program) -> list[tuple[set[str], list[Rule]]]:
    """Derived facts that are settled together, each with the rules that assert them, in order of settling."""
    asserting: dict[str, list[Rule]] = {}
    for rule in program.rules:
        for action in rule.actions:
            if isinstance(action, AssertAction):
                asserting.setdefault(action.fact, []).append(rule)
    below = {
        fact: {name for rule in rules for name in derived_in(rule.when, program)} for fact, rules in asserting.items()
    }
    reach = {fact: _reach(fact, below) for fact in asserting}
    left = set(asserting)
    layers = []
    while left:
        # A layer looks only at itself and at what is settled.
        layer = min(
            (fact for fact in left if all(fact in reach.get(other, set()) for other in (reach[fact] & left))),
        )
        together = {other for other in left if other in reach[layer] and layer in reach[other]} | {layer}
        layers.append((together, [rule for rule in program.rules if any(rule in asserting[fact] for fact in together)]))
        left -= together
    return layers


def derived_in(condition: Condition, program: Program) -> set[str]:
    """The derived facts that a condition looks at."""
    return {
        name
        for leaf in leaves(condition)
        for operand in operands(leaf)
        if isinstance(operand, FactRef)
        for name in derived_under(operand.fact, program)
    }


def derived_under(name: str, program: Program) -> set[str]:
    """The derived facts from which a fact is made."""
    fact = program.vocabulary.facts[name]
    if fact.source is FactSource.RULES:
        return {name}
    if fact.computed is None:
        return set()
    names = [str(item) for kind, item in fact.computed.program if kind == "name"]
    return {below for each in names for below in derived_under(each, program)}


def _reach(fact: str, below: Mapping[str, set[str]]) -> set[str]:
    found: set[str] = set()
    pending = [fact]
    while pending:
        for other in below.get(pending.pop(), set()):
            if other not in found and other in below:
                found.add(other)
                pending.append(other)
    return found
