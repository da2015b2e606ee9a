"""Random vocabularies, rules and histories, drawn from any `random.Random`.

Times are multiples of half a second and windows whole seconds, so that exact window edges, equal times and late events
are common. Hypothesis gives a Random that it can shrink; `fuzz.py` gives plain ones, which is much faster.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from engine.activation import FactReader, ScoreAnswer, ScoreFunction, ScoreStatus
from engine.event import Event
from engine.language.tree import (
    NOWHERE,
    Absence,
    Action,
    Aggregate,
    Aggregation,
    All,
    AnyOf,
    AssertAction,
    Attribute,
    AttributeTest,
    BoundRef,
    CalendarUnit,
    Condition,
    EventType,
    Expression,
    Fact,
    FactRef,
    FactSource,
    IfUnavailable,
    Keyed,
    Limit,
    LimitScope,
    Not,
    Offer,
    Operator,
    Program,
    Rule,
    Schedule,
    ScoreDef,
    ScoreTest,
    Seen,
    Segment,
    Selection,
    Sequence,
    SequenceStep,
    Span,
    Template,
    Test,
    TriggerAction,
    Vocabulary,
)
from engine.values import Kind, Value, ValueType
from tests.generative.words import (
    CATALOGUE,
    EVENTS,
    FACTS,
    INTEGER,
    NUMBER,
    ORDERED,
    SAMPLES,
    START,
    WINDOWS,
    Catalogue,
    Scope,
)


@dataclass
class World:
    """Draws everything.

    `wild` allows what a checker would refuse: derived facts that feed their own opposite. `plain` worlds have only what
    an event changes at once, windows and profile facts: the network has a short way for them. `patterns` are the words
    for conditions over several events that may be drawn.
    """

    random: Random
    wild: bool = False
    plain: bool = False
    patterns: frozenset[str] = frozenset()
    features: dict[str, Fact] = field(default_factory=dict)
    numbers: int = 0

    def one(self, options: Any) -> Any:
        return options[self.random.randrange(len(options))]

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    # ---------------------------------------------------------------- vocabulary

    def vocabulary(self, keep_events: int = 500) -> Vocabulary:
        facts = {name: Fact(name, kind, source) for name, (kind, source) in FACTS.items()}
        facts |= {name: Fact(name, kind, FactSource.CATALOGUE, "colour") for name, kind in CATALOGUE.items()}
        self.features = {}
        for number in range(self.random.randrange(4)):
            aggregate = self.aggregate(may_look_at_facts=False)
            name = f"feature.f{number}"  # never over facts: those are scanned
            self.features[name] = Fact(name, aggregate.type, FactSource.FEATURE, aggregate=aggregate)
        numeric = [name for name, fact in self.features.items() if fact.type.kind in {Kind.INTEGER, Kind.MONEY}]
        for number in range(0 if self.plain else self.random.randrange(3)):
            name = f"feature.c{number}"
            names = [*numeric, "customer.orders", *(["shopper.level"] if self.chance(0.3) else [])]
            expression = self.expression(names)
            self.features[name] = Fact(name, expression.type, FactSource.FEATURE, computed=expression)
            numeric.append(name)
        return Vocabulary(
            "EUR",
            2,
            1_800_000,
            keep_events,
            {
                name: EventType(name, {attribute: Attribute(attribute, kind) for attribute, kind in attributes.items()})
                for name, attributes in EVENTS.items()
            },
            facts | self.features,
            {name: ScoreDef(name, name, 20) for name in ("intent", "churn")},
            {},
        )

    def expression(self, names: list[str]) -> Expression:
        left, right = self.one(names), self.one(names)
        operator = self.one("+-*/")
        program: tuple[tuple[str, Any], ...] = (("name", left), ("name", right), ("op", operator))
        if self.chance(0.5):
            program = (("name", left), ("value", self.one((2, 3, 0.5))), ("op", operator))
        return Expression(f"{program}", program, self.one((INTEGER, NUMBER)))

    def aggregate(self, *, may_look_at_facts: bool = True, scope: Scope = ()) -> Aggregate:
        function = self.one(tuple(Aggregation))
        event = self.one(("view", "cart"))
        kinds = EVENTS[event]
        if function is Aggregation.COUNT:
            attribute, kind = None, INTEGER
        elif function is Aggregation.DISTINCT:
            attribute, kind = self.one([name for name in kinds if name != "tags"]), INTEGER
        else:
            numeric = [name for name, each in kinds.items() if each.kind in {Kind.MONEY, Kind.INTEGER, Kind.NUMBER}]
            ends = function in {Aggregation.FIRST, Aggregation.LAST}
            attribute = self.one(list(kinds) if ends else numeric)
            kind = kinds[attribute]
            if function is Aggregation.AVERAGE and kind.kind is Kind.INTEGER:
                kind = NUMBER
        minus = None
        if function in {Aggregation.SUM, Aggregation.COUNT} and self.chance(0.3):
            other = "price" if attribute == "price" else None
            if function is Aggregation.COUNT or other is not None:
                minus = Selection(self.one(("view", "cart")), other, self.where("cart", may_look_at_facts=False)[:0])
        selection = Selection(event, attribute, self.where(event, scope, may_look_at_facts=may_look_at_facts))
        return Aggregate(function, selection, self.span(), kind, minus)

    def span(self) -> Span:
        draw = self.random.random()
        if draw < 0.55:
            return Span(window=self.one(WINDOWS))
        return Span(since=self.one(("pay", "cart"))) if draw < 0.75 else Span()

    def where(self, event: str, scope: Scope = (), *, may_look_at_facts: bool = True) -> tuple[AttributeTest, ...]:
        tests = set()
        if scope and self.chance(0.7):
            join = self.join(event, scope)
            tests |= {join} if join is not None else set()
            keys = [ref for ref, _ in scope if ref.attribute == "colour"]
            if keys and "price" in EVENTS[event] and "of" in self.patterns and self.chance(0.2):
                tests.add(AttributeTest("price", self.one(ORDERED), FactRef("product.price", self.one(keys))))
        attributes = [name for name in EVENTS[event] if name != "tags"]
        while attributes and self.chance(0.35):
            name = self.one(attributes)
            kind = EVENTS[event][name]
            if may_look_at_facts and not self.plain and kind.kind is Kind.MONEY and self.chance(0.2):
                tests.add(AttributeTest(name, self.one(ORDERED), FactRef("customer.spent")))
            else:
                operator, operand = self.test(kind)
                tests.add(AttributeTest(name, operator, operand))
        return tuple(sorted(tests, key=repr))

    # ---------------------------------------------------------------- conditions

    def test(self, kind: ValueType) -> tuple[Operator, Any]:
        """An operator and an operand that fit the type."""
        samples = SAMPLES[kind.kind]
        options: list[Operator] = [Operator.IS, Operator.IS, Operator.IS_NOT, Operator.EXISTS]
        if kind.kind is Kind.LIST:
            options = [Operator.CONTAINS, Operator.EXISTS]
        elif kind.kind is not Kind.BOOLEAN:
            options += [Operator.IS_ONE_OF, Operator.IS_NONE_OF]
        if kind.kind is Kind.TEXT:
            options += [Operator.MATCHES, Operator.STARTS_WITH, Operator.ENDS_WITH, Operator.CONTAINS]
        if kind.is_ordered and kind.kind is not Kind.TIMESTAMP:
            options += [*ORDERED, *ORDERED, Operator.BETWEEN]
        if kind.kind is Kind.TIMESTAMP and self.plain:
            options += [Operator.BEFORE, Operator.AFTER] * 2
        elif kind.kind is Kind.TIMESTAMP:
            options += [Operator.BEFORE, Operator.AFTER, Operator.OLDER_THAN, Operator.WITHIN_LAST] * 2
        operator = self.one(options)
        if operator is Operator.EXISTS:
            return operator, self.chance(0.5)
        if operator in {Operator.OLDER_THAN, Operator.WITHIN_LAST}:
            return operator, self.one(WINDOWS)
        if operator is Operator.MATCHES:
            return operator, self.one(("a.*", "[ab]nn?", "bob"))
        if operator in {Operator.STARTS_WITH, Operator.ENDS_WITH, Operator.CONTAINS}:
            return operator, self.one(("a", "an", "b"))
        if operator is Operator.BETWEEN:
            return operator, tuple(sorted((self.one(samples), self.one(samples))))
        if operator in {Operator.IS_ONE_OF, Operator.IS_NONE_OF}:
            return operator, tuple(sorted({self.one(samples), self.one(samples)}))
        return operator, self.one(samples)

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

    def join(self, event: str, scope: Scope) -> AttributeTest | None:
        """An attribute of the event against one that is bound."""
        fitting = [(name, ref) for name, kind in EVENTS[event].items() for ref, other in scope if other == kind]
        if not fitting:
            return None
        name, ref = self.one(fitting)
        operators = [Operator.IS, Operator.IS, Operator.IS, Operator.IS_NOT]
        return AttributeTest(name, self.one(operators + list(ORDERED) * EVENTS[event][name].is_ordered), ref)

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

    def message(self, scope: Scope) -> Template:
        """Text with holes for what is bound."""
        ref, _ = self.one(scope)
        if ref.attribute == "colour" and "of" in self.patterns and self.chance(0.3):
            name = f"product.stock of {ref.name}.colour"
            return Template(f"{{{name}}}", ("", name, ""), (FactRef("product.stock", ref),))
        name = f"{ref.name}.{ref.attribute}"
        return Template(f"{{{name}}}", ("", name, ""), (ref,))

    # ---------------------------------------------------------------- rules

    def rule(self, vocabulary: Vocabulary, condition: Condition | None = None) -> Rule:
        self.numbers += 1
        number = self.numbers
        scope: Scope = ()
        if condition is None and "as" in self.patterns and self.chance(0.6):
            when, scope = self.joined(vocabulary)
        else:
            when = condition if condition is not None else self.condition(vocabulary, 3)
        hole = Template("{customer.orders}!", ("", "customer.orders", "!"), (FactRef("customer.orders"),))
        actions: list[Action] = [TriggerAction(f"t{number}", hole)]
        if scope and self.chance(0.7):
            actions = [TriggerAction(f"t{number}", self.message(scope))]
        if self.chance(0.3) and not self.plain:
            fact = self.derived(when)
            if fact is not None:
                value = self.one((1, 2, 3)) if fact == "shopper.level" else self.chance(0.9)
                actions.append(AssertAction(fact, value))
        return Rule(
            f"set.r{number}",
            f"r{number}",
            "set",
            "",
            "",
            self.random.randrange(3),
            self.chance(0.93),
            self.schedule() if self.chance(0.15) and not self.plain else None,
            when,
            tuple(actions),
            tuple(self.limit() for _ in range(1)) if self.chance(0.2) else (),
            None,
            0.0,
            (0, number, ""),
            hashlib.sha256(f"{number} {when!r} {actions!r}".encode()).hexdigest(),
            NOWHERE,
        )

    def derived(self, when: Condition) -> str | None:
        """A derived fact that the rule may assert: without `wild`, one that its condition can't feed back to."""
        order = ["shopper.keen", "shopper.lost", "shopper.rich", "shopper.level"]
        if self.wild or self.chance(0.15):
            return str(self.one(order)) if self.wild else None
        text = repr(when)
        looked_at = [at for at, name in enumerate(order) if name in text]
        if "feature.c" in text:
            looked_at.append(3)  # a computed feature may look at the level
        allowed = order[max(looked_at, default=-1) + 1 :]
        return str(self.one(allowed)) if allowed else None

    def schedule(self) -> Schedule:
        if self.chance(0.4):
            midnight_minute = 22 * 60 + 13
            begin = midnight_minute + self.random.randrange(2)
            return Schedule(timezone="UTC", between=(begin, begin + 1), days=self.one(((), (1,), (0, 1))))
        begin = START + 500 * self.random.randrange(40)
        return Schedule(begin, begin + 500 * self.random.randrange(1, 30) if self.chance(0.7) else None)

    def limit(self) -> Limit:
        draw = self.random.random()
        if draw < 0.4:
            return Limit(LimitScope.SESSION, 1 + self.random.randrange(2))
        if draw < 0.8:
            return Limit(LimitScope.SESSION, 1, sliding=self.one(WINDOWS))
        return Limit(LimitScope.SESSION, 1, calendar=self.one(tuple(CalendarUnit)), timezone="Europe/Berlin")

    def program(self, keep_events: int = 500) -> Program:
        vocabulary = self.vocabulary(keep_events)
        rules = [self.rule(vocabulary) for _ in range(1 + self.random.randrange(6))]
        return program_of(vocabulary, rules, {"o": self.offer(vocabulary)} if self.chance(0.3) else {})

    def offer(self, vocabulary: Vocabulary) -> Offer:
        return Offer("o", "", None, 0, None, None, 1.0, 1.0, self.condition(vocabulary, 1), None, (), 0.0, NOWHERE)

    def edited(self, program: Program) -> Program:
        """Another revision: some rules gone, some new; or some written anew, where they stand."""
        vocabulary = program.vocabulary
        if self.chance(0.5):
            rules = [self.rewritten(rule, vocabulary) if self.chance(0.4) else rule for rule in program.rules]
            return replace(program, rules=tuple(rules))
        kept = [rule for rule in program.rules if self.chance(0.7)]
        new = [self.rule(vocabulary) for _ in range(self.random.randrange(3))]
        rules = kept + new
        self.random.shuffle(rules)
        return program_of(vocabulary, rules or [self.rule(vocabulary)], program.offers)

    def rewritten(self, rule: Rule, vocabulary: Vocabulary) -> Rule:
        """A rule of the same name, place and priority: as it was, a little changed, or another one altogether."""
        if self.chance(0.2):
            return replace(rule, note=f"{rule.note}!")
        new = self.rule(vocabulary)
        if self.chance(0.5):
            new = replace(new, when=rule.when, actions=rule.actions)
        return replace(new, id=rule.id, name=rule.name, priority=rule.priority, order=rule.order)

    # ---------------------------------------------------------------- history

    def event(self, number: int, time: int) -> Event:
        kind = self.one(("view", "view", "view", "cart", "cart", "pay", "unheard"))
        attributes = {
            name: self.one(SAMPLES[each.kind]) for name, each in EVENTS.get(kind, {}).items() if self.chance(0.8)
        }
        return Event(str(number), kind, "s", time, "c" if self.chance(0.1) else None, attributes)

    def facts(self) -> dict[str, Value | None]:
        names = [name for name, (_, source) in FACTS.items() if source is FactSource.PROFILE]
        return {
            name: self.one(SAMPLES[FACTS[name][0].kind]) if self.chance(0.85) else None
            for name in names
            if self.chance(0.3)
        }

    def context(self) -> dict[str, Value]:
        return {"context.page": self.one(SAMPLES[Kind.CHOICE])} if self.chance(0.6) else {}


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


