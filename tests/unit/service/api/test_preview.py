"""Previews: time, facts and audience as a token says, about a real session, without any trace."""

import copy

import msgspec
import pytest

from service.preview import ImaginedEvent, Preview, name_of, sign
from tests.unit.service.api.shop import NOW, PREVIEW_SECRET, SETTINGS, Shop, loaded, spot

HOUR = 3_600_000
SEGMENTS = "segments:\n  vip: {fact: customer.tier, is: gold}\n"


def token(secret=PREVIEW_SECRET, **content):
    preview = Preview(name_of(secret), NOW + HOUR)
    return sign(msgspec.structs.replace(preview, **content), secret)


def shown(answer, placement):
    return spot(answer, placement)["offers"][0]["offer"]


@pytest.fixture
def segmented():
    from tests.unit.service.api.shop import FOLDER

    rules = FOLDER["shop.yaml"].replace("when: {fact: customer.tier, is: gold}", "when: {segment: vip}")
    return Shop(current=loaded(sources=FOLDER | {"segments.yaml": SEGMENTS, "shop.yaml": rules}))


def test_facts_of_the_customer_and_the_request_are_as_the_token_says():
    shop = Shop()
    assert shown(shop.decide("hero"), "hero") == "standard"
    answer = shop.decide("hero", "teaser", preview=token(facts={"customer.tier": "gold", "context.page": "cart"}))
    assert (shown(answer, "hero"), shown(answer, "teaser")) == ("golden", "hurry")
    assert answer["preview"] == {"until": NOW + HOUR, "forced": ["customer.tier", "context.page"]}
    answer = shop.decide("teaser", context={"context.page": "home"}, preview=token(facts={"context.page": "cart"}))
    assert shown(answer, "teaser") == "hurry", "the token's facts count more than the page's"


def test_an_audience_is_forced_in_and_out(segmented):
    segmented.state.profiles["c1"] = b'{"customer.tier": "gold"}'
    inside = segmented.decide("hero", preview=token(segments={"vip": True}))
    outside = segmented.decide("hero", customer_id="c1", preview=token(segments={"vip": False}))
    assert (shown(inside, "hero"), shown(outside, "hero")) == ("golden", "standard")
    assert shown(segmented.decide("hero", customer_id="c1"), "hero") == "golden", "only for the preview"
    assert inside["preview"]["forced"] == ["segment vip"]


def test_a_session_that_the_live_network_wrote_is_read_with_forced_segments(segmented):
    segmented.full_cart()
    answer = segmented.decide("banner", "hero", preview=token(segments={"vip": True}))
    assert (shown(answer, "banner"), shown(answer, "hero")) == ("shipping", "golden")


def test_time_and_what_happened_are_as_the_token_says():
    shop = Shop()
    cart = ImaginedEvent("cart_added", {"product_id": "p1", "price": 250}, 120_000)
    checkout = ImaginedEvent("checkout_viewed", ago=60_000)
    answer = shop.decide("banner", preview=token(time=NOW + 24 * HOUR, events=(checkout, cart)))
    assert spot(answer, "banner")["offers"][0]["content"] == {"title": "Your cart of 250.00 EUR travels free"}
    assert answer["time"] == NOW + 24 * HOUR
    assert answer["preview"]["forced"] == ["time", "event checkout_viewed", "event cart_added"]
    late = ImaginedEvent("checkout_viewed", ago=10 * 60_000)
    assert shown(shop.decide("banner", preview=token(events=(cart, late))), "banner") == "standard"


def test_a_score_is_as_the_token_says_and_no_model_is_asked():
    shop = Shop()
    page = {"context.page": "cart"}
    assert shown(shop.decide("teaser", preview=token(facts=page, scores={"intent": 0.9})), "teaser") == "standard"
    assert shown(shop.decide("teaser", preview=token(facts=page, scores={"intent": 0.1})), "teaser") == "hurry"
    silent = shop.decide("teaser", preview=token(facts=page, scores={"intent": None}))
    assert silent["degraded"][0]["code"] == "model_unavailable"
    assert shop.scorer.batches == []


def test_the_real_session_is_what_is_decided_for_and_nothing_of_it_changes():
    shop = Shop(msgspec.structs.replace(SETTINGS, holdout_percent=100))
    shop.full_cart("s1", "c1")
    assert shown(shop.decide("banner", preview=token()), "banner") == "shipping", "nobody is held out of a preview"

    shop = Shop()
    shop.full_cart("s1", "c1")
    shop.decide("banner", "teaser", context={"context.page": "cart"})
    kept = dict(shop.evaluations._kept)
    before = copy.deepcopy((shop.state.grants, shop.state.identities, shop.state.limits._acts, shop.state.puts))
    before_stores = copy.deepcopy((shop.decisions.entries, shop.decisions.counts, shop.log.records))

    async def previewed(client):
        assert shop.services is not None
        body = {"session_id": "s1", "placements": ["banner", "hero", "teaser"], "customer_id": "c1"}
        forced = {"customer.tier": "gold", "context.page": "cart"}
        figures = without_calls(shop)
        answers = [(await client.post("/v1/decide", json=body | {"preview": token(facts=forced)})).json() for _ in "ab"]
        exposed = {"session_id": "s1", "decision_id": answers[0]["decision_id"], "placements": {"banner": ["t"]}}
        confirmed = (await client.post("/v1/exposures", json=exposed)).json()
        return answers, confirmed, figures == without_calls(shop)

    (answer, _), confirmed, same_figures = shop.run(previewed)
    assert [shown(answer, each) for each in ("banner", "hero", "teaser")] == ["shipping", "golden", "hurry"]
    assert answer["decision_id"].startswith("p_")
    assert all("token" not in offer for placed in answer["placements"] for offer in placed["offers"])
    assert same_figures
    assert confirmed == {"confirmed": {"t": False}}
    assert before == (shop.state.grants, shop.state.identities, shop.state.limits._acts, shop.state.puts)
    assert before_stores == (shop.decisions.entries, shop.decisions.counts, shop.log.records)
    assert kept == shop.evaluations._kept
    assert shop.get(f"/v1/decisions/{answer['decision_id']}").status_code == 404


