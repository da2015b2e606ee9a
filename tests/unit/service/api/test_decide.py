"""`POST /v1/decide`: what is shown, why, and what happens when something is gone."""

import asyncio
import time

import msgspec
import pytest

from engine.decision import Decision
from service.api.deciding import HOLD_MS
from tests.unit.service.api.shop import FOLDER, NOW, SETTINGS, Shop, loaded, spot


@pytest.fixture
def shop():
    return Shop()


@pytest.fixture
def patient_shop():
    """For bursts, which a busy machine may answer later than a shopper would wait."""
    patient = FOLDER | {"vocabulary.yaml": FOLDER["vocabulary.yaml"].replace("within: 50 ms", "within: 10 seconds")}
    shop = Shop(msgspec.structs.replace(SETTINGS, deadline_ms=80_000))
    shop.holder.current = loaded(1, shop.scorer, patient)
    return shop


def test_a_session_that_the_stream_knows_gets_its_offer_with_reasons(shop):
    shop.full_cart()
    answer = shop.decide("banner")
    banner = spot(answer, "banner")
    assert banner["outcome"] == "offer"
    (offer,) = banner["offers"]
    assert offer["offer"] == "shipping"
    assert offer["rule"] == "shop.free_shipping"
    assert offer["content"] == {"title": "Your cart of 248.00 EUR travels free"}
    assert offer["reasons"][0]["actual"] == "248.00 EUR"
    assert banner["valid_until"] == NOW - 60_000 + 5 * 60_000
    assert answer["valid_until"] == banner["valid_until"]
    assert answer["revision"] == 1
    assert answer["bundle"] == shop.rules.bundle.hash
    assert answer["degraded"] == []


def test_a_session_never_seen_gets_the_fallback_and_nothing_is_degraded(shop):
    answer = shop.decide("banner", "hero")
    assert [each["outcome"] for each in answer["placements"]] == ["no_match", "no_match"]
    assert spot(answer, "banner")["offers"] == [{"offer": "standard", "content": {"title": "As always"}}]
    assert answer["degraded"] == []


def test_a_placement_that_does_not_exist_is_an_error_item_and_the_others_are_answered(shop):
    shop.full_cart()
    answer = shop.decide("nowhere", "banner", "nowhere")
    assert [each["placement"] for each in answer["placements"]] == ["nowhere", "banner"]
    assert spot(answer, "nowhere")["error"]["code"] == "unknown-placement"
    assert spot(answer, "banner")["outcome"] == "offer"


def test_an_event_that_rides_along_is_seen_by_the_decision_and_is_in_the_log(shop):
    events = [
        {"id": "e2", "type": "checkout_viewed", "session_id": "s1", "time": NOW - 500},
        {"id": "e1", "type": "cart_added", "session_id": "s1", "time": NOW - 1000, "attributes": {"price": 210}},
        {"id": "e3", "type": "nonsense", "session_id": "s1"},
        {"id": "e4", "type": "checkout_viewed", "session_id": "another"},
    ]
    answer = shop.decide("banner", events=events)
    assert spot(answer, "banner")["offers"][0]["offer"] == "shipping"
    assert [(each["id"], each["verdict"]) for each in answer["events"]] == [
        ("e2", "accepted"),
        ("e1", "accepted"),
        ("e3", "refused"),
        ("e4", "refused"),
    ]
    assert [msgspec.json.decode(record.value)["id"] for record in shop.log.records] == ["e2", "e1"]
    assert shop.state.sessions == {}, "only the stream writes state"


def test_profile_facts_of_the_customer_count_and_a_sign_in_with_the_request_counts_at_once(shop):
    shop.state.profiles["c1"] = b'{"customer.tier": "gold", "unknown.fact": 1}'
    assert spot(shop.decide("hero"), "hero")["outcome"] == "no_match"
    assert spot(shop.decide("hero", customer_id="c1"), "hero")["offers"][0]["offer"] == "golden"
    riding = [{"type": "checkout_viewed", "session_id": "s1", "customer_id": "c1"}]
    assert shop.decide("hero", events=riding)["events"][0]["verdict"] == "accepted"


