"""The naive evaluator: what the language means, said as plainly as possible and at any cost.

It keeps the whole history of a session and evaluates every rule from all of it at every moment at which anything could
change: at each event, change of facts and look at the clock, and at each moment between at which something leaves a
window, passes an age, or a schedule of a rule that asserts changes. Nothing is indexed, nothing is kept up to date.

`history.py` says what the events say at a moment, `settling.py` what rules assert, `moments.py` when to look; this is
the session: its steps, its activations, its requests.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.activation import ScoreAnswer, ScoreFunction, ScoreStatus
from engine.event import Event
from engine.language.tree import (
    FactRef,
    IfUnavailable,
    LimitScope,
    Operator,
    Program,
    Rule,
    ScoreTest,
    TriggerAction,
)
from engine.schedule import is_open, period
from engine.values import Truth, Value
from tests.naive.conditions import (
    leaves,
    passes,
)
from tests.naive.history import Catalogue, State, no_catalogue
from tests.naive.messages import UnknownHoleError, filled
from tests.naive.moments import Moments
from tests.naive.parts import Parts

Bindings = tuple[tuple[str, Value], ...]
Standing = dict[Bindings, State]


@dataclass(frozen=True)
class Act:
    """An activation, as far as the two evaluators are compared on it."""

    rule: str
    time: int
    acts: bool
    held_back: str | None
    bindings: Bindings = ()
    messages: tuple[tuple[str, str], ...] = ()


class Naive(Moments):
    """A session, evaluated from its whole history.

    Attributes:
        true: What held after the last step: rules with their bindings.
        standing: The same by rule, in order, each with what its names are bound to.
        failed: Rules that could not send something in the last call.
        asked: What models answered in it, in order.
        answers: What they answered in the latest look.
    """

    def __init__(self, program: Program, catalogue: Catalogue = no_catalogue) -> None:
        super().__init__(program, catalogue)
        self.facts: dict[str, Value] = {}
        self.derived: dict[str, Value | None] = {}
        self.clock: int | None = None
        self.evaluated: int | None = None
        self.true: set[tuple[str, Bindings]] = set()
        self.standing: dict[str, Standing] = {}
        self.new: set[str] = set()
        self.quiet: set[str] = set()  # with scores, and nobody knows whether they held before a reload
        self.latched: set[ScoreTest] = set()
        self.last_answers: dict[str, tuple[float, int]] = {}
        self.fresh: set[str] = set()
        self.acts: dict[str, list[int]] = {}
        self.failed: set[str] = set()
        self.asked: list[tuple[str, ScoreAnswer]] = []
        self.answers: dict[str, ScoreAnswer] = {}
        self.unsettled = set()

    # ---------------------------------------------------------------- what happens

    def insert(self, event: Event, score: ScoreFunction) -> list[Act]:
        self.failed, self.asked = set(), []
        now = event.time if self.clock is None else max(self.clock, event.time)
        found = self._pass_time(now, score)
        seen_before = self._visible()
        self.happened(event)
        found += self._step(now, score, seen_before)
        return found + self._finish(now, score, found)

    def set_facts(self, facts: Mapping[str, Value | None], now: int, score: ScoreFunction) -> list[Act]:
        self.failed, self.asked = set(), []
        now = now if self.clock is None else max(self.clock, now)
        found = self._pass_time(now, score)
        seen_before = self._visible()
        self.found.clear()
        for name, value in facts.items():
            if value is None:
                self.facts.pop(name, None)
            else:
                self.facts[name] = value
        found += self._step(now, score, seen_before)
        return found + self._finish(now, score, found)

    def advance(self, now: int, score: ScoreFunction) -> list[Act]:
        self.failed, self.asked = set(), []
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
        held: dict[str, set[Bindings]] = {}
        for rule in self.program.rules:
            held.setdefault(rule.digest, set()).update(bindings for name, bindings in self.true if name == rule.id)
        acted = {rule.digest: self.acts.get(rule.id, []) for rule in self.program.rules}
        pending = {rule.digest for rule in self.program.rules if rule.id in self.new}
        silent = {rule.digest for rule in self.program.rules if rule.id in self.quiet}
        self.look_at(program)
        if self.clock is None:
            return
        tests = {leaf for each in self.rules for leaf in each.scores}
        self.latched &= tests
        self.fresh.clear()
        self.acts = {rule.id: acted[rule.digest] for rule in program.rules if acted.get(rule.digest)}
        self.new = {rule.id for rule in program.rules if rule.digest in pending}
        self.quiet = {rule.id for rule in program.rules if rule.digest in silent}
        if is_ancestor:
            self.new |= {rule.id for rule in program.rules if rule.digest not in old}
        else:
            self.quiet = {each.rule.id for each in self.rules if each.has_scores and not held.get(each.rule.digest)}
        state = State(self.clock, self.facts)

        def standing(rule: Rule) -> set[Bindings]:
            if self.parts[id(rule)].has_scores:
                return held.get(rule.digest, set())
            return set(self._standing(rule, state, None))

        self.settle(state, lambda rule: bool(standing(rule)))
        self.derived = state.derived
        self.true = {(rule.id, bindings) for rule in program.rules for bindings in standing(rule)}

    # ---------------------------------------------------------------- steps

    def _pass_time(self, now: int, score: ScoreFunction) -> list[Act]:
        """All moments before `now`."""
        found: list[Act] = []
        while self.clock is not None and (moments := self.moments(self.clock, now)):
            found += self._step(moments[0], score, self._visible())
        return found

    def _visible(self) -> dict[str, Value | None]:
        """What a model can see now; nothing where no answer stands that may have to go."""
        if not self.fresh:
            return {}
        state = State(self.clock or 0, self.facts)
        names = self.program.vocabulary.facts
        return {name: self.value(FactRef(name), state) for name in names if not self.derived_under(name)}

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

        self.settle(state, lambda rule: bool(self._standing(rule, state, truth)))
        self.derived = state.derived
        self.standing = {rule.id: self._standing(rule, state, truth) for rule in self.program.rules}
        before, self.true = self.true, {(rule, each) for rule, found in self.standing.items() for each in found}
        late = {each.rule.id for each in self.rules if each.has_scores} & (self.new | self.quiet)
        return [
            self._act(rule, now, bindings)
            for rule in self.program.rules
            for bindings in self.standing[rule.id]
            if rule.id not in late and (rule.id, bindings) not in before
        ]

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
            if not opened and rule.id not in self.new:
                continue
            for bindings in self.standing[rule.id]:
                same = [act for act in found if (act.rule, act.bindings) == (rule.id, bindings)]
                if not any(act.acts for act in same):
                    act = self._act(rule, now, bindings)
                    if act.acts or not same:
                        more.append(act)
        self.evaluated = now
        self.new, self.quiet = set(), set()
        return more

    def _act(self, rule: Rule, now: int, bindings: Bindings) -> Act:
        if not rule.enabled:
            return Act(rule.id, now, False, "switched off", bindings)
        if not is_open(rule.schedule, now):
            return Act(rule.id, now, False, "schedule", bindings)
        acts = self.acts.setdefault(rule.id, [])
        for limit in rule.limits:
            if limit.scope is LimitScope.SESSION:
                counted = acts
                if limit.sliding is not None:
                    counted = [at for at in acts if at > now - limit.sliding]
                elif limit.calendar is not None:
                    counted = [at for at in acts if at >= period(limit, now)[0]]
                if len(counted) >= limit.most:
                    return Act(rule.id, now, False, "session limit", bindings)
        acts.append(now)
        return Act(rule.id, now, True, None, bindings, self._messages(rule, self.standing[rule.id][bindings]))

    def _messages(self, rule: Rule, state: State) -> tuple[tuple[str, str], ...]:
        """What it sends; nothing where a hole has no value, and that is a failure."""
        found = []
        for action in rule.actions:
            if isinstance(action, TriggerAction):
                try:
                    found.append((action.name, repr(filled(action.payload, rule.when, self, state))))
                except UnknownHoleError:
                    self.failed.add(rule.id)
        return tuple(found)

    # ---------------------------------------------------------------- a request

    def holding(self, now: int, context: Mapping[str, Value], score: ScoreFunction) -> list[tuple[str, Bindings]]:
        """What holds at a request, in order of acting."""
        return self.holding_in(*self.look(now, context, score))

    def holding_in(self, state: State, truth: Any) -> list[tuple[str, Bindings]]:
        """The same, of a state that `look` gave."""
        return [(rule.id, bindings) for rule in self.program.rules for bindings in self._standing(rule, state, truth)]

    def look(self, now: int, context: Mapping[str, Value], score: ScoreFunction) -> tuple[State, Any]:
        """The state at a request, and the truth of score tests there."""
        now = now if self.clock is None else max(now, self.clock)
        state = State(now, {**self.facts, **context})
        asked = self.answers = dict[str, ScoreAnswer]()
        truths: dict[ScoreTest, Truth] = {}

        def truth(test: ScoreTest) -> Truth:
            if test not in truths:
                truths[test] = self._score_truth(test, state, score, asked, remembers=False)
            return truths[test]

        self.settle(state, lambda rule: bool(self._standing(rule, state, truth)))
        return state, truth

    # ---------------------------------------------------------------- rules

    def _standing(self, rule: Rule, state: State, truth: Any) -> Standing:
        """The bindings with which a rule holds, in order, each with its first combination; one without names: ()."""
        parts = self.parts[id(rule)]
        if parts.is_passing:
            return self._find_standing(parts, state, truth)
        looked_at = (self.era(state.now), *(self.value(each, state) for each in parts.facts))
        found: Standing = self.found.once(rule, looked_at, lambda: self._find_standing(parts, state, truth))
        if not parts.binders:
            return dict.fromkeys(found, state)
        return {
            bindings: State(state.now, state.facts, state.derived, each.bound, each.chosen, state.known and {})
            for bindings, each in found.items()
        }

    def _find_standing(self, parts: Parts, state: State, truth: Any) -> Standing:
        if not parts.binders:
            return {(): state} if self._holds(parts, state, truth) else {}
        every = self.combinations(parts.binders, state)
        bindings = [self._identity(parts, each) for each in every]
        if not parts.has_scores:
            held = {at for at, each in enumerate(every) if self._plain_truth(parts.rule.when, each, None) is True}
        else:
            held = self._held_with_scores(parts, every, bindings, truth)
        standing: Standing = {}
        for at in sorted(held):
            standing.setdefault(bindings[at], every[at])
        return standing

    def _identity(self, parts: Parts, state: State) -> Bindings:
        values = [(name, self.operand(ref, state)) for name, ref in parts.identity]
        return tuple(value for value in values if value[1] is not None)

    def _held_with_scores(self, parts: Parts, every: list[State], bindings: list[Bindings], truth: Any) -> set[int]:
        """The combinations that hold: by what is cheap, and by a score where nothing before it brings their bindings."""
        held = {at for at, each in enumerate(every) if any(self._all(cheap, each) for cheap in parts.cheap)}
        for scores, rest in parts.asking:
            brought = {bindings[at] for at in held}
            more = {at for at, each in enumerate(every) if bindings[at] not in brought and self._all(rest, each)}
            if more and all(truth(leaf) is wanted for leaf, wanted in scores):
                held |= more
        return held

    def _holds(self, parts: Parts, state: State, truth: Any) -> bool:
        """Scores are asked only where what is cheaper leaves it to them: conjunct by conjunct."""
        if not parts.has_scores:
            return self._plain_truth(parts.rule.when, state, None) is True
        return any(self._all(each, state) for each in parts.cheap) or any(
            self._all(rest, state) and all(truth(leaf) is wanted for leaf, wanted in scores)
            for scores, rest in parts.asking
        )

    def _all(self, literals: list[tuple[Any, bool]], state: State) -> bool:
        return all(self.truth(leaf, state, None) is wanted for leaf, wanted in literals)

    def _score_truth(
        self, test: ScoreTest, state: State, score: ScoreFunction, asked: dict[str, ScoreAnswer], *, remembers: bool
    ) -> Truth:
        def read(name: str) -> Value | None:
            if name not in self.program.vocabulary.facts or self.derived_under(name):
                return None
            return self.value(FactRef(name), state)

        if test.score not in asked:
            if remembers and test.score in self.fresh:
                asked[test.score] = ScoreAnswer(ScoreStatus.OK, self.last_answers[test.score][0])
            else:
                asked[test.score] = score(test.score, read)
                self.asked.append((test.score, asked[test.score]))
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


__all__ = ["Act", "Bindings", "Naive", "State", "leaves"]
