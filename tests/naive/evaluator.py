"""The naive evaluator: what the language means, said as plainly as possible and at any cost.

It keeps the whole history of a session and evaluates every rule from all of it at every moment at which anything could
change: at each event, change of facts and look at the clock, and at each moment between at which something leaves a
window, passes an age, or a schedule of a rule that asserts changes. Nothing is indexed, nothing is kept up to date.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from engine.activation import ScoreAnswer, ScoreFunction, ScoreStatus
from engine.event import Event
from engine.expression import evaluate
from engine.language.tree import (
    Aggregate,
    Aggregation,
    All,
    AnyOf,
    AssertAction,
    Condition,
    FactRef,
    FactSource,
    IfUnavailable,
    LimitScope,
    Not,
    Operator,
    Program,
    Rule,
    ScoreTest,
    Seen,
    Segment,
    Selection,
    Span,
    Test,
)
from engine.schedule import is_open, next_change, period
from engine.values import Kind, Truth, Value

WHOLE = {Kind.INTEGER, Kind.MONEY, Kind.DURATION, Kind.TIMESTAMP}


@dataclass(frozen=True)
class Act:
    """An activation, as far as the two evaluators are compared on it."""

    rule: str
    time: int
    acts: bool
    held_back: str | None


@dataclass
class State:
    """Everything that is known at one moment: facts that were set, derived facts, and the time."""

    now: int
    facts: Mapping[str, Value]
    derived: dict[str, Value | None] = field(default_factory=dict)


class Naive:
    """A session, evaluated from its whole history."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.history: list[Event] = []  # in order of time, then of arrival
        self.facts: dict[str, Value] = {}
        self.derived: dict[str, Value | None] = {}
        self.clock: int | None = None
        self.evaluated: int | None = None
        self.true: set[str] = set()  # ids of rules that held after the last step
        self.new: set[str] = set()
        self.quiet: set[str] = set()  # with scores, and nobody knows whether they held before a reload
        self.latched: set[ScoreTest] = set()
        self.last_answers: dict[str, tuple[float, int]] = {}
        self.fresh: set[str] = set()
        self.acts: dict[str, list[int]] = {}

    # ---------------------------------------------------------------- what happens

    def insert(self, event: Event, score: ScoreFunction) -> list[Act]:
        now = event.time if self.clock is None else max(self.clock, event.time)
        found = self._pass_time(now, score)
        after = sum(1 for other in self.history if other.time <= event.time)
        seen_before = self._visible()
        self.history.insert(after, event)
        found += self._step(now, score, seen_before)
        return found + self._finish(now, score, found)

    def set_facts(self, facts: Mapping[str, Value | None], now: int, score: ScoreFunction) -> list[Act]:
        now = now if self.clock is None else max(self.clock, now)
        found = self._pass_time(now, score)
        seen_before = self._visible()
        for name, value in facts.items():
            if value is None:
                self.facts.pop(name, None)
            else:
                self.facts[name] = value
        found += self._step(now, score, seen_before)
        return found + self._finish(now, score, found)

    def advance(self, now: int, score: ScoreFunction) -> list[Act]:
        if self.clock is None:
            return []
        now = max(now, self.clock)
        found = self._pass_time(now, score)
        if now > self.clock or self.new:
            found += self._step(now, score, self._visible())
        return found + self._finish(now, score, found)

    def reload(self, program: Program, *, is_ancestor: bool = True) -> None:
        """Go on with other rules."""
        old = {rule.digest for rule in self.program.rules}
        held = {rule.digest for rule in self.program.rules if rule.id in self.true}
        acted = {rule.digest: self.acts.get(rule.id, []) for rule in self.program.rules}
        pending = {rule.digest for rule in self.program.rules if rule.id in self.new}
        silent = {rule.digest for rule in self.program.rules if rule.id in self.quiet}
        self.program = program
        if self.clock is None:
            return
        tests = {leaf for rule in program.rules for leaf in leaves(rule.when) if isinstance(leaf, ScoreTest)}
        self.latched &= tests
        self.fresh.clear()
        self.acts = {rule.id: acted[rule.digest] for rule in program.rules if acted.get(rule.digest)}
        self.new = {rule.id for rule in program.rules if rule.digest in pending}
        self.quiet = {rule.id for rule in program.rules if rule.digest in silent}
        if is_ancestor:
            self.new |= {rule.id for rule in program.rules if rule.digest not in old}
        else:
            self.quiet = {rule.id for rule in program.rules if has_scores(rule) and rule.digest not in held}
        scored_held = {rule.id for rule in program.rules if has_scores(rule) and rule.digest in held}
        state = State(self.clock, self.facts)
        self._settle(state, lambda rule: rule.id in scored_held if has_scores(rule) else self._cheaply(rule, state))
        self.derived = state.derived
        self.true = scored_held | {
            rule.id for rule in program.rules if not has_scores(rule) and self._cheaply(rule, state)
        }

    # ---------------------------------------------------------------- steps

    def _pass_time(self, now: int, score: ScoreFunction) -> list[Act]:
        """All moments before `now`."""
        found: list[Act] = []
        while self.clock is not None and (moments := self.moments(self.clock, now)):
            found += self._step(moments[0], score, self._visible())
        return found

    def moments(self, after: int, before: int) -> list[int]:
        """Every moment strictly between at which something changes with no event."""
        ages, windows = self._clock_moments(after, before), self._window_moments()
        found = []
        state = self._everything(after)
        for moment in sorted(ages | windows):
            if after < moment < before:
                now = self._everything(moment)
                if moment in ages or now != state:
                    found.append(moment)
                state = now
        return found

    def _window_moments(self) -> set[int]:
        return {
            event.time + span.window
            for span, types in self._spans()
            if span.window is not None
            for event in self.history
            if event.type in types
        }

    def _clock_moments(self, after: int, before: int) -> set[int]:
        """Where a test against the clock, the schedule of a rule that asserts, or the age of an answer changes."""
        found = set()
        for rule in self.program.rules:
            for leaf in leaves(rule.when):
                if isinstance(leaf, Test) and leaf.operator in {Operator.OLDER_THAN, Operator.WITHIN_LAST}:
                    # Its subject may change at other moments: then look at it at each of those too.
                    for at in [after, *sorted(self._window_moments())]:
                        value = self.value(leaf.subject, State(at, self.facts, self.derived))
                        age: Any = leaf.operand
                        if isinstance(age, FactRef):
                            age = self.value(age, State(at, self.facts, self.derived))
                        if isinstance(value, int):
                            found |= {value} if age is None else {value, value + age}
                if isinstance(leaf, ScoreTest) and leaf.last_known is not None and leaf.score in self.last_answers:
                    found.add(self.last_answers[leaf.score][1] + leaf.last_known)
            if rule.schedule is not None and any(isinstance(action, AssertAction) for action in rule.actions):
                change = next_change(rule.schedule, after)
                while change is not None and change < before:
                    found.add(change)
                    change = next_change(rule.schedule, change)
        return found

    def _everything(self, now: int) -> list[Value | None]:
        """All that a rule or a model can look at, what rules conclude aside."""
        state = State(now, self.facts)
        subjects: list[Any] = [FactRef(name) for name in self.program.vocabulary.facts]
        for rule in self.program.rules:
            subjects += [leaf.subject if isinstance(leaf, Test) else leaf for leaf in leaves(rule.when)]
        return [
            self.truth(subject, state, None) if isinstance(subject, Seen) else self.value(subject, state)
            for subject in subjects
            if not isinstance(subject, ScoreTest)
        ]

    def _spans(self) -> Iterator[tuple[Span, set[str]]]:
        subjects: list[Aggregate | Seen] = [
            fact.aggregate for fact in self.program.vocabulary.facts.values() if fact.aggregate is not None
        ]
        for rule in self.program.rules:
            for leaf in leaves(rule.when):
                if isinstance(leaf, Seen):
                    subjects.append(leaf)
                elif isinstance(leaf, Test) and isinstance(leaf.subject, Aggregate):
                    subjects.append(leaf.subject)
        for subject in subjects:
            types = {subject.of.event}
            if isinstance(subject, Aggregate) and subject.minus is not None:
                types.add(subject.minus.event)
            yield subject.span, types

    def _visible(self) -> dict[str, Value | None]:
        """What a model can see now."""
        state = State(self.clock or 0, self.facts)
        names = self.program.vocabulary.facts
        return {name: self.value(FactRef(name), state) for name in names if not self._derived_under(name)}

    def _step(self, now: int, score: ScoreFunction, seen_before: dict[str, Value | None]) -> list[Act]:
        self.clock = now
        if self._visible() != seen_before:
            self.fresh.clear()
        state = State(now, self.facts)
        asked: dict[str, ScoreAnswer] = {}
        truths: dict[ScoreTest, Truth] = {}

        def truth(test: ScoreTest) -> Truth:
            if test not in truths:
                truths[test] = self._score_truth(test, state, score, asked, remembers=True)
            return truths[test]

        self._settle(state, lambda rule: self._holds(rule, state, truth))
        self.derived = state.derived
        true = {rule.id for rule in self.program.rules if self._holds(rule, state, truth)}
        late = {rule.id for rule in self.program.rules if has_scores(rule)} & (self.new | self.quiet)
        found = [self._act(rule, now) for rule in self.program.rules if rule.id in true - self.true - late]
        self.true = true
        return found

    def _finish(self, now: int, score: ScoreFunction, found: list[Act]) -> list[Act]:
        """Rules that are new, or whose gate opened since the last call."""
        more = []
        for rule in self.program.rules:
            opened = (
                rule.enabled
                and self.evaluated is not None
                and is_open(rule.schedule, now)
                and not is_open(rule.schedule, self.evaluated)
            )
            if (opened or rule.id in self.new) and rule.id in self.true:
                if any(act.rule == rule.id and act.acts for act in found):
                    continue
                act = self._act(rule, now)
                if act.acts or all(other.rule != rule.id for other in found):
                    more.append(act)
        self.evaluated = now
        self.new, self.quiet = set(), set()
        return more

    def _act(self, rule: Rule, now: int) -> Act:
        if not rule.enabled:
            return Act(rule.id, now, False, "switched off")
        if not is_open(rule.schedule, now):
            return Act(rule.id, now, False, "schedule")
        acts = self.acts.setdefault(rule.id, [])
        for limit in rule.limits:
            if limit.scope is LimitScope.SESSION:
                counted = acts
                if limit.sliding is not None:
                    counted = [at for at in acts if at > now - limit.sliding]
                elif limit.calendar is not None:
                    counted = [at for at in acts if at >= period(limit, now)[0]]
                if len(counted) >= limit.most:
                    return Act(rule.id, now, False, "session limit")
        acts.append(now)
        return Act(rule.id, now, True, None)

    # ---------------------------------------------------------------- a request

    def holding(self, now: int, context: Mapping[str, Value], score: ScoreFunction) -> list[str]:
        """Ids of the rules that hold at a request, in order of acting."""
        state, truth = self.look(now, context, score)
        return [rule.id for rule in self.program.rules if self._holds(rule, state, truth)]

    def look(self, now: int, context: Mapping[str, Value], score: ScoreFunction) -> tuple[State, Any]:
        """The state at a request, and the truth of score tests there."""
        now = now if self.clock is None else max(now, self.clock)
        state = State(now, {**self.facts, **context})
        asked: dict[str, ScoreAnswer] = {}
        truths: dict[ScoreTest, Truth] = {}

        def truth(test: ScoreTest) -> Truth:
            if test not in truths:
                truths[test] = self._score_truth(test, state, score, asked, remembers=False)
            return truths[test]

        self._settle(state, lambda rule: self._holds(rule, state, truth))
        return state, truth

    # ---------------------------------------------------------------- rules

    def _holds(self, rule: Rule, state: State, truth: Any) -> bool:
        """Scores are asked only where what is cheaper leaves it to them: conjunct by conjunct."""
        if not has_scores(rule):
            return self._cheaply(rule, state)
        alternatives = disjuncts(rule.when, True)
        cheap = [each for each in alternatives if not any(isinstance(leaf, ScoreTest) for leaf, _ in each)]
        if any(self._all(each, state) for each in cheap):
            return True
        for each in alternatives:
            scores = [(leaf, wanted) for leaf, wanted in each if isinstance(leaf, ScoreTest)]
            rest = [(leaf, wanted) for leaf, wanted in each if not isinstance(leaf, ScoreTest)]
            if scores and self._all(rest, state) and all(truth(leaf) is wanted for leaf, wanted in scores):
                return True
        return False

    def _cheaply(self, rule: Rule, state: State) -> bool:
        return self.truth(rule.when, state, None) is True

    def _all(self, literals: list[tuple[Any, bool]], state: State) -> bool:
        return all(self.truth(leaf, state, None) is wanted for leaf, wanted in literals)

    def truth(self, condition: Condition, state: State, score: Any) -> Truth:
        """Kleene's three values, straight from the language's page."""
        if isinstance(condition, Segment):
            return self.truth(condition.condition, state, score)
        if isinstance(condition, Not):
            truth = self.truth(condition.part, state, score)
            return None if truth is None else not truth
        if isinstance(condition, All | AnyOf):
            truths = [self.truth(part, state, score) for part in condition.parts]
            decides = isinstance(condition, AnyOf)
            if decides in truths:
                return decides
            return None if None in truths else not decides
        if isinstance(condition, ScoreTest):
            result: Truth = score(condition)
            return result
        if isinstance(condition, Seen):
            return any(self._selected(condition.of, event, state) for event in self._inside(condition.span, state))
        value = self.value(condition.subject, state)
        if condition.operator is Operator.EXISTS:
            return (value is not None) == condition.operand
        operand = condition.operand
        if isinstance(operand, FactRef):
            operand = self.value(operand, state)  # type: ignore[assignment]
        if value is None or operand is None:
            return None
        return passes(value, condition.operator, operand, state.now)

    def _score_truth(
        self, test: ScoreTest, state: State, score: ScoreFunction, asked: dict[str, ScoreAnswer], *, remembers: bool
    ) -> Truth:
        def read(name: str) -> Value | None:
            if name not in self.program.vocabulary.facts or self._derived_under(name):
                return None
            return self.value(FactRef(name), state)

        if test.score not in asked:
            if remembers and test.score in self.fresh:
                asked[test.score] = ScoreAnswer(ScoreStatus.OK, self.last_answers[test.score][0])
            else:
                asked[test.score] = score(test.score, read)
                if remembers and asked[test.score].status is ScoreStatus.OK:
                    self.last_answers[test.score] = (asked[test.score].value or 0.0, state.now)
                    self.fresh.add(test.score)
        answer = asked[test.score]
        if answer.status is ScoreStatus.OK:
            assert answer.value is not None
            result = self._passes_score(test, answer.value)
            if remembers and test.release is not None:
                (self.latched.add if result else self.latched.discard)(test)
            return result
        if answer.status is ScoreStatus.PENDING or test.if_unavailable is IfUnavailable.SKIP:
            return None
        if test.if_unavailable is IfUnavailable.LAST_KNOWN:
            last = self.last_answers.get(test.score)
            if last is None or state.now - last[1] >= (test.last_known or 0):
                return None
            return self._passes_score(test, last[0])
        return test.if_unavailable is IfUnavailable.ASSUME_TRUE

    def _passes_score(self, test: ScoreTest, value: float) -> bool:
        if passes(value, test.operator, test.operand, 0):
            return True
        if test in self.latched and test.release is not None:
            if test.operator in {Operator.ABOVE, Operator.AT_LEAST}:
                return value >= test.release
            if test.operator in {Operator.BELOW, Operator.AT_MOST}:
                return value <= test.release
        return False

    # ---------------------------------------------------------------- derived facts

    def _settle(self, state: State, holds: Any) -> None:
        """The least fixed point, layer by layer: each begins with nothing asserted."""
        asserting: dict[str, list[Rule]] = {}
        for rule in self.program.rules:
            for action in rule.actions:
                if isinstance(action, AssertAction):
                    asserting.setdefault(action.fact, []).append(rule)
        below = {
            fact: {name for rule in rules for name in self._derived_in(rule.when)} for fact, rules in asserting.items()
        }
        reach = {fact: self._reach(fact, below) for fact in asserting}
        left = set(asserting)
        while left:
            # A layer looks only at itself and at what is settled.
            layer = min(
                (fact for fact in left if all(fact in reach.get(other, set()) for other in (reach[fact] & left))),
            )
            together = {other for other in left if other in reach[layer] and layer in reach[other]} | {layer}
            rules = [rule for rule in self.program.rules if any(rule in asserting[fact] for fact in together)]
            for _ in range(2 * len(rules) + 2):
                asserted: dict[str, Value | None] = {}
                for rule in rules:
                    if not rule.enabled or not is_open(rule.schedule, state.now):
                        continue
                    mine = [a for a in rule.actions if isinstance(a, AssertAction)]
                    if all(action.fact in asserted for action in mine) or not holds(rule):
                        continue
                    for action in mine:
                        if action.fact in together:
                            asserted.setdefault(action.fact, action.value)
                if asserted == {fact: state.derived[fact] for fact in together if fact in state.derived}:
                    break
                for fact in together:
                    state.derived.pop(fact, None)
                state.derived.update(asserted)
            else:
                state.derived.update(dict.fromkeys(together, None))
            left -= together

    def _derived_in(self, condition: Condition) -> set[str]:
        found: set[str] = set()
        for leaf in leaves(condition):
            if isinstance(leaf, Test):
                for side in (leaf.subject, leaf.operand):
                    if isinstance(side, FactRef):
                        found |= self._derived_under(side.fact)
                if isinstance(leaf.subject, Aggregate):
                    found |= self._derived_in_where(leaf.subject.of)
                    if leaf.subject.minus is not None:
                        found |= self._derived_in_where(leaf.subject.minus)
            elif isinstance(leaf, Seen):
                found |= self._derived_in_where(leaf.of)
        return found

    def _derived_in_where(self, selection: Selection) -> set[str]:
        return {
            name
            for test in selection.where
            if isinstance(test.operand, FactRef)
            for name in self._derived_under(test.operand.fact)
        }

    def _derived_under(self, name: str) -> set[str]:
        fact = self.program.vocabulary.facts[name]
        if fact.source is FactSource.RULES:
            return {name}
        if fact.computed is not None:
            return {
                below
                for kind, item in fact.computed.program
                if kind == "name"
                for below in self._derived_under(str(item))
            }
        return set()

    @staticmethod
    def _reach(fact: str, below: Mapping[str, set[str]]) -> set[str]:
        found: set[str] = set()
        pending = [fact]
        while pending:
            for other in below.get(pending.pop(), set()):
                if other not in found and other in below:
                    found.add(other)
                    pending.append(other)
        return found

    # ---------------------------------------------------------------- values

    def _source(self, name: str) -> FactSource:
        return self.program.vocabulary.facts[name].source

    def value(self, subject: FactRef | Aggregate, state: State) -> Value | None:
        """The value of anything at a moment."""
        if isinstance(subject, Aggregate):
            return self._aggregate(subject, state)
        fact = self.program.vocabulary.facts[subject.fact]
        if fact.aggregate is not None:
            return self._aggregate(fact.aggregate, state)
        if fact.computed is not None:
            return evaluate(fact.computed, lambda name: self.value(FactRef(name), state))
        if fact.source is FactSource.RULES:
            return state.derived.get(fact.name, False if fact.type.kind is Kind.BOOLEAN else None)
        return state.facts.get(fact.name)

    def _aggregate(self, aggregate: Aggregate, state: State) -> Value | None:
        entries: list[Any] = []
        for event in self._inside(aggregate.span, state):
            for selection, sign in ((aggregate.of, 1), (aggregate.minus, -1)):
                if selection is not None and self._selected(selection, event, state):
                    if aggregate.function is Aggregation.COUNT or selection.attribute is None:
                        entries.append(sign)
                    else:
                        item: Any = event.attributes[selection.attribute]
                        entries.append(item if sign > 0 else -item)
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

    def _inside(self, span: Span, state: State) -> list[Event]:
        past = [event for event in self.history if event.time <= state.now]
        if span.window is not None:
            return [event for event in past if state.now - span.window < event.time]
        if span.since is not None:
            resets = [at for at, event in enumerate(past) if event.type == span.since]
            return past[resets[-1] + 1 :] if resets else past
        return past

    def _selected(self, selection: Selection, event: Event, state: State) -> bool:
        if event.type != selection.event:
            return False
        if selection.attribute is not None and event.attributes.get(selection.attribute) is None:
            return False
        for test in selection.where:
            value = event.attributes.get(test.attribute)
            operand: Any = test.operand
            if isinstance(operand, FactRef):
                operand = self.value(operand, state)
                if operand is None:
                    return False
            if test.operator is Operator.EXISTS:
                if (value is not None) != operand:
                    return False
            elif value is None or not passes(value, test.operator, operand, event.time):
                return False
        return True