def test_the_stored_session_brings_its_customer(shop):
    shop.state.profiles["c1"] = b'{"customer": {"tier": "gold"}}'
    shop.full_cart(customer="c1")
    assert spot(shop.decide("hero"), "hero")["offers"][0]["offer"] == "golden"


def test_request_facts_that_do_not_fit_are_left_out_and_named(shop):
    answer = shop.decide("teaser", context={"context.page": "cart", "context.nonsense": 1, "customer.tier": "gold"})
    assert spot(answer, "teaser")["outcome"] == "offer"
    assert [each["field"] for each in answer["warnings"]] == ["/context/context.nonsense", "/context/customer.tier"]


def test_a_limit_is_taken_once_by_a_decision_that_is_repeated(shop):
    shop.full_cart()
    tokens = {spot(shop.decide("banner"), "banner")["offers"][0]["token"] for _ in range(3)}
    assert len(tokens) == 1
    assert shop.state.puts == 1, "grants that did not change are not written again"


def test_a_limit_that_is_used_up_shows_the_fallback_and_says_so(shop):
    shop.full_cart()
    shop.decide("banner")
    shop.state.grants.clear()
    answer = shop.decide("banner", explain=True)
    banner = spot(answer, "banner")
    assert banner["outcome"] == "suppressed"
    assert banner["lost"][0]["because"] == "cap"


def test_what_is_not_exposed_is_given_back(shop):
    shop.full_cart()
    early = spot(shop.decide("banner"), "banner")["offers"][0]["token"]
    shop.state.grants.clear()
    shop.now = NOW + HOLD_MS
    shop.full_cart_at(shop.now)
    late = spot(shop.decide("banner"), "banner")["offers"][0]["token"]
    assert late != early
    assert not shop.state.limits.confirm(early, shop.now)


# ---------------------------------------------------------------- models


def test_a_score_is_asked_only_when_the_cheaper_conditions_hold(shop):
    shop.decide("teaser", context={"context.page": "home"})
    assert shop.scorer.batches == []
    answer = shop.decide("teaser", context={"context.page": "cart"}, explain=True)
    assert shop.scorer.batches == [1]
    assert spot(answer, "teaser")["offers"][0]["offer"] == "hurry"
    assert answer["models"] == {"intent": "v1"}
    assert answer["scores"] == [["intent", {"status": "ok", "value": 0.2, "model_version": "v1"}]]


def test_a_model_that_is_slow_costs_its_own_deadline_and_the_rest_is_decided(shop):
    shop.scorer.delay_s = 0.5
    shop.full_cart()
    answer = shop.decide("teaser", "banner", context={"context.page": "cart"})
    assert spot(answer, "teaser")["outcome"] == "no_match"
    assert spot(answer, "banner")["outcome"] == "offer"
    assert [each["code"] for each in answer["degraded"]] == ["model_unavailable"]


def test_a_model_that_fails_is_named(shop):
    shop.scorer.value = None
    answer = shop.decide("teaser", context={"context.page": "cart"})
    assert "error" in answer["degraded"][0]["detail"]


def test_requests_that_wait_share_one_call_of_the_model(patient_shop):
    patient_shop.scorer.delay_s = 0.02

    async def many():
        body = {"session_id": "s1", "placements": ["teaser"], "context": {"context.page": "cart"}}
        async with patient_shop.client() as client:
            answers = await asyncio.gather(*(client.post("/v1/decide", json=body) for _ in range(20)))
        return [spot(answer.json(), "teaser")["outcome"] for answer in answers]

    assert asyncio.run(many()) == ["offer"] * 20
    assert sum(patient_shop.scorer.batches) == 20
    assert len(patient_shop.scorer.batches) < 20


# ---------------------------------------------------------------- what is gone


def test_without_the_state_store_the_answer_is_the_fallback_with_200(shop):
    shop.full_cart()
    shop.state.gone = True
    answer = shop.decide("banner", "nowhere")
    assert spot(answer, "banner")["outcome"] == "degraded"
    assert spot(answer, "banner")["offers"][0]["offer"] == "standard"
    assert "error" in spot(answer, "nowhere")
    assert [each["code"] for each in answer["degraded"]] == ["state_unavailable"]


