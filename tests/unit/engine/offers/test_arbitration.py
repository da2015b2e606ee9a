"""Which offer wins, and what each of the others lost to."""

from __future__ import annotations

import pytest

from engine.activation import Combination, ScoreAnswer, ScoreStatus
from engine.decision import Outcome, Request, Suppression
from engine.language.tree import BoundRef, FactRef, Limit, LimitScope, Schedule
from engine.offers import MemoryLimits, claims, conclude, consider, unavailable
from engine.ports import Verdict
from tests.unit.engine.offers.fakes import (
    ALWAYS,
    ON_PAGE,
    TEXT,
    FakeView,
    Shop,
    bound_template,
    lost,
    offer,
    program,
    rule,
    shown,
    template,
)

ONCE = (Limit(LimitScope.SESSION, 1),)
ONE_IN_TOTAL = (Limit(LimitScope.TOTAL, 1),)


def test_priority_comes_before_rank_and_rank_before_the_id() -> None:
    bundle = program(
        (
            rule("low", ("rich", "banner"), priority=1),
            rule("high", ("b", "banner"), ("a", "banner"), ("c", "banner"), priority=2),
        ),
        (offer("rich", value=100_000), offer("a", value=5), offer("b", value=5), offer("c", value=6)),
        {"banner": 4},
    )
    assert shown(Shop(bundle).decide()) == ["c", "a", "b", "rich"]


def test_the_rank_is_propensity_times_value_times_weight_times_lever() -> None:
    bundle = program(
        (rule("any", ("a", "banner"), ("b", "banner"), ("c", "banner")),),
        (
            offer("a", value=100, weight=1.5, lever=2.0, propensity="likes_a"),
            offer("b", value=149),
            offer("c", value=30, weight=3, lever=1.5),
        ),
        {"banner": 3},
    )
    shop = Shop(bundle, answers={"likes_a": ScoreAnswer(ScoreStatus.OK, 0.5, "v1")})
    decision = shop.decide()
    assert [(each.offer, each.rank) for each in decision.placements[0].offers] == [("a", 150), ("b", 149), ("c", 135)]
    assert decision.models == {"likes_a": "v1"}
    assert decision.scores == (("likes_a", ScoreAnswer(ScoreStatus.OK, 0.5, "v1")),)


def test_a_model_that_does_not_answer_counts_as_one_and_is_asked_once() -> None:
    bundle = program(
        (rule("any", ("a", "banner"), ("b", "banner")),),
        (offer("a", value=100, propensity="p"), offer("b", value=99, propensity="p")),
        {"banner": 2},
    )
    shop = Shop(bundle)
    decision = shop.decide()
    assert shown(decision) == ["a", "b"]
    assert shop.asked == ["p"]
    assert decision.models == {}


def test_an_offer_that_is_out_before_ranking_asks_no_model() -> None:
    bundle = program((rule("any", ("a", "banner")),), (offer("a", propensity="p", eligible=ON_PAGE),))
    shop = Shop(bundle)
    shop.decide(view=FakeView(bundle, truths={ON_PAGE: False}))
    assert shop.asked == []


def test_a_pending_answer_is_told_before_anything_is_taken() -> None:
    bundle = program((rule("any", ("a", "banner")),), (offer("a", propensity="p"),))
    considered = consider(
        bundle,
        FakeView(bundle),
        Request("s", None, 0, {}, ("banner",)),
        decision_id="d",
        score=lambda name, reader: ScoreAnswer(ScoreStatus.PENDING),
    )
    assert considered.is_pending


def test_what_does_not_win_a_slot_lost_by_rank() -> None:
    bundle = program((rule("any", ("a", "banner"), ("b", "banner")),), (offer("a"), offer("b")))
    decision = Shop(bundle).decide()
    assert shown(decision) == ["a"]
    assert lost(decision) == {"shop.any/b": "rank"}
    assert decision.placements[0].lost[0].detail == "a ranked higher"


def test_one_offer_of_two_rules_appears_once_for_the_better_rule() -> None:
    bundle = program(
        (rule("first", ("a", "banner"), priority=2), rule("second", ("a", "banner"), priority=1)),
        (offer("a"),),
        {"banner": 2},
    )
    decision = Shop(bundle).decide()
    assert [each.rule for each in decision.placements[0].offers] == ["shop.first"]
    assert lost(decision) == {"shop.second/a": "duplicate"}


def test_the_second_rule_shows_the_offer_when_the_limit_of_the_first_is_used_up() -> None:
    bundle = program(
        (rule("first", ("a", "banner"), priority=2, limits=ONE_IN_TOTAL), rule("second", ("a", "banner"), priority=1)),
        (offer("a"),),
        {"banner": 2},
    )
    shop = Shop(bundle)
    shop.decide(session="s1")
    decision = shop.decide(session="s2")
    assert [each.rule for each in decision.placements[0].offers] == ["shop.second"]
    assert lost(decision) == {"shop.first/a": "cap"}


