"""A discrimination trie over conjuncts: from a session's values to the conjuncts that hold, without a look at the others.

All conjuncts are sorted into one order of quantities: presences first, then what is found by equality, then thresholds,
those with the most different limits last. Conjuncts with an equal beginning share it (Forgy 1982). At a node the next
quantity's value finds by hash and by bisection where to go on, so that a thousand limits on one total cost one search.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable
from itertools import accumulate
from typing import Any, NamedTuple, Protocol, TypeAlias

from engine.rete.normal_form import Literal, Shape
from engine.rete.truth import Values
from engine.values import Value

Guards: TypeAlias = tuple[tuple[int, Value | None, Any], ...]
"""(quantity, default, value that it must have): all of them, for anything to be reached."""

NEVER: Any = object()
"""A value that nothing has."""

MOST_VALUES = 16
"""A longer `is_one_of` is looked at like any other test: each value costs a place of its own in the tries."""


class Indexed(Protocol):
    """A literal that a trie finds: on a quantity of a session, or on an attribute of an event."""

    @property
    def index(self) -> Any:
        """Of what: the quantity's index or the attribute's name."""

    @property
    def shape(self) -> str:
        """One of `Shape`, but not a check."""

    @property
    def operand(self) -> Any:
        """See `Shape`."""


class Defaults(Protocol):
    """The value of what nothing is known of."""

    def __getitem__(self, index: Any, /) -> Value | None:
        """By quantity or attribute."""


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

    A session must pass the `guards` first: (quantity, default, value that it must have), the places on the way that
    had but one way on. `eager` branches go on in any session; of the `others`, which are many, only those need a look
    whose quantity the session knows something of: that keeps a thousand quantities of one family from costing a
    thousand looks.
    """

    __slots__ = ("eager", "ends", "guards", "is_leaf", "others")

    def __init__(self) -> None:
        self.ends: tuple[End, ...] = ()
        self.guards: Guards = ()
        self.others: dict[Any, Branch] = {}
        self.eager: tuple[Branch, ...] = ()
        self.is_leaf = True


class Ladder:
    """Limits of one kind of comparison, sorted, each with where a value that passes it goes on.

    Where nothing goes on from any of them, `flat` has all their ends one after the other, those of each from its place
    in `starts` on: a range of limits is a slice.
    """

    __slots__ = ("find", "flat", "is_strict", "is_upward", "limits", "nodes", "starts")

    def __init__(self, *, is_upward: bool, is_strict: bool) -> None:
        """`is_upward` for above and at_least, `is_strict` for above and below."""
        self.is_upward = is_upward
        self.is_strict = is_strict
        # A limit that is equal to the value is passed unless the comparison is strict.
        self.find: Callable[[list[Any], Any], int] = bisect_left if is_upward is is_strict else bisect_right
        self.limits: list[Any] = []
        self.nodes: list[Node] = []
        self.flat: tuple[End, ...] | None = None
        self.starts: list[int] = []

    def settle(self) -> None:
        """Once all limits are in."""
        if all(node.is_leaf for node in self.nodes):
            self.starts = [0, *accumulate(len(node.ends) for node in self.nodes)]
            self.flat = tuple(end for node in self.nodes for end in node.ends)

    def node(self, limit: Any) -> Node:
        """Where this limit leads, made when it is new."""
        at = bisect_left(self.limits, limit)
        if at == len(self.limits) or self.limits[at] != limit:
            self.limits.insert(at, limit)
            self.nodes.insert(at, Node())
        return self.nodes[at]

    def passed(self, value: Any) -> tuple[int, int]:
        """The range of the limits that a value passes: from the lowest up, or from the highest down."""
        at = self.find(self.limits, value)
        return (0, at) if self.is_upward else (at, len(self.limits))

    def risen(self, old: Any, new: Any) -> tuple[int, int]:
        """The range of the limits that `new` passes and `old` did not."""
        if old is None:
            return self.passed(new)
        before, after = self.find(self.limits, old), self.find(self.limits, new)
        return (before, after) if self.is_upward else (after, before)


class Branch:
    """How a node goes on by the value of one quantity: equal to a value, or past a limit."""

    __slots__ = ("by_value", "default", "index", "ladders")

    def __init__(self, index: Any, default: Value | None) -> None:
        self.index = index
        self.default = default
        self.by_value: dict[Value, Node] = {}
        self.ladders: tuple[Ladder, ...] = ()

    def nodes(self, literal: Indexed) -> list[Node]:
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

    def note(self, other: Branch) -> None:
        """Take over the values and limits of another branch, without where they lead."""
        for value in other.by_value:
            self.by_value.setdefault(value, NOWHERE)
        for ladder in other.ladders:
            own = self._ladder(is_upward=ladder.is_upward, is_strict=ladder.is_strict)
            own.limits = sorted({*own.limits, *ladder.limits})

    def is_open_by_default(self) -> bool:
        """Whether a session that knows nothing of the quantity goes on here."""
        default = self.default
        if default is None:
            return False
        if default in self.by_value:
            return True
        return any(low < high for low, high in (ladder.passed(default) for ladder in self.ladders))


