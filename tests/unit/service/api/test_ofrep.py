"""OFREP: placements as flags of OpenFeature."""

import pytest

from tests.unit.service.api.shop import NOW, Shop

FLAGS = "/ofrep/v1/evaluate/flags"


@pytest.fixture
def shop():
    return Shop()


def context(**more):
    return {"context": {"targetingKey": "s1", **more}}


def test_a_placement_is_a_flag_with_its_content(shop):
    shop.full_cart()
    answer = shop.post(f"{FLAGS}/banner", context(), key="page")
    assert answer.status_code == 200
    flag = answer.json()
    assert flag["key"] == "banner"
    assert flag["value"] == {"title": "Your cart of 248.00 EUR travels free"}
    assert (flag["variant"], flag["reason"], flag["metadata"]["outcome"]) == ("shipping", "TARGETING_MATCH", "offer")
    assert flag["metadata"]["tokens"].startswith(flag["metadata"]["decision_id"])


def test_the_context_has_the_customer_and_request_facts_and_what_else_a_provider_sends(shop):
    shop.state.profiles["c1"] = b'{"customer.tier": "gold"}'
    assert shop.post(f"{FLAGS}/hero", context(customer_id="c1", userAgent="x")).json()["variant"] == "golden"
    assert shop.post(f"{FLAGS}/teaser", context(context={"page": "cart"})).json()["variant"] == "hurry"


def test_all_placements_at_once_are_not_sent_again(shop):
    shop.full_cart()
    answer = shop.post(FLAGS, context())
    assert [(each["key"], each["reason"]) for each in answer.json()["flags"]] == [
        ("banner", "TARGETING_MATCH"),
        ("hero", "DEFAULT"),
        ("teaser", "DEFAULT"),
    ]
    known = {"If-None-Match": answer.headers["etag"]}
    assert shop.post(FLAGS, context(), headers=known).status_code == 304
    shop.now = NOW + 4 * 60_000
    assert shop.post(FLAGS, context(), headers=known).status_code == 200


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        (f"{FLAGS}/nowhere", context(), 404, "FLAG_NOT_FOUND"),
        (f"{FLAGS}/banner", {"context": {}}, 400, "TARGETING_KEY_MISSING"),
        (FLAGS, {}, 400, "TARGETING_KEY_MISSING"),
        (FLAGS, {"context": {"targetingKey": 5}}, 400, "INVALID_CONTEXT"),
    ],
)
def test_errors_have_the_codes_of_the_protocol(shop, path, body, status, code):
    answer = shop.post(path, body)
    assert (answer.status_code, answer.json()["errorCode"]) == (status, code)


def test_a_fault_of_ours_is_the_fallback(shop):
    shop.state.gone = True
    flag = shop.post(f"{FLAGS}/banner", context()).json()
    assert (flag["value"], flag["reason"]) == ({"title": "As always"}, "DEFAULT")
    assert flag["metadata"]["degraded"] == "state_unavailable"