@pytest.mark.parametrize(
    ("changed", "because"),
    [
        ({"enabled": False}, Suppression.SWITCHED_OFF),
        ({"schedule": Schedule(start=2_000_000)}, Suppression.SCHEDULE),
    ],
)
def test_the_switch_and_the_schedule_gate_acting(changed: dict[str, object], because: Suppression) -> None:
    bundle = program((rule("any", ("a", "banner"), **changed),), (offer("a"),))  # type: ignore[arg-type]
    decision = Shop(bundle).decide()
    assert shown(decision) == ["standard_banner"]
    assert lost(decision) == {"shop.any/a": because.value}
    assert decision.placements[0].outcome is Outcome.SUPPRESSED


@pytest.mark.parametrize("truth", [False, None])
def test_an_offer_is_eligible_only_where_its_condition_is_true(truth: bool | None) -> None:
    bundle = program((rule("any", ("a", "banner")),), (offer("a", eligible=ON_PAGE),))
    decision = Shop(bundle).decide(view=FakeView(bundle, truths={ON_PAGE: truth}))
    assert lost(decision) == {"shop.any/a": "not_eligible"}
    assert decision.placements[0].lost[0].detail == "needs the condition; it is 12.00 EUR"


def test_a_hole_without_a_value_makes_an_offer_not_eligible_and_never_shows_none() -> None:
    content = (("title", template("Hello {customer.name}", "Hello ", "customer.name", "")),)
    bundle = program((rule("any", ("a", "banner")),), (offer("a", content=content),))
    decision = Shop(bundle).decide()
    assert shown(decision) == ["standard_banner"]
    assert decision.placements[0].lost[0].detail == "its content names customer.name, which has no value"
    decision = Shop(bundle).decide(view=FakeView(bundle, facts={"customer.name": "Ines"}))
    assert decision.placements[0].offers[0].content == {"title": "Hello Ines"}


def test_of_an_exclusion_group_one_offer_is_shown_over_all_placements() -> None:
    bundle = program(
        (rule("any", ("a", "banner"), ("b", "banner"), ("c", "hero"), ("d", "hero")),),
        (offer("a", group="cut"), offer("b", group="cut"), offer("c", group="cut"), offer("d")),
        {"banner": 2, "hero": 2},
    )
    decision = Shop(bundle).decide("banner", "hero")
    assert shown(decision, 0) == ["a"]
    assert shown(decision, 1) == ["d"]
    assert lost(decision, 0) == {"shop.any/b": "exclusion_group"}
    assert lost(decision, 1) == {"shop.any/c": "exclusion_group"}


def test_the_next_of_a_group_moves_up_when_the_limit_of_the_first_is_used_up() -> None:
    bundle = program(
        (
            rule("first", ("a", "banner"), priority=2, limits=ONE_IN_TOTAL),
            rule("second", ("b", "banner"), ("c", "hero"), priority=1, limits=ONCE),
        ),
        (offer("a", group="cut"), offer("b", group="cut"), offer("c", group="cut")),
    )
    shop = Shop(bundle)
    assert shown(shop.decide("banner", "hero", session="s1")) == ["a"]
    decision = shop.decide("banner", "hero", session="s2")
    assert shown(decision, 0) == ["b"]
    assert lost(decision, 0) == {"shop.first/a": "cap"}
    assert lost(decision, 1) == {"shop.second/c": "exclusion_group"}


def test_a_claim_is_made_only_for_what_could_still_be_shown() -> None:
    """Nothing is taken for candidates behind one without limits that fills the last slot."""
    bundle = program(
        (
            rule("first", ("a", "banner"), priority=3, limits=ONCE),
            rule("second", ("b", "banner"), priority=2),
            rule("third", ("c", "banner"), priority=1, limits=ONE_IN_TOTAL),
        ),
        (offer("a"), offer("b"), offer("c")),
        {"banner": 2},
    )
    shop = Shop(bundle)
    assert shown(shop.decide(session="s1")) == ["a", "b"]
    shop.grants.clear()
    assert shown(shop.decide(session="s1")) == ["b", "c"], "c was not taken by the decision before"


def test_placements_that_do_not_bear_on_each_other_are_asked_in_one_round() -> None:
    bundle = program(
        (rule("any", ("a", "banner"), ("b", "hero"), limits=(Limit(LimitScope.SESSION, 2),)),),
        (offer("a"), offer("b")),
    )
    considered = consider(
        bundle,
        FakeView(bundle),
        Request("s", None, 0, {}, ("banner", "hero")),
        decision_id="d",
        score=lambda name, reader: ScoreAnswer(ScoreStatus.MISSING),
    )
    asks = claims(considered, [])
    assert [ask.placement for ask in asks] == ["banner", "hero"]
    verdicts = [Verdict(claim.token, granted=True) for ask in asks for claim in ask.claims]
    assert claims(considered, verdicts) == ()


