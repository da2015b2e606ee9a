"""A session at one moment, with the context of a request: what holds, and every value. It never changes the memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from engine.activation import (
    NOTHING_BOUND,
    Catalogue,
    Combination,
    ConditionReport,
    FactReader,
    RuleFailure,
    ScoreAnswer,
    ScoreFunction,
    ScoreStatus,
)
from engine.language.tree import (
    Aggregate,
    All,
    AnyOf,
    Condition,
    FactRef,
    Not,
    Operator,
    Rule,
    ScoreTest,
    Seen,
    Segment,
    Test,
)
from engine.rete.agenda.agenda import Failures
from engine.rete.agenda.production import Production
from engine.rete.agenda.scoring import Asking
from engine.rete.alpha.aggregates import Changed
from engine.rete.beta.pattern import Pattern
from engine.rete.beta.selector import Look
from engine.rete.compilation import Compiled
from engine.rete.conditions.existing import exists
from engine.rete.conditions.joining import is_keyed_by_name, network_form
from engine.rete.conditions.leaves import leaf_value_truth
from engine.rete.conditions.quantity import Subject
from engine.rete.conditions.subjects import Joined, Presence
from engine.rete.conditions.telling import Plan, Telling
from engine.rete.conditions.truth import subject_of
from engine.rete.memory.joins import PatternState
from engine.rete.memory.memory import Memory
from engine.rete.memory.retained import Kept
from engine.rete.session.apart import Apart
from engine.rete.session.combinations import combinations
from engine.rete.session.following import Overlay
from engine.rete.session.reading import Reader
from engine.rete.session.refill import scanned_value
from engine.rete.session.settle import as_failures, settle_computed, settle_derived
from engine.values import EpochMs, Truth, Value


def _pending(name: str, reader: FactReader) -> ScoreAnswer:
    return ScoreAnswer(ScoreStatus.PENDING)


class Moment:
    """What holds in a session at one moment of a request; see `view.View`.

    Attributes:
        now: The later of the request's time and the session's clock.
        told: What was told of rules in which nothing is bound, see `telling`.
        reports: Reports of leaves that were made already, with the truth that was wanted of them.
    """

    def __init__(
        self,
        compiled: Compiled,
        memory: Memory,
        now: EpochMs,
        context: Mapping[str, Value],
        score: ScoreFunction,
        catalogue: Catalogue | None = None,
    ) -> None:
        """Use `Network.view`."""
        self.now = now if memory.clock is None else max(now, memory.clock)
        self._compiled = compiled
        self._memory = memory
        self._context = context
        self._failures: Failures = {}
        self._catalogue = catalogue
        self._values, self._patterns = _values_at(compiled, memory, self.now, context, catalogue, self._failures)
        reader = Reader(compiled, self._values, is_score=True)
        self._asking = Asking(score, reader, memory, self.now, compiled.score_numbers, remembers=False)
        self._reader = Reader(compiled, self._values, is_score=False)
        _derive(compiled, self._values, self.now, self._asking, self._failures, self._patterns)
        self._holding: frozenset[int] | None = None
        self._found: dict[Subject, Value | None] = {}
        self._patterns_apart: dict[Joined, Apart] = {}
        self._kept: list[Kept] | None = None
        self.told: tuple[Telling, Telling] = ({}, {})
        self.reports: dict[tuple[Condition, bool], ConditionReport] = {}

    # ------------------------------------------------------------------ answers

    @property
    def failures(self) -> tuple[RuleFailure, ...]:
        """Rules whose evaluation raised, among those that were looked at so far."""
        return as_failures(self._failures)

    @property
    def scores(self) -> tuple[tuple[str, ScoreAnswer], ...]:
        """What was asked so far, PENDING included."""
        return tuple(self._asking.answers.items())

    def holding(self) -> tuple[Rule, ...]:
        """The rules whose condition is true, in order of acting; schedule and switch are left to the caller."""
        productions = self._compiled.productions
        return tuple(productions[index].rule for index in self._compiled.in_order(self.holding_now()))

    def combinations(self, rule: Rule) -> tuple[Combination, ...]:
        """The combinations of bound names for which a rule that holds does, in order; where it binds none, one."""
        production = self._production(rule)
        if production is None or not production.patterns:
            return (NOTHING_BOUND,)
        assert self._patterns is not None
        states, look = self._patterns.states, self._patterns.look()
        return tuple(combinations(self._compiled, production, states, self._values, look, None, self._asking.truth))

    def fact(self, name: str) -> Value | None:
        """A fact or feature by name; None where it is unknown."""
        return self._reader(name)

    def truth(self, condition: Condition) -> Truth:
        """The truth of any condition over the vocabulary, also of one that no rule has."""
        return self._truth(self.form(condition))

    def form(self, condition: Condition) -> Condition:
        """The condition as the network runs it: of a rule, so that equal conditions are one pattern."""
        compiled = self._compiled
        if id(condition) in compiled.plain:
            return condition
        return compiled.forms.of(condition) or network_form(condition)

    def _truth(self, condition: Condition) -> Truth:
        if isinstance(condition, Segment):
            return self._truth(condition.condition)
        if isinstance(condition, Not):
            truth = self._truth(condition.part)
            return None if truth is None else not truth
        if isinstance(condition, All | AnyOf):
            decides = isinstance(condition, AnyOf)
            result: Truth = not decides
            for part in condition.parts:
                truth = self._truth(part)
                if truth is decides:
                    return decides
                if truth is None:
                    result = None
            return result
        if isinstance(condition, ScoreTest):
            return self._asking.truth(condition)
        assert isinstance(condition, Test | Seen)
        return self.leaf(condition, self.value(subject_of(condition)))

    def leaf(self, leaf: Test | Seen, value: Value | None) -> Truth:
        """The truth of a test on a value of its subject, which may look as if it had none for want of events."""
        if (
            value is None
            and isinstance(leaf, Test)
            and leaf.operator is Operator.EXISTS
            and not is_keyed_by_name(leaf.subject)
        ):
            found = exists(leaf.subject, self._compiled.program.vocabulary, self.value)
            return None if found is None else found is leaf.operand
        return leaf_value_truth(leaf, value, self._reader, self.now)

    # ------------------------------------------------------------------ for reports

    @property
    def asking(self) -> Asking:
        """The scores of this view."""
        return self._asking

    @property
    def compiled(self) -> Compiled:
        """The network's parts."""
        return self._compiled

    def value(self, subject: Subject) -> Value | None:
        """The value of any subject; one that no rule and no feature has is read from the retained events."""
        quantity = self._compiled.quantities.find(subject)
        if quantity is not None:
            return self._values.get(quantity.index, quantity.default)
        if isinstance(subject, FactRef):
            return None
        if subject not in self._found:
            if isinstance(subject, Joined):
                self._found[subject] = self._apart(subject).value
            else:
                self._found[subject] = scanned_value(self._memory, subject, self.now, self._reader)
        return self._found[subject]

    def planned_value(self, plan: Plan) -> Value | None:
        """The value of what a planned leaf looks at: to find it by its subject costs more than the rest of a report."""
        quantities = self._compiled.plans.quantities
        assert isinstance(plan.condition, Test | Seen)
        if plan.slot not in quantities:
            quantities[plan.slot] = self._compiled.quantities.find(subject_of(plan.condition))
        quantity = quantities[plan.slot]
        if quantity is None:
            return self.value(subject_of(plan.condition))
        return self._values.get(quantity.index, quantity.default)

    def pattern(self, subject: Joined) -> tuple[Pattern, PatternState, Look]:
        """Joined conditions as they stand at the moment, and what they are looked at with."""
        quantity = self._compiled.quantities.find(subject)
        if quantity is None or quantity.index not in self._compiled.patterns or self._patterns is None:
            apart = self._apart(subject)
            return apart.pattern, apart.state, apart.look
        pattern, look = self._compiled.patterns[quantity.index], self._patterns.look()
        state = self._patterns.states.get(quantity.index) or PatternState()
        look.dropped, look.lost = state.dropped, state.lost
        return pattern, state, look

    @property
    def memory(self) -> Memory:
        """What it looks at."""
        return self._memory

    @property
    def values(self) -> Mapping[int, Value | None]:
        """The values at the moment, with the context."""
        return self._values

    @property
    def patterns(self) -> Overlay | None:
        """The patterns at the moment; None where the network has none."""
        return self._patterns

    def later(self, moment: EpochMs) -> Moment:
        """The session at a later moment, if nothing comes; no model is asked."""
        return Moment(self._compiled, self._memory, moment, self._context, _pending, self._catalogue)

    @property
    def catalogue(self) -> Catalogue | None:
        """What looks up facts of things."""
        return self._catalogue

    def _apart(self, subject: Joined) -> Apart:
        """Joined conditions that no rule has, looked at on their own."""
        if subject not in self._patterns_apart:
            vocabulary = self._compiled.program.vocabulary
            dropped = None if self._memory.retained is None else self._memory.retained.dropped
            self._patterns_apart[subject] = Apart(
                subject, vocabulary, self.kept_events(), dropped, self.now, self.value, self._catalogue
            )
        return self._patterns_apart[subject]

    def kept_events(self) -> list[Kept]:
        """The retained events, oldest first."""
        if self._kept is None:
            self._kept = [] if self._memory.retained is None else self._memory.retained.read()
        return self._kept

    def has_kept(self, event: str) -> bool:
        """Whether any event of the type may be among the retained."""
        retained = self._memory.retained
        return retained is not None and any(shape.names[0] == event for shape in retained.shapes)

    def _production(self, rule: Rule) -> Production | None:
        """The compiled rule; None for one that the network does not have."""
        return next((each for each in self._compiled.acting if each.rule is rule or each.rule.id == rule.id), None)

    def holding_now(self) -> frozenset[int]:
        """The productions that hold, by index."""
        if self._holding is None:
            holding = set()
            for production in self._candidates():
                try:
                    if production.holds(self._values, self.now, self._asking):
                        holding.add(production.index)
                except Exception as problem:  # noqa: BLE001 - one broken rule never stops the others
                    self._failures.setdefault(production.rule.id, f"{type(problem).__name__}: {problem}")
            self._holding = frozenset(holding)
        return self._holding

    def _candidates(self) -> Iterable[Production]:
        productions = self._compiled.productions
        try:
            return [productions[index] for index in self._compiled.index.all.candidates(self._values)]
        except Exception:  # noqa: BLE001 - a test raised in the index: look at the rules one by one, to know whose it was
            return self._compiled.acting


