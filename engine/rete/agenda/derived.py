"""Derived facts: which rules assert which, in layers, so that each layer is settled before the next looks at it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.rete.agenda.production import Production
from engine.rete.conditions.quantity import Origin, Quantity


@dataclass(slots=True, eq=False)
class Stratum:
    """Derived facts that depend on one another, or a single one, with the rules that assert them in order of acting.

    Attributes:
        facts: Indices of the quantities.
        rules: The productions that assert one of them.
        reads: What these look at.
        is_recursive: Whether a fact may support itself; then the least fixed point is looked for from nothing.
        is_volatile: Whether it must be looked at in every step: a score or a schedule decides.
        budget: Rounds of firing after which the fixed point is given up.
    """

    facts: tuple[int, ...]
    rules: tuple[Production, ...]
    reads: frozenset[int]
    is_recursive: bool
    is_volatile: bool

    @property
    def budget(self) -> int:
        """Each round of a sound program settles at least one rule; twice that, so that none is given up too early."""
        return 2 * len(self.rules) + 2


def strata(productions: Sequence[Production], quantities: Sequence[Quantity]) -> tuple[Stratum, ...]:
    """The layers in which derived facts are settled: strongly connected components in topological order (Tarjan 1972).

    The productions stand in order of acting; so do those of a layer.
    """
    rules_of: dict[int, list[Production]] = {
        quantity.index: [] for quantity in quantities if quantity.origin is Origin.DERIVED
    }
    for production in productions:
        for fact, _ in production.asserts:
            if fact in rules_of and production not in rules_of[fact]:
                rules_of[fact].append(production)
    rank = {production: at for at, production in enumerate(productions)}
    below = {fact: _derived_below(rules, quantities) for fact, rules in rules_of.items()}
    return tuple(
        _stratum(component, rules_of, below, quantities, rank)
        for component in _components(below)
        if any(rules_of[fact] for fact in component)
    )


def _derived_below(rules: Sequence[Production], quantities: Sequence[Quantity]) -> frozenset[int]:
    """The derived facts that some rules look at, through computed features too."""
    found: set[int] = set()
    pending = [index for production in rules for index in production.reads]
    looked_at: set[int] = set()
    while pending:
        index = pending.pop()
        if index not in looked_at:
            looked_at.add(index)
            if quantities[index].origin is Origin.DERIVED:
                found.add(index)
            pending.extend(quantities[index].reads)
    return frozenset(found)


def _stratum(
    component: Sequence[int],
    rules_of: Mapping[int, Sequence[Production]],
    below: Mapping[int, frozenset[int]],
    quantities: Sequence[Quantity],
    rank: Mapping[Production, int],
) -> Stratum:
    rules = sorted({rule for fact in component for rule in rules_of[fact]}, key=rank.__getitem__)
    return Stratum(
        tuple(sorted(component)),
        tuple(rules),
        frozenset(index for rule in rules for index in rule.reads),
        len(component) > 1 or component[0] in below[component[0]],
        any(rule.asking or (rule.rule.schedule is not None) for rule in rules),
    )


def _components(below: Mapping[int, frozenset[int]]) -> list[list[int]]:
    """Strongly connected components, what is looked at before what looks; without recursion, for long chains."""
    order: dict[int, int] = {}
    lowest: dict[int, int] = {}
    stack: list[int] = []
    found: list[list[int]] = []
    for root in sorted(below):
        if root in order:
            continue
        work = [(root, iter(sorted(below[root])))]
        order[root] = lowest[root] = len(order)
        stack.append(root)
        while work:
            node, following = work[-1]
            for other in following:
                if other not in order:
                    order[other] = lowest[other] = len(order)
                    stack.append(other)
                    work.append((other, iter(sorted(below[other]))))
                    break
                if other in stack:
                    lowest[node] = min(lowest[node], order[other])
            else:
                work.pop()
                if work:
                    lowest[work[-1][0]] = min(lowest[work[-1][0]], lowest[node])
                if lowest[node] == order[node]:
                    component = []
                    while True:
                        member = stack.pop()
                        component.append(member)
                        if member == node:
                            break
                    found.append(component)
    return found
