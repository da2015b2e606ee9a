"""Facts of things in decisions: looked up in one trip, kept for a while, unknown and named where they can't be had."""

from __future__ import annotations

import pytest

from service.things import AGE_MS
from tests.unit.service.api.shop import FOLDER, NOW, Shop, loaded, spot
from tests.unit.service.test_redecide import Proving, prove_all

SCARCE = """
  - rule: scarce
    when:
      all:
        - {event: cart_added, as: added, within: 1 hour}
        - {fact: product.stock, of: $added.product_id, at_most: 3}
    then: [{offer: last, placement: banner}]
"""
SOURCES = FOLDER | {
    "vocabulary.yaml": FOLDER["vocabulary.yaml"].replace(
        "facts:\n", "facts:\n  product.stock: {type: integer, from: catalogue, by: product_id}\n"
    ),
    "offers.yaml": FOLDER["offers.yaml"]
    + '  last: {content: {title: "Only {product.stock of added.product_id} left"}}\n',
    "shop.yaml": FOLDER["shop.yaml"] + SCARCE,
}


def added(*products: str, session: str = "s1") -> list[dict[str, object]]:
    return [
        {
            "type": "cart_added",
            "session_id": session,
            "id": f"e-{product}",
            "attributes": {"product_id": product, "price": 5},
        }
        for product in products
    ]


@pytest.fixture
def shop():
    made = Shop(current=loaded(sources=SOURCES))
    made.state.catalogue = {"product_id/p1": b'{"product.stock": 2}', "product_id/p2": b'{"product.stock": 40}'}
    return made


def titles(answer):
    return [each["content"]["title"] for each in spot(answer, "banner")["offers"]]


def test_a_decision_knows_the_catalogue(shop):
    answer = shop.decide("banner", events=added("p2", "p1"))
    assert titles(answer) == ["Only 2 left"]
    assert answer["degraded"] == []
    assert shop.state.asked == ["product_id/p1", "product_id/p2"], "all at once, each once"
    assert spot(answer, "banner")["valid_until"] == NOW + 30_000, "stock runs out with no event"


def test_what_is_not_in_the_catalogue_is_unknown_and_nothing_is_missing(shop):
    answer = shop.decide("banner", events=added("p9"))
    assert (titles(answer), answer["degraded"]) == (["As always"], [])


def test_what_was_read_is_used_for_a_while(shop):
    """In one process; here each request of its own is one."""
    shown = []

    async def ask(client):
        shop.evaluations.drop("s1")
        answer = await client.post(
            "/v1/decide", json={"session_id": "s1", "placements": ["banner"], "events": added("p1")}
        )
        shown.append(titles(answer.json()))

    def passing(ms):
        async def pass_time(_client):
            shop.state.catalogue.clear()
            shop.now += ms

        return pass_time

    shop.run(ask, passing(AGE_MS), ask, passing(1), ask)
    assert shown == [["Only 2 left"], ["Only 2 left"], ["As always"]]
    assert shop.state.asked == ["product_id/p1"] * 2


def test_a_catalogue_that_is_gone_makes_it_unknown_and_the_decision_says_so(shop):
    shop.state.things_gone = True
    answer = shop.decide("banner", events=added("p1"))
    assert titles(answer) == ["As always"]
    assert [each["code"] for each in answer["degraded"]] == ["catalogue_unavailable"]
    assert "connection refused" in answer["degraded"][0]["detail"]
    shop.state.things_gone = False
    assert titles(shop.decide("banner", events=added("p1"))) == ["Only 2 left"], "what was degraded is not kept"


def test_rules_without_things_ask_for_none():
    shop = Shop()
    shop.decide("banner", events=added("p1"))
    assert shop.state.asked == []


@pytest.mark.parametrize("gone", [False, True])
def test_a_decision_is_made_again_with_what_the_catalogue_said_then(tmp_path, gone):
    proving = Proving(tmp_path, sources=SOURCES)
    proving.shop.state.catalogue = {"product_id/p1": b'{"product.stock": 2}'}
    proving.shop.state.things_gone = gone
    assert titles(proving.shop.decide("banner", events=added("p1", "p7"))) == (
        ["As always"] if gone else ["Only 2 left"]
    )
    proving.shop.state.catalogue.clear()
    (proof,) = prove_all(proving)
    assert proof.remarks == ()


def test_why_knows_the_catalogue(shop):
    shop.decide("banner", events=added("p1"))
    why = shop.get("/v1/sessions/s1/why", params={"rule": "shop.scarce"}).json()
    assert why["rules"][0]["truth"] is True


def test_a_customer_for_whom_the_crm_has_not_answered_is_named_as_missing(shop):
    shop.asks_crm = True
    codes = [each["code"] for each in shop.decide("hero", customer_id="c1")["degraded"]]
    assert codes == ["profile_unavailable"]
    assert shop.decide("hero")["degraded"] == [], "nobody is anonymous for want of a CRM"
    shop.state.profiles["c1"] = b"{}"
    assert shop.decide("hero", customer_id="c1")["degraded"] == [], "it said that it knows nothing"
