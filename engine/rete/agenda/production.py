"""Productions: rules as the network runs them, and whether one holds for some values."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field

from engine.activation import TriggerMessage
from engine.language.bindings import attributes_of, binders
from engine.language.tree import (
    AssertAction,
    BoundRef,
    Condition,
    Limit,
    LimitScope,
    Program,
    Rule,
    ScoreTest,
    TriggerAction,
)
from engine.offers.content import fill, holes
from engine.rete.agenda.scoring import Asking
from engine.rete.conditions.joining import alternatives, binds_names, joined_in, rule_form
from engine.rete.conditions.literals import Literal
from engine.rete.conditions.normal_form import Conjunct, NormalForm
from engine.rete.conditions.quantity import Quantities
from engine.rete.conditions.truth import ScoreTruth, Values
from engine.values import EpochMs, Value, ValueType


@dataclass(slots=True, eq=False)
class Production:
    """A compiled rule.

    In a network that was made from nothing, its place in the order of acting is its index; in one that was amended,
    `Compiled.ranks` has it.

    Attributes:
        conjuncts: It holds when one of them does.
        cheap: Those without scores.
        asking: Those with scores, or all of a condition with scores that is too large to be multiplied out.
        literals: Of all conjuncts.
        reads: The quantities that it looks at.
        asserts: Derived facts by the index of their quantity, with the value.
        limits: Its limits per session.
        triggers: Its triggers.
        messages: What they send, where no fact has to be filled in; else None.
        is_prompt: Whether it always acts when it becomes true, and always says the same: no switch, schedule or limit of
            its own has to be asked, and no fact filled in.
        form: Its condition as the network runs it, where that is another.
        patterns: The joined conditions for each of whose combinations it acts, by the index of their quantity.
        types: The types of what it binds.
        broken: Why it could not be compiled; it never holds then, and says so when it is looked at.
    """

    index: int
    rule: Rule
    conjuncts: tuple[Conjunct, ...] = ()
    cheap: tuple[Conjunct, ...] = ()
    asking: tuple[Conjunct, ...] = ()
    literals: tuple[Literal, ...] = ()
    reads: tuple[int, ...] = ()
    asserts: tuple[tuple[int, Value], ...] = ()
    limits: tuple[Limit, ...] = ()
    triggers: tuple[TriggerAction, ...] = ()
    messages: tuple[TriggerMessage, ...] | None = None
    is_prompt: bool = False
    form: Condition | None = None
    patterns: tuple[int, ...] = ()
    types: Mapping[BoundRef, ValueType] = field(default_factory=dict)
    broken: str | None = None

    @property
    def score_tests(self) -> tuple[ScoreTest, ...]:
        """Its score tests, each once."""
        found: list[ScoreTest] = []
        for conjunct in self.asking:
            found.extend(test for test, _ in conjunct.scores)
            if conjunct.whole is not None:
                found.extend(conjunct.whole.scores)
        return tuple(dict.fromkeys(found))

    def holds(self, values: Values, now: EpochMs, asking: Asking) -> bool:
        """Whether the rule is true; asks for scores only where they decide. Raises what its tests raise."""
        if self.broken is not None:
            raise ValueError(self.broken)
        for conjunct in self.cheap:
            if _holds_cheaply(conjunct, values, now):
                if self.asking and not asking.is_worth_it:
                    asking.is_worth_it = any(_may_hold(each, values, now) for each in self.asking)
                return True
        for conjunct in self.asking:
            if _may_hold(conjunct, values, now):
                asking.is_worth_it = True
                if _holds_by_scores(conjunct, values, now, asking.truth):
                    return True
        return False

    def holds_plainly(self, values: Values, now: EpochMs) -> bool:
        """Whether a rule without scores is true. Raises what its tests raise."""
        if self.broken is not None:
            raise ValueError(self.broken)
        for conjunct in self.cheap:  # noqa: SIM110 - as below
            if _holds_cheaply(conjunct, values, now):
                return True
        return False


def compile_rules(program: Program, quantities: Quantities, normal_form: NormalForm) -> list[Production]:
    """The productions of the rules, which stand in order of acting."""
    return [compile_rule(index, rule, program, quantities, normal_form) for index, rule in enumerate(program.rules)]


def compile_rule(
    index: int, rule: Rule, program: Program, quantities: Quantities, normal_form: NormalForm
) -> Production:
    """The production of one rule; one that says why it is broken where it can't be compiled."""
    made = Production(index, rule)
    made.triggers = tuple(action for action in rule.actions if isinstance(action, TriggerAction))
    if not any(True for trigger in made.triggers for _ in holes(trigger.payload)):
        vocabulary = quantities.vocabulary
        made.messages = tuple(
            TriggerMessage(each.name, fill(each.payload, _no_fact, vocabulary)) for each in made.triggers
        )
    made.limits = tuple(limit for limit in rule.limits if limit.scope is LimitScope.SESSION)
    made.is_prompt = rule.enabled and rule.schedule is None and not made.limits and made.messages is not None
    try:
        made.asserts = tuple(
            (quantities.of_fact(action.fact).index, action.value)
            for action in rule.actions
            if isinstance(action, AssertAction)
        )
        form = rule_form(rule, program)
        made.conjuncts = tuple(found for each in alternatives(form) for found in normal_form.conjuncts(each))
        if form is not rule.when:
            made.form = form
            _bind(made, form, quantities)
    except Exception as problem:  # noqa: BLE001 - the other rules of the bundle must run; this one is reported by name
        made.broken = f"{type(problem).__name__}: {problem}"
        return made
    made.asking = tuple(each for each in made.conjuncts if each.scores or (each.whole and each.whole.scores))
    made.cheap = tuple(each for each in made.conjuncts if each not in made.asking)
    literals: dict[Hashable, Literal] = {}
    for conjunct in made.conjuncts:
        for literal in conjunct.literals if conjunct.whole is None else conjunct.whole.literals:
            literals[literal.key] = literal
    made.literals = tuple(literals.values())
    made.reads = tuple(dict.fromkeys(index for literal in made.literals for index in literal.reads))
    return made