def test_without_the_state_store_a_session_read_a_moment_ago_is_decided_with_that_and_it_says_so(shop):
    shop.state.profiles["c1"] = b'{"customer.tier": "gold"}'
    shop.full_cart(customer="c1")
    assert spot(shop.decide("hero", "banner"), "hero")["outcome"] == "offer"
    shop.state.gone = True
    shop.now += 30_000
    answer = shop.decide("hero", "banner")
    assert spot(answer, "hero")["offers"][0]["offer"] == "golden"
    assert spot(answer, "banner")["outcome"] == "degraded", "its limit can't be looked at"
    assert [each["code"] for each in answer["degraded"]] == ["state_stale", "limits_unavailable"]
    assert "30 s ago" in answer["degraded"][0]["detail"]
    shop.now += 300_000
    assert [each["code"] for each in shop.decide("hero")["degraded"]] == ["state_unavailable"]


def test_the_stale_state_of_one_customer_never_answers_for_another(shop):
    shop.state.profiles["c1"] = b'{"customer.tier": "gold"}'
    shop.decide("hero", customer_id="c1")
    shop.state.gone = True
    assert spot(shop.decide("hero", customer_id="c2"), "hero")["outcome"] == "degraded"
    assert spot(shop.decide("hero"), "hero")["outcome"] == "degraded"


def test_a_slow_state_store_costs_the_deadline_at_most(shop):
    shop.state.delay_s = 5

    async def timed():
        async with shop.client() as client:
            began = time.monotonic()
            answer = await client.post("/v1/decide", json={"session_id": "s1", "placements": ["banner"]})
            return answer.json(), time.monotonic() - began

    answer, took = asyncio.run(timed())
    assert answer["degraded"][0]["code"] == "state_unavailable"
    assert took < 2.5


def test_a_store_that_is_gone_is_not_asked_by_each_request(shop):
    shop.state.gone = True

    async def many():
        async with shop.client() as client:
            for _ in range(20):
                await client.post("/v1/decide", json={"session_id": "s1", "placements": ["banner"]})

    asyncio.run(many())
    assert shop.state.reads < 10


def test_a_callers_tiny_deadline_does_not_open_the_circuit_for_others(shop):
    shop.state.delay_s = 0.02
    shop.full_cart()

    async def many():
        hurried = {"session_id": "s1", "placements": ["banner"], "deadline_ms": 1}
        async with shop.client() as client:
            for _ in range(10):
                answer = await client.post("/v1/decide", json=hurried)
                assert answer.json()["degraded"][0]["code"] == "state_unavailable"
            return await client.post("/v1/decide", json={"session_id": "s1", "placements": ["banner"]})

    assert asyncio.run(many()).json()["degraded"] == []


def test_without_the_limit_store_only_what_has_limits_is_left_out(shop):
    shop.full_cart()
    shop.state.limits_gone = True
    shop.state.profiles["c1"] = b'{"customer.tier": "gold"}'
    answer = shop.decide("banner", "hero", customer_id="c1")
    assert spot(answer, "banner")["outcome"] == "degraded"
    assert spot(answer, "banner")["offers"][0]["offer"] == "standard"
    assert spot(answer, "hero")["offers"][0]["offer"] == "golden"
    assert [each["code"] for each in answer["degraded"]] == ["limits_unavailable"]


def test_a_state_that_can_not_be_read_is_named_and_the_session_starts_anew(shop):
    shop.full_cart()
    state = shop.state.sessions["s1"]
    shop.state.sessions["s1"] = msgspec.structs.replace(state, snapshot=b"\x00nonsense")
    answer = shop.decide("banner")
    assert spot(answer, "banner")["outcome"] == "no_match"
    assert [each["code"] for each in answer["degraded"]] == ["state_unreadable"]


def test_a_fault_of_ours_is_a_fallback_too(shop, monkeypatch, caplog):
    def broken(*_args, **_options):
        raise ZeroDivisionError

    monkeypatch.setattr("service.api.evaluation.consider", broken)
    answer = shop.decide("banner")
    assert spot(answer, "banner")["offers"][0]["offer"] == "standard"
    assert answer["degraded"][0]["code"] == "internal_error"
    assert "ZeroDivisionError" in caplog.text
    assert "ZeroDivision" not in str(answer)


