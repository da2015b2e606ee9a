"""Joined conditions as a node of the network: their combinations in a session, kept up to date event by event.

The one idea: a rule with bound names is a family of rules without, one for each combination of bound values. An event
touches those whose values it has: they are found anew through the hash indexes of the alpha memories, all others stay.
So each binder and each condition says with what it is tied to the values of an event (its links), and nothing else of
it is ever looked at for that event. The same is done, with the same links, when an event leaves a span.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from engine.language.tree import BoundRef
from engine.rete.beta.binders import Binder, Positions
from engine.rete.beta.selector import UNSET, Environment, Look, Reach, Slots
from engine.rete.memory.joins import PatternState, Pins, Token
from engine.rete.memory.ranking import Ranking
from engine.values import EpochMs, Millis, Truth, Value

MOST_FORESEEN = 256
"""Moments of a pattern that are played through for how long an answer is good: each costs a look at what it touches."""

Ground: TypeAlias = Callable[[Look, Environment], Truth]
"""The truth of a condition for one combination."""


@dataclass(frozen=True, slots=True, eq=False)
class Role:
    """What an event of an alpha memory is to a pattern.

    Attributes:
        alpha: The alpha memory.
        links: Slots that have the value of an attribute of the event wherever it matters.
        required: Those among the slots that an event without the attribute does not matter to.
        offsets: How long after it the event matters once more, as it leaves a window or an absence has lasted; with
            whether that may make something true.
        ranking: What the key of the event has a place in.
        keyed: The number of the aggregate `per` key that it counts for, the attribute that is the key, and the window.
    """

    alpha: int
    links: tuple[tuple[int, str], ...]
    required: frozenset[int]
    offsets: tuple[tuple[Millis, bool], ...]
    ranking: Ranking | None = None
    keyed: tuple[int, str, Millis | None] | None = None

    def pins(self, attributes: dict[str, Value]) -> Pins | None:
        """The combinations that such an event touches; None where it touches none."""
        pins: dict[int, Any] = {}
        for slot, attribute in self.links:
            value = attributes.get(attribute)
            if value is None and slot in self.required:
                return None
            if slot in pins and pins[slot] != value:
                return None
            pins[slot] = value
        return tuple(sorted(pins.items(), key=_slot))


def _has(token: Token, pins: Pins) -> bool:
    return all(token[slot] == value for slot, value in pins)


def _place(first: tuple[tuple[Positions, ...], object] | None) -> tuple[Positions, ...] | None:
    return None if first is None else first[0]


def _slot(pin: tuple[int, Any]) -> int:
    return pin[0]


_UNKNOWN: tuple[tuple[bool, Pins], ...] = ((True, ()),)
"""A moment at which no event leaves: what was dropped is over."""


PARTS: Final = (
    "_binders",
    "_offsets",
    "_plans",
    "_rest",
    "asks_catalogue",
    "identity",
    "index",
    "places",
    "reads",
    "roles",
    "spans",
)
"""What a pattern consists of."""


class Pattern:
    """Joined conditions, compiled. Holds no session state.

    Attributes:
        index: Of its quantity.
        identity: What tells its combinations apart.
        roles: By alpha memory, what an event in it is.
        spans: Of all its conditions.
        reads: Quantities that it looks at: where one changes, all combinations are looked at again.
        asks_catalogue: Whether it looks up facts of things.
        is_timed: Whether it matters to somebody that it becomes false by time alone.
    """

    __slots__ = PARTS

    def __init__(
        self,
        index: int,
        slots: Slots,
        binders: tuple[Binder, ...],
        rest: tuple[Ground, ...],
        roles: Iterable[Role],
        spans: Iterable[Reach],
        reads: tuple[int, ...],
        *,
        asks_catalogue: bool,
        is_timed: bool,
    ) -> None:
        self.index = index
        self.identity: tuple[BoundRef, ...] = slots.identity
        self.places = dict(slots.places)
        self.roles: dict[int, list[Role]] = {}
        for role in roles:
            self.roles.setdefault(role.alpha, []).append(role)
        self.spans = tuple(spans)
        self.reads = reads
        self.asks_catalogue = asks_catalogue
        self._binders = binders
        self._rest = rest
        self._plans: dict[frozenset[int], tuple[int, ...]] = {}
        self._offsets: dict[bool, list[tuple[int, Millis]]] = {True: [], False: []}
        for alpha, found in self.roles.items():
            offsets: dict[Millis, bool] = {}
            for role in found:
                for offset, may_rise in role.offsets:
                    offsets[offset] = offsets.get(offset, False) or may_rise or is_timed
            for offset, timed in offsets.items():
                self._offsets[timed].append((alpha, offset))

    # ------------------------------------------------------------------ combinations

    def evaluate(self, look: Look, pins: Pins = ()) -> dict[Token, Truth]:
        """The combinations with these values that are not false."""
        found: dict[Token, Truth] = {}
        size = len(self.identity)
        for truth, env, _ in self._combinations(look, pins):
            token = tuple(env[:size])
            if truth or token not in found:
                found[token] = truth
        return found

    def first(
        self, look: Look, token: Token, wanted: Truth = True
    ) -> tuple[tuple[Positions, ...], Mapping[BoundRef, Value | None]] | None:
        """The first combination of a token with a truth: where its events lie, and all that is bound."""
        best: tuple[tuple[Positions, ...], Mapping[BoundRef, Value | None]] | None = None
        for truth, env, placed in self._combinations(look, tuple(enumerate(token))):
            order = tuple(placed[number] for number in range(len(self._binders)))
            if truth is wanted and (best is None or order < best[0]):
                best = order, self._bound(env)
        return best

    def choices(self, look: Look) -> Iterator[tuple[tuple[Positions, ...], Mapping[BoundRef, Value | None]]]:
        """Every combination that the binders allow, whatever the rest says."""
        for _, env, placed in self._combinations(look, (), with_rest=False):
            yield tuple(placed[number] for number in range(len(self._binders))), self._bound(env)

    def partial(self, look: Look) -> Mapping[BoundRef, Value | None]:
        """What can be bound where no combination can: the first that fits, binder by binder."""
        env: Environment = [UNSET] * len(self.places)
        left = list(range(len(self._binders)))
        while left:
            known = {slot for slot, value in enumerate(env) if value is not UNSET}
            ready = [number for number in left if self._binders[number].needs <= known]
            # What a binder takes from others is bound by these, where they can.
            number = next((each for each in ready if self._binders[each].takes <= known), (ready or left)[0])
            left.remove(number)
            if number in ready:
                # The binder is left as it stands, and does not release what it bound.
                next(self._binders[number].solutions(look, env), None)
        return self._bound(env)

    def _bound(self, env: Environment) -> dict[BoundRef, Value | None]:
        return {ref: env[slot] for ref, slot in self.places.items() if env[slot] is not UNSET}

    def truth_of(self, look: Look, env: Environment) -> Truth:
        """The truth of what binds nothing."""
        truth: Truth = True
        for ground in self._rest:
            part = ground(look, env)
            if part is False:
                return False
            if part is None:
                truth = None
        return truth

    def _combinations(
        self, look: Look, pins: Pins, *, with_rest: bool = True
    ) -> Iterator[tuple[Truth, Environment, dict[int, Positions]]]:
        env: Environment = [UNSET] * len(self.places)
        for slot, value in pins:
            env[slot] = value
        plan = self._plan(frozenset(slot for slot, _ in pins))
        yield from self._extend(look, env, plan, 0, True, {}, with_rest)

    def _extend(
        self,
        look: Look,
        env: Environment,
        plan: tuple[int, ...],
        at: int,
        truth: Truth,
        placed: dict[int, Positions],
        with_rest: bool,
    ) -> Iterator[tuple[Truth, Environment, dict[int, Positions]]]:
        if at == len(plan):
            rest = self.truth_of(look, env) if with_rest else True
            if rest is not False:
                yield (truth if rest else None), env, placed
            return
        number = plan[at]
        for found, positions in self._binders[number].solutions(look, env):
            placed[number] = positions
            yield from self._extend(look, env, plan, at + 1, truth if found else None, placed, with_rest)

    def _plan(self, known: frozenset[int]) -> tuple[int, ...]:
        """In which order to bind: first what is tied to what is known, so that it is found by hash."""
        found = self._plans.get(known)
        if found is None:
            left, order, slots = list(range(len(self._binders))), [], set(known)
            while left:
                ready = [number for number in left if self._binders[number].needs <= slots]
                tied = [number for number in ready if self._binders[number].slots & slots]
                number = (tied or ready)[0]
                left.remove(number)
                order.append(number)
                slots |= self._binders[number].slots
            found = self._plans[known] = tuple(order)
        return found

    # ------------------------------------------------------------------ a session

    def refresh(
        self,
        state: PatternState,
        look: Look,
        touched: Iterable[Pins] | None,
        since: EpochMs | None,
        was: dict[Token, Truth],
    ) -> None:
        """Look again at what is touched (None: at everything) and at what time has touched from `since` on.

        Args:
            state: Changed in place.
            look: The moment.
            touched: Combinations that an event touched.
            since: The first moment that was not looked at yet; None where nothing is due.
            was: Takes the truth that each changed combination had before.
        """
        look.dropped, look.lost = state.dropped, state.lost
        look.moments = set()
        gaps = () if state.dropped is None else tuple(not span.is_whole(look) for span in self.spans)
        if gaps and not any(gaps):
            state.lost = {}  # all that was dropped is over
        is_due = state.clocked is not None and state.clocked <= look.now
        if touched is None or gaps != state.gaps or is_due:
            state.gaps = gaps
            state.clocked = None
            self._replace(state, (), self.evaluate(look), was)
        else:
            pins = set(touched)
            if since is not None:
                pins.update(self._left(state, look, since))
            for each in pins:
                self._replace(state, each, self.evaluate(look, each), was)
        self._note_clock(state, look)

    def _replace(self, state: PatternState, pins: Pins, found: dict[Token, Truth], was: dict[Token, Truth]) -> None:
        tokens = state.tokens
        if len(pins) == len(self.identity):
            held = [tuple(value for _, value in pins)]
        else:
            held = [token for token in tokens if _has(token, pins)]
        for token in held:
            if token in tokens and token not in found:
                was.setdefault(token, tokens.pop(token))
        for token, truth in found.items():
            old = tokens.get(token, False)
            if old is not truth:
                was.setdefault(token, old)
                tokens[token] = truth

    def _left(self, state: PatternState, look: Look, since: EpochMs) -> Iterator[Pins]:
        """What is touched by events that left a span, or that an absence followed, from `since` until now."""
        for alpha, roles in self.roles.items():
            for role in roles:
                for offset, may_rise in role.offsets:
                    for entry in look.alphas.between(alpha, since - offset, look.now - offset):
                        pins = role.pins(entry[2])
                        if pins is not None and (may_rise or self._touches(state, pins)):
                            yield pins

    def _note_clock(self, state: PatternState, look: Look) -> None:
        later = [moment for moment in look.moments if moment > look.now]
        if state.clocked is not None:
            later.append(state.clocked)
        state.clocked = min(later, default=None)

    def marks(self, state: PatternState, look: Look) -> tuple[EpochMs | None, EpochMs | None]:
        """The next moments after now at which time may make something true, and at which it may make it false."""
        timed = [at for at in (state.clocked,) if at is not None]
        if state.dropped is not None:
            timed += [at for span in self.spans if (at := span.whole_at(state.dropped)) is not None and at > look.now]
        timed += self._leaving(look, may_rise=True)
        return min(timed, default=None), min(self._leaving(look, may_rise=False), default=None)

    def _leaving(self, look: Look, *, may_rise: bool) -> list[EpochMs]:
        moments = []
        for alpha, offset in self._offsets[may_rise]:
            time = look.alphas.first_after(alpha, look.now - offset)
            if time is not None:
                moments.append(time + offset)
        return moments

    def moments(self, state: PatternState, look: Look) -> Iterator[EpochMs]:
        """All moments after now at which time alone may change something."""
        for pairs in self._offsets.values():
            for alpha, offset in pairs:
                entries = look.alphas[alpha].entries
                begin = bisect_left(entries, (look.now - offset + 1,))
                yield from (entry[0] + offset for entry in entries[begin:])
        if state.clocked is not None:
            yield state.clocked
        if state.dropped is not None:
            for span in self.spans:
                at = span.whole_at(state.dropped)
                if at is not None:
                    yield at

    def turns(self, state: PatternState, look: Look) -> Iterator[EpochMs]:
        """Those of the moments at which the combinations, or their order, do change; in order, found one by one.

        Where other quantities or the clock have a say, and after very many moments, all moments.
        """
        moments = sorted({at for at in self.moments(state, look) if at > look.now})
        if self.reads or state.clocked is not None:
            yield from moments
            return
        own = state.copy()
        left_to_play = MOST_FORESEEN
        leaving = self._leavers(look)
        for number, moment in enumerate(moments):
            if not any(may_rise or self._touches(own, pins) for may_rise, pins in leaving.get(moment, _UNKNOWN)):
                continue
            left_to_play -= 1
            if left_to_play < 0:
                yield from moments[number:]
                return
            before, after = look.at(moment - 1), look.at(moment)
            before.dropped = after.dropped = own.dropped
            before.lost = after.lost = own.lost
            left = set(self._left(own, after, moment))
            stay = [
                (token, self.first(before, token))
                for token, truth in own.tokens.items()
                if truth is True and len(own.tokens) > 1 and any(_has(token, pins) for pins in left)
            ]
            was: dict[Token, Truth] = {}
            self.refresh(own, after, (), moment, was)
            if was or any(_place(self.first(after, token)) != _place(found) for token, found in stay):
                yield moment

    def _leavers(self, look: Look) -> dict[EpochMs, list[tuple[bool, Pins]]]:
        """What leaves at each moment after now: whether that may make something true, and what it touches."""
        found: dict[EpochMs, list[tuple[bool, Pins]]] = {}
        for alpha, roles in self.roles.items():
            entries = look.alphas[alpha].entries
            for role in roles:
                for offset, may_rise in role.offsets:
                    for entry in entries[bisect_left(entries, (look.now - offset + 1,)) :]:
                        pins = role.pins(entry[2])
                        noted = found.setdefault(entry[0] + offset, [])
                        if pins is not None:
                            noted.append((may_rise, pins))
        return found

    def _touches(self, state: PatternState, pins: Pins) -> bool:
        """Whether there is a combination with these values."""
        if len(pins) == len(self.identity):
            return tuple(value for _, value in pins) in state.tokens
        return any(_has(token, pins) for token in state.tokens)

    def value(self, state: PatternState) -> Truth:
        """Whether some combination is true; unknown where one is, or where one may have been dropped."""
        truths = state.tokens.values()
        if any(truth is True for truth in truths):
            return True
        if truths or (state.gaps and any(self.binder_gaps(state))):
            return None
        return False

    def binder_gaps(self, state: PatternState) -> tuple[bool, ...]:
        """Of the spans that bind, which lack something; they stand first."""
        return state.gaps[: len(self._binders)]