def test_what_has_limits_is_not_shown_while_they_cant_be_looked_at() -> None:
    bundle = program(
        (rule("capped", ("a", "banner"), limits=ONCE), rule("free", ("b", "hero"))), (offer("a"), offer("b"))
    )
    considered = consider(
        bundle,
        FakeView(bundle),
        Request("s", None, 0, {}, ("banner", "hero")),
        decision_id="d",
        score=lambda name, reader: ScoreAnswer(ScoreStatus.MISSING),
    )
    verdicts = [verdict for ask in claims(considered, []) for verdict in unavailable(ask)]
    decision = conclude(considered, verdicts, revision=1, bundle="b")
    assert shown(decision, 0) == ["standard_banner"]
    assert decision.placements[0].outcome is Outcome.DEGRADED
    assert shown(decision, 1) == ["b"]
    assert decision.placements[1].outcome is Outcome.OFFER


def test_outcomes_tell_apart_no_match_suppressed_and_held_out() -> None:
    bundle = program((rule("any", ("a", "banner"), limits=ONE_IN_TOTAL),), (offer("a"),))
    shop = Shop(bundle)
    assert shop.decide(view=FakeView(bundle, silent={"any"})).placements[0].outcome is Outcome.NO_MATCH
    assert shop.decide(session="s1").placements[0].outcome is Outcome.OFFER
    assert shop.decide(session="s2").placements[0].outcome is Outcome.SUPPRESSED


def test_a_shown_offer_says_why_and_carries_a_token_where_something_was_taken() -> None:
    bundle = program(
        (rule("capped", ("a", "banner"), limits=ONCE), rule("free", ("b", "hero"))), (offer("a"), offer("b"))
    )
    decision = Shop(bundle).decide("banner", "hero")
    capped, free = decision.placements[0].offers[0], decision.placements[1].offers[0]
    assert capped.reasons[0].text == "the condition"
    assert capped.token
    assert free.token is None


def test_with_an_objection_to_profiling_only_what_the_request_says_counts() -> None:
    bundle = program(
        (
            rule("profiled", ("a", "banner"), when=ALWAYS, priority=9),
            rule("page", ("b", "banner"), ("c", "banner"), ("d", "banner"), when=ON_PAGE),
        ),
        (
            offer("a"),
            offer("b"),
            offer("c", propensity="p", value=9),
            offer("d", content=template("{cart.value}", "", "cart.value", "")),
        ),
        {"banner": 4},
    )
    decision = Shop(bundle).decide(profiling=False, view=FakeView(bundle, facts={"cart.value": 100}))
    assert shown(decision) == ["b"]
    assert lost(decision) == {"shop.profiled/a": "consent", "shop.page/c": "consent", "shop.page/d": "consent"}


def test_the_same_arguments_give_the_same_decision() -> None:
    bundle = program(
        (rule("any", ("a", "banner"), ("b", "hero"), limits=ONCE, holdout=0.3),), (offer("a"), offer("b", holdout=0.3))
    )
    one = Shop(bundle, MemoryLimits()).decide("banner", "hero", salt="x")
    other = Shop(bundle, MemoryLimits()).decide("banner", "hero", salt="x")
    assert one == other


def test_an_offer_is_shown_once_for_the_first_combination_that_fills_it() -> None:
    key = BoundRef("liked", "product_id")
    content = (("title", bound_template("Look at {liked.product_id}", key, "liked.product_id")),)
    shop = Shop(program((rule("a", ("o", "banner")),), (offer("o", content=content),), {"banner": 3}))
    view = FakeView(shop.program)
    view.bound["a"] = (
        Combination(),
        Combination((("liked.product_id", "p2"),), {key: "p2"}, {key: TEXT}),
        Combination((("liked.product_id", "p1"),), {key: "p1"}, {key: TEXT}),
    )
    decision = shop.decide(view=view)
    assert [each.content for each in decision.placements[0].offers] == [{"title": "Look at p2"}]
    view.bound["a"] = (Combination(),)
    assert lost(shop.decide(view=view)) == {"shop.a/o": "not_eligible"}


def test_an_offer_that_tells_of_a_thing_is_looked_at_again_and_is_nothing_for_who_objects_to_profiling() -> None:
    key = BoundRef("liked", "product_id")
    hole = bound_template("Left: {product.stock of liked.product_id}", FactRef("product.stock", key), "product.stock of liked.product_id")  # fmt: skip
    shop = Shop(program((rule("a", ("o", "banner"), when=ON_PAGE),), (offer("o", content=(("title", hole),)),)))
    view = FakeView(shop.program)
    catalogue = {("product.stock", "p1"): 4}
    view.bound["a"] = (Combination((), {key: "p1"}, {key: TEXT}, lambda fact, each: catalogue.get((fact, str(each)))),)
    decision = shop.decide(view=view)
    assert decision.placements[0].offers[0].content == {"title": "Left: 4"}
    assert decision.placements[0].valid_until == view.now + 30_000
    assert lost(shop.decide(view=view, profiling=False)) == {"shop.a/o": "consent"}
