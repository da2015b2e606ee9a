"""What was evaluated for a session and still holds is not evaluated again, and never answers otherwise than a new one."""

import random

import msgspec
import pytest

from service.api.evaluated import LONGEST_MS, Evaluations
from tests.unit.service.api.shop import FOLDER, NOW, SETTINGS, WITHOUT_MODELS, Shop, loaded, spot


@pytest.fixture
def shop():
    return Shop()


def decide(shop, *placements, **more):
    """A decision, and whether its evaluation was made before."""
    answer = shop.decide(*(placements or ("banner",)), **more)
    return answer, "evaluated_at" in answer


def test_a_repeated_decision_is_not_evaluated_again_and_says_so(shop):
    shop.full_cart()
    first, _ = decide(shop)
    shop.now += 5_000
    again, reused = decide(shop)
    assert reused
    assert again["evaluated_at"] == NOW
    assert again["time"] == NOW + 5_000
    assert again["decision_id"] != first["decision_id"]
    assert again["placements"] == first["placements"]
    assert b'salience_api_evaluations_total{how="reused"} 1.0' in shop.services.metrics.text()


def test_it_is_evaluated_again_at_the_moment_at_which_it_is_valid_no_more(shop):
    shop.full_cart()
    answer, _ = decide(shop)
    shop.now = NOW + LONGEST_MS - 1
    assert decide(shop)[1]
    shop.now = NOW + LONGEST_MS
    assert not decide(shop)[1]
    shop.now = answer["valid_until"] - 1
    decide(shop)
    shop.now = answer["valid_until"]
    expired, reused = decide(shop)
    assert not reused
    assert spot(expired, "banner")["outcome"] == "no_match"


@pytest.mark.parametrize(
    "change",
    [
        {"placements": ("banner", "hero")},
        {"context": {"context.page": "cart"}},
        {"customer_id": "c1"},
        {"events": [{"type": "purchase", "session_id": "s1"}]},
        {"explain": True},
    ],
)
def test_another_question_is_evaluated(shop, change):
    shop.full_cart()
    decide(shop)
    assert decide(shop)[1]
    assert not decide(shop, *change.pop("placements", ()), **change)[1]


def test_new_state_a_new_profile_and_a_new_revision_are_evaluated(shop):
    shop.full_cart(customer="c1")
    decide(shop, "hero")
    shop.state.profiles["c1"] = b'{"customer.tier": "gold"}'
    answer, reused = decide(shop, "hero")
    assert (spot(answer, "hero")["outcome"], reused) == ("offer", False)
    shop.full_cart_at(NOW - 1, customer="c1")
    assert not decide(shop, "hero")[1]
    assert decide(shop, "hero")[1]
    shop.holder.current = loaded(2, shop.scorer)
    answer, reused = decide(shop, "hero")
    assert (answer["revision"], reused) == (2, False)


def test_limits_are_asked_each_time():
    shop = Shop(current=loaded(sources=FOLDER | {"shop.yaml": FOLDER["shop.yaml"].replace("per_session", "total")}))
    shop.full_cart("s1")
    shop.full_cart("s2")
    assert spot(decide(shop, session="s1")[0], "banner")["outcome"] == "offer"
    assert spot(decide(shop, session="s2")[0], "banner")["outcome"] == "suppressed"
    assert decide(shop, session="s1")[1], "the act goes on"
    answer, reused = decide(shop, session="s2")
    assert (spot(answer, "banner")["outcome"], reused) == ("suppressed", True)
    shop.state.limits = type(shop.state.limits)()
    answer, reused = decide(shop, session="s2")
    assert (spot(answer, "banner")["outcome"], reused) == ("offer", True), "the limit is free again, and taken once"
    assert decide(shop, session="s2")[0]["placements"] == answer["placements"]


