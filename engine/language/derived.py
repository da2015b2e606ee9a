"""Derived facts: which lead to which, cycles that have no one answer, and the layers in which they settle."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from engine.language.selections import compared_in
from engine.language.tree import (
    All,
    AnyOf,
    AssertAction,
    Condition,
    FactRef,
    FactSource,
    Keyed,
    Not,
    Operand,
    Operator,
    Rule,
    Segment,
    Test,
    Vocabulary,
)
from engine.values import Kind


@dataclass(frozen=True, slots=True)
class Reading:
    """A rule's condition looks at a derived fact.

    Attributes:
        is_growing: More asserted can only make the condition truer: `is: true` on a boolean, under no `not`.
    """

    fact: str
    is_growing: bool


@dataclass(frozen=True, slots=True)
class Cycle:
    """Derived facts that lead back to themselves in a way that has no one answer.

    Attributes:
        facts: In the order of the way.
        rule: The rule that closes it.
        because: What makes it unsettled, in words.
    """

    facts: tuple[str, ...]
    rule: Rule
    because: str


def readings(condition: Condition, vocabulary: Vocabulary) -> Iterator[Reading]:
    """The derived facts that a condition looks at, also through computed features and segments."""
    yield from _readings(condition, vocabulary, is_growing=True)


def _readings(condition: Condition, vocabulary: Vocabulary, *, is_growing: bool) -> Iterator[Reading]:
    if isinstance(condition, All | AnyOf):
        for part in condition.parts:
            yield from _readings(part, vocabulary, is_growing=is_growing)
    elif isinstance(condition, Not):
        yield from _readings(condition.part, vocabulary, is_growing=False)
    elif isinstance(condition, Segment):
        yield from _readings(condition.condition, vocabulary, is_growing=is_growing)
    elif isinstance(condition, Test):
        if isinstance(condition.subject, FactRef):
            name = condition.subject.fact
            fact = vocabulary.facts[name]
            is_plain = fact.source is FactSource.RULES and fact.type.kind is Kind.BOOLEAN
            wants_true = (condition.operator is Operator.IS and condition.operand is True) or (
                condition.operator is Operator.IS_NOT and condition.operand is False
            )
            for derived in derived_below(name, vocabulary):
                yield Reading(derived, is_growing and is_plain and wants_true)
        yield from _compared((condition.operand,), vocabulary)
    elif isinstance(condition, Keyed):
        yield from _compared([operand for _, operand in condition.tests], vocabulary)
    if not isinstance(condition, All | AnyOf | Not | Segment):
        yield from _compared([*compared_in(condition)], vocabulary)


def _compared(operands: Sequence[Operand], vocabulary: Vocabulary) -> Iterator[Reading]:
    for operand in operands:
        if isinstance(operand, FactRef):
            for derived in derived_below(operand.fact, vocabulary):
                yield Reading(derived, is_growing=False)


def derived_below(name: str, vocabulary: Vocabulary) -> Iterator[str]:
    """The derived facts behind a fact: itself, or those that a computed feature is computed from."""
    fact = vocabulary.facts[name]
    if fact.source is FactSource.RULES:
        yield name
    elif fact.computed is not None:
        seen: set[str] = set()
        pending = [fact]
        while pending:
            program = pending.pop().computed
            for kind, item in program.program if program is not None else ():
                if kind != "name" or str(item) in seen:
                    continue
                seen.add(str(item))
                below = vocabulary.facts[str(item)]
                if below.source is FactSource.RULES:
                    yield below.name
                pending.append(below)


def strata(rules: Sequence[Rule], vocabulary: Vocabulary) -> tuple[frozenset[str], ...]:
    """Derived facts in layers: each depends only on facts of its own layer and of those before it."""
    return tuple(frozenset(component) for component in _components(_edges(rules, vocabulary)))


def unsettled(rules: Sequence[Rule], vocabulary: Vocabulary) -> Iterator[Cycle]:
    """Every cycle of derived facts for which asserting more could withdraw what it stands on."""
    edges = _edges(rules, vocabulary)
    values: dict[str, set[object]] = {}
    for rule in rules:
        for action in rule.actions:
            if isinstance(action, AssertAction):
                values.setdefault(action.fact, set()).add(action.value)
    for component in _components(edges):
        inside = [
            (source, target, rule, is_growing)
            for source in sorted(component)
            for target, rule, is_growing in edges[source]
            if target in component
        ]
        if not inside:
            continue
        shrinking = next((edge for edge in inside if not edge[3]), None)
        mixed = next((fact for fact in sorted(component) if values.get(fact, {True}) != {True}), None)
        if shrinking is not None:
            source, target, rule, _ = shrinking
            because = f"{rule.id} asserts {source}, and asserting {target} could make its condition false"
            yield Cycle(_way(edges, component, target, source), rule, because)
        elif mixed is not None:
            rule = next(edge[2] for edge in inside)
            because = f"rules assert more than the one value true for {mixed}"
            yield Cycle(_way(edges, component, inside[0][1], inside[0][0]), rule, because)


_Edges = dict[str, list[tuple[str, Rule, bool]]]


def _edges(rules: Sequence[Rule], vocabulary: Vocabulary) -> _Edges:
    """From each derived fact to those that a rule looks at which asserts it."""
    edges: _Edges = {name: [] for name, fact in vocabulary.facts.items() if fact.source is FactSource.RULES}
    for rule in rules:
        asserted = {action.fact for action in rule.actions if isinstance(action, AssertAction)}
        if not asserted:
            continue
        read = tuple(readings(rule.when, vocabulary))
        for fact in sorted(asserted):
            edges[fact].extend((reading.fact, rule, reading.is_growing) for reading in read)
    return edges


def _way(edges: _Edges, component: Collection[str], start: str, end: str) -> tuple[str, ...]:
    """A shortest way from `start` to `end` inside a component, closed: both ends of the cycle are named."""
    found: dict[str, str | None] = {start: None}
    pending = [start]
    for fact in pending:
        for target, _, _ in edges[fact]:
            if target in component and target not in found:
                found[target] = fact
                pending.append(target)
    way: list[str] = []
    at: str | None = end
    while at is not None:
        way.append(at)
        at = found[at]
    return (*reversed(way), start)


def _components(edges: _Edges) -> list[list[str]]:
    """Strongly connected components, those that others depend on first (Tarjan 1972, without recursion)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    on_stack: set[str] = set()
    components: list[list[str]] = []
    for root in edges:
        if root in index:
            continue
        work: list[tuple[str, int]] = [(root, 0)]
        while work:
            fact, position = work.pop()
            if position == 0:
                index[fact] = low[fact] = len(index)
                stack.append(fact)
                on_stack.add(fact)
            targets = edges[fact]
            if position > 0:
                low[fact] = min(low[fact], low[targets[position - 1][0]])
            while position < len(targets):
                target = targets[position][0]
                position += 1
                if target not in index:
                    work.append((fact, position))
                    work.append((target, 0))
                    break
                if target in on_stack:
                    low[fact] = min(low[fact], index[target])
            else:
                if low[fact] == index[fact]:
                    component = []
                    while True:
                        member = stack.pop()
                        on_stack.discard(member)
                        component.append(member)
                        if member == fact:
                            break
                    components.append(component)
    return components
