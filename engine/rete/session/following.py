"""The patterns of a session: what an event touches is noted as it comes, and looked at once when the step follows it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from heapq import heappush

from engine.activation import Catalogue
from engine.event import Event
from engine.rete.alpha.network import AlphaType, Feed
from engine.rete.beta.arrival import Arrival
from engine.rete.beta.selector import Look
from engine.rete.compilation import Compiled
from engine.rete.memory.alphas import Alphas
from engine.rete.memory.joins import Joins, PatternState, Pins
from engine.rete.memory.memory import Memory
from engine.rete.memory.retained import Kept
from engine.rete.session.settle import blame
from engine.values import EpochMs, Truth, Value


def arrivals_of(kind: AlphaType, event: Event | Kept, broken: list[tuple[int, str]] | None = None) -> list[Arrival]:
    """The edges along which an event goes to patterns."""
    joined = kind.joined
    if joined is None:
        return []
    attributes = event.attributes
    feeds: Sequence[Feed]
    if joined.table is not None:
        feeds = joined.all_reached(attributes, event.time)
    else:
        feeds = joined.reached(attributes, event.time, [] if broken is None else broken)
    arrivals = [feed.node for feed in feeds if isinstance(feed.node, Arrival)]
    return [each for each in arrivals if all(attributes.get(name) is not None for name in each.required)]


def arrive(compiled: Compiled, memory: Memory, event: Event, kind: AlphaType) -> list[tuple[int, str]]:
    """Note what an event touches that is about to be retained, and what goes because it is.

    Returns:
        Patterns whose `where` raised on it, with the error.
    """
    broken: list[tuple[int, str]] = []
    retained = memory.retained
    is_kept = True
    if retained is not None and retained.count >= compiled.keep_events:
        oldest = retained.oldest()
        is_kept = event.time >= oldest.time
        _depart(compiled, memory, oldest if is_kept else event)
    arrivals = arrivals_of(kind, event, broken)
    if arrivals and is_kept:
        joins = memory.joins
        if joins is None:
            joins = memory.joins = Joins()
        if joins.alphas is not None:
            joins.alphas.add({arrival.number for arrival in arrivals}, event.time, event.attributes)
        _touch(joins, arrivals, event.attributes)
    return broken


def _depart(compiled: Compiled, memory: Memory, event: Event | Kept) -> None:
    """An event is not kept any more: what it held is not known from now on."""
    kind = compiled.alpha.get(event.type)
    arrivals = [] if kind is None else arrivals_of(kind, event)
    if not arrivals:
        return
    joins = memory.joins
    if joins is None:
        joins = memory.joins = Joins()
    if joins.alphas is not None and not isinstance(event, Event):
        joins.alphas.drop_oldest({arrival.number for arrival in arrivals})
    _touch(joins, arrivals, event.attributes)
    for arrival in arrivals:
        state = joins.states.setdefault(arrival.index, PatternState())
        state.lose([role.keyed for role in arrival.roles if role.keyed is not None], event.time, event.attributes)


def _touch(joins: Joins, arrivals: Iterable[Arrival], attributes: dict[str, Value]) -> None:
    """Note what an event touches."""
    rankings = joins.rankings
    for arrival in arrivals:
        for role in arrival.roles if rankings else ():
            if role.ranking in rankings:
                rankings[role.ranking].dirty.add(attributes[role.ranking.per])
        noted = joins.touched.setdefault(arrival.index, set())
        if noted is not None:
            for role in arrival.roles:
                pins = role.pins(attributes)
                if pins is not None:
                    noted.add(pins)


def alphas_of(compiled: Compiled, memory: Memory) -> Alphas:
    """The alpha memories of what is retained."""
    made = Alphas()
    if memory.retained is not None:
        for event in memory.retained.read():
            kind = compiled.alpha.get(event.type)
            if kind is not None:
                numbers = {arrival.number for arrival in arrivals_of(kind, event)}
                if numbers:
                    made.add(numbers, event.time, event.attributes)
    return made


class Following:
    """Brings the patterns of a session to what follows from the events and quantities of a step."""

    __slots__ = ("_catalogue", "_compiled", "_failures", "_memory", "_values", "now")

    def __init__(
        self,
        compiled: Compiled,
        memory: Memory,
        now: EpochMs,
        catalogue: Catalogue | None,
        failures: dict[str, str],
    ) -> None:
        self._compiled = compiled
        self._memory = memory
        self._values = memory.values
        self._catalogue = catalogue
        self._failures = failures
        self.now = now

    def __call__(self, changed: dict[int, Value | None]) -> None:
        """Look again at the patterns that are touched, due, or look at something that changed."""
        compiled, joins = self._compiled, self._memory.joins
        readers = compiled.readers
        pending = {pattern for index in changed if index in readers for pattern in readers[index]}
        everything = frozenset(pending)
        if joins is not None:
            pending.update(joins.touched, joins.due)
        if not pending:
            return
        if joins is None:
            joins = self._memory.joins = Joins()
        while pending:
            index = min(pending)
            pending.discard(index)
            touched = joins.touched.pop(index, set())
            value, old = self._refresh(joins, index, None if index in everything else touched)
            if value is not old:
                changed.setdefault(index, old)
                for reader in readers.get(index, ()):
                    pending.add(reader)
                    joins.touched[reader] = None

    def matters(self, index: int) -> bool:
        """Whether the session has kept, or dropped, any event that a pattern looks at."""
        joins = self._memory.joins
        if joins is not None and index in joins.states:
            return True
        alphas = self.look().alphas
        return any(alphas[number].entries for number in self._compiled.patterns[index].roles)

    def look(self) -> Look:
        """What combinations are looked at with now."""
        joins = self._memory.joins
        if joins is None:
            joins = self._memory.joins = Joins()
        if joins.alphas is None:
            joins.alphas = alphas_of(self._compiled, self._memory)
        return Look(joins.alphas, self._values, self._compiled.defaults, self.now, self._catalogue, joins.rankings)

    def _refresh(self, joins: Joins, index: int, touched: set[Pins] | None) -> tuple[Truth, Truth]:
        pattern = self._compiled.patterns[index]
        state = joins.states.get(index)
        if state is None:
            state = joins.states[index] = PatternState()
        look = self.look()
        old: Truth = self._values.get(index, False)  # type: ignore[assignment]
        try:
            pattern.refresh(state, look, touched, joins.due.pop(index, None), joins.was.setdefault(index, {}))
            value = pattern.value(state)
        except Exception as problem:  # noqa: BLE001 - it is unknown then, and the rules that look at it say why
            state.tokens, value = {}, None
            blame(self._compiled, index, f"{type(problem).__name__}: {problem}", self._failures)
        self._mark(index, state, look)
        if value is False:
            self._values.pop(index, None)
        else:
            self._values[index] = value
        return value, old

    def _mark(self, index: int, state: PatternState, look: Look) -> None:
        memory = self._memory
        timed, lazy = self._compiled.patterns[index].marks(state, look)
        acting, ending = state.marks
        state.marks = (
            _marked(memory.timed, index, timed, acting, look.now),
            _marked(memory.lazy, index, lazy, ending, look.now),
        )
        state.timed, state.lazy = timed, lazy
        is_empty = not state.tokens and state.dropped is None and timed is None and lazy is None
        # What the catalogue says is asked again by each view.
        if is_empty and not self._compiled.patterns[index].asks_catalogue and memory.joins is not None:
            del memory.joins.states[index]


def _marked(
    heap: list[tuple[EpochMs, int]], index: int, moment: EpochMs | None, standing: EpochMs | None, now: EpochMs
) -> EpochMs | None:
    """Let a mark stand for a moment, and say for which one stands.

    One that is too early is enough: when it comes, the pattern is looked at and marked again. Else each event of a long
    session would leave one behind.
    """
    if standing is not None and standing <= now:
        standing = None  # it has come
    if moment is None or (standing is not None and standing <= moment):
        return standing
    heappush(heap, (moment, index))
    return moment


class Overlay:
    """The patterns of a session as a view sees them: at its moment, with its context, and without changing any."""

    __slots__ = ("_alphas", "_catalogue", "_compiled", "_failures", "_memory", "_now", "_values", "states")

    def __init__(
        self,
        compiled: Compiled,
        memory: Memory,
        values: dict[int, Value | None],
        now: EpochMs,
        catalogue: Catalogue | None,
        failures: dict[str, str],
    ) -> None:
        """`values` are the view's own."""
        self._compiled = compiled
        self._memory = memory
        self._values = values
        self._now = now
        self._catalogue = catalogue
        self._failures = failures
        joins = memory.joins
        self._alphas = None if joins is None else joins.alphas
        self.states: dict[int, PatternState] = {} if joins is None else dict(joins.states)

    def begin(self) -> dict[int, Value | None]:
        """Look again at what time has touched since the session's clock, and at what asks the catalogue.

        Returns:
            The values that changed, with what they were.
        """
        changed: dict[int, Value | None] = {}
        now = self._now
        for index, state in list(self.states.items()):
            due = [at for at in (state.timed, state.lazy, state.clocked) if at is not None and at <= now]
            if self._compiled.patterns[index].asks_catalogue:
                self._refresh(index, changed)
            elif due:
                self._refresh(index, changed, min(due))
        self(changed)
        return changed

    def __call__(self, changed: dict[int, Value | None]) -> None:
        """Look again at the patterns that look at something that changed."""
        readers = self._compiled.readers
        pending = {pattern for index in changed if index in readers for pattern in readers[index]}
        while pending:
            index = min(pending)
            pending.discard(index)
            before = len(changed)
            self._refresh(index, changed)
            if len(changed) > before:
                pending.update(readers.get(index, ()))

    def clocked(self) -> Iterator[EpochMs]:
        """Where the clock next changes a test of a pattern."""
        for state in self.states.values():
            if state.clocked is not None and state.clocked > self._now:
                yield state.clocked

    def look(self) -> Look:
        """What combinations are looked at with at the view's moment."""
        if self._alphas is None:
            self._alphas = alphas_of(self._compiled, self._memory)
        return Look(self._alphas, self._values, self._compiled.defaults, self._now, self._catalogue)

    def _refresh(self, index: int, changed: dict[int, Value | None], since: EpochMs | None = None) -> None:
        """Look at everything again, or at what time has touched from `since` on."""
        pattern, known = self._compiled.patterns[index], self.states.get(index)
        state = self.states[index] = PatternState() if known is None else known.copy()
        old = self._values.get(index, False)
        try:
            pattern.refresh(state, self.look(), None if since is None else (), since, {})
            value = pattern.value(state)
        except Exception as problem:  # noqa: BLE001 - it is unknown then, and the rules that look at it say why
            state.tokens, value = {}, None
            blame(self._compiled, index, f"{type(problem).__name__}: {problem}", self._failures)
        self._values[index] = value
        if value is not old:
            changed.setdefault(index, old)


def note_due(memory: Memory, index: int, moment: EpochMs) -> None:
    """Time touches a pattern at this moment."""
    joins = memory.joins
    if joins is not None and (index in joins.states):
        joins.due[index] = min(moment, joins.due.get(index, moment))
