"""What a whole history says at one moment: the value of anything, the truth of any condition, every combination."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from operator import attrgetter
from typing import Any

from engine.event import Event
from engine.expression import evaluate
from engine.language.tree import (
    Absence,
    Aggregate,
    Aggregation,
    All,
    AnyOf,
    BoundRef,
    Condition,
    FactRef,
    FactSource,
    Keyed,
    Not,
    Operator,
    Program,
    ScoreTest,
    Seen,
    Segment,
    Selection,
    Sequence,
    Span,
    Test,
)
from engine.values import Kind, Truth, Value
from tests.naive.conditions import (
    Binder,
    binders,
    clocked,
    exactly,
    looked_up,
    names_of,
    passes,
    references,
    spans_of,
)
from tests.naive.parts import parts_of

Catalogue = Callable[[str, Value], Value | None]
Names = Mapping[str, Mapping[str, Value]]


def no_catalogue(_fact: str, _key: Value) -> None:
    return None


@dataclass(slots=True)
class State:
    """Everything that is known at one moment: facts that were set, derived facts, the time, and bound names.

    Attributes:
        bound: What each name of a combination is bound to: attributes of an event, or a key and its value.
        chosen: The truth that a condition which binds names has in the combination, by its first name.
        known: Truths and combinations that were found in it, by the id of what they are of; None as long as rules may
            still assert.
    """

    now: int
    facts: Mapping[str, Value]
    derived: dict[str, Value | None] = field(default_factory=dict)
    bound: Names = field(default_factory=dict)
    chosen: Mapping[str, Truth] = field(default_factory=dict)
    known: dict[int, tuple[object, Any]] | None = None


@dataclass(slots=True)
class Choice:
    """One way to satisfy a condition that binds names.

    Attributes:
        positions: Places in the history of the chosen events, for the order.
    """

    bound: Names
    positions: tuple[int, ...]
    truth: Truth


class Found:
    """What was found of events, so that nobody looks twice: as long as no other event comes, it is the same for the same
    thing that looks at the same events, facts and names.

    Attributes:
        eras: The number of the era of each moment, see `History.era`.
        numbers: Of eras.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[Any, ...], tuple[object, Any]] = {}
        self.eras: dict[int, int] = {}
        self.numbers: dict[tuple[tuple[int, int], ...], int] = {}

    def once(self, thing: Any, looked_at: tuple[Any, ...], find: Callable[[], Any]) -> Any:
        """What `find` found when it was asked the same before."""
        key = (id(thing), looked_at)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = (thing, find())  # the thing is kept, so that its id stays its own
        return known[1]

    def clear(self) -> None:
        """Begin anew."""
        self._known.clear()
        self.eras.clear()
        self.numbers.clear()