NOWHERE = Node()

FEW_BRANCHES = 4
"""So many branches are looked at one by one whatever the session knows: cheaper than to choose among them."""


class Trie:
    """Conjuncts by their indexed literals, for one quantity that may change or for none. Built once, then only read."""

    __slots__ = ("_defaults", "_limits", "_risen", "_values", "root")

    def __init__(self, defaults: Defaults, risen: int = -1) -> None:
        """With `risen`, only conjuncts whose literal on this quantity became true by a change are reached."""
        self._defaults = defaults
        self._risen = risen
        self._values: set[Value] = set()
        self._limits: tuple[Ladder, ...] | None = ()
        self.root = Node()

    def add(self, literals: Iterable[Indexed], end: End) -> None:
        """Add a conjunct by its indexed literals, which stand in the common order."""
        nodes = [self.root]
        looks = False
        for literal in literals:
            following: list[Node] = []
            looks = looks or literal.index == self._risen
            for node in nodes:
                node.is_leaf = False
                branch = node.others.get(literal.index)
                if branch is None:
                    branch = node.others[literal.index] = Branch(literal.index, self._defaults[literal.index])
                following += branch.nodes(literal)
            nodes = following
        for node in nodes:
            node.ends = (*node.ends, end)
        if not looks:
            self._limits = None  # a change of the quantity may matter to a literal that no index finds

    def settle(self) -> Trie:
        """Tell guards and eager branches from the others, once all conjuncts are in."""
        summary = Branch(self._risen, None)
        self.root = self._settled(self.root, summary)
        self._values = set(summary.by_value)
        if self._limits is not None:
            self._limits = summary.ladders
        return self

    def _settled(self, node: Node, summary: Branch) -> Node:
        guards: list[tuple[int, Value | None, Value]] = []
        while not node.ends and len(node.others) == 1:
            (branch,) = node.others.values()
            if branch.index == self._risen or branch.ladders or len(branch.by_value) != 1:
                break
            ((value, node),) = branch.by_value.items()
            guards.append((branch.index, branch.default, value))
        node.guards = tuple(guards)
        for branch in node.others.values():
            branch.by_value = {value: self._settled(each, summary) for value, each in branch.by_value.items()}
            for ladder in branch.ladders:
                ladder.nodes = [self._settled(each, summary) for each in ladder.nodes]
                ladder.settle()
            if branch.index == self._risen:
                summary.note(branch)
        is_few = len(node.others) <= FEW_BRANCHES
        node.eager = tuple(each for each in node.others.values() if is_few or each.is_open_by_default())
        for branch in node.eager:
            del node.others[branch.index]
        node.is_leaf = not (node.guards or node.eager or node.others)
        return node

    def may_rise(self, old: Any, new: Any) -> bool:
        """Whether any literal on the quantity became true by this change of it."""
        limits = self._limits
        if limits is None:
            return True
        if new is None or new == old:
            return False
        if new in self._values:
            return True
        for ladder in limits:
            low, high = ladder.risen(old, new)
            if low < high:
                return True
        return False

    def reached(self, values: Values, old: Value | None = None) -> list[End]:
        """The conjuncts whose indexed literals hold; `old` is the value before the change of the trie's quantity."""
        found: list[End] = []
        _reach(self.root, values, found, self._risen, old)
        return found


def _reach(node: Node, values: Values, found: list[End], risen: int, old: Any) -> None:
    get = values.get
    for index, default, wanted in node.guards:
        if get(index, default) != wanted:
            return
    if node.ends:
        found += node.ends
    for branch in node.eager:
        value = get(branch.index, branch.default)
        if value is not None:
            _follow(branch, value, values, found, risen, old)
    others = node.others
    if others:
        for index in others.keys() & values.keys():
            value = values[index]
            if value is not None:
                _follow(others[index], value, values, found, risen, old)


def _follow(branch: Branch, value: Any, values: Values, found: list[End], risen: int, old: Any) -> None:
    is_risen = branch.index == risen
    if branch.by_value and not (is_risen and value == old):
        node = branch.by_value.get(value)
        if node is not None:
            if node.is_leaf:
                found += node.ends
            else:
                _reach(node, values, found, risen, old)
    for ladder in branch.ladders:
        at = ladder.find(ladder.limits, value)
        if is_risen and old is not None:
            before = ladder.find(ladder.limits, old)
            low, high = (before, at) if ladder.is_upward else (at, before)
        elif ladder.is_upward:
            low, high = 0, at
        else:
            low, high = at, len(ladder.limits)
        if low < high:
            if ladder.flat is not None:
                found += ladder.flat[ladder.starts[low] : ladder.starts[high]]
            else:
                for node in ladder.nodes[low:high]:
                    if node.is_leaf:
                        found += node.ends
                    else:
                        _reach(node, values, found, risen, old)
