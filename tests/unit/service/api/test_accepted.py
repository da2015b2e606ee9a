"""Read your writes: what this process accepted is in the decision, once, whether the stream has come to it or not."""

import msgspec
import pytest

from engine.event import Event, RawEvent
from engine.ports import NewRecord, SessionState
from service.api.accepted import CAPACITY, KEPT_MS, OF_SESSION, Accepted
from service.api.rules import Rules
from tests.unit.service.api.shop import FOLDER, NOW, Shop, loaded, no_score, spot

CART = {"id": "e1", "type": "cart_added", "session_id": "s1", "time": NOW - 2_000, "attributes": {"price": 150}}
CHECKOUT = {"id": "e2", "type": "checkout_viewed", "session_id": "s1", "time": NOW - 1_000}


@pytest.fixture
def shop():
    return Shop()


def stream_comes_to(shop, *ids):
    """Let the stream apply accepted events, as the worker does: state and seen ids in one write."""
    network = shop.rules.network
    memory = network.open("s1", None)
    rules = Rules.of(shop.rules)
    logged = {raw.id: raw for raw in (msgspec.json.decode(each.value, type=RawEvent) for each in shop.log.records)}
    for raw in logged.values():
        if raw.id in ids:
            network.insert(memory, rules.admission.admit(raw, NOW), no_score)
    shop.state.sessions["s1"] = SessionState(network.snapshot(memory), memory.clock, None, memory.customer_id)
    shop.state.seen |= set(ids)


def actual(shop, **more):
    """The value of the cart as a decision sees it."""
    (rule,) = shop.decide("banner", explain=True, **more)["rules"]
    return rule["condition"]["parts"][0]["actual"]


def test_events_sent_before_are_seen_although_the_stream_has_not_come_to_them(shop):
    shop.post("/v1/events", {"events": [CART, CART | {"id": "e3"}, CHECKOUT]})
    assert shop.state.sessions == {}
    banner = spot(shop.decide("banner"), "banner")
    assert banner["offers"][0]["content"] == {"title": "Your cart of 300.00 EUR travels free"}


def test_an_event_counts_once_while_the_stream_comes_to_it(shop):
    shop.post("/v1/events", {"events": [CART, CART | {"id": "e3"}]})
    assert actual(shop) == "300.00 EUR"
    stream_comes_to(shop, "e1")
    assert actual(shop) == "300.00 EUR"
    stream_comes_to(shop, "e1", "e3")
    assert actual(shop) == "300.00 EUR"
    assert shop.accepted.of_session("s1", Rules.of(shop.rules), NOW) == ()


def test_an_event_that_rode_along_is_in_the_next_decision(shop):
    assert actual(shop, events=[CART]) == "150.00 EUR"
    assert actual(shop) == "150.00 EUR"


def test_a_decision_that_is_sent_again_counts_its_events_once(shop):
    assert actual(shop, events=[CART, CART]) == "150.00 EUR"
    assert actual(shop, events=[CART]) == "150.00 EUR"
    stream_comes_to(shop, "e1")
    assert actual(shop, events=[CART]) == "150.00 EUR"


def test_what_the_log_did_not_take_does_not_count(shop):
    shop.log.fails = True
    assert shop.post("/v1/events", CART).status_code == 503
    assert actual(shop) == "0.00 EUR"


def test_a_sign_in_event_that_the_stream_has_not_come_to_brings_its_customer(shop):
    shop.state.profiles["c1"] = b'{"customer.tier": "gold"}'
    shop.post("/v1/events", CHECKOUT | {"customer_id": "c1"})
    assert spot(shop.decide("hero"), "hero")["outcome"] == "offer"


def test_a_reload_reads_kept_events_again(shop):
    shop.post("/v1/events", {"events": [CART, CHECKOUT]})
    without = FOLDER["vocabulary.yaml"].replace("  purchase: {}", "  purchase: {}\n  returned: {}")
    shop.holder.current = loaded(2, shop.scorer, FOLDER | {"vocabulary.yaml": without})
    assert actual(shop) == "150.00 EUR"


def test_the_decision_is_that_of_the_stream_on_the_same_events(shop):
    other = Shop()
    shop.post("/v1/events", {"events": [CHECKOUT, CART]})
    other.post("/v1/events", {"events": [CHECKOUT, CART]})
    stream_comes_to(other, "e1", "e2")
    assert shop.decide("banner", explain=True)["rules"] == other.decide("banner", explain=True)["rules"]


def test_what_is_kept_is_bounded_by_session_by_number_and_by_age():
    accepted, rules = Accepted(capacity=300), Rules.of(loaded())

    def keep(session, number, now=NOW):
        event = Event(f"{session}-{number}", "checkout_viewed", session, now, None, {})
        accepted.keep(rules, [event], [NewRecord(session, b"{}")], now)

    for number in range(OF_SESSION + 5):
        keep("s1", number)
    assert accepted.of_session("s1", rules, NOW)[0].id == "s1-5"
    for number in range(150):
        keep("s2", number)
    assert accepted.of_session("s1", rules, NOW) == (), "the session that was silent longest went"
    assert len(accepted.of_session("s2", rules, NOW)) == 150
    assert accepted.of_session("s2", rules, NOW + KEPT_MS) == ()
    assert CAPACITY > OF_SESSION