class History:
    """The events of a session, and what follows from them at a moment.

    Attributes:
        rules: Of the program, taken apart, in order of acting; `parts` are the same by the id of the rule.
    """

    def __init__(self, program: Program, catalogue: Catalogue = no_catalogue) -> None:
        self.catalogue = catalogue
        self.history: list[Event] = []  # in order of time, then of arrival
        self.found = Found()
        self.look_at(program)

    def look_at(self, program: Program) -> None:
        """Go on with other rules."""
        self.program = program
        self.rules = parts_of(program)
        self.parts = {id(each.rule): each for each in self.rules}
        self.found.clear()

    def happened(self, event: Event) -> None:
        """Put an event in its place: after those of its own time. What was found before is found anew."""
        after = sum(1 for other in self.history if other.time <= event.time)
        self.history.insert(after, event)
        self.found.clear()

    # ---------------------------------------------------------------- truth

    def truth(self, condition: Condition, state: State, score: Any) -> Truth:
        """Kleene's three values, straight from the language's page; of a whole condition that binds names, of any one
        combination."""
        if not state.bound and (found := binders(condition)):
            return either(self._plain_truth(condition, each, score) for each in self.combinations(found, state))
        return self._plain_truth(condition, state, score)

    def _plain_truth(self, condition: Condition, state: State, score: Any) -> Truth:
        if state.known is None:
            return self._find_truth(condition, state, score)
        known = state.known.get(id(condition))
        if known is None:
            known = state.known[id(condition)] = (condition, self._find_truth(condition, state, score))
        truth: Truth = known[1]
        return truth

    def _find_truth(self, condition: Condition, state: State, score: Any) -> Truth:
        match condition:
            case Test():
                value = self.value(condition.subject, state)
                return self._test(value, condition.operator, condition.operand, state)
            case All():
                return both(self._plain_truth(part, state, score) for part in condition.parts)
            case AnyOf():
                return either(self._plain_truth(part, state, score) for part in condition.parts)
            case Not():
                truth = self._plain_truth(condition.part, state, score)
                return None if truth is None else not truth
            case Segment():
                return self._plain_truth(condition.condition, state, score)
            case Seen() | Sequence() | Keyed():
                names = names_of(condition)
                if names and names[0] in state.chosen:
                    return state.chosen[names[0]]
                return either(choice.truth for choice in self.choices(condition, state))
            case Absence():
                absent: bool = self.found.once(
                    condition,
                    (self.era(state.now), *(self.operand(each, state) for each in looked_up(condition))),
                    lambda: self._is_absent(condition, state),
                )
                return absent
            case ScoreTest():
                result: Truth = score(condition)
                return result

    def _test(self, value: Value | None, operator: Operator, operand: Any, state: State) -> Truth:
        if operator is Operator.EXISTS:
            return (value is not None) is bool(operand)
        operand = self.operand(operand, state)
        if value is None or operand is None:
            return None
        return passes(value, operator, operand, state.now)

    def _is_absent(self, absence: Absence, state: State) -> bool:
        past = self.past(state)
        begun = [at for at, event in enumerate(past) if self.selected(absence.after, event, state)]
        if not begun:
            return False
        latest = past[begun[-1]]
        if any(self.selected(absence.of, event, state) for event in past[begun[-1] + 1 :]):
            return False
        if latest.time + absence.duration > state.now:
            return False
        return absence.until is None or state.now < latest.time + absence.until

    # ---------------------------------------------------------------- combinations

    def combinations(self, found: tuple[Binder, ...], state: State) -> list[State]:
        """Every combination of choices for conditions that bind names, in order of their first events."""
        if state.known is not None and (known := state.known.get(id(found))) is not None:
            again: list[State] = known[1]
            return again
        looked_at = tuple(value for binder in found for value in self._looked_at(binder, state))
        made = self.found.once(found, looked_at, lambda: self._combinations(found, state))
        is_known = state.known is not None
        states = [
            State(state.now, state.facts, state.derived, bound, chosen, {} if is_known else None)
            for bound, chosen in made
        ]
        if state.known is not None:
            state.known[id(found)] = (found, states)
        return states

    def _combinations(self, found: tuple[Binder, ...], state: State) -> list[tuple[Names, Mapping[str, Truth]]]:
        order = {names_of(binder)[0]: number for number, binder in enumerate(found)}
        made = [
            (tuple(positions for _, positions in sorted(placed.items(), key=lambda item: order[item[0]])), each)
            for placed, each in self._combine(list(found), state, {})
        ]
        return [(each.bound, each.chosen) for _, each in sorted(made, key=lambda item: item[0])]

    def _combine(
        self, left: list[Binder], state: State, placed: dict[str, tuple[int, ...]]
    ) -> Iterator[tuple[dict[str, tuple[int, ...]], State]]:
        if not left:
            yield placed, state
            return
        binder = next(each for each in left if self._is_ready(each, state))
        name = names_of(binder)[0]
        for choice in self.choices(binder, state):
            if choice.truth is not False:
                yield from self._combine(
                    [each for each in left if each is not binder],
                    State(
                        state.now,
                        state.facts,
                        state.derived,
                        {**state.bound, **choice.bound},
                        {**state.chosen, name: choice.truth},
                    ),
                    {**placed, name: choice.positions},
                )

    @staticmethod
    def _is_ready(binder: Binder, state: State) -> bool:
        own = names_of(binder)
        return all(each.name in state.bound or each.name in own for each in references(binder))

    def _looked_at(self, thing: Binder | Aggregate, state: State) -> tuple[Any, ...]:
        """All that it looks at: which events, the values of facts and names, and the clock if it is tested against it."""
        found: tuple[Any, ...] = (self.era(state.now),)
        if right := looked_up(thing):
            found += tuple(self.operand(each, state) for each in right)
        return (*found, state.now) if isinstance(thing, Keyed) and clocked(thing) else found

    def choices(self, binder: Binder, state: State) -> list[Choice]:
        """The events, keys or rows of events that satisfy it, in order."""
        found: list[Choice] = self.found.once(
            binder, self._looked_at(binder, state), lambda: self._choices(binder, state)
        )
        return found

    def _choices(self, binder: Binder, state: State) -> list[Choice]:
        if isinstance(binder, Keyed):
            return self._keys(binder, state)
        if isinstance(binder, Sequence):
            return list(self._rows(binder, 0, -1, state, Choice({}, (), True)))
        return [
            Choice({} if binder.bind is None else {binder.bind: event.attributes}, (at,), True)
            for at, event in self.inside(binder.span, state)
            if self.selected(binder.of, event, state)
        ]

    def _rows(self, sequence: Sequence, number: int, after: int, state: State, so_far: Choice) -> Iterator[Choice]:
        """Each step's event lies after that of the step before, in order of time, then of arrival."""
        if number == len(sequence.steps):
            yield so_far
            return
        step = sequence.steps[number]
        for at, event in self.inside(sequence.span, state):
            if at > after and self.selected(step.of, event, state):
                named = {} if step.bind is None else {step.bind: event.attributes}
                yield from self._rows(
                    sequence,
                    number + 1,
                    at,
                    State(state.now, state.facts, state.derived, {**state.bound, **named}, state.chosen),
                    Choice({**so_far.bound, **named}, (*so_far.positions, at), True),
                )

    def _keys(self, keyed: Keyed, state: State) -> list[Choice]:
        """Every key of which an event lies in the span; with `take: highest` the best of those that pass."""
        found = []
        reached: list[tuple[Any, int]] = []
        for key, events in self.keys(keyed, state).items():
            value = self._over(keyed.aggregate, events, state)
            truth = both(self._test(value, operator, operand, state) for operator, operand in keyed.tests)
            bound = {} if value is None else {"value": value}
            named = {} if keyed.bind is None else {keyed.bind: {keyed.per: key, **bound}}
            found.append(Choice(named, (self.history.index(events[0]),), truth))
            first = next(
                at for at in range(len(events)) if self._over(keyed.aggregate, events[: at + 1], state) == value
            )
            reached.append((value, self.history.index(events[first])))
        if keyed.take_highest and any(choice.truth is True for choice in found):
            passing = [number for number, choice in enumerate(found) if choice.truth is True]
            best = max(passing, key=lambda number: (reached[number][0], -reached[number][1]))
            return [found[best]]
        return found

    def keys(self, keyed: Keyed, state: State) -> dict[Value, list[Event]]:
        """The events of each key that lie in the span."""
        found: dict[Value, list[Event]] = {}
        for _, event in self.inside(keyed.aggregate.span, state):
            key = event.attributes.get(keyed.per)
            if key is not None and self._entries(keyed.aggregate, [event], state):
                found.setdefault(key, []).append(event)
        return found

    # ---------------------------------------------------------------- values

    def operand(self, operand: Any, state: State) -> Any:
        """A right side: a constant, the value of a fact, or what a name is bound to."""
        if isinstance(operand, BoundRef):
            return state.bound.get(operand.name, {}).get(operand.attribute)
        return self.value(operand, state) if isinstance(operand, FactRef) else operand

    def value(self, subject: FactRef | Aggregate, state: State) -> Value | None:
        """The value of anything at a moment."""
        if isinstance(subject, Aggregate):
            return self._aggregate(subject, state)
        fact = self.program.vocabulary.facts[subject.fact]
        if subject.of is not None:
            key = self.operand(subject.of, state)
            return None if key is None else self.catalogue(subject.fact, key)
        if fact.aggregate is not None:
            return self._aggregate(fact.aggregate, state)
        if fact.computed is not None:
            return evaluate(fact.computed, lambda name: self.value(FactRef(name), state))
        if fact.source is FactSource.RULES:
            return state.derived.get(fact.name, False if fact.type.kind is Kind.BOOLEAN else None)
        return state.facts.get(fact.name)

    def _aggregate(self, aggregate: Aggregate, state: State) -> Value | None:
        value: Value | None = self.found.once(
            aggregate,
            self._looked_at(aggregate, state),
            lambda: self._over(aggregate, [event for _, event in self.inside(aggregate.span, state)], state),
        )
        return value

    def _over(self, aggregate: Aggregate, events: list[Event], state: State) -> Value | None:
        """The aggregate over events that lie in its span."""
        entries = self._entries(aggregate, events, state)
        match aggregate.function:
            case Aggregation.COUNT:
                return int(sum(entries))
            case Aggregation.DISTINCT:
                return len(set(entries))
            case Aggregation.SUM:
                return exactly(sum(map(Fraction, entries), Fraction(0)), aggregate.type.kind)
        if not entries:
            return None
        result: Value
        match aggregate.function:
            case Aggregation.AVERAGE:
                result = exactly(sum(map(Fraction, entries), Fraction(0)) / len(entries), aggregate.type.kind)
            case Aggregation.MINIMUM:
                result = min(entries)
            case Aggregation.MAXIMUM:
                result = max(entries)
            case Aggregation.FIRST:
                result = entries[0]
            case _:
                result = entries[-1]
        return result

    def _entries(self, aggregate: Aggregate, events: list[Event], state: State) -> list[Any]:
        entries: list[Any] = []
        for event in events:
            for selection, sign in ((aggregate.of, 1), (aggregate.minus, -1)):
                if selection is not None and self.selected(selection, event, state):
                    if aggregate.function is Aggregation.COUNT or selection.attribute is None:
                        entries.append(sign)
                    else:
                        item: Any = event.attributes[selection.attribute]
                        entries.append(item if sign > 0 else -item)
        return entries

    # ---------------------------------------------------------------- events

    def past(self, state: State) -> list[Event]:
        """The events up to now, in order."""
        return self.history[: bisect_right(self.history, state.now, key=_time_of)]

    def inside(self, span: Span, state: State) -> list[tuple[int, Event]]:
        """The events of a span, with their places in the history."""
        begin, end = self.ends(span, state.now)
        return [(at, self.history[at]) for at in range(begin, end)]

    def era(self, now: int) -> int:
        """A number for which events lie in which span: at moments of one era, events say the same."""
        era = self.found.eras.get(now)
        if era is None:
            ends = tuple(self.ends(span, now) for span in spans_of(self.program))
            era = self.found.eras[now] = self.found.numbers.setdefault(ends, len(self.found.numbers))
        return era

    def ends(self, span: Span, now: int) -> tuple[int, int]:
        """Where its events begin in the history, and where they end."""
        end = bisect_right(self.history, now, key=_time_of)
        if span.window is not None:
            return bisect_right(self.history, now - span.window, key=_time_of), end
        if span.since is not None:
            return max((at + 1 for at in range(end) if self.history[at].type == span.since), default=0), end
        return 0, end

    def selected(self, selection: Selection, event: Event, state: State) -> bool:
        """Whether it is of the type and passes the `where`: two values."""
        if event.type != selection.event:
            return False
        if selection.attribute is not None and event.attributes.get(selection.attribute) is None:
            return False
        for test in selection.where:
            value = event.attributes.get(test.attribute)
            operand = self.operand(test.operand, state)
            if operand is None:
                return False
            if test.operator is Operator.EXISTS:
                if (value is not None) != operand:
                    return False
            elif value is None or not passes(value, test.operator, operand, event.time):
                return False
        return True


_time_of = attrgetter("time")


def either(truths: Iterable[Truth]) -> Truth:
    """True if one is, else unknown if one is."""
    found: Truth = False
    for truth in truths:
        if truth is True:
            return True
        if truth is None:
            found = None
    return found


def both(truths: Iterable[Truth]) -> Truth:
    """False if one is, else unknown if one is."""
    found: Truth = True
    for truth in truths:
        if truth is False:
            return False
        if truth is None:
            found = None
    return found
