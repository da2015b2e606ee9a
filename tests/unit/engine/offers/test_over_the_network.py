"""Offers over the real network: rules from text, events, a clock, and what is shown."""

from __future__ import annotations

from engine.activation import FactReader, ScoreAnswer, ScoreStatus
from engine.decision import Decision, Outcome, Request
from engine.event import RawEvent
from engine.language import check
from engine.offers import RECHECK, Grants, MemoryLimits, decide
from engine.rete import Network
from engine.values import EpochMs, Value
from engine.vocabulary import admit
from tests.unit.engine.offers.fakes import lost, shown

VOCABULARY = """
currency: EUR
session: {timeout: 30 minutes, keep_events: 100}
events:
  cart_added: {price: money}
  product_viewed: {category: text}
facts:
  customer.name: {type: text, from: profile}
  context.page: {type: text, from: request}
features:
  cart.value: {sum: cart_added.price}
  views.minute: {count: product_viewed, within: 1 minute}
scores:
  likes_shoes: {model: shoes, within: 20 ms}
placements:
  banner: {slots: 2, fallback: standard}
"""
OFFERS = """
offers:
  standard: {note: all, content: {title: Two days}}
  cart: {note: cart, content: {title: "{cart.value} travel free"}, eligible: {fact: cart.value, above: 10}}
  hello: {note: hello, content: {title: "Hello {customer.name}"}}
  shoes: {note: shoes, content: {title: Shoes}, value: 10, propensity: likes_shoes}
  views: {note: views, content: {title: "{views.minute} looks"}, value: 4}
  page: {note: page, content: {title: Here}}
"""
RULES = """
ruleset: r
owner: o
rules:
  - rule: cart
    priority: 9
    when: {event: cart_added, within: 5 minutes}
    then: [{offer: cart, placement: banner}]
  - rule: hello
    priority: 8
    when: {fact: context.page, is: home}
    then: [{offer: hello, placement: banner}, {offer: page, placement: banner}]
  - rule: looks
    when: {event: product_viewed}
    then: [{offer: shoes, placement: banner}, {offer: views, placement: banner}]
  - rule: evening
    priority: 20
    schedule: {from: 2026-06-15T18:00, until: 2026-06-15T19:00}
    when: {fact: context.page, is: evening}
    then: [{offer: page, placement: banner}]
"""
NINE = 1_781_514_000_000  # 2026-06-15T09:00Z
MINUTE = 60_000


class Session:
    """One session over a network, with a clock in minutes after nine."""

    def __init__(self) -> None:
        checked = check({"vocabulary.yaml": VOCABULARY, "offers.yaml": OFFERS, "r.yaml": RULES})
        assert checked.program is not None, checked.diagnostics
        self.program = checked.program
        self.network = Network.build(self.program)
        self.memory = self.network.open("s")
        self.limits = MemoryLimits()
        self.grants: Grants = {}
        self.answer = ScoreAnswer(ScoreStatus.MISSING)
        self.features: list[Value | None] = []

    def score(self, name: str, reader: FactReader) -> ScoreAnswer:
        self.features.append(reader("views.minute"))
        return self.answer

    def event(self, minutes: float, kind: str, **attributes: object) -> None:
        at = NINE + round(minutes * MINUTE)
        raw = RawEvent(kind, "s", f"{kind}-{at}", at, None, attributes)
        self.network.insert(self.memory, admit(self.program.vocabulary, raw, at), self.score)

    def decide(self, minutes: float, *, profiling: bool = True, **context: Value) -> Decision:
        now: EpochMs = NINE + round(minutes * MINUTE)
        facts = {f"context.{name}": value for name, value in context.items()}
        view = self.network.view(self.memory, now, facts, self.score)
        request = Request("s", None, now, facts, ("banner",))
        decision, self.grants = decide(
            self.program,
            view,
            request,
            decision_id=f"d{now}",
            score=self.score,
            limits=self.limits,
            grants=self.grants,
            profiling=profiling,
        )
        return decision


def test_a_rule_nominates_while_its_window_holds_and_the_decision_says_until_when() -> None:
    session = Session()
    session.event(0, "cart_added", price=12.5)
    decision = session.decide(1)
    (placed,) = decision.placements
    assert shown(decision) == ["cart"]
    assert placed.offers[0].content == {"title": "12.50 EUR travel free"}
    assert placed.offers[0].reasons[0].subject == "cart_added"
    assert placed.valid_until == NINE + 5 * MINUTE
    assert shown(session.decide(4.999)) == ["cart"]
    after = session.decide(5)
    assert shown(after) == ["standard"]
    assert after.placements[0].outcome is Outcome.NO_MATCH
    assert after.placements[0].valid_until is None


def test_an_offer_that_is_not_eligible_says_what_it_needs_and_what_there_is() -> None:
    session = Session()
    session.event(0, "cart_added", price=10)
    decision = session.decide(1)
    assert lost(decision) == {"r.cart/cart": "not_eligible"}
    assert decision.placements[0].lost[0].detail == "needs cart.value is above 10.00 EUR; it is 10.00 EUR"


def test_facts_of_the_request_and_of_the_profile_make_content() -> None:
    session = Session()
    decision = session.decide(1, page="home")
    assert shown(decision) == ["page"]
    assert lost(decision) == {"r.hello/hello": "not_eligible"}
    session.network.set_facts(session.memory, {"customer.name": "Zoë"}, NINE, session.score)
    decision = session.decide(1, page="home")
    assert shown(decision) == ["hello", "page"]
    assert decision.placements[0].offers[0].content == {"title": "Hello Zoë"}


def test_without_profiling_only_the_page_counts() -> None:
    session = Session()
    session.event(0, "cart_added", price=12.5)
    session.network.set_facts(session.memory, {"customer.name": "Zoë"}, NINE, session.score)
    decision = session.decide(1, page="home", profiling=False)
    assert shown(decision) == ["page"]
    assert lost(decision) == {"r.cart/cart": "consent", "r.hello/hello": "consent"}


def test_a_propensity_is_computed_from_the_features_of_the_moment() -> None:
    session = Session()
    session.answer = ScoreAnswer(ScoreStatus.OK, 0.3, "v7")
    session.event(0, "product_viewed", category="shoes")
    session.event(0.5, "product_viewed", category="shoes")
    decision = session.decide(1)
    assert session.features == [1]
    assert shown(decision) == ["views", "shoes"]
    assert [each.rank for each in decision.placements[0].offers] == [400, 300]
    assert decision.models == {"likes_shoes": "v7"}
    session.answer = ScoreAnswer(ScoreStatus.OK, 0.5, "v7")
    assert shown(session.decide(1)) == ["shoes", "views"]


def test_what_moves_with_time_but_changes_no_rule_is_not_promised_for_long() -> None:
    session = Session()
    session.event(0, "product_viewed", category="shoes")
    decision = session.decide(0.1)
    assert decision.placements[0].valid_until == NINE + 6_000 + RECHECK


def test_a_rule_outside_its_schedule_is_named_and_the_opening_is_the_end_of_the_answer() -> None:
    session = Session()
    decision = session.decide(0, page="evening")
    assert lost(decision) == {"r.evening/page": "schedule"}
    assert decision.placements[0].outcome is Outcome.SUPPRESSED
    assert decision.placements[0].valid_until == NINE + 9 * 60 * MINUTE
    evening = session.decide(9 * 60, page="evening")
    assert shown(evening) == ["page"]
    assert evening.placements[0].valid_until == NINE + 10 * 60 * MINUTE