def _values_at(
    compiled: Compiled,
    memory: Memory,
    now: EpochMs,
    context: Mapping[str, Value],
    catalogue: Catalogue | None,
    failures: Failures,
) -> tuple[dict[int, Value | None], Overlay | None]:
    """The memory's values with what leaves its window by `now` gone, and the context put in; and the patterns then."""
    values = dict(memory.values)
    changed: Changed = {}
    for heap in (memory.timed, memory.lazy):
        for moment, index in heap if heap and heap[0][0] <= now else ():
            node = compiled.windows.get(index) if moment <= now else None
            if node is not None:
                changed[index] = values.get(index, compiled.defaults[index])
                values[index] = node.value_at(memory, now)
    for name, value in context.items():
        found = compiled.request.get(name)
        if found is not None:
            changed[found] = None
            values[found] = value
    for quantity in compiled.scanned:
        changed[quantity.index] = values.get(quantity.index, quantity.default)
        assert isinstance(quantity.subject, Aggregate | Presence)
        try:
            values[quantity.index] = scanned_value(
                memory, quantity.subject, now, Reader(compiled, values, is_score=False)
            )
        except Exception:  # noqa: BLE001 - it is unknown then
            values[quantity.index] = None
    settle_computed(compiled, values, changed, failures)
    if not compiled.patterns:
        return values, None
    patterns = Overlay(compiled, memory, values, now, catalogue, failures)
    patterns.begin()
    patterns(changed)
    return values, patterns


def _derive(
    compiled: Compiled,
    values: dict[int, Value | None],
    now: EpochMs,
    asking: Asking,
    failures: Failures,
    follow: Overlay | None,
) -> None:
    if compiled.strata:
        settle_derived(
            compiled,
            values,
            {},
            now,
            lambda rule: rule.holds(values, now, asking),
            failures,
            all_of_them=True,
            follow=follow,
        )
