"""A discrimination trie over conjuncts: from a session's values to the conjuncts that hold, without a look at the others.

All conjuncts are sorted into one order of quantities: presences first, then what is found by equality, then thresholds,
those with the most different limits last. Conjuncts with an equal beginning share it (Forgy 1982). At a node the next
quantity's value finds by hash and by bisection where to go on, so that a thousand limits on one total cost one search.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from engine.rete.normal_form import Literal, Shape
from engine.rete.truth import Values
from engine.values import Value


class End(NamedTuple):
    """A conjunct whose indexed literals hold.

    Attributes:
        production: Of which rule.
        checks: Its literals that no index finds; they are looked at one by one.
        is_certain: Whether reaching it by a change means that its rule did not hold before.
    """

    production: int
    checks: tuple[Literal, ...]
    is_certain: bool


class Node:
    """A place in the trie: conjuncts that end here, and branches by the next quantity.

    `eager` branches also go on in a session that knows nothing of their quantity; the others only need a look where it
    knows something, which is what keeps a thousand quantities of one family from costing a thousand looks.
    """

    __slots__ = ("eager", "ends", "is_leaf", "others")

    def __init__(self) -> None:
        self.ends: tuple[End, ...] = ()
        self.others: dict[int, Branch] = {}
        self.eager: tuple[Branch, ...] = ()
        self.is_leaf = True


class Ladder:
    """Limits of one kind of comparison, sorted, each with where a value that passes it goes on."""

    __slots__ = ("is_strict", "is_upward", "limits", "nodes")

    def __init__(self, *, is_upward: bool, is_strict: bool) -> None:
        """`is_upward` for above and at_least, `is_strict` for above and below."""
        self.is_upward = is_upward
        self.is_strict = is_strict
        self.limits: list[Any] = []
        self.nodes: list[Node] = []

    def node(self, limit: Any) -> Node:
        """Where this limit leads, made when it is new."""
        at = bisect_left(self.limits, limit)
        if at == len(self.limits) or self.limits[at] != limit:
            self.limits.insert(at, limit)
            self.nodes.insert(at, Node())
        return self.nodes[at]

    def passed(self, value: Any) -> tuple[int, int]:
        """The range of the limits that a value passes."""
        if self.is_upward:
            return 0, bisect_left(self.limits, value) if self.is_strict else bisect_right(self.limits, value)
        at = bisect_right(self.limits, value) if self.is_strict else bisect_left(self.limits, value)
        return at, len(self.limits)

    def risen(self, old: Any, new: Any) -> tuple[int, int]:
        """The range of the limits that `new` passes and `old` did not."""
        low, high = self.passed(new)
        if old is not None:
            before_low, before_high = self.passed(old)
            if self.is_upward:
                low = max(low, before_high)
            else:
                high = min(high, before_low)
        return low, high


class Branch:
    """How a node goes on by the value of one quantity: equal to a value, or past a limit."""

    __slots__ = ("by_value", "default", "index", "ladders")

    def __init__(self, index: int, default: Value | None) -> None:
        self.index = index
        self.default = default
        self.by_value: dict[Value, Node] = {}
        self.ladders: tuple[Ladder, ...] = ()

    def nodes(self, literal: Literal) -> list[Node]:
        """Where a literal leads: to one place, or for `is_one_of` to one for each value."""
        if literal.shape == Shape.IS:
            return [self.by_value.setdefault(value, Node()) for value in literal.operand]
        limit, is_strict = literal.operand
        return [self._ladder(is_upward=literal.shape == Shape.ABOVE, is_strict=is_strict).node(limit)]

    def _ladder(self, *, is_upward: bool, is_strict: bool) -> Ladder:
        for found in self.ladders:
            if found.is_upward is is_upward and found.is_strict is is_strict:
                return found
        made = Ladder(is_upward=is_upward, is_strict=is_strict)
        self.ladders = (*self.ladders, made)
        return made

    def is_open_by_default(self) -> bool:
        """Whether a session that knows nothing of the quantity goes on here."""
        default = self.default
        if default is None:
            return False
        if default in self.by_value:
            return True
        return any(low < high for low, high in (ladder.passed(default) for ladder in self.ladders))


class Trie:
    """Conjuncts by their indexed literals. Built once, then only read."""

    __slots__ = ("_defaults", "root")

    def __init__(self, defaults: Sequence[Value | None]) -> None:
        self._defaults = defaults
        self.root = Node()

    def add(self, literals: Iterable[Literal], end: End) -> None:
        """Add a conjunct by its indexed literals, which stand in the common order."""
        nodes = [self.root]
        for literal in literals:
            following: list[Node] = []
            for node in nodes:
                node.is_leaf = False
                branch = node.others.get(literal.index)
                if branch is None:
                    branch = node.others[literal.index] = Branch(literal.index, self._defaults[literal.index])
                following += branch.nodes(literal)
            nodes = following
        for node in nodes:
            node.ends = (*node.ends, end)

    def settle(self) -> Trie:
        """Tell the eager branches from the others, once all conjuncts are in."""
        pending = [self.root]
        while pending:
            node = pending.pop()
            for branch in node.others.values():
                pending.extend(branch.by_value.values())
                for ladder in branch.ladders:
                    pending.extend(ladder.nodes)
            node.eager = tuple(branch for branch in node.others.values() if branch.is_open_by_default())
            for branch in node.eager:
                del node.others[branch.index]
        return self

    def reached(self, values: Values, risen: int = -1, old: Value | None = None) -> list[End]:
        """The conjuncts whose indexed literals hold.

        Args:
            values: Of the session.
            risen: A quantity that changed: then only those whose literal on it became true by the change.
            old: Its value before.
        """
        found: list[End] = []
        _reach(self.root, values, found, risen, old)
        return found


def _reach(node: Node, values: Values, found: list[End], risen: int, old: Any) -> None:
    if node.ends:
        found.extend(node.ends)
    for branch in node.eager:
        _follow(branch, values.get(branch.index, branch.default), values, found, risen, old)
    others = node.others
    if others:
        if len(others) <= len(values):
            for index, branch in others.items():
                if index in values:
                    _follow(branch, values[index], values, found, risen, old)
        else:
            for index, value in values.items():
                if index in others:
                    _follow(others[index], value, values, found, risen, old)


def _follow(branch: Branch, value: Any, values: Values, found: list[End], risen: int, old: Any) -> None:
    if value is None:
        return
    is_risen = branch.index == risen
    if branch.by_value and not (is_risen and value == old):
        node = branch.by_value.get(value)
        if node is not None:
            if node.is_leaf:
                found.extend(node.ends)
            else:
                _reach(node, values, found, risen, old)
    for ladder in branch.ladders:
        low, high = ladder.risen(old, value) if is_risen else ladder.passed(value)
        for node in ladder.nodes[low:high]:
            if node.is_leaf:
                found.extend(node.ends)
            else:
                _reach(node, values, found, risen, old)