def catalogue(salt: int) -> Catalogue:
    """Facts of things: the same whenever asked, unknown for some."""

    def look_up(fact: str, key: Value) -> Value | None:
        drawn = hashlib.sha256(f"{salt} {fact} {key}".encode()).digest()
        samples = SAMPLES[CATALOGUE[fact].kind]
        return samples[drawn[1] % len(samples)] if drawn[0] > 60 else None

    return look_up


def program_of(vocabulary: Vocabulary, rules: list[Rule], offers: Any) -> Program:
    """Rules in order of acting."""
    ordered = [replace(rule, order=(-rule.priority, rule.order[1], "")) for rule in rules]
    return Program(vocabulary, offers, {}, tuple(sorted(ordered, key=lambda rule: rule.order)), ())


def scores(salt: int) -> ScoreFunction:
    """A model that is a pure function of what it reads, fails for some of it, and asks for several facts."""

    def score(name: str, read: FactReader) -> ScoreAnswer:
        seen = [read(fact) for fact in ("customer.orders", "feature.f0", "feature.f1", "feature.c0", "shopper.keen")]
        drawn = hashlib.sha256(f"{salt} {name} {seen!r}".encode()).digest()
        if drawn[0] < 50:
            return ScoreAnswer((ScoreStatus.MISSING, ScoreStatus.DEADLINE, ScoreStatus.ERROR)[drawn[1] % 3])
        return ScoreAnswer(ScoreStatus.OK, drawn[2] / 255, "v1")

    return score
