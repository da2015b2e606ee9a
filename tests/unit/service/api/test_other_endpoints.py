"""Why, exposures, customers, readiness and metrics."""

import asyncio
from typing import Any

import msgspec
import pytest

from service.api.deciding import HOLD_MS
from service.api.health import snippet
from tests.unit.service.api.shop import NOW, Shop, spot


@pytest.fixture
def shop():
    return Shop()


# ---------------------------------------------------------------- why


def test_a_decision_can_be_read_at_once_and_later(shop):
    shop.full_cart()

    async def both():
        async with shop.client() as client:
            made = (await client.post("/v1/decide", json={"session_id": "s1", "placements": ["banner"]})).json()
            at_once = await client.get(f"/v1/decisions/{made['decision_id']}")
            await asyncio.sleep(0.2)
            return made, at_once.json(), (await client.get(f"/v1/decisions/{made['decision_id']}")).json()

    made, at_once, later = asyncio.run(both())
    assert at_once == later
    assert later["id"] == made["decision_id"]
    assert later["placements"][0]["offers"][0]["reasons"]


def test_an_unknown_decision_is_404_and_a_page_may_not_read_any(shop):
    assert shop.get("/v1/decisions/d_nothing").status_code == 404
    assert shop.get("/v1/decisions/d_nothing", "page").status_code == 403


def test_why_explains_every_rule_of_a_session_with_its_decisions(shop):
    shop.full_cart()
    shop.decide("banner")
    why = shop.get("/v1/sessions/s1/why?context.page=cart").json()
    assert why["known"]
    assert {report["rule"]: report["truth"] for report in why["rules"]} == {
        "shop.free_shipping": True,
        "shop.golden": None,
        "shop.hurry": True,
    }
    assert [decision["session_id"] for decision in why["decisions"]] == ["s1"]
    assert why["scores"][0][0] == "intent"


def test_why_of_an_unknown_session_says_so_and_of_one_rule_only_that(shop):
    why = shop.get("/v1/sessions/nobody/why?rule=shop.golden").json()
    assert not why["known"]
    assert [report["rule"] for report in why["rules"]] == ["shop.golden"]
    assert shop.get("/v1/sessions/s1/why?rule=shop.nothing").status_code == 404
    assert shop.get("/v1/sessions/s1/why?context.nothing=1").status_code == 400


def test_why_without_the_store_is_503_as_people_can_try_again(shop):
    shop.state.gone = True
    answer = shop.get("/v1/sessions/s1/why")
    assert answer.status_code == 503
    assert answer.headers["retry-after"]


# ---------------------------------------------------------------- exposures


def test_an_exposure_keeps_what_the_decision_took(shop):
    shop.full_cart()
    made = shop.decide("banner")
    token = spot(made, "banner")["offers"][0]["token"]
    body = {"decision_id": made["decision_id"], "session_id": "s1", "placements": {"banner": [token]}}
    answer = shop.post("/v1/exposures", body, "page")
    assert answer.json() == {"confirmed": {token: True}}
    assert shop.state.limits.confirm(token, NOW + 2 * HOLD_MS), "taken for good"
    assert shop.decisions.counts["exposed/shop.free_shipping"] == 1
    kept = [raw for _, _, raw in shop.decisions.entries.values() if b'"kind":"exposure"' in raw]
    assert msgspec.json.decode(kept[0])["decision_id"] == made["decision_id"]


def test_an_exposure_of_what_was_never_taken_is_told(shop):
    body = {"decision_id": "d_1", "session_id": "s1", "placements": {"banner": ["a/b/c/d"]}}
    assert shop.post("/v1/exposures", body).json() == {"confirmed": {"a/b/c/d": False}}
    assert "exposed/c" not in shop.decisions.counts


def test_an_exposure_without_the_limit_store_is_503_so_that_it_is_sent_again(shop):
    shop.state.limits_gone = True
    body = {"decision_id": "d_1", "session_id": "s1", "placements": {"banner": ["t"]}}
    answer = shop.post("/v1/exposures", body)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


# ---------------------------------------------------------------- customers


