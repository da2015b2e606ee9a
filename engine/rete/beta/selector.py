"""Selections of events under what is bound: which events of an alpha memory fit a combination, found by hash."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from engine.activation import Catalogue
from engine.language.tree import AttributeTest, BoundRef, FactRef, Operator, Selection, Span
from engine.rete.conditions import operators
from engine.rete.memory.alphas import Alphas, Entry
from engine.rete.memory.joins import Lost
from engine.rete.memory.ranking import RankedKeys, Ranking
from engine.values import EpochMs, Millis, Truth, Value


class _Unset:
    """What stands in an environment where nothing is bound yet; None is a missing attribute."""


UNSET: Any = _Unset()

Environment: TypeAlias = list[Any]
"""What is bound, by slot: a value, None where the attribute is missing, or `UNSET`."""

Bound: TypeAlias = tuple[int, ...]
"""Where to begin in a list of entries: everything of a greater position counts."""


class Look:
    """What a combination is looked at with: the session's events and values at one moment.

    Attributes:
        dropped: Time of the latest event that the conditions may need and that is not kept any more.
        lost: Of the keys of aggregates `per` key, which lack such events, see `PatternState`.
        moments: Where the clock will change a test that was looked at.
        rankings: What the session keeps of rankings; None for who only looks on, whose moment is not the session's.
    """

    __slots__ = ("alphas", "catalogue", "defaults", "dropped", "lost", "moments", "now", "rankings", "values")

    def __init__(
        self,
        alphas: Alphas,
        values: Mapping[int, Value | None],
        defaults: Sequence[Value | None],
        now: EpochMs,
        catalogue: Catalogue | None,
        rankings: dict[Ranking, RankedKeys] | None = None,
    ) -> None:
        self.rankings = rankings
        self.alphas = alphas
        self.values = values
        self.defaults = defaults
        self.now = now
        self.catalogue = catalogue
        self.dropped: EpochMs | None = None
        self.lost: Lost | None = None
        self.moments: set[EpochMs] = set()

    def at(self, now: EpochMs) -> Look:
        """The same at another moment."""
        return Look(self.alphas, self.values, self.defaults, now, self.catalogue)


Resolve: TypeAlias = Callable[[Look, Environment], Any]
"""The value of a right side; None where it is unknown."""


class Link(NamedTuple):
    """An attribute that must be equal to what stands in a slot; where nothing does yet, it is what binds the slot.

    `is_own` is for attributes of the bound event itself, which may be missing; in a `where` nothing is equal to what
    is missing.
    """

    attribute: str
    slot: int
    is_own: bool


class Selector:
    """Which events of an alpha memory fit."""

    __slots__ = ("alpha", "links", "tests")

    def __init__(self, alpha: int, links: tuple[Link, ...], tests: tuple[tuple[str, Operator, Resolve], ...]) -> None:
        self.alpha = alpha
        self.links = links
        self.tests = tests

    def matching(self, look: Look, env: Environment, begin: Bound, *, is_backward: bool = False) -> Iterator[Entry]:
        """The events after `begin` that fit what is bound, oldest first unless `is_backward`."""
        memory = look.alphas[self.alpha]
        entries: Sequence[Entry] = memory.entries
        if not entries:
            return
        checks = []
        for link in self.links:
            value = env[link.slot]
            if value is not UNSET:
                if value is None and not link.is_own:
                    return
                bucket = memory.bucket(link.attribute, value)
                if len(bucket) < len(entries):
                    entries = bucket
                checks.append((link.attribute, value))
            elif not link.is_own:
                checks.append((link.attribute, UNSET))
        tests = [(attribute, operator, resolve(look, env)) for attribute, operator, resolve in self.tests]
        places = range(bisect_left(entries, begin) if begin else 0, len(entries))
        for at in reversed(places) if is_backward else places:
            entry = entries[at]
            attributes = entry[2]
            if _fits(attributes, checks) and all(
                passes(attributes.get(attribute), operator, operand, entry[0]) for attribute, operator, operand in tests
            ):
                yield entry

    def latest(self, look: Look, env: Environment) -> Entry | None:
        """The last of all that fit."""
        return next(self.matching(look, env, (), is_backward=True), None)

    def unset(self, env: Environment) -> list[Link]:
        """The links that bind what nothing has bound yet."""
        return [link for link in self.links if env[link.slot] is UNSET]


def _fits(attributes: dict[str, Value], checks: Sequence[tuple[str, Any]]) -> bool:
    for attribute, value in checks:
        own = attributes.get(attribute)
        if own is None if value is UNSET else own != value:
            return False
    return True


def bind(entry: Entry, links: Sequence[Link], env: Environment) -> bool:
    """Bind what the links leave open to the event's attributes; False, with nothing bound, where they disagree."""
    attributes = entry[2]
    for link in links:
        value = attributes.get(link.attribute)
        if env[link.slot] is UNSET:
            env[link.slot] = value
        elif env[link.slot] != value:
            release(links, env)
            return False
    return True


