"""An answer that stands is given again as the same bytes, and is what a decision made anew would be in everything that tells."""

import msgspec
import pytest

from engine.decision import Decision
from service.api.evaluated import LONGEST_MS
from service.api.inputs import decode_inputs
from service.api.standing import Spliced, Standing
from service.keys import KeyKind, Scope, create
from tests.unit.service.api.shop import NOW, Shop, loaded

OWN = ("decision_id", "time", "evaluated_at")


@pytest.fixture
def shop():
    shop = Shop()
    shop.remember("s1", ("cart_added", NOW - 120_000, {"product_id": "p1", "price": 9_900}))
    return shop


@pytest.fixture
def given(monkeypatch):
    """The answers that were given as bytes: ids of their decisions."""
    ids: list[bytes] = []
    splice = Standing.is_for

    def is_for(self, found, now):
        is_it = splice(self, found, now)
        ids.extend([b"standing"] * is_it)
        return is_it

    monkeypatch.setattr(Standing, "is_for", is_for)
    return ids


def asked(shop, times=1, **more):
    """The last of some same answers."""
    answer = {}
    for _ in range(times):
        shop.now += 1_000
        answer = shop.decide("banner", "hero", **more)
    return answer


def same(one, other):
    return {key: value for key, value in one.items() if key not in OWN} == {
        key: value for key, value in other.items() if key not in OWN
    }


def test_the_third_of_the_same_requests_is_answered_by_the_bytes_of_the_second(shop, given):
    first = asked(shop)
    second = asked(shop)
    assert not given
    third = asked(shop)
    assert given
    assert same(first, second)
    assert same(second, third)
    assert third["time"] == NOW + 3_000
    assert third["evaluated_at"] == second["evaluated_at"] == NOW + 1_000
    assert len({each["decision_id"] for each in (first, second, third)}) == 3


def test_it_is_logged_and_counted_as_any_other(shop, given):
    answers = [asked(shop) for _ in range(4)]
    assert len(given) == 2
    logged = [msgspec.json.decode(shop.decisions.get(each["decision_id"]), type=Decision) for each in answers]
    assert [each.time for each in logged] == [each["time"] for each in answers]
    assert msgspec.structs.replace(logged[3], id="", time=0) == msgspec.structs.replace(logged[1], id="", time=0)
    assert decode_inputs(shop.decisions.inputs(answers[3]["decision_id"])).basis == answers[0]["decision_id"]
    assert b'salience_api_placements_total{outcome="no_match"} 2.0' in shop.services.metrics.text()
    assert b'salience_api_evaluations_total{how="reused"} 1.0' in shop.services.metrics.text()


def test_its_tag_is_that_of_the_decision_made_anew(shop, given):
    body = {"session_id": "s1", "placements": ["banner"]}
    tags = [shop.post("/v1/decide", body).headers["etag"] for _ in range(3)]
    assert given
    assert len(set(tags)) == 1
    again = shop.post("/v1/decide", body, headers={"If-None-Match": tags[0]})
    assert (again.status_code, again.content) == (304, b"")


def test_new_state_an_accepted_event_and_new_rules_end_it(shop, given):
    asked(shop, 3)
    shop.full_cart_at(NOW)
    assert asked(shop)["placements"][0]["outcome"] == "offer"
    shop = Shop()
    shop.remember("s1", ("cart_added", NOW - 120_000, {"product_id": "p1", "price": 9_900}))
    asked(shop, 3)
    given.clear()
    shop.post("/v1/events", {"events": [{"type": "cart_added", "session_id": "s1", "attributes": {"price": 110}}]})
    assert "evaluated_at" not in asked(shop), "what this process accepted is in the decision"
    asked(shop, 3)
    given.clear()
    shop.holder.current = loaded(2, shop.scorer)
    assert asked(shop)["revision"] == 2
    assert not given


def test_it_ends_with_the_evaluation(shop, given):
    asked(shop, 3)
    shop.now = NOW + LONGEST_MS - 1
    assert asked(shop)["evaluated_at"] == NOW + 1_000
    given.clear()
    assert "evaluated_at" not in asked(shop)
    assert not given


def test_keys_that_may_read_less_and_pages_that_object_get_their_own(shop, given):
    shop.state.profiles["c1"] = b'{"customer.tier": "gold"}'
    shop.remember("s1", ("checkout_viewed", NOW - 60_000, {}), customer="c1")
    with_reasons = asked(shop, 3)
    assert with_reasons["placements"][1]["offers"][0]["reasons"]
    without = [asked(shop, key="page") for _ in range(3)][-1]
    assert "reasons" not in without["placements"][1]["offers"][0]
    body = {"session_id": "s1", "placements": ["banner", "hero"]}
    objecting = shop.post("/v1/decide", body, headers={"Sec-GPC": "1"}).json()
    assert objecting["placements"][1]["outcome"] == "suppressed"


def test_a_key_without_the_scope_is_refused_though_the_answer_stands(shop, given):
    asked(shop, 3)
    _, key = create(shop.tables, "events", KeyKind.SERVER, NOW, scopes=[Scope.EVENTS])
    shop.ring.refresh()
    assert shop.post("/v1/decide", {"session_id": "s1", "placements": ["banner", "hero"]}, key).status_code == 403


def test_while_the_store_is_away_it_does_not_stand(shop, given):
    asked(shop, 3)
    given.clear()
    shop.state.gone = True
    answer = asked(shop)
    assert answer["degraded"][0]["code"] == "state_stale"
    assert not given


@pytest.mark.parametrize("session", ["s1", '","time":5,"', '\\"time\\":7,', "d_"])
def test_a_text_that_looks_like_the_time_is_not_taken_for_it(session):
    raw = msgspec.json.encode({"decision_id": "d_1", "session_id": session, "time": 7, "left": [1]})
    again = Spliced.of(raw, "d_1", 7).with_(b"d_22", 19)
    assert msgspec.json.decode(again) == {"decision_id": "d_22", "session_id": session, "time": 19, "left": [1]}
