"""How often a rule and an offer may act, and what counts as one act."""

from __future__ import annotations

from engine.decision import Outcome, Request
from engine.language.tree import CalendarUnit, Limit, LimitScope
from engine.offers import (
    RECHECK,
    Person,
    caps_of_offer,
    caps_of_rule,
    claim_of_activation,
    claims,
    conclude,
    consider,
    next_grants,
    unavailable,
)
from tests.unit.engine.offers.fakes import FakeView, Shop, lost, offer, program, rule, shown

DAY = 86_400_000
MONDAY = 1_795_392_000_000  # 2026-11-23T00:00Z
ONCE = (Limit(LimitScope.SESSION, 1),)


def one_offer(**changed: object) -> Shop:
    return Shop(program((rule("nudge", ("a", "banner"), **changed),), (offer("a", cost=500),)))  # type: ignore[arg-type]


def test_what_goes_on_being_nominated_is_one_act_however_often_it_is_decided() -> None:
    shop = one_offer(limits=ONCE)
    decisions = [shop.decide() for _ in range(3)]
    assert [shown(decision) for decision in decisions] == [["a"]] * 3
    assert len({decision.placements[0].offers[0].token for decision in decisions}) == 1


def test_when_a_decision_no_longer_has_it_the_act_is_over_and_the_next_counts() -> None:
    shop = one_offer(limits=ONCE)
    shop.decide()
    shop.decide(view=FakeView(shop.program, silent={"nudge"}))
    decision = shop.decide()
    assert shown(decision) == ["standard_banner"]
    assert lost(decision) == {"shop.nudge/a": "cap"}
    assert decision.placements[0].lost[0].detail == "the rule's limit of once per session is used up"


def test_a_second_act_within_the_limits_has_a_token_of_its_own() -> None:
    shop = one_offer(limits=(Limit(LimitScope.SESSION, 2),))
    first = shop.decide().placements[0].offers[0].token
    shop.decide(view=FakeView(shop.program, silent={"nudge"}))
    second = shop.decide().placements[0].offers[0].token
    assert first != second


def test_a_decision_about_another_placement_ends_no_act() -> None:
    shop = one_offer(limits=ONCE)
    shop.decide("banner")
    shop.decide("hero")
    assert shown(shop.decide("banner")) == ["a"]


def test_an_act_ends_when_a_better_offer_takes_the_slot() -> None:
    bundle = program(
        (rule("nudge", ("a", "banner"), limits=ONCE), rule("better", ("b", "banner"), priority=1)),
        (offer("a"), offer("b")),
    )
    shop = Shop(bundle)
    assert shown(shop.decide(view=FakeView(bundle, silent={"better"}))) == ["a"]
    assert shown(shop.decide()) == ["b"]
    assert shown(shop.decide(view=FakeView(bundle, silent={"better"}))) == ["standard_banner"]


def test_grants_that_cant_be_read_are_no_grants() -> None:
    shop = one_offer(limits=(Limit(LimitScope.SESSION, 2),))
    shop.grants["s1"] = {"banner": b"\xff not grants", "hero": b"[[1,2,3]]"}
    assert shown(shop.decide("banner", "hero")) == ["a"]


def test_grants_of_placements_that_show_nothing_granted_are_dropped() -> None:
    shop = one_offer(limits=ONCE)
    decision = shop.decide()
    assert set(next_grants(decision, {"banner": b"old", "hero": b"kept"})) == {"banner", "hero"}
    nothing = shop.decide(view=FakeView(shop.program, silent={"nudge"}))
    assert next_grants(nothing, {"banner": b"old", "hero": b"kept"}) == {"hero": b"kept"}


def test_an_act_goes_on_after_the_limit_store_was_away() -> None:
    shop = one_offer(limits=ONCE)
    first = shop.decide()
    considered = consider(
        shop.program,
        FakeView(shop.program),
        Request("s1", None, 0, {}, ("banner",)),
        decision_id="away",
        score=shop.score,
        grants=shop.grants["s1"],
    )
    verdicts = [verdict for ask in claims(considered, []) for verdict in unavailable(ask)]
    away = conclude(considered, verdicts, revision=1, bundle="b")
    assert shown(away) == ["standard_banner"]
    shop.grants["s1"] = next_grants(away, shop.grants["s1"])
    assert shop.decide().placements[0].offers[0].token == first.placements[0].offers[0].token


def test_a_held_act_that_nobody_saw_is_given_back() -> None:
    shop = one_offer(limits=(Limit(LimitScope.TOTAL, 1),))
    at = shop.program
    first = shop.decide(session="s1", view=FakeView(at, now=0), hold=1_000)
    assert lost(shop.decide(session="s2", view=FakeView(at, now=999), hold=1_000)) == {"shop.nudge/a": "cap"}
    assert shown(shop.decide(session="s2", view=FakeView(at, now=1_000), hold=1_000)) == ["a"]
    token = first.placements[0].offers[0].token
    assert token is not None
    assert not shop.limits.confirm(token, 1_000)


def test_per_customer_reaches_over_sessions_and_counts_for_the_session_while_anonymous() -> None:
    shop = one_offer(limits=(Limit(LimitScope.CUSTOMER, 1),))
    assert shown(shop.decide(session="s1", customer="c1")) == ["a"]
    assert lost(shop.decide(session="s2", customer="c1")) == {"shop.nudge/a": "cap"}
    assert shown(shop.decide(session="s3", customer="c2")) == ["a"]
    assert shown(shop.decide(session="s4")) == ["a"]
    assert shown(shop.decide(session="s5")) == ["a"]


