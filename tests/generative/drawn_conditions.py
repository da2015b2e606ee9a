"""Random conditions: single ones, such as bind names, and such as use what is bound."""

from __future__ import annotations

from dataclasses import replace

from engine.language.tree import (
    Absence,
    All,
    AnyOf,
    BoundRef,
    Condition,
    FactRef,
    IfUnavailable,
    Keyed,
    Not,
    Operator,
    ScoreTest,
    Seen,
    Segment,
    Selection,
    Sequence,
    SequenceStep,
    Test,
    Vocabulary,
)
from engine.values import Kind
from tests.generative.quantities import Quantities
from tests.generative.words import (
    CATALOGUE,
    EVENTS,
    ORDERED,
    WINDOWS,
    Scope,
)


class Conditions(Quantities):
    """Draws conditions."""

    def leaf(self, vocabulary: Vocabulary) -> Condition:
        if self.patterns and self.chance(0.35):
            pattern = self.pattern(())
            if pattern is not None:
                return pattern
        draw = self.random.random()
        if draw < 0.3:
            event = self.one(tuple(EVENTS))
            return Seen(Selection(event, None, self.where(event)), self.span())
        if draw < 0.55:
            aggregate = self.aggregate()
            return Test(aggregate, *self.test(aggregate.type))
        if draw < 0.65 and not self.plain:
            return self.score_test()
        names = [name for name in vocabulary.facts if name not in CATALOGUE]
        name = self.one(names)
        kind = vocabulary.facts[name].type
        if self.chance(0.15):
            same = [other for other in names if vocabulary.facts[other].type == kind and kind.is_ordered]
            if same:
                return Test(FactRef(name), self.one(ORDERED), FactRef(self.one(same)))
        if kind.kind is Kind.TIMESTAMP and not self.plain and self.chance(0.15):
            return Test(
                FactRef(name), self.one((Operator.OLDER_THAN, Operator.WITHIN_LAST)), FactRef("customer.patience")
            )
        return Test(FactRef(name), *self.test(kind))

    def score_test(self) -> ScoreTest:
        operator = self.one(ORDERED)
        operand = self.one((0.3, 0.5, 0.7))
        fallback = self.one(tuple(IfUnavailable))
        lowers = operator in {Operator.ABOVE, Operator.AT_LEAST}
        release = (operand - 0.25 if lowers else operand + 0.25) if self.chance(0.4) else None
        known = self.one(WINDOWS) if fallback is IfUnavailable.LAST_KNOWN else None
        return ScoreTest(self.one(("intent", "churn")), operator, operand, fallback, release, known)

    def condition(self, vocabulary: Vocabulary, depth: int) -> Condition:
        draw = self.random.random()
        if depth == 0 or draw < 0.25:
            return self.leaf(vocabulary)
        if draw < 0.4:
            return Not(self.condition(vocabulary, depth - 1))
        if draw < 0.48:
            return Segment(f"s{self.random.randrange(3)}", self.condition(vocabulary, depth - 1))
        parts = tuple(self.condition(vocabulary, depth - 1) for _ in range(1 + self.random.randrange(3)))
        return AnyOf(parts) if draw < 0.66 else All(parts)

    # ---------------------------------------------------------------- patterns

    def pattern(self, scope: Scope, name: str | None = None) -> Condition | None:
        """A condition over several events, which binds this name if one is given; None for one that can't be drawn."""
        draw = self.random.random()
        if name is None and draw < 0.3:
            return self.absence(scope) if "absence" in self.patterns else None
        if draw < 0.65:
            return self.keyed(scope, name) if "per" in self.patterns else None
        return self.sequence(scope, name) if "sequence" in self.patterns else None

    def absence(self, scope: Scope) -> Absence:
        of, after = self.one(tuple(EVENTS)), self.one(tuple(EVENTS))
        length = self.one(WINDOWS)
        until = length + self.one(WINDOWS) if self.chance(0.5) else None
        return Absence(
            Selection(of, None, self.where(of, scope)), Selection(after, None, self.where(after, scope)), length, until
        )

    def keyed(self, scope: Scope, name: str | None) -> Keyed:
        aggregate = self.aggregate(scope=scope)
        if aggregate.minus is not None and self.chance(0.5):
            aggregate = replace(aggregate, minus=None)
        shared = [key for key in EVENTS[aggregate.of.event] if key in {"colour", "gift", "size"}]
        tests = tuple(self.test(aggregate.type) for _ in range(1 + self.chance(0.2)))
        if aggregate.type.kind is Kind.INTEGER and self.chance(0.6):
            tests = ((Operator.AT_LEAST, 1 + self.random.randrange(2)),)
        takes = "take" in self.patterns and name is not None and aggregate.type.is_ordered and self.chance(0.4)
        return Keyed(aggregate, self.one(shared), tuple(sorted(tests, key=repr)), name, takes)

    def sequence(self, scope: Scope, name: str | None) -> Sequence:
        steps: list[SequenceStep] = []
        for number in range(2 + self.chance(0.3)):
            event = self.one(("view", "view", "cart", "pay"))
            bind = f"{name}{number}" if name is not None and (number == 0 or self.chance(0.4)) else None
            steps.append(SequenceStep(Selection(event, None, self.where(event, scope)), bind))
            scope += attributes_of(bind, event)
        return Sequence(tuple(steps), self.span())

    def joined(self, vocabulary: Vocabulary) -> tuple[Condition, Scope]:
        """A condition of binders and of others that use what is bound, with all that is bound."""
        parts: list[Condition] = []
        scope: Scope = ()
        for name in ("a", "b")[: 1 + self.chance(0.35)]:
            binder = self.pattern(scope, name) if self.chance(0.55) else None
            if binder is None:
                event = self.one(("view", "view", "cart"))
                binder = Seen(Selection(event, None, self.where(event, scope)), self.span(), name)
            parts.append(binder)
            scope += bound_by(binder)
        parts += [self.user(vocabulary, scope) for _ in range(self.random.randrange(3))]
        self.random.shuffle(parts)
        if len(parts) > 2 and self.chance(0.2):
            parts = [All(tuple(parts[:2])), *parts[2:]]
        return (parts[0] if len(parts) == 1 and self.chance(0.5) else All(tuple(parts))), scope

    def user(self, vocabulary: Vocabulary, scope: Scope) -> Condition:
        """A condition that may use what is bound."""
        draw = self.random.random()
        if draw < 0.25:
            return Not(self.user(vocabulary, scope))
        if draw < 0.35:
            return AnyOf((self.user(vocabulary, scope), self.user(vocabulary, scope)))
        if draw < 0.55:
            event = self.one(("view", "cart"))
            return Seen(Selection(event, None, self.where(event, scope)), self.span())
        if draw < 0.7:
            aggregate = self.aggregate(scope=scope)
            return Test(aggregate, *self.test(aggregate.type))
        if draw < 0.8:
            ordered = [(ref, kind) for ref, kind in scope if kind.kind is Kind.MONEY or kind.kind is Kind.INTEGER]
            if ordered:
                ref, kind = self.one(ordered)
                fact = "customer.spent" if kind.kind is Kind.MONEY else "customer.orders"
                return Test(FactRef(fact), self.one(ORDERED), ref)
        keys = [ref for ref, _ in scope if ref.attribute == "colour"]
        if draw < 0.92 and keys and "of" in self.patterns:
            fact = self.one(tuple(CATALOGUE))
            return Test(FactRef(fact, self.one(keys)), *self.test(CATALOGUE[fact]))
        return self.pattern(scope) or self.leaf(vocabulary)


def attributes_of(name: str | None, event: str) -> Scope:
    """What a name that is bound to an event of a type gives."""
    return tuple((BoundRef(name, each), kind) for each, kind in EVENTS[event].items()) if name is not None else ()


def bound_by(binder: Condition) -> Scope:
    """What a condition binds."""
    if isinstance(binder, Keyed):
        key = EVENTS[binder.aggregate.of.event][binder.per]
        name = str(binder.bind)
        return ((BoundRef(name, binder.per), key), (BoundRef(name, "value"), binder.aggregate.type))
    if isinstance(binder, Sequence):
        return sum((attributes_of(step.bind, step.of.event) for step in binder.steps), ())
    assert isinstance(binder, Seen)
    return attributes_of(binder.bind, binder.of.event)