def exactly(number: Fraction, kind: Kind) -> int | float:
    return round(number) if kind in WHOLE else float(number)


def passes(value: Any, operator: Operator, operand: Any, now: int) -> bool:
    """The tests of the language on known values."""
    match operator:
        case Operator.IS:
            return bool(value == operand)
        case Operator.IS_NOT:
            return bool(value != operand)
        case Operator.IS_ONE_OF:
            return value in operand
        case Operator.IS_NONE_OF:
            return value not in operand
        case Operator.ABOVE | Operator.AFTER:
            return bool(value > operand)
        case Operator.AT_LEAST:
            return bool(value >= operand)
        case Operator.BELOW | Operator.BEFORE:
            return bool(value < operand)
        case Operator.AT_MOST:
            return bool(value <= operand)
        case Operator.BETWEEN:
            return bool(operand[0] <= value <= operand[1])
        case Operator.MATCHES:
            return re.fullmatch(operand, value) is not None
        case Operator.STARTS_WITH:
            return str(value).startswith(operand)
        case Operator.ENDS_WITH:
            return str(value).endswith(operand)
        case Operator.CONTAINS:
            return operand in value
        case Operator.OLDER_THAN:
            return bool(value + operand <= now)
        case Operator.WITHIN_LAST:
            return bool(value <= now < value + operand)
    raise AssertionError(operator)