def release(links: Sequence[Link], env: Environment) -> None:
    """The opposite of `bind`."""
    for link in links:
        env[link.slot] = UNSET


def passes(value: Value | None, operator: Operator, operand: Any, time: EpochMs) -> bool:
    """A test of a `where`: what is missing, on either side, does not match."""
    if operand is None:
        return False
    if operator is Operator.EXISTS:
        return (value is not None) is operand
    if value is None:
        return False
    clocked = operators.CLOCKED.get(operator)
    return operators.STEADY[operator](value, operand) if clocked is None else clocked(value, operand, time)  # type: ignore[arg-type]


def truth_of(look: Look, value: Any, operator: Operator, operand: Any) -> Truth:
    """A test on a value at the moment of the evaluation: unknown where a side is.

    `UNSET` is a value that is there or not: what it is made from was dropped.
    """
    if value is UNSET:
        return None
    if operator is Operator.EXISTS:
        return (value is not None) is operand
    if value is None or operand is None:
        return None
    clocked = operators.CLOCKED.get(operator)
    if clocked is None:
        return operators.STEADY[operator](value, operand)
    look.moments.update((value, value + operand))
    return clocked(value, operand, look.now)


class Reach:
    """The events that a span holds: where they begin, and whether all of them are still kept."""

    __slots__ = ("since", "window")

    def __init__(self, window: Millis | None, since: int | None) -> None:
        """`since` is the alpha memory of the events that begin the span."""
        self.window = window
        self.since = since

    def begin(self, look: Look) -> Bound:
        """After which position events count."""
        if self.since is not None:
            resets = look.alphas[self.since].entries
            return (resets[-1][0], resets[-1][1] + 1) if resets else ()
        return () if self.window is None else (look.now - self.window + 1,)

    def is_over(self, time: EpochMs, now: EpochMs) -> bool:
        """Whether an event of a time has left it, whatever else happened."""
        return self.window is not None and time + self.window <= now

    def is_whole(self, look: Look) -> bool:
        """Whether nothing that it holds was dropped."""
        if look.dropped is None or (self.since is not None and look.alphas[self.since].entries):
            return True
        return self.is_over(look.dropped, look.now)

    def whole_at(self, dropped: EpochMs) -> EpochMs | None:
        """When time alone makes it whole again."""
        return None if self.window is None else dropped + self.window


Selected: TypeAlias = tuple[str, tuple[AttributeTest, ...], frozenset[str]]
"""A type of event, tests that look at nothing but the event, and the attributes that must have a value."""


class Numbering:
    """The alpha memories of a network: a number for each selection, whatever looks at it.

    Attributes:
        selections: By their number.
    """

    def __init__(self) -> None:
        self.selections: list[Selected] = []
        self._numbers: dict[Selected, int] = {}

    def copy(self) -> Numbering:
        """One to which others can be added."""
        made = Numbering()
        made.selections = list(self.selections)
        made._numbers = dict(self._numbers)
        return made

    def of(self, event: str, where: tuple[AttributeTest, ...] = (), required: frozenset[str] = frozenset()) -> int:
        """The number of a selection."""
        key = (event, where, required)
        number = self._numbers.setdefault(key, len(self.selections))
        if number == len(self.selections):
            self.selections.append(key)
        return number


class Slots:
    """Where in an environment each bound attribute stands: first what tells combinations apart, then values."""

    def __init__(self, identity: tuple[BoundRef, ...]) -> None:
        self.identity = identity
        self.places: dict[BoundRef, int] = {ref: place for place, ref in enumerate(identity)}

    def __getitem__(self, ref: BoundRef) -> int:
        return self.places.setdefault(ref, len(self.places))

    def tells_apart(self, slot: int) -> bool:
        """Whether the slot is part of a combination's identity."""
        return slot < len(self.identity)


def selector(
    selection: Selection,
    own: Mapping[str, int],
    slots: Slots,
    numbering: Numbering,
    resolve: Callable[[Any], Resolve],
    required: frozenset[str] = frozenset(),
) -> Selector:
    """Compile a selection.

    Args:
        selection: With tests on the event alone, on facts and on bound names.
        own: Slots that the event's own attributes bind, by attribute.
        slots: Of the joined conditions.
        numbering: Of the network.
        resolve: Compiles a right side.
        required: Attributes without which an event does not count.
    """
    links = [Link(attribute, slot, True) for attribute, slot in own.items()]
    tests = []
    alone = []
    for test in selection.where:
        operand = test.operand
        if isinstance(operand, BoundRef) and test.operator is Operator.IS and slots.tells_apart(slots[operand]):
            links.append(Link(test.attribute, slots[operand], False))
        elif isinstance(operand, BoundRef | FactRef):
            tests.append((test.attribute, test.operator, resolve(operand)))
        else:
            alone.append(test)
    if selection.attribute is not None:
        required |= {selection.attribute}
    return Selector(numbering.of(selection.event, tuple(alone), required), tuple(links), tuple(tests))


def reach(span: Span, numbering: Numbering) -> Reach:
    """Compile a span."""
    return Reach(span.window, None if span.since is None else numbering.of(span.since))
