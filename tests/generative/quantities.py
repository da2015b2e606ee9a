"""Random vocabularies, aggregates and tests: what there is to look at, and what is asked of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Any

from engine.language.tree import (
    Aggregate,
    Aggregation,
    Attribute,
    AttributeTest,
    EventType,
    Expression,
    Fact,
    FactRef,
    FactSource,
    Operator,
    ScoreDef,
    Selection,
    Span,
    Vocabulary,
)
from engine.values import Kind, ValueType
from tests.generative.words import (
    CATALOGUE,
    EVENTS,
    FACTS,
    INTEGER,
    NUMBER,
    ORDERED,
    SAMPLES,
    WINDOWS,
    Scope,
)


@dataclass
class Quantities:
    """Draws facts, features, aggregates, and tests on them.

    `wild` allows what a checker would refuse: derived facts that feed their own opposite. `plain` worlds have only what
    an event changes at once, windows and profile facts: the network has a short way for them. `patterns` are the words
    for conditions over several events that may be drawn. In `is_close` worlds rules differ from others in one limit only,
    assert different values of one fact, or what another looks at that looks at what they assert.
    """

    random: Random
    wild: bool = False
    plain: bool = False
    patterns: frozenset[str] = frozenset()
    is_close: bool = False
    features: dict[str, Fact] = field(default_factory=dict)
    numbers: int = 0

    def one(self, options: Any) -> Any:
        return options[self.random.randrange(len(options))]

    def chance(self, share: float) -> bool:
        return self.random.random() < share

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
        left, right, operator = (str(item) for _, item in program)
        return Expression(f"{left} {operator} {right}", program, self.one((INTEGER, NUMBER)))

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
            if keys and "price" in EVENTS[event] and "where" in self.patterns and self.chance(0.2):
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

    def join(self, event: str, scope: Scope) -> AttributeTest | None:
        """An attribute of the event against one that is bound."""
        fitting = [(name, ref) for name, kind in EVENTS[event].items() for ref, other in scope if other == kind]
        if not fitting:
            return None
        name, ref = self.one(fitting)
        operators = [Operator.IS, Operator.IS, Operator.IS, Operator.IS_NOT]
        return AttributeTest(name, self.one(operators + list(ORDERED) * EVENTS[event][name].is_ordered), ref)