def leaves(condition: Condition) -> Iterator[Test | Seen | ScoreTest]:
    if isinstance(condition, Segment):
        yield from leaves(condition.condition)
    elif isinstance(condition, Not):
        yield from leaves(condition.part)
    elif isinstance(condition, All | AnyOf):
        for part in condition.parts:
            yield from leaves(part)
    else:
        yield condition


def has_scores(rule: Rule) -> bool:
    """Whether a score can have a say: `any` of nothing but scores below it has none."""
    return any(isinstance(leaf, ScoreTest) for each in disjuncts(rule.when, True) for leaf, _ in each)


def disjuncts(condition: Condition, wanted: bool) -> list[list[tuple[Any, bool]]]:
    """Alternatives of leaves that must all be as wanted."""
    if isinstance(condition, Segment):
        return disjuncts(condition.condition, wanted)
    if isinstance(condition, Not):
        return disjuncts(condition.part, not wanted)
    if isinstance(condition, All | AnyOf):
        parts = [disjuncts(part, wanted) for part in condition.parts]
        if isinstance(condition, AnyOf) == wanted:
            return [alternative for part in parts for alternative in part]
        product: list[list[tuple[Any, bool]]] = [[]]
        for part in parts:
            product = [left + right for left in product for right in part]
        return product
    return [[(condition, wanted)]]
