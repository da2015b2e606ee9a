"""A small program and a view whose truths the test sets, so that arbitration is tested apart from the network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from engine.activation import (
    Combination,
    ConditionReport,
    FactReader,
    RuleFailure,
    RuleReport,
    ScoreAnswer,
    ScoreStatus,
)
from engine.decision import Decision, Request
from engine.language.tree import (
    NOWHERE,
    Aggregate,
    Aggregation,
    BoundRef,
    Condition,
    Fact,
    FactRef,
    FactSource,
    Limit,
    Offer,
    OfferAction,
    Operator,
    Payload,
    Placement,
    Program,
    Rule,
    Schedule,
    Selection,
    Span,
    Template,
    Test,
    Vocabulary,
)
from engine.offers import Grants, MemoryLimits, decide
from engine.values import EpochMs, Kind, Truth, Value, ValueType

MONEY = ValueType(Kind.MONEY)
TEXT = ValueType(Kind.TEXT)
INTEGER = ValueType(Kind.INTEGER)

ALWAYS = Test(FactRef("cart.value"), Operator.AT_LEAST, 0)
ON_PAGE = Test(FactRef("context.page"), Operator.IS, "cart")

WINDOWED = Aggregate(Aggregation.COUNT, Selection("product_viewed"), Span(window=60_000), INTEGER)

FACTS = {
    "cart.value": Fact("cart.value", MONEY, FactSource.PROFILE),
    "customer.name": Fact("customer.name", TEXT, FactSource.PROFILE),
    "context.page": Fact("context.page", TEXT, FactSource.REQUEST),
    "product.stock": Fact("product.stock", INTEGER, FactSource.CATALOGUE, by="product_id"),
    "views.minute": Fact("views.minute", INTEGER, FactSource.FEATURE, aggregate=WINDOWED),
}


def template(text: str, *parts: str) -> Template:
    return Template(text, parts)


def bound_template(text: str, hole: FactRef | BoundRef, name: str) -> Template:
    """A text with one hole behind it."""
    return Template(text, (text.partition("{")[0], name, ""), (hole,))


def rule(
    name: str,
    *nominations: tuple[str, str],
    priority: int = 0,
    enabled: bool = True,
    schedule: Schedule | None = None,
    when: Condition = ALWAYS,
    limits: tuple[Limit, ...] = (),
    budget: int | None = None,
    holdout: float = 0.0,
    position: int = 0,
) -> Rule:
    actions = tuple(OfferAction(offer, placement) for offer, placement in nominations)
    return Rule(
        f"shop.{name}", name, "shop", "growth", "", priority, enabled, schedule, when, actions, limits, budget, holdout,
        (-priority, position, "shop.yaml"), name, NOWHERE,
    )  # fmt: skip


def offer(
    name: str,
    *,
    content: Payload = None,
    cost: int = 0,
    value: int | None = None,
    propensity: str | None = None,
    weight: float = 1.0,
    lever: float = 1.0,
    eligible: Condition | None = None,
    group: str | None = None,
    limits: tuple[Limit, ...] = (),
    holdout: float = 0.0,
) -> Offer:
    return Offer(
        name, "", content, cost, value, propensity, weight, lever, eligible, group, limits, holdout, NOWHERE
    )  # fmt: skip


def program(rules: tuple[Rule, ...], offers: tuple[Offer, ...], slots: Mapping[str, int] | None = None) -> Program:
    """A bundle with the placements `banner` and `hero` (one slot each unless `slots` says otherwise)."""
    placements = {
        name: Placement(name, number, f"standard_{name}")
        for name, number in (slots or {"banner": 1, "hero": 1}).items()
    }
    known = {each.id: each for each in (*offers, *(offer(placement.fallback) for placement in placements.values()))}
    vocabulary = Vocabulary(
        currency="EUR", minor_units=2, session_timeout=1_800_000, keep_events=100, events={}, facts=FACTS, scores={},
        placements=placements,
    )  # fmt: skip
    ordered = tuple(sorted(rules, key=lambda each: each.order))
    return Program(vocabulary=vocabulary, offers=known, segments={}, rules=ordered, tests=())


@dataclass
class FakeView:
    """All rules of the program hold but those in `silent`; conditions are true but those in `truths`."""

    program: Program
    now: EpochMs = 1_000_000
    facts: dict[str, Value] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    truths: dict[Condition, Truth] = field(default_factory=dict)
    bound: dict[str, tuple[Combination, ...]] = field(default_factory=dict)
    until: EpochMs | None = None
    failures: tuple[RuleFailure, ...] = ()
    scores: tuple[tuple[str, ScoreAnswer], ...] = ()

    def holding(self) -> tuple[Rule, ...]:
        return tuple(each for each in self.program.rules if each.name not in self.silent)

    def combinations(self, rule: Rule) -> tuple[Combination, ...]:
        return self.bound.get(rule.name, (Combination(),))

    def fact(self, name: str) -> Value | None:
        return self.facts.get(name)

    def truth(self, condition: Condition) -> Truth:
        return self.truths.get(condition, True)

    def report(self, condition: Condition) -> ConditionReport:
        return ConditionReport("the condition", self.truth(condition), "test", actual="12.00 EUR")

    def explain(self, rule: Rule) -> RuleReport:
        return RuleReport(rule.id, rule.name not in self.silent, self.report(rule.when))

    def valid_until(self) -> EpochMs | None:
        return self.until


@dataclass
class Shop:
    """A session that asks for decisions one after the other."""

    program: Program
    limits: MemoryLimits = field(default_factory=MemoryLimits)
    grants: dict[str, Grants] = field(default_factory=dict)
    answers: dict[str, ScoreAnswer] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    decisions: int = 0

    def score(self, name: str, reader: FactReader) -> ScoreAnswer:
        self.asked.append(name)
        return self.answers.get(name, ScoreAnswer(ScoreStatus.MISSING))

    def decide(
        self,
        *placements: str,
        view: FakeView | None = None,
        session: str = "s1",
        customer: str | None = None,
        salt: str | None = None,
        profiling: bool = True,
        hold: int | None = None,
    ) -> Decision:
        view = view or FakeView(self.program)
        self.decisions += 1
        request = Request(session, customer, view.now, {}, placements or ("banner",))
        decision, self.grants[session] = decide(
            self.program,
            view,
            request,
            decision_id=f"d{self.decisions}",
            score=self.score,
            limits=self.limits,
            grants=self.grants.get(session),
            salt=salt,
            profiling=profiling,
            hold=hold,
        )
        return decision


def shown(decision: Decision, placement: int = 0) -> list[str]:
    """The offers shown in a placement."""
    return [each.offer for each in decision.placements[placement].offers]


def lost(decision: Decision, placement: int = 0) -> dict[str, str]:
    """Why each candidate lost, by `rule/offer`."""
    return {f"{each.rule}/{each.offer}": each.because.value for each in decision.placements[placement].lost}
