"""A discrimination trie over conjuncts: from a session's values to the conjuncts that hold, without a look at the others.

Conjuncts with an equal beginning share it (Forgy 1982); in which order their literals stand, who builds it decides. At a
node the next quantity's value finds by hash and by bisection where to go on, so that a thousand limits on one total cost
one search.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable
from itertools import accumulate
from typing import Any, Protocol, final

from engine.activation import TriggerMessage
from engine.rete.conditions.literals import COMPARISONS, Literal, Shape
from engine.values import Value

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


@final
class End:
    """A conjunct whose indexed literals hold.

    Attributes:
        production: Of which rule.
        checks: Its literals that no index finds; they are looked at one by one.
        is_certain: Whether reaching it by a change means that its rule did not hold before; None where reaching it does
            not even mean that it holds now.
        rule: What it is called, and
        messages: what it sends, where it acts whenever it becomes true and always says the same: then nothing of the rule
            itself has to be read, of which there are many.
    """

    __slots__ = ("checks", "is_certain", "messages", "production", "rule")

    def __init__(
        self,
        production: int,
        checks: tuple[Literal, ...],
        is_certain: bool | None,
        rule: str = "",
        messages: tuple[TriggerMessage, ...] | None = None,
    ) -> None:
        self.production = production
        self.checks = checks
        self.is_certain = is_certain
        self.rule = rule
        self.messages = messages


@final
class Guard:
    """A literal that must be true for anything to be reached: `passes` is its comparison where it is no equality."""

    __slots__ = ("default", "index", "operand", "passes")

    def __init__(
        self, index: Any, default: Value | None, passes: Callable[[Any, Any], bool] | None, operand: Any
    ) -> None:
        self.index: Any = index
        self.default: Any = default
        self.passes: Any = passes
        self.operand: Any = operand


@final
class Node:
    """A place in the trie: conjuncts that end here, and branches by the next quantity.

    A session must pass the `guards` first: the places on the way that had but one way on. `eager` branches go on in any session; of the `others`, which are many, only those need a look
    whose quantity the session knows something of: that keeps a thousand quantities of one family from costing a
    thousand looks. Both are what `branches` became.
    """

    __slots__ = ("branches", "eager", "ends", "guards", "is_leaf", "others")

    def __init__(self) -> None:
        self.ends: tuple[End, ...] = ()
        self.guards: tuple[Guard, ...] = ()
        self.branches: dict[Any, Branch] = {}
        self.others: dict[Any, Way] = {}
        self.eager: tuple[Way, ...] = ()
        self.is_leaf = True


@final
class Rungs:
    """A ladder as it is walked.

    Where nothing goes on from any of its limits, `flat` has all their ends one after the other, those of each from its
    place in `starts` on: a range of limits is a slice. It `is_even` where each has one end. Where all limits are whole
    numbers, they are `whole`, and searched without a call; `is_right` says on which side of an equal one to stop.
    """

    __slots__ = ("find", "flat", "is_even", "is_right", "is_upward", "limits", "nodes", "starts", "whole")

    def __init__(self, ladder: Ladder) -> None:
        self.find: Callable[..., int] = ladder.find
        self.limits: list[Any] = ladder.limits
        self.is_upward: bool = ladder.is_upward
        self.nodes: list[Node] = ladder.nodes
        self.starts: list[int] = [0, *accumulate(len(node.ends) for node in ladder.nodes)]
        self.flat: list[End] | None = None
        if all(node.is_leaf for node in ladder.nodes):
            self.flat = [end for node in ladder.nodes for end in node.ends]
        self.is_even: bool = all(len(node.ends) == 1 for node in ladder.nodes)
        self.is_right: bool = ladder.find is bisect_right
        self.whole: list[int] | None = None
        if all(type(limit) is int for limit in ladder.limits):
            self.whole = self.limits

    def _place(self, limits: list[int], value: int, low: int, high: int) -> int:
        """What `find` finds, for whole numbers."""
        is_right = self.is_right
        while low < high:
            middle = (low + high) >> 1
            limit = limits[middle]
            if limit < value or (is_right and limit == value):
                low = middle + 1
            else:
                high = middle
        return low

    def _passed(self, limits: list[int], old: int | None, new: int) -> tuple[int, int]:
        """`passed` for whole numbers."""
        low, high = 0, len(limits)
        if self.is_upward:
            if old is not None:
                low = self._place(limits, old, 0, high)
                if low == high or limits[low] > new:
                    return 0, 0
            return low, self._place(limits, new, low, high)
        if old is not None:
            high = self._place(limits, old, 0, high)
            if not high or limits[high - 1] < new:
                return 0, 0
        return self._place(limits, new, 0, high), high

    def passed(self, old: Any, new: Any) -> tuple[int, int]:
        """The range of the limits that `new` passes and `old` did not; most often there is none."""
        whole = self.whole
        if whole is not None and type(new) is int and (old is None or type(old) is int):
            return self._passed(whole, old, new)
        limits = self.limits
        low, high = 0, len(limits)
        if self.is_upward:
            if old is not None:
                low = self.find(limits, old)
                if low == high or limits[low] > new:
                    return 0, 0
            high = self.find(limits, new, low)
        else:
            if old is not None:
                high = self.find(limits, old)
                if not high or limits[high - 1] < new:
                    return 0, 0
            low = self.find(limits, new, 0, high)
        return low, high


@final
class Way:
    """A branch as it is walked: `is_risen` where it looks at the quantity whose change the trie is for."""

    __slots__ = ("by_value", "default", "index", "is_risen", "ladders")

    def __init__(self, branch: Branch, *, is_risen: bool) -> None:
        self.index: Any = branch.index
        self.default: Any = branch.default
        self.is_risen: bool = is_risen
        self.by_value: dict[Any, Node] | None = branch.by_value or None
        self.ladders: tuple[Rungs, ...] = tuple(Rungs(ladder) for ladder in branch.ladders)


class Ladder:
    """Limits of one kind of comparison, sorted, each with where a value that passes it goes on."""

    __slots__ = ("find", "is_strict", "is_upward", "limits", "nodes")

    def __init__(self, *, is_upward: bool, is_strict: bool) -> None:
        """`is_upward` for above and at_least, `is_strict` for above and below."""
        self.is_upward = is_upward
        self.is_strict = is_strict
        # A limit that is equal to the value is passed unless the comparison is strict.
        self.find: Callable[..., int] = bisect_left if is_upward is is_strict else bisect_right
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
        """The range of the limits that a value passes: from the lowest up, or from the highest down."""
        at = self.find(self.limits, value)
        return (0, at) if self.is_upward else (at, len(self.limits))


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
            by_value = self.by_value
            for value in literal.operand:
                if value not in by_value:
                    by_value[value] = Node()
            return [by_value[value] for value in literal.operand]
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

    def only(self) -> tuple[Callable[[Any, Any], bool] | None, Any, Node] | None:
        """The comparison (None: an equality), its right side and where it leads, where there is but one."""
        if len(self.by_value) + sum(len(ladder.limits) for ladder in self.ladders) != 1:
            return None
        for ladder in self.ladders:
            return COMPARISONS[ladder.is_upward, ladder.is_strict], ladder.limits[0], ladder.nodes[0]
        ((value, node),) = self.by_value.items()
        return None, value, node

    def is_open_by_default(self) -> bool:
        """Whether a session that knows nothing of the quantity goes on here."""
        default = self.default
        if default is None:
            return False
        if default in self.by_value:
            return True
        return any(low < high for low, high in (ladder.passed(default) for ladder in self.ladders))


NOWHERE = Node()

FEW_BRANCHES = 12
"""So many branches are looked at one by one whatever the session knows: cheaper than to choose among them."""


class Trie:
    """Conjuncts by their indexed literals, for one quantity that may change or for none. Built once, then only read."""

    __slots__ = ("_defaults", "_limits", "_risen", "_values", "root")

    def __init__(self, defaults: Defaults, risen: int = -1) -> None:
        """With `risen`, only conjuncts whose literal on this quantity became true by a change are reached."""
        self._defaults = defaults
        self._risen = risen
        self._values: set[Value] = set()
        self._limits: tuple[Rungs, ...] = ()
        self.root = Node()

    def add(self, literals: Iterable[Indexed], end: End) -> None:
        """Add a conjunct by its indexed literals, which stand in the common order."""
        nodes = [self.root]
        for literal in literals:
            following: list[Node] = []
            for node in nodes:
                node.is_leaf = False
                branch = node.branches.get(literal.index)
                if branch is None:
                    branch = node.branches[literal.index] = Branch(literal.index, self._defaults[literal.index])
                following += branch.nodes(literal)
            nodes = following
        for node in nodes:
            node.ends = (*node.ends, end)

    def settle(self) -> Trie:
        """Tell guards and eager branches from the others, once all conjuncts are in."""
        summary = Branch(self._risen, None)
        self.root = self._settled(self.root, summary)
        self._values = set(summary.by_value)
        self._limits = tuple(Rungs(ladder) for ladder in summary.ladders)
        return self

    def _settled(self, node: Node, summary: Branch) -> Node:
        guards: list[Guard] = []
        while not node.ends and len(node.branches) == 1:
            (branch,) = node.branches.values()
            only = None if branch.index == self._risen else branch.only()
            if only is None:
                break
            passes, operand, node = only
            guards.append(Guard(branch.index, branch.default, passes, operand))
        node.guards = tuple(guards)
        eager: list[Way] = []
        for branch in node.branches.values():
            branch.by_value = {value: self._settled(each, summary) for value, each in branch.by_value.items()}
            for ladder in branch.ladders:
                ladder.nodes = [self._settled(each, summary) for each in ladder.nodes]
            is_risen = branch.index == self._risen
            if is_risen:
                summary.note(branch)
            way = Way(branch, is_risen=is_risen)
            if len(node.branches) <= FEW_BRANCHES or branch.is_open_by_default():
                eager.append(way)
            else:
                node.others[branch.index] = way
        node.branches = {}
        node.eager = tuple(eager)
        node.is_leaf = not (node.guards or node.eager or node.others)
        return node

    def leaves(self) -> dict[Value, tuple[End, ...]] | None:
        """What is reached beyond the guards by each new value of the quantity, where nothing else is asked; else None."""
        root = self.root
        if root.ends or root.others or len(root.eager) != 1:
            return None
        (way,) = root.eager
        if not way.is_risen or way.ladders or way.by_value is None:
            return None
        if not all(node.is_leaf for node in way.by_value.values()):
            return None
        return {value: node.ends for value, node in way.by_value.items()}

    def may_rise(self, old: Any, new: Any) -> bool:
        """Whether any literal on the quantity became true by this change of it."""
        if new is None or new == old:
            return False
        if new in self._values:
            return True
        for rungs in self._limits:
            low, high = rungs.passed(old, new)
            if low < high:
                return True
        return False

    def reached(self, values: dict[Any, Any], old: Any = None) -> list[End]:
        """The conjuncts whose indexed literals hold; `old` is the value before the change of the trie's quantity."""
        found: list[End] = []
        pending: list[Node] = [self.root]
        while pending:
            node = pending.pop()
            for guard in node.guards:
                value = values.get(guard.index, guard.default)
                if value is None:
                    break
                if guard.passes is None:
                    if value != guard.operand:
                        break
                elif not guard.passes(value, guard.operand):
                    break
            else:
                if node.ends:
                    found += node.ends
                ways = node.eager
                if node.others:
                    others = node.others
                    ways = (*ways, *[others[index] for index in others.keys() & values.keys()])
                for way in ways:
                    value = values.get(way.index, way.default)
                    if value is None:
                        continue
                    by_value = way.by_value
                    if by_value is not None and not (way.is_risen and value == old):
                        following = by_value.get(value)
                        if following is not None:
                            pending.append(following)
                    for rungs in way.ladders:
                        low, high = rungs.passed(old if way.is_risen else None, value)
                        if low < high:
                            if rungs.flat is None:
                                pending += rungs.nodes[low:high]
                            elif rungs.is_even:
                                found += rungs.flat[low:high]
                            else:
                                found += rungs.flat[rungs.starts[low] : rungs.starts[high]]
        return found