def _bind(made: Production, form: Condition, quantities: Quantities) -> None:
    """Note what the rule binds, and the patterns in which it is bound."""
    joined = [subject for subject in joined_in(form) if binds_names(subject)]
    made.patterns = tuple(dict.fromkeys(quantities.of(subject).index for subject in joined))
    vocabulary = quantities.vocabulary
    for name, binder in binders(made.rule.when).items():
        for attribute, kind in attributes_of(binder, vocabulary).items():
            made.types = {**made.types, BoundRef(name, attribute): kind}


def _no_fact(name: str) -> None:
    return None


def _holds_cheaply(conjunct: Conjunct, values: Values, now: EpochMs) -> bool:
    if conjunct.whole is not None:
        return conjunct.whole.holds(values, now)
    for literal in conjunct.literals:  # noqa: SIM110 - a generator costs three times as much
        if not literal.holds(values, now):
            return False
    return True


def _may_hold(conjunct: Conjunct, values: Values, now: EpochMs) -> bool:
    """Whether what is cheap leaves it to the scores."""
    return _holds_cheaply(conjunct, values, now) if conjunct.whole is None else conjunct.whole.may_hold(values, now)


def _holds_by_scores(conjunct: Conjunct, values: Values, now: EpochMs, score: ScoreTruth | None) -> bool:
    """Whether one that may hold does."""
    if conjunct.whole is not None:
        return conjunct.whole.holds(values, now, score)
    return all(score is not None and score(test) is wanted for test, wanted in conjunct.scores)


def alternative_holds(conjunct: Conjunct, values: Values, now: EpochMs, score: ScoreTruth | None) -> bool:
    """Whether one of a rule's alternatives is true; its scores are asked only where they decide."""
    return _may_hold(conjunct, values, now) and _holds_by_scores(conjunct, values, now, score)