def test_without_any_ruleset_the_answer_is_200_and_empty():
    shop = Shop(ruled=False)
    answer = shop.decide("banner", events=[{"type": "x", "session_id": "s1"}])
    assert answer["placements"] == [{"placement": "banner", "offers": [], "outcome": "degraded"}]
    assert answer["degraded"][0]["code"] == "no_ruleset"
    assert answer["revision"] == 0
    assert answer["events"][0]["verdict"] == "unconfirmed"


def test_an_event_log_that_is_full_leaves_ride_along_events_unconfirmed_and_decides(shop):
    shop.log.full = True
    riding = [{"id": "e1", "type": "checkout_viewed", "session_id": "s1"}]
    answer = shop.decide("banner", events=riding)
    assert answer["events"] == [
        {"id": "e1", "verdict": "unconfirmed", "detail": "The event log is full; send it again."}
    ]


def test_an_event_log_that_does_not_answer_does_not_hold_the_decision_beyond_its_deadline(shop):
    shop.log.silent = True
    answer = shop.decide("banner", events=[{"type": "checkout_viewed", "session_id": "s1"}])
    assert answer["events"][0]["verdict"] == "unconfirmed"


# ---------------------------------------------------------------- what is kept, and for whom


def test_a_decision_is_logged_whole_and_counted(shop):
    shop.full_cart()
    answer = shop.decide("banner", context={"context.page": "cart"})
    raw = shop.decisions.get(answer["decision_id"])
    decision = msgspec.json.decode(raw, type=Decision)
    assert decision.session_id == "s1"
    assert decision.context == {"context.page": "cart"}
    assert decision.placements[0].offers[0].reasons
    assert shop.decisions.counts == {"decisions": 1, "shown/shop.free_shipping": 1}


def test_a_page_is_not_told_what_the_shop_knows_of_the_shopper(shop):
    shop.full_cart()
    offer = spot(shop.decide("banner", key="page"), "banner")["offers"][0]
    assert offer.keys() == {"offer", "content", "rule", "token"}
    refused = shop.post("/v1/decide", {"session_id": "s1", "placements": ["banner"], "explain": True}, "page")
    assert refused.status_code == 403
    assert refused.json()["field"] == "/explain"


def test_explaining_shows_each_rule_and_how_far_it_is(shop):
    shop.remember("s1", ("cart_added", NOW - 1000, {"product_id": "p1", "price": 13_800}))
    answer = shop.decide("banner", "hero", explain=True)
    reports = {report["rule"]: report for report in answer["rules"]}
    assert reports.keys() == {"shop.free_shipping", "shop.golden"}
    assert reports["shop.free_shipping"]["truth"] is False
    assert any("62.00" in str(each.get("distance")) for each in reports["shop.free_shipping"]["failing"])


def test_a_request_keeps_one_revision_though_another_is_switched_in_meanwhile(patient_shop):
    patient_shop.state.delay_s = 0.01
    patient_shop.full_cart()
    revisions = [loaded(number, patient_shop.scorer) for number in range(2, 12)]

    async def under_load():
        body = {"session_id": "s1", "placements": ["banner"]}
        async with patient_shop.client() as client:

            async def switch():
                for each in revisions:
                    patient_shop.holder.current = each
                    await asyncio.sleep(0.003)

            *answers, _ = await asyncio.gather(*(client.post("/v1/decide", json=body) for _ in range(40)), switch())
            answers.append(await client.post("/v1/decide", json=body))
        return [answer.json() for answer in answers]

    answers = asyncio.run(under_load())
    assert all(answer["degraded"] == [] for answer in answers)
    assert all(spot(answer, "banner")["outcome"] == "offer" for answer in answers)
    assert answers[-1]["revision"] == 11


def test_global_privacy_control_leaves_only_what_the_request_itself_says(shop):
    shop.full_cart()
    body = {"session_id": "s1", "placements": ["banner"], "explain": True}
    answer = shop.post("/v1/decide", body, headers={"Sec-GPC": "1"}).json()
    assert spot(answer, "banner")["lost"][0]["because"] == "consent"
