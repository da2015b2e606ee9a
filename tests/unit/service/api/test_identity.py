"""Signing in brings along what the session was, signing out leaves it; the global holdout."""

import msgspec
import pytest

from engine.offers import draw
from engine.offers.holdout import GLOBAL
from tests.unit.service.api.shop import FOLDER, NOW, SETTINGS, Shop, loaded, no_score, spot

PER_CUSTOMER = FOLDER | {
    "shop.yaml": FOLDER["shop.yaml"].replace("limits: {per_session: 1}", "limits: {per_customer: 2 per week}")
}
HALF_HELD_OUT = FOLDER | {"shop.yaml": FOLDER["shop.yaml"].replace("limits: {per_session: 1}", "holdout: 50%")}
RULE = "rule/shop.free_shipping"


def shop_of(sources):
    return Shop(current=loaded(sources=sources))


def outcome(shop, session, **more):
    return spot(shop.decide("banner", session=session, **more), "banner")["outcome"]


def seen_elsewhere(shop, session):
    """The placement showed something else in between: the next time is another act."""
    owner = {"": shop.state.grants[session][""]}
    shop.state.grants[session] = owner


def person(*, held_out, thing=RULE, prefix="s"):
    """An id that a holdout of one half draws so."""
    return next(f"{prefix}{n}" for n in range(1000) if (draw("salt", thing, f"{prefix}{n}") < 0.5) is held_out)


def test_acts_before_the_sign_in_count_for_the_customer_on_every_device():
    shop = shop_of(PER_CUSTOMER)
    shop.full_cart("phone")
    shop.full_cart("desktop")
    assert outcome(shop, "phone") == "offer"
    seen_elsewhere(shop, "phone")
    assert outcome(shop, "phone", customer_id="c1") == "offer"
    assert outcome(shop, "desktop", customer_id="c1") == "suppressed", "one act before the sign-in, one after"
    assert outcome(shop, "desktop", customer_id="c2") == "offer"


def test_two_devices_of_one_customer_share_caps():
    shop = shop_of(PER_CUSTOMER)
    for session in ("a", "b", "c"):
        shop.full_cart(session, customer="c1")
    assert [outcome(shop, session) for session in ("a", "b", "c")] == ["offer", "offer", "suppressed"]


def test_an_act_goes_on_through_the_sign_in():
    shop = shop_of(PER_CUSTOMER)
    shop.full_cart()
    before = spot(shop.decide("banner"), "banner")["offers"][0]["token"]
    assert spot(shop.decide("banner", customer_id="c1"), "banner")["offers"][0]["token"] == before


@pytest.mark.parametrize("held_out", [True, False])
def test_a_sign_in_moves_the_draw_to_the_customer_who_keeps_it_on_other_devices(held_out):
    shop = shop_of(HALF_HELD_OUT)
    session = person(held_out=held_out)
    customer = person(held_out=not held_out, prefix="c")
    other = person(held_out=not held_out, prefix="other")
    shop.full_cart(session)
    shop.full_cart(other)
    expected = "holdout" if held_out else "offer"
    assert outcome(shop, session) == expected
    assert outcome(shop, session, customer_id=customer) == expected
    assert outcome(shop, other, customer_id=customer) == expected


def test_a_customer_who_was_drawn_keeps_the_draw_when_another_session_signs_in():
    shop = shop_of(HALF_HELD_OUT)
    customer, session = person(held_out=False, prefix="c"), person(held_out=True)
    shop.full_cart("first")
    shop.full_cart(session)
    assert outcome(shop, "first", customer_id=customer) == "offer"
    assert outcome(shop, session) == "holdout"
    assert outcome(shop, session, customer_id=customer) == "offer"


def test_a_sign_out_separates_facts_acts_and_draw():
    shop = shop_of(PER_CUSTOMER)
    shop.state.profiles["c1"] = b'{"customer.tier": "gold"}'
    shop.full_cart("s1", customer="c1")
    shop.full_cart("s2", customer="c1")
    signed_in = shop.decide("banner", "hero")
    assert spot(signed_in, "hero")["outcome"] == "offer"
    signed_out = shop.decide("banner", "hero", customer_id=None)
    assert spot(signed_out, "hero")["outcome"] == "no_match", "facts of the customer are not known any more"
    assert spot(signed_out, "banner")["offers"][0]["token"] != spot(signed_in, "banner")["offers"][0]["token"]
    assert spot(shop.decide("hero"), "hero")["outcome"] == "no_match", "it stays so until somebody signs in"
    assert outcome(shop, "s2") == "offer", "what was shown after the sign-out does not count for the customer"
    assert spot(shop.decide("hero", customer_id="c1"), "hero")["outcome"] == "offer"


def test_another_customer_in_the_session_has_none_of_the_first_ones_facts():
    shop = Shop()
    shop.state.profiles["c1"] = b'{"customer.tier": "gold"}'
    network = shop.rules.network
    memory = network.open("s1", "c1")
    network.set_facts(memory, {"customer.tier": "gold"}, NOW, no_score)
    shop.full_cart("s1", customer="c1")
    state = shop.state.sessions["s1"]
    shop.state.sessions["s1"] = msgspec.structs.replace(state, snapshot=network.snapshot(memory))
    assert outcome_of(shop, "hero") == "offer"
    assert outcome_of(shop, "hero", customer_id="c2") == "no_match"


def outcome_of(shop, placement, **more):
    return spot(shop.decide(placement, **more), placement)["outcome"]


def test_the_global_holdout_keeps_every_offer_from_those_drawn_and_says_so():
    shop = Shop(msgspec.structs.replace(SETTINGS, holdout_percent=50))
    out, within = person(held_out=True, thing=GLOBAL), person(held_out=False, thing=GLOBAL)
    for session in (out, within):
        shop.full_cart(session)
    answer = shop.decide("banner", "hero", session=out, explain=True)
    assert spot(answer, "banner")["outcome"] == "holdout"
    assert spot(answer, "banner")["lost"][0]["detail"] == "among the 50 % held out from all offers"
    assert spot(answer, "hero")["outcome"] == "no_match", "nothing was held back there"
    assert outcome(shop, within) == "offer"
    assert outcome(shop, out, customer_id=person(held_out=False, thing=GLOBAL, prefix="c")) == "holdout"


def test_a_deleted_customer_leaves_no_identity():
    shop = shop_of(HALF_HELD_OUT)
    shop.full_cart("s1")
    shop.decide("banner")
    shop.decide("banner", customer_id="c1")
    assert shop.state.identities["c1"].sessions == ("s1",)
    shop.run(lambda client: client.delete("/v1/customers/c1"))
    assert shop.state.identities == {}
