"""Binders as the network runs them: the ways in which an event, a row of events or a key can be bound."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from engine.language.tree import Aggregate, Aggregation, Operator
from engine.rete.alpha.history import aggregate
from engine.rete.beta.selector import UNSET, Bound, Environment, Look, Reach, Resolve, Selector, bind, release, truth_of
from engine.rete.memory.alphas import Position
from engine.rete.memory.ranking import RankedKey, RankedKeys, Ranking
from engine.values import Truth, Value

Positions = tuple[Position, ...]


class Binder(Protocol):
    """What binds slots of an environment."""

    @property
    def needs(self) -> frozenset[int]:
        """Slots that must be bound before it."""

    @property
    def takes(self) -> frozenset[int]:
        """Slots of others that it is tied to; it can be bound before them, too."""

    @property
    def slots(self) -> frozenset[int]:
        """Slots that are bound after it."""

    @property
    def span(self) -> Reach:
        """The events that it looks at."""

    def solutions(self, look: Look, env: Environment) -> Iterator[tuple[Truth, Positions]]:
        """Bind its slots in each way that fits, once for each set of values, to their first events.

        The environment is as it was after each step of the iteration is left for the next.
        """


@dataclass(frozen=True, slots=True, eq=False)
class EventBinder:
    """Binds a selected event of a span."""

    selector: Selector
    span: Reach
    needs: frozenset[int]
    takes: frozenset[int]
    slots: frozenset[int]

    def solutions(self, look: Look, env: Environment) -> Iterator[tuple[Truth, Positions]]:
        """See `Binder`."""
        unset = self.selector.unset(env)
        seen = set()
        for entry in self.selector.matching(look, env, self.span.begin(look)):
            if not bind(entry, unset, env):
                continue
            values = tuple(env[link.slot] for link in unset)
            if values not in seen:
                seen.add(values)
                yield True, (entry[:2],)
            release(unset, env)
            if not unset:
                return


@dataclass(frozen=True, slots=True, eq=False)
class RowBinder:
    """Binds a sequence: a row of events of a span, each after the one before."""

    steps: tuple[Selector, ...]
    span: Reach
    needs: frozenset[int]
    takes: frozenset[int]
    slots: frozenset[int]

    def solutions(self, look: Look, env: Environment) -> Iterator[tuple[Truth, Positions]]:
        """See `Binder`. For each set of values the row that begins, and goes on, earliest."""
        before = list(env)
        rows: dict[tuple[Any, ...], Positions] = {tuple(env): ()}
        begin = self.span.begin(look)
        for step in self.steps:
            rows = self._longer(step, rows, begin, look, env)
            if not rows:
                break
        for values, positions in rows.items():
            env[:] = values
            yield True, positions
        env[:] = before

    @staticmethod
    def _longer(
        step: Selector, rows: dict[tuple[Any, ...], Positions], begin: Bound, look: Look, env: Environment
    ) -> dict[tuple[Any, ...], Positions]:
        longer: dict[tuple[Any, ...], Positions] = {}
        before = list(env)
        for values, positions in rows.items():
            env[:] = values
            unset = step.unset(env)
            after = (positions[-1][0], positions[-1][1] + 1) if positions else begin
            for entry in step.matching(look, env, after):
                if bind(entry, unset, env):
                    longer.setdefault(tuple(env), (*positions, entry[:2]))
                    release(unset, env)
                if not unset:
                    break
        env[:] = before
        return longer


@dataclass(frozen=True, slots=True, eq=False)
class KeyBinder:
    """Binds a value of an attribute, for which an aggregate passes tests.

    Attributes:
        selectors: Of the events that count, and of those that are subtracted.
        key: The slot of the key, None where nothing uses it.
        value: The slot of the aggregate's value, likewise.
        highest: Whether only the key with the highest value counts.
        ranking: Of these, where nothing but the events of a key has a say in how it stands.
        number: Among the aggregates `per` key of the pattern.
    """

    aggregate: Aggregate
    selectors: tuple[Selector, ...]
    per: str
    tests: tuple[tuple[Operator, Resolve], ...]
    key: int | None
    value: int | None
    highest: bool
    span: Reach
    needs: frozenset[int]
    takes: frozenset[int]
    slots: frozenset[int]
    ranking: Ranking | None = None
    number: int = 0

    def solutions(self, look: Look, env: Environment) -> Iterator[tuple[Truth, Positions]]:
        """See `Binder`. A key is there where an event of it is in the span; unknown tests leave it open."""
        wanted = UNSET if self.key is None else env[self.key]
        if self.key is not None and self.highest:
            env[self.key] = UNSET  # which is the highest is decided among all
        found = self._keys(look, env)
        if self.key is not None:
            env[self.key] = wanted
        for key, truth, value, position in found:
            if wanted is not UNSET and wanted != key:
                continue
            if self.key is not None:
                env[self.key] = key
            if self.value is not None:
                env[self.value] = value
            yield truth, (position,)
            if self.key is not None:
                env[self.key] = wanted
            if self.value is not None:
                env[self.value] = UNSET

    def _keys(self, look: Look, env: Environment) -> list[tuple[Value, Truth, Value | None, Position]]:
        is_whole = self.span.is_whole(look)
        if self.ranking is not None and look.rankings is not None:
            if is_whole:
                ranked = self._ranked(self.ranking, look, env)
                taken = ranked.best()
                if taken is not None:
                    return [(taken.key, True, taken.value, taken.first)]
                if not ranked.unknown:
                    return []
            else:
                look.rankings.pop(self.ranking, None)
        found: list[tuple[Value, Truth, Value | None, Position]] = []
        best: tuple[Any, Position] | None = None
        at = 0
        for key, entries in self._entries(look, env).items():
            is_exact = is_whole or self._lacks_nothing(look, key)
            value = self._value(entries) if is_exact else None
            truth = self._passes(look, env, value if is_exact else UNSET)
            if truth is False:
                continue
            found.append((key, truth, value, entries[0][:2]))
            if self.highest and truth is True:
                place = self._reached(entries, value)
                if best is None or _is_higher((value, place), best):
                    best, at = (value, place), len(found) - 1
        return found if best is None else [found[at]]

    def _lacks_nothing(self, look: Look, key: Value) -> bool:
        """Whether all events of a key are kept, though others are not; which is the highest only all together say."""
        if look.lost is None or self.highest:
            return False
        time = look.lost.get((self.number, key))
        return time is None or self.span.is_over(time, look.now)

    def _passes(self, look: Look, env: Environment, value: Any) -> Truth:
        truth: Truth = True
        for operator, resolve in self.tests:
            passes = truth_of(look, value, operator, resolve(look, env))
            truth = False if passes is False or truth is False else None if passes is None else truth
        return truth

    def _ranked(self, ranking: Ranking, look: Look, env: Environment) -> RankedKeys:
        """How all keys stand now: only those are looked at of which an event came or went."""
        assert look.rankings is not None
        begin, alphas = self.span.begin(look), look.alphas
        ranked = look.rankings.get(ranking)
        is_known = ranked is not None and ranked.alphas is alphas and ranked.begin <= begin
        if ranked is None or not is_known or (self.span.since is not None and begin != ranked.begin):
            is_known, ranked = False, RankedKeys(alphas, begin)
            look.rankings[ranking] = ranked
        touched = ranked.dirty
        for each in self.selectors:
            entries = alphas[each.alpha].entries
            at = bisect_left(entries, begin)
            # What has left the span since; at first, all that is in it.
            moved = entries[bisect_left(entries, ranked.begin) : at] if is_known else entries[at:]
            touched.update([entry[2][self.per] for entry in moved])
        ranked.begin, ranked.dirty = begin, set()
        for key in touched:
            own = self._own_entries(key, look, begin)
            if not own:
                ranked.put(key, False, None)
                continue
            value = self._value(own)
            truth = self._passes(look, env, value)
            ranked.put(key, truth, RankedKey(key, value, self._reached(own, value), own[0][:2]))
        return ranked

    def _own_entries(self, key: Value, look: Look, begin: Bound) -> list[tuple[int, int, int, Any]]:
        """What the events of one key contribute, as `_entries` says it of all."""
        found: list[tuple[int, int, int, Any]] = []
        for number, each in enumerate(self.selectors):
            bucket = look.alphas[each.alpha].bucket(self.per, key)
            inside = bucket[bisect_left(bucket, begin) :]
            found += [(time, arrival, number, self._item(number, attributes)) for time, arrival, attributes in inside]
        if len(self.selectors) > 1:
            found.sort(key=_place)
        return found

    def _item(self, number: int, attributes: Mapping[str, Value]) -> Any:
        """What an event contributes that is counted, or with 1 subtracted."""
        selection = self.aggregate.minus if number else self.aggregate.of
        assert selection is not None
        if self.aggregate.function is Aggregation.COUNT or selection.attribute is None:
            return -1 if number else 1
        item: Any = attributes[selection.attribute]
        return -item if number else item

    def _entries(self, look: Look, env: Environment) -> dict[Value, list[tuple[int, int, int, Any]]]:
        """What each key's events contribute, oldest first: (time, number, which selection, item)."""
        begin = self.span.begin(look)
        of_key: dict[Value, list[tuple[int, int, int, Any]]] = {}
        for number, each in enumerate(self.selectors):
            for time, arrival, attributes in each.matching(look, env, begin):
                entry = (time, arrival, number, self._item(number, attributes))
                of_key.setdefault(attributes[self.per], []).append(entry)
        if len(self.selectors) > 1:
            for entries in of_key.values():
                entries.sort(key=_place)
        return of_key

    def _value(self, entries: list[tuple[int, int, int, Any]]) -> Value | None:
        return aggregate(self.aggregate.function, [entry[3] for entry in entries], self.aggregate.type)

    def _reached(self, entries: list[tuple[int, int, int, Any]], value: Value | None) -> tuple[int, int]:
        """The position of the first event after which the value is what it is now."""
        if self.aggregate.function is Aggregation.COUNT and len(self.selectors) == 1:
            return entries[-1][:2]
        for at in range(len(entries)):
            is_last_of_event = at + 1 == len(entries) or entries[at + 1][:2] != entries[at][:2]
            if is_last_of_event and self._value(entries[: at + 1]) == value:
                return entries[at][:2]
        return entries[0][:2]


def _is_higher(one: tuple[Any, Position], other: tuple[Any, Position]) -> bool:
    """Whether a value is higher than another, or was reached earlier; what has none is the lowest."""
    if one[0] is None or other[0] is None:
        return other[0] is None and (one[0] is not None or one[1] < other[1])
    return one[0] > other[0] or (one[0] == other[0] and one[1] < other[1])


def _place(entry: tuple[int, int, int, Any]) -> tuple[int, int, int]:
    return entry[:3]
