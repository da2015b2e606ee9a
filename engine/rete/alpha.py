"""The alpha network: which quantities an event enters, found by its type, then by equality on an attribute in a hash."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import re2

from engine.language.tree import Aggregate, Aggregation, AttributeTest, Operator, Selection
from engine.rete import operators
from engine.rete.aggregates import AggregateNode, Changed
from engine.rete.memory import Memory
from engine.rete.quantity import Presence, equality, selections
from engine.values import EpochMs, Value

Check: TypeAlias = Callable[[Mapping[str, Value], EpochMs], bool]
Broken: TypeAlias = list[tuple[int, str]]
"""Quantities whose `where` raised on an event, with the error; the event did not enter them."""


class Feed(NamedTuple):
    """An edge from the alpha network to an aggregate node.

    `attribute` None enters `sign` itself, for counts; `required` must have a value, without being entered.
    """

    enter: Callable[[Memory, Changed, EpochMs, Any], None]
    attribute: str | None
    sign: int
    required: str | None
    node: AggregateNode


class AlphaMemory(NamedTuple):
    """The tests that are left after the hash, and where an event that passes them goes."""

    checks: tuple[Check, ...]
    feeds: tuple[Feed, ...]


class AlphaType:
    """All selections of one event type. Holds no session state."""

    __slots__ = ("checked", "hashed", "is_dull", "plain", "resets", "shape", "table", "table_of")

    def __init__(self, shape: tuple[str, ...]) -> None:
        self.shape = shape
        self.plain: tuple[Feed, ...] = ()
        self.hashed: tuple[tuple[str, dict[Value, tuple[AlphaMemory, ...]]], ...] = ()
        self.checked: tuple[AlphaMemory, ...] = ()
        self.resets: tuple[AggregateNode, ...] = ()
        self.is_dull = True
        self.table_of = ""
        self.table: dict[Value, tuple[Feed, ...]] | None = None

    def settle(self) -> None:
        """Where one look into one hash says it all, make the table for it: whole lists of edges, by value."""
        if self.checked or len(self.hashed) > 1:
            return
        if not self.hashed:
            self.table = {}
            return
        ((attribute, by_value),) = self.hashed
        if not any(memory.checks for memories in by_value.values() for memory in memories):
            self.table_of = attribute
            self.table = {
                value: (*self.plain, *(feed for memory in memories for feed in memory.feeds))
                for value, memories in by_value.items()
            }

    def reached(self, attributes: Mapping[str, Value], time: EpochMs, broken: Broken) -> list[Feed]:
        """The edges along which an event goes on: those of every selection that it passes."""
        found = list(self.plain)
        for attribute, by_value in self.hashed:
            memories = by_value.get(attributes.get(attribute))  # type: ignore[arg-type]
            if memories is not None:
                for memory in memories:
                    if not memory.checks or self._passes(memory, attributes, time, broken):
                        found.extend(memory.feeds)
        for memory in self.checked:
            if self._passes(memory, attributes, time, broken):
                found.extend(memory.feeds)
        return found

    @staticmethod
    def _passes(memory: AlphaMemory, attributes: Mapping[str, Value], time: EpochMs, broken: Broken) -> bool:
        try:
            return all(check(attributes, time) for check in memory.checks)
        except Exception as problem:  # noqa: BLE001 - one broken test never stops the others; it is reported by name
            broken.extend((feed.node.index, f"{type(problem).__name__}: {problem}") for feed in memory.feeds)
            return False


def build(
    shapes: Mapping[str, tuple[str, ...]], nodes: Sequence[tuple[Aggregate | Presence, AggregateNode]]
) -> dict[str, AlphaType]:
    """The alpha network of some aggregate nodes.

    Args:
        shapes: For each declared event type its name and its attributes.
        nodes: The nodes, each with what it is over.
    """
    types = {name: AlphaType(shape) for name, shape in shapes.items()}
    by_selection: dict[tuple[str, tuple[AttributeTest, ...]], list[Feed]] = {}
    for subject, node in nodes:
        for selection, sign in selections(subject):
            by_selection.setdefault((selection.event, selection.where), []).append(
                _feed(subject, selection, sign, node)
            )
        since = subject.span.since
        if since is not None:
            alpha = types.setdefault(since, AlphaType((since,)))
            alpha.resets = (*alpha.resets, node)
            alpha.is_dull = False
    groups: dict[str, dict[str, dict[Value, list[AlphaMemory]]]] = {}
    plain: dict[str, list[Feed]] = {}
    checked: dict[str, list[AlphaMemory]] = {}
    for (event, where), feeds in by_selection.items():
        fixed = equality(where)
        left = tuple(_check(test) for test in where if test is not fixed)
        if fixed is not None:
            memories = groups.setdefault(event, {}).setdefault(fixed.attribute, {})
            memories.setdefault(fixed.operand, []).append(AlphaMemory(left, tuple(feeds)))  # type: ignore[arg-type]
        elif left:
            checked.setdefault(event, []).append(AlphaMemory(left, tuple(feeds)))
        else:
            plain.setdefault(event, []).extend(feeds)
    for event in {key[0] for key in by_selection}:
        alpha = types.setdefault(event, AlphaType((event,)))
        alpha.plain = tuple(plain.get(event, ()))
        alpha.checked = tuple(checked.get(event, ()))
        alpha.hashed = tuple(
            (attribute, {value: tuple(memories) for value, memories in by_value.items()})
            for attribute, by_value in groups.get(event, {}).items()
        )
        alpha.is_dull = False
        alpha.settle()
    return types


def _feed(subject: Aggregate | Presence, selection: Selection, sign: int, node: AggregateNode) -> Feed:
    attribute = selection.attribute
    if isinstance(subject, Presence) or subject.function is Aggregation.COUNT or attribute is None:
        return Feed(node.enter, None, sign, attribute, node)
    return Feed(node.enter, attribute, sign, None, node)


def _check(test: AttributeTest) -> Check:
    """A test of a `where`, which has two values: what is missing does not match, but for `exists: false`."""
    attribute, operator, operand = test.attribute, test.operator, test.operand
    if operator is Operator.EXISTS:
        return lambda attributes, time: (attributes.get(attribute) is not None) is operand
    clocked = operators.CLOCKED.get(operator)
    if clocked is not None:
        age: Any = operand

        def by_clock(attributes: Mapping[str, Value], time: EpochMs) -> bool:
            value: Any = attributes.get(attribute)
            return value is not None and clocked(value, age, time)

        return by_clock
    try:
        passes = operators.compiled(operator, operand)
    except re2.error as problem:
        message = f"{operand!r} is not a pattern: {problem}"

        def broken(attributes: Mapping[str, Value], time: EpochMs) -> bool:
            raise ValueError(message)

        return broken

    def steady(attributes: Mapping[str, Value], time: EpochMs) -> bool:
        value = attributes.get(attribute)
        return value is not None and passes(value)

    return steady