def test_a_repeated_decision_holds_on_to_what_it_took(shop):
    shop.full_cart()
    first, _ = decide(shop)
    token = spot(first, "banner")["offers"][0]["token"]
    shop.now = NOW + 50_000
    assert decide(shop)[1]
    shop.now = NOW + 30 * 60_000 + 40_000
    assert shop.post(
        "/v1/exposures", {"decision_id": "d", "session_id": "s1", "placements": {"banner": [token]}}
    ).json() == {"confirmed": {token: True}}


def test_what_lacked_something_is_evaluated_anew(shop):
    shop.scorer.value = None
    asked = {"context": {"context.page": "cart"}}
    assert decide(shop, "teaser", **asked)[0]["degraded"]
    shop.scorer.value = 0.2
    answer, reused = decide(shop, "teaser", **asked)
    assert (spot(answer, "teaser")["outcome"], reused) == ("offer", False)


@pytest.mark.parametrize("seed", range(4))
def test_any_history_gives_the_decisions_that_evaluating_each_time_gives(seed):
    chance = random.Random(seed)
    patient = msgspec.structs.replace(SETTINGS, deadline_ms=20_000)  # a machine that stands still is no part of this
    kept, anew = Shop(patient), Shop(patient)
    for number in range(40):
        step = chance.choice([0, 500, 20_000, 70_000])
        events = []
        if chance.random() < 0.2:
            kind = chance.choice(["cart_added", "checkout_viewed", "purchase"])
            events = [{"id": f"e{number}", "type": kind, "session_id": "s1", "attributes": {}}]
            events[0]["attributes"] = {"price": chance.choice([90, 210])} if kind == "cart_added" else {}
        for shop in (kept, anew):
            shop.now += step
        anew.evaluations = Evaluations()
        context = {"context.page": chance.choice(["cart", "home"])}
        placements = chance.choice([("banner",), ("banner", "teaser")])
        one, other = (shop.decide(*placements, events=events, context=context) for shop in (kept, anew))
        for answer in (one, other):
            for placed in answer["placements"]:
                for offer in placed["offers"]:
                    offer.pop("token", None)
                    offer.pop("reasons", None)
                placed.pop("valid_until", None)
        assert one["placements"] == other["placements"], f"step {number}"


def test_sessions_that_are_silent_longest_go():
    evaluations = Evaluations(capacity=1)
    shop = Shop()
    shop.evaluations = evaluations
    decide(shop, session="s1")
    decide(shop, session="s2")
    assert decide(shop, session="s2")[1]
    assert not decide(shop, session="s1")[1]


def with_page(kind):
    """The shop without models, where nothing looks at the page, or just one thing does."""
    sources = dict(WITHOUT_MODELS)
    if kind == "a rule":
        sources["shop.yaml"] += (
            "  - rule: here\n    when: {fact: context.page, is: cart}\n    then: [{offer: hurry, placement: teaser}]\n"
        )
    if kind == "an offer":
        sources["offers.yaml"] = sources["offers.yaml"].replace("title: Gold", 'title: "Gold on {context.page}"')
    if kind == "the condition of an offer":
        sources["offers.yaml"] = sources["offers.yaml"].replace(
            "content: {title: Gold}", "content: {title: Gold}, eligible: {fact: context.page, is: cart}"
        )
    return Shop(current=loaded(sources=sources))


def test_a_context_that_nothing_looks_at_asks_no_other_question_and_is_logged_as_it_was():
    shop = with_page("nothing")
    shop.full_cart()
    decide(shop, context={"context.page": "cart"})
    answer, reused = decide(shop, context={"context.page": "home"})
    assert reused
    assert b'"context.page":"home"' in shop.decisions.get(answer["decision_id"])


@pytest.mark.parametrize("kind", ["a rule", "an offer", "the condition of an offer"])
def test_a_context_that_something_looks_at_is_another_question(kind):
    shop = with_page(kind)
    shop.full_cart()
    decide(shop, context={"context.page": "cart"})
    assert not decide(shop, context={"context.page": "home"})[1]