def without_calls(shop):
    """All figures but those of the HTTP calls as such."""
    own = b"salience_api_requests", b"salience_api_seconds", b"# "
    return [line for line in shop.services.metrics.text().splitlines() if not line.startswith(own)]


def test_limits_of_a_preview_begin_empty():
    shop = Shop()
    shop.full_cart()
    rule = "rule/shop.free_shipping/session/s1"
    from engine.ports import Cap, Claim

    shop.state.limits.take([Claim("another", (Cap(rule, 1, 1, expires=NOW + HOUR),))], 1, NOW, None)
    assert spot(shop.decide("banner"), "banner")["outcome"] == "suppressed"
    assert shown(shop.decide("banner", preview=token()), "banner") == "shipping"


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("nonsense", "no token"),
        ("salp_e30.e30", "cut or altered"),
        (token(secret=b"of another tenant"), "another installation"),
        (token(until=NOW), "expired 1 s ago"),
        (token(until=NOW - HOUR, time=NOW - 2 * HOUR), "expired 3600 s ago"),
        (token(key="0123456789"), "for the key 0123456789 alone"),
        (token()[:-1] + "A", "cut or altered"),
        (token(facts={"a": 1}).partition(".")[0] + "." + token().partition(".")[2], "cut or altered"),
        (sign(Preview(name_of(PREVIEW_SECRET), NOW + HOUR), b"guessed"), "cut or altered"),
        ("salp_" + "a" * 9_000 + ".a", "no token"),
    ],
)
def test_a_token_that_is_not_valid_here_and_now_is_refused_with_the_reason(given, why):
    answer = Shop().post("/v1/decide", {"session_id": "s1", "placements": ["banner"], "preview": given})
    assert (answer.status_code, answer.json()["type"]) == (403, "urn:salience:problem:preview-refused")
    assert why in answer.json()["detail"]
    assert answer.json()["field"] == "/preview"


def test_every_changed_character_of_a_token_makes_it_invalid():
    shop = Shop()
    good = token(facts={"customer.tier": "gold"})

    async def each_changed(client):
        statuses = set()
        for place in range(len("salp_"), len(good)):
            other = "A" if good[place] != "A" else "B"
            body = {"session_id": "s1", "placements": ["hero"], "preview": good[:place] + other + good[place + 1 :]}
            statuses.add((await client.post("/v1/decide", json=body)).status_code)
        body = {"session_id": "s1", "placements": ["hero"], "preview": good}
        return statuses, (await client.post("/v1/decide", json=body)).status_code

    assert shop.run(each_changed) == ({403}, 200)


def test_what_the_live_rules_do_not_know_is_left_out_with_a_warning():
    unknown = token(
        facts={"customer.tier": "platinum", "nothing": 1, "customer.age": 30},
        segments={"nobody": True},
        scores={"luck": 1.0},
        events=(ImaginedEvent("dreamt"),),
    )
    answer = Shop().decide("hero", preview=unknown)
    assert shown(answer, "hero") == "standard"
    fields = {each["field"]: each["code"] for each in answer["warnings"]}
    assert fields == {
        "/preview/facts/customer.tier": "unknown-choice",
        "/preview/facts/nothing": "unknown-fact",
        "/preview/segments/nobody": "unknown-segment",
        "/preview/scores/luck": "unknown-score",
        "/preview/events/0": "unknown-event",
    }


def test_events_do_not_ride_along_and_a_preview_works_in_bulk():
    shop = Shop()
    asked = {"session_id": "s1", "placements": ["hero"], "preview": token(facts={"customer.tier": "gold"})}
    answer = shop.post("/v1/decide", asked | {"events": [{"type": "purchase", "session_id": "s1"}]})
    assert (answer.status_code, answer.json()["field"]) == (400, "/events")
    headers = {"Content-Type": "application/x-ndjson"}
    bulk = shop.post("/v1/decide/bulk", msgspec.json.encode(asked), headers=headers).json()
    assert shown(bulk["answer"], "hero") == "golden"
    assert not shop.decisions.entries


def test_without_its_state_a_preview_says_so():
    shop = Shop()
    shop.state.gone = True
    answer = shop.decide("hero", preview=token(facts={"customer.tier": "gold"}))
    assert shown(answer, "hero") == "standard"
    assert answer["degraded"][0]["code"] == "state_unavailable"
    assert "preview" in answer
