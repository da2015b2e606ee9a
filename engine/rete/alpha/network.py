"""The alpha network: which quantities an event enters, found by its type, then by its attributes.

Equalities are found in a hash, thresholds by bisection; what no index finds is looked at last, one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, final

import re2

from engine.language.tree import Aggregate, Aggregation, AttributeTest, Operator, Selection
from engine.rete.alpha.aggregates import AggregateNode, AlphaSuccessor
from engine.rete.alpha.discrimination import MOST_VALUES, End, Trie
from engine.rete.conditions import operators
from engine.rete.conditions.literals import Shape
from engine.rete.conditions.quantity import selections
from engine.rete.conditions.subjects import Presence
from engine.rete.memory.retained import Packing
from engine.values import EpochMs, Value

Check: TypeAlias = Callable[[dict[str, Value], EpochMs], bool]
Broken: TypeAlias = list[tuple[int, str]]
"""Quantities whose `where` raised on an event, with the error; the event did not enter them."""


@final
class Feed:
    """An edge from the alpha network to an aggregate node or a pattern.

    `attribute` None enters `sign` itself, for counts; `required` must have a value, without being entered.
    """

    __slots__ = ("attribute", "node", "required", "sign")

    def __init__(self, node: AlphaSuccessor, attribute: str | None, sign: int, required: str | None) -> None:
        self.node = node
        self.attribute = attribute
        self.sign = sign
        self.required = required


@final
class AlphaMemory:
    """A selection of events, and where an event that passes it goes.

    `checks` are the tests that no index finds, `tests` all of them.
    """

    __slots__ = ("checks", "feeds", "tests")

    def __init__(self, checks: tuple[Check, ...], tests: tuple[Check, ...], feeds: tuple[Feed, ...]) -> None:
        self.checks = checks
        self.tests = tests
        self.feeds = feeds


@dataclass(frozen=True, slots=True)
class AttributeLiteral:
    """A test of a `where` that an index finds, as `normal_form.Literal` has it for a quantity."""

    index: str
    shape: str
    operand: Any


class AlphaType:
    """All selections of one event type. Holds no session state.

    Selections are found in a trie by the equalities and then the thresholds of their `where`; where one look into one
    hash says it all, there is a table of whole lists of edges by value instead.
    """

    __slots__ = ("alone", "is_dull", "joined", "memories", "plain", "resets", "shape", "table", "table_of", "trie")

    def __init__(self, shape: Packing) -> None:
        self.shape = shape
        self.joined: AlphaType | None = None  # the selections of what bound names join, with edges to patterns
        self.plain: tuple[Feed, ...] = ()
        self.memories: tuple[AlphaMemory, ...] = ()
        self.alone: list[Feed | None] = []  # by the number of a memory its edge, where there is no more to it
        self.trie: Trie | None = None
        self.resets: tuple[AggregateNode, ...] = ()
        self.is_dull = True
        self.table_of = ""
        self.table: dict[Value, tuple[Feed, ...]] | None = None

    def settle(self, wheres: Mapping[tuple[AttributeTest, ...], Sequence[Feed]]) -> None:
        """Build the indexes over the selections of this type, each with its edges."""
        self.is_dull = not (wheres or self.resets)
        self.plain = tuple(wheres.get((), ()))
        literals = {where: indexed(where) for where in wheres if where}
        self.lead(
            AlphaMemory(
                tuple(_check(test) for test in where if not _literals(test)),
                tuple(_check(test) for test in where),
                tuple(wheres[where]),
            )
            for where in literals
        )
        names = {literal.index for found in literals.values() for literal in found}
        is_one_look = all(len(found) == 1 and found[0].shape == Shape.IS for found in literals.values())
        if is_one_look and len(names) <= 1 and not any(memory.checks for memory in self.memories):
            by_value: dict[Value, list[Feed]] = {}
            for found, memory in zip(literals.values(), self.memories, strict=True):
                for value in found[0].operand:
                    by_value.setdefault(value, list(self.plain)).extend(memory.feeds)
            self.table = {value: tuple(feeds) for value, feeds in by_value.items()}
            self.table_of = next(iter(names), "")
            return
        rank = _ranks(literals.values())
        self.trie = Trie(_Missing())
        for number, found in enumerate(literals.values()):
            ordered = sorted(found, key=lambda literal: rank[literal.index])
            self.trie.add(ordered, End(number, (), False))
        self.trie.settle()

    def lead(self, memories: Iterable[AlphaMemory]) -> None:
        """Through these alpha memories, in the order of their numbers."""
        self.memories = tuple(memories)
        self.alone = [each.feeds[0] if len(each.feeds) == 1 and not each.checks else None for each in self.memories]

    def rejoined(self, joined: AlphaType | None) -> AlphaType:
        """The same with other edges to patterns."""
        made = AlphaType(self.shape)
        made.joined = joined
        made.plain, made.memories, made.alone, made.trie = self.plain, self.memories, self.alone, self.trie
        made.resets, made.is_dull = self.resets, self.is_dull
        made.table_of, made.table = self.table_of, self.table
        return made

    def all_reached(self, attributes: dict[str, Value], time: EpochMs) -> Sequence[Feed]:
        """As `reached`, through the table too, and without a word about broken tests."""
        if self.table is not None:
            return self.table.get(attributes.get(self.table_of), self.plain) if self.table else self.plain  # type: ignore[arg-type]
        return self.reached(attributes, time, [])

    def reached(self, attributes: dict[str, Value], time: EpochMs, broken: Broken) -> list[Feed]:
        """The edges along which an event goes on: those of every selection that it passes."""
        found, alone = [*self.plain], self.alone
        assert self.trie is not None
        try:
            for end in self.trie.reached(attributes):
                feed = alone[end.production]
                if feed is not None:
                    found.append(feed)
                    continue
                memory = self.memories[end.production]
                if not memory.checks or _passes(memory, memory.checks, attributes, time, broken):
                    found += memory.feeds
        except TypeError:
            # A value that can't be compared: look at the selections one by one, to know whose test it is.
            found = list(self.plain)
            broken.clear()
            for memory in self.memories:
                if _passes(memory, memory.tests, attributes, time, broken):
                    found.extend(memory.feeds)
        return found


class _Missing:
    """Every attribute is missing by default."""

    def __getitem__(self, name: object) -> None:
        return None


def _passes(
    memory: AlphaMemory, checks: Iterable[Check], attributes: dict[str, Value], time: EpochMs, broken: Broken
) -> bool:
    try:
        return all(check(attributes, time) for check in checks)
    except Exception as problem:  # noqa: BLE001 - one broken test never stops the others; it is reported by name
        broken.extend((feed.node.index, f"{type(problem).__name__}: {problem}") for feed in memory.feeds)
        return False


def indexed(where: Iterable[AttributeTest]) -> list[AttributeLiteral]:
    """The tests of a `where` that an index finds."""
    return [literal for test in where for literal in _literals(test)]


def _literals(test: AttributeTest) -> list[AttributeLiteral]:
    """A test as one or two indexed literals; none where it must be looked at."""
    name, operator, operand = test.attribute, test.operator, test.operand
    if operator is Operator.IS:
        return [AttributeLiteral(name, Shape.IS, (operand,))]
    if operator is Operator.IS_ONE_OF and isinstance(operand, tuple) and len(operand) <= MOST_VALUES:
        return [AttributeLiteral(name, Shape.IS, operand)]
    if operator in {Operator.ABOVE, Operator.AT_LEAST, Operator.AFTER}:
        return [AttributeLiteral(name, Shape.ABOVE, (operand, operator is not Operator.AT_LEAST))]
    if operator in {Operator.BELOW, Operator.AT_MOST, Operator.BEFORE}:
        return [AttributeLiteral(name, Shape.BELOW, (operand, operator is not Operator.AT_MOST))]
    if operator is Operator.BETWEEN and isinstance(operand, tuple):
        low, high = operand
        return [AttributeLiteral(name, Shape.ABOVE, (low, False)), AttributeLiteral(name, Shape.BELOW, (high, False))]
    return []


def _ranks(found: Iterable[Iterable[AttributeLiteral]]) -> dict[str, tuple[bool, int, str]]:
    """The order of attributes in the trie: those with thresholds last, the most varied last among each."""
    operands: dict[str, set[object]] = {}
    ladders: set[str] = set()
    for literals in found:
        for literal in literals:
            operands.setdefault(literal.index, set()).add(literal.operand)
            if literal.shape != Shape.IS:
                ladders.add(literal.index)
    return {name: (name in ladders, len(each), name) for name, each in operands.items()}


def build(
    shapes: Mapping[str, tuple[str, ...]], nodes: Sequence[tuple[Aggregate | Presence, AggregateNode]]
) -> dict[str, AlphaType]:
    """The alpha network of some aggregate nodes.

    Args:
        shapes: For each declared event type its name and its attributes.
        nodes: The nodes, each with what it is over.
    """
    types = {name: AlphaType(Packing(names)) for name, names in shapes.items()}
    wheres: dict[str, dict[tuple[AttributeTest, ...], list[Feed]]] = {}
    for subject, node in nodes:
        for selection, sign in selections(subject):
            feeds = wheres.setdefault(selection.event, {}).setdefault(selection.where, [])
            feeds.append(_feed(subject, selection, sign, node))
        since = subject.span.since
        if since is not None:
            alpha = types.setdefault(since, AlphaType(Packing((since,))))
            alpha.resets = (*alpha.resets, node)
    for event in wheres:
        types.setdefault(event, AlphaType(Packing((event,))))
    for event, alpha in types.items():
        alpha.settle(wheres.get(event, {}))
    return types


def _feed(subject: Aggregate | Presence, selection: Selection, sign: int, node: AggregateNode) -> Feed:
    attribute = selection.attribute
    if isinstance(subject, Presence) or subject.function is Aggregation.COUNT or attribute is None:
        return Feed(node, None, sign, attribute)
    return Feed(node, attribute, sign, None)


def _check(test: AttributeTest) -> Check:
    """A test of a `where`, which has two values: what is missing does not match, but for `exists: false`."""
    attribute, operator, operand = test.attribute, test.operator, test.operand
    if operator is Operator.EXISTS:
        return lambda attributes, time: (attributes.get(attribute) is not None) is operand
    clocked = operators.CLOCKED.get(operator)
    if clocked is not None:
        age: Any = operand

        def by_clock(attributes: dict[str, Value], time: EpochMs) -> bool:
            value: Any = attributes.get(attribute)
            return value is not None and clocked(value, age, time)

        return by_clock
    try:
        passes = operators.compiled(operator, operand)
    except re2.error as problem:
        message = f"{operand!r} is not a pattern: {problem}"

        def broken(attributes: dict[str, Value], time: EpochMs) -> bool:
            raise ValueError(message)

        return broken

    def steady(attributes: dict[str, Value], time: EpochMs) -> bool:
        value = attributes.get(attribute)
        return value is not None and passes(value)

    return steady