def put(shop, facts, key="server"):
    return shop.run(lambda client: client.put("/v1/customers/c1", json={"facts": facts}), key=key)


def test_a_profile_is_checked_stored_and_decides(shop):
    answer = put(shop, {"customer.tier": "gold", "favourite.colour": "blue"})
    assert answer.json()["stored"] == 1
    assert [each["field"] for each in answer.json()["warnings"]] == ["/facts/favourite.colour"]
    assert spot(shop.decide("hero", customer_id="c1"), "hero")["offers"][0]["offer"] == "golden"


def test_a_profile_with_a_value_that_does_not_fit_is_refused_whole(shop):
    answer = put(shop, {"customer.tier": "platinum", "customer.age": 30})
    assert (answer.status_code, answer.json()["field"]) == (400, "/facts/customer.tier")
    assert shop.state.profiles == {}


def test_a_profile_is_forgotten_on_request(shop):
    put(shop, {"customer.tier": "gold"})
    answer = shop.run(lambda client: client.delete("/v1/customers/c1"))
    assert (answer.status_code, answer.content) == (204, b"")
    assert shop.state.profiles == {}


def test_the_topic_of_profiles_hears_of_it_and_a_silent_one_is_told(shop):
    told: list[Any] = []
    is_silent: list[bool] = []

    class Topic:
        def append(self, records, done):
            told.extend(records)
            if not is_silent:
                done(None)

        def flush(self, timeout_ms):
            pass

    shop.profile_log = Topic
    answer = shop.run(lambda client: client.delete("/v1/customers/c1"))
    assert (answer.status_code, [(each.key, each.value) for each in told]) == (204, [("c1", b"")])
    is_silent.append(True)
    answer = shop.run(lambda client: client.delete("/v1/customers/c1"))
    assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (503, "store-unavailable")
    assert "delete them again" in answer.json()["detail"]


def test_a_page_can_not_change_profiles(shop):
    assert put(shop, {}, "page").status_code == 403


# ---------------------------------------------------------------- health


def test_ready_is_who_can_decide_also_when_the_store_is_gone(shop):
    assert shop.get("/readyz").json()["status"] == "ready"
    shop.state.gone = True

    async def after_failures():
        async with shop.client() as client:
            for _ in range(4):
                await client.post("/v1/decide", json={"session_id": "s1", "placements": ["banner"]})
            return await client.get("/readyz")

    answer = asyncio.run(after_failures())
    assert answer.status_code == 200
    assert answer.json()["status"] == "degraded"


def test_without_rules_it_is_alive_and_not_ready():
    shop = Shop(ruled=False)
    assert shop.get("/healthz").status_code == 200
    assert shop.get("/readyz").status_code == 503


def test_metrics_count_calls_outcomes_and_what_is_gone(shop):
    shop.state.gone = True

    async def calls():
        async with shop.client() as client:
            await client.post("/v1/decide", json={"session_id": "s1", "placements": ["banner"]})
            await client.post("/v1/events", json={"type": "checkout_viewed", "session_id": "s1"})
            return (await client.get("/metrics")).text

    text = asyncio.run(calls())
    assert 'salience_api_requests_total{endpoint="decide",status="200"} 1.0' in text
    assert 'salience_api_degraded_total{code="state_unavailable"} 1.0' in text
    assert 'salience_api_events_total{verdict="accepted"} 1.0' in text
    assert "salience_api_revision 1.0" in text


def test_decisions_are_kept_while_their_log_is_away(shop, monkeypatch):
    monkeypatch.setattr("service.api.recorder.REST_S", 0.01)
    shop.decisions.gone = True

    async def through_an_outage():
        async with shop.client() as client:
            made = (await client.post("/v1/decide", json={"session_id": "s1", "placements": ["banner"]})).json()
            await asyncio.sleep(0.1)
            assert shop.decisions.entries == {}
            shop.decisions.gone = False
        return made

    made = asyncio.run(through_an_outage())
    assert made["decision_id"] in shop.decisions.entries
    assert shop.decisions.counts["decisions"] == 1


def test_the_snippet_is_small():
    import gzip

    assert len(gzip.compress(snippet(), 9)) < 5 * 1024
