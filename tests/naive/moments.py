"""The moments at which time alone changes what holds: every one is tried."""

from __future__ import annotations

from typing import Any

from engine.language.tree import Absence, Aggregate, Aggregation, Keyed, Operator, Rule, ScoreTest, Test
from engine.schedule import next_change
from engine.values import Truth, Value
from tests.naive.conditions import (
    CLOCKED,
    leaves,
)
from tests.naive.history import State, both
from tests.naive.parts import Parts, looked_through
from tests.naive.settling import Settling

ALWAYS = {Aggregation.COUNT, Aggregation.SUM, Aggregation.DISTINCT}
"""What has a value of no events, too."""


class Moments(Settling):
    """A history with a clock."""

    facts: dict[str, Value]
    derived: dict[str, Value | None]
    last_answers: dict[str, tuple[float, int]]

    def moments(self, after: int, before: int) -> list[int]:
        """Every moment strictly between at which something changes with no event."""
        ages = self._clock_moments(after, before)
        found = []
        state = self._everything(after)
        for moment in self.candidates(after, before, ages):
            now = self._everything(moment)
            if moment in ages or now != state:
                found.append(moment)
            state = now
        return found

    def candidates(self, after: int, before: int, ages: set[int] | None = None) -> list[int]:
        """The moments strictly between at which something could change with no event."""
        every = self._window_moments() | (self._clock_moments(after, before) if ages is None else ages)
        return sorted(moment for moment in every if after < moment < before)

    def _window_moments(self) -> set[int]:
        """Where an event leaves a window, or an absence begins or ends."""
        found: set[int] = self.found.once(self.program, (), self._find_window_moments)
        return found

    def _find_window_moments(self) -> set[int]:
        left = {
            event.time + span.window
            for span, types in looked_through(self.program)
            if span.window is not None
            for event in self.history
            if event.type in types
        }
        for rule in self.program.rules:
            for leaf in leaves(rule.when):
                if isinstance(leaf, Absence):
                    for event in self.history:
                        if event.type == leaf.after.event:
                            left.add(event.time + leaf.duration)
                            left |= {event.time + leaf.until} if leaf.until is not None else set()
        return left

    def _clock_moments(self, after: int, before: int) -> set[int]:
        """Where a test against the clock, the schedule of a rule that asserts, or the age of an answer changes."""
        found = set()
        for parts in self.rules:
            rule = parts.rule
            for leaf in parts.scores:
                if leaf.last_known is not None and leaf.score in self.last_answers:
                    found.add(self.last_answers[leaf.score][1] + leaf.last_known)
            if parts.by_age:
                # What is looked at may change at other moments: then look at it at each of those too.
                for at in [after, *sorted(self._window_moments())]:
                    for state in self.looks(parts, State(at, self.facts, self.derived)):
                        found |= self._ages(rule, state)
            if rule.schedule is not None and parts.asserts:
                change = next_change(rule.schedule, after)
                while change is not None and change < before:
                    found.add(change)
                    change = next_change(rule.schedule, change)
        return found

    def _ages(self, rule: Rule, state: State) -> set[int]:
        """The moments at which the tests of a rule against the clock change, for what its names are bound to."""
        found = set()
        for leaf in leaves(rule.when):
            tested: list[tuple[Value | None, Operator, Any]] = []
            if isinstance(leaf, Test):
                tested = [(self.value(leaf.subject, state), leaf.operator, leaf.operand)]
            elif isinstance(leaf, Keyed):
                values = [self._over(leaf.aggregate, events, state) for events in self.keys(leaf, state).values()]
                tested = [(value, operator, operand) for value in values for operator, operand in leaf.tests]
            for value, operator, operand in tested:
                age = self.operand(operand, state)
                if operator in CLOCKED and isinstance(value, int):
                    found |= {value} if age is None else {value, value + age}
        return found

    def looks(self, parts: Parts, state: State) -> list[State]:
        """The state as it is, and with the names of the rule bound in every way, some by tests on keys left open."""
        return [state, *(each for binders in parts.open_binders for each in self.combinations(binders, state))]

    def _everything(self, now: int) -> list[Any]:
        clock = now if any(each.keys_by_age for each in self.rules) else None
        everything: list[Any] = self.found.once(self, (self.era(now), clock), lambda: self._find_everything(now))
        return everything

    def _find_everything(self, now: int) -> list[Any]:
        """All that a rule or a model can look at and that events make, of which everything else follows but ages."""
        state = State(now, self.facts, known={})
        found: list[Any] = [
            self.value(fact.aggregate, state)
            for fact in self.program.vocabulary.facts.values()
            if fact.aggregate is not None
        ]
        for parts in self.rules:
            for leaf in parts.apart:
                if isinstance(leaf, Test) and not _asks_for_events(leaf):
                    found.append(self.value(leaf.subject, state))
                elif not isinstance(leaf, ScoreTest):
                    found.append(self._plain_truth(leaf, state, None))
            if parts.has_names:
                found.append(self._held_together(parts, state))
        return found

    def _held_together(self, parts: Parts, state: State) -> dict[tuple[Any, ...], Truth]:
        """The truth of conditions with names for each combination that is not out of the question."""
        truths: dict[tuple[Any, ...], Truth] = {}
        for look in self.combinations(parts.used_binders, state):
            truth = both(self._plain_truth(part, look, None) for part in parts.together)
            if truth is not False:
                token = tuple(self.operand(each, look) for _, each in parts.identity)
                truths[token] = True if truth or truths.get(token) else None
        return truths


def _asks_for_events(leaf: Test) -> bool:
    """Whether only events can make what it asks for otherwise, not their values: `exists` of what nothing has no value of."""
    has_none = isinstance(leaf.subject, Aggregate) and leaf.subject.function not in ALWAYS
    return leaf.operator is Operator.EXISTS and has_none