def test_a_budget_is_spent_in_costs_of_the_offer() -> None:
    shop = one_offer(budget=1_499)
    assert shown(shop.decide(session="s1")) == ["a"]
    assert shown(shop.decide(session="s2")) == ["a"]
    decision = shop.decide(session="s3")
    assert lost(decision) == {"shop.nudge/a": "budget"}
    assert decision.placements[0].outcome is Outcome.SUPPRESSED


def test_the_limits_of_an_offer_hold_over_the_rules_that_nominate_it() -> None:
    bundle = program(
        (rule("one", ("a", "banner"), priority=1), rule("two", ("a", "hero"))),
        (offer("a", limits=(Limit(LimitScope.CUSTOMER, 1),)),),
    )
    decision = Shop(bundle).decide("banner", "hero", customer="c1")
    assert shown(decision, 0) == ["a"]
    assert lost(decision, 1) == {"shop.two/a": "cap"}
    assert decision.placements[1].lost[0].detail == "the offer's limit of once per customer is used up"


def test_a_sliding_limit_frees_its_first_act_after_its_length() -> None:
    shop = one_offer(limits=(Limit(LimitScope.CUSTOMER, 1, sliding=7 * DAY),))
    at = shop.program
    assert shown(shop.decide(session="s1", customer="c", view=FakeView(at, now=MONDAY))) == ["a"]
    late = shop.decide(session="s2", customer="c", view=FakeView(at, now=MONDAY + 7 * DAY - 1))
    assert late.placements[0].lost[0].detail == "the rule's limit of once per customer in 1 week is used up"
    assert shown(shop.decide(session="s3", customer="c", view=FakeView(at, now=MONDAY + 7 * DAY))) == ["a"]


def test_a_calendar_limit_starts_anew_at_midnight_of_its_time_zone() -> None:
    limit = Limit(LimitScope.TOTAL, 1, calendar=CalendarUnit.DAY, timezone="Europe/Berlin")
    shop = one_offer(limits=(limit,))
    at = shop.program
    midnight = MONDAY - 3_600_000
    assert shown(shop.decide(session="s1", view=FakeView(at, now=midnight - 1))) == ["a"]
    refused = shop.decide(session="s2", view=FakeView(at, now=midnight - 1))
    assert refused.placements[0].lost[0].detail == "the rule's limit of once in total in a calendar day is used up"
    assert shown(shop.decide(session="s3", view=FakeView(at, now=midnight))) == ["a"]


def test_keys_say_what_is_counted_for_whom_and_over_which_period() -> None:
    limits = (
        Limit(LimitScope.SESSION, 1),
        Limit(LimitScope.CUSTOMER, 1, sliding=DAY),
        Limit(LimitScope.CUSTOMER, 3, sliding=7 * DAY),
        Limit(LimitScope.TOTAL, 9, calendar=CalendarUnit.WEEK, timezone="Europe/Berlin"),
    )
    capped = rule("nudge", ("a", "banner"), limits=limits, budget=1_000)
    assert [named.cap.key for named in caps_of_rule(capped, Person("s", "c"), 500, MONDAY)] == [
        "rule/shop.nudge/session/s",
        "rule/shop.nudge/customer/c/sliding/86400000",
        "rule/shop.nudge/customer/c/sliding/604800000",
        "rule/shop.nudge/total/calendar/week/Europe/Berlin",
        "rule/shop.nudge/budget",
    ]
    (cap,) = caps_of_offer(offer("a", limits=limits[1:2]), Person("s", None), MONDAY)
    assert cap.cap.key == "offer/a/anonymous/s/sliding/86400000"


def test_an_act_in_the_stream_takes_from_the_limits_that_span_sessions() -> None:
    limits = (Limit(LimitScope.SESSION, 1), Limit(LimitScope.CUSTOMER, 1, sliding=DAY))
    claim = claim_of_activation(rule("mail", limits=limits, budget=100), Person("s", "c"), "out-1", MONDAY)
    assert claim is not None
    assert [cap.key for cap in claim.caps] == ["rule/shop.mail/customer/c/sliding/86400000"]
    assert claim_of_activation(rule("mail", limits=limits[:1]), Person("s", "c"), "out-1", MONDAY) is None


def test_valid_until_is_that_of_the_rules_where_nothing_else_moves_the_answer() -> None:
    shop = one_offer(limits=ONCE)
    assert shop.decide(view=FakeView(shop.program, until=5_000_000)).placements[0].valid_until == 5_000_000
    assert shop.decide(view=FakeView(shop.program)).placements[0].valid_until is None


def test_a_refusal_that_another_session_can_lift_is_not_promised_for_long() -> None:
    shop = one_offer(limits=(Limit(LimitScope.TOTAL, 1),))
    shop.decide(session="s1")
    decision = shop.decide(session="s2", view=FakeView(shop.program, until=5_000_000))
    assert decision.placements[0].valid_until == 1_000_000 + RECHECK


def test_a_refusal_for_the_whole_session_stands() -> None:
    shop = one_offer(limits=ONCE)
    shop.decide()
    shop.grants.clear()
    decision = shop.decide(view=FakeView(shop.program, until=5_000_000))
    assert shown(decision) == ["standard_banner"]
    assert decision.placements[0].valid_until == 5_000_000


def test_a_calendar_limit_that_refused_is_looked_at_again_when_its_period_ends() -> None:
    shop = one_offer(limits=(Limit(LimitScope.TOTAL, 1, calendar=CalendarUnit.DAY),))
    at = MONDAY + DAY - 7
    shop.decide(session="s1", view=FakeView(shop.program, now=at))
    decision = shop.decide(session="s2", view=FakeView(shop.program, now=at))
    assert decision.placements[0].valid_until == MONDAY + DAY
