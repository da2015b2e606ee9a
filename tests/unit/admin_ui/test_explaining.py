"""Simulations and reports: what would be shown or was, and why."""

from __future__ import annotations

import msgspec
import pytest

from tests.unit.admin_ui.conftest import Visitor
from tests.unit.admin_ui.memory_backend import NOON, MemoryBackend, shop_sources
from tests.unit.admin_ui.scenes import EVENTS, NUDGE, a_session, put_into_draft, words

# ------------------------------------------------------------------ simulate


def test_a_typed_session_is_decided_and_explained(viewer: Visitor) -> None:
    page = words(viewer.post("/simulate", {"events": EVENTS, "score.purchase_intent": "0.2"}).text)
    assert "Cart banner" in page
    assert "Standard banner the fallback" in page
    assert "40.00 EUR more" in page


def test_the_draft_stands_beside_live(viewer: Visitor, backend: MemoryBackend) -> None:
    put_into_draft(backend, "at_least: 200", "at_least: 150")
    page = words(viewer.post("/simulate", {"events": EVENTS, "score.purchase_intent": "0.2"}).text)
    assert "Cart banner differs Live (revision 1) Standard banner the fallback" in page
    assert "Draft Free shipping by cart_recovery.free_shipping_nudge" in page


def test_the_clock_closes_windows(viewer: Visitor) -> None:
    full = EVENTS.replace("160", "260")
    asked = {"events": full, "score.purchase_intent": "0.2"}
    assert "Free shipping by" in words(viewer.post("/simulate", asked | {"clock": "10:08:59"}).text)
    later = words(viewer.post("/simulate", asked | {"clock": "10:09:00"}).text)
    assert "Free shipping by" not in later
    assert "checkout_viewed happened in the last 5 minutes" in later


def test_a_model_can_be_made_silent(viewer: Visitor) -> None:
    asked = {"events": EVENTS.replace("160", "260"), "silent.purchase_intent": "1"}
    page = words(viewer.post("/simulate", asked).text)
    assert "Free shipping by" not in page
    assert "purchase_intent has no value" in page


def test_a_real_session_is_simulated_with_its_memory(viewer: Visitor, backend: MemoryBackend) -> None:
    a_session(backend)
    form = viewer.get("/simulate?session=s-1").text
    assert 'value="s-1" selected' in form
    page = words(viewer.post("/simulate", {"session": "s-1"}).text)
    assert "(is 160.00 EUR)" in page


def test_a_session_goes_on_with_what_is_typed(viewer: Visitor, backend: MemoryBackend) -> None:
    a_session(backend)
    more = "- {at: 13:00:00, cart_added: {product_id: p2, category: shoes, quantity: 1, price: 60}}"
    page = words(viewer.post("/simulate", {"session": "s-1", "events": more}).text)
    assert "(is 220.00 EUR)" in page
    assert "Free shipping by" in page


def test_the_profile_counts_as_it_is_now_unless_something_else_is_typed(
    viewer: Visitor, backend: MemoryBackend
) -> None:
    a_session(backend)  # of a gold customer, with something in the cart
    asked = {"session": "s-1", "fact.context.page": "cart"}
    assert "Points reminder by" in words(viewer.post("/simulate", asked).text)
    backend.sessions["s-1"] = msgspec.structs.replace(backend.sessions["s-1"], profile=b"{}")
    assert "Points reminder by" not in words(viewer.post("/simulate", asked).text)
    typed = asked | {"fact.customer.tier": "silver"}
    assert "Points reminder by" in words(viewer.post("/simulate", typed).text)


def test_simulating_changes_nothing(viewer: Visitor, backend: MemoryBackend) -> None:
    a_session(backend)
    before = (dict(backend.sessions), list(backend.decisions.entries), dict(backend.activity.counts))
    viewer.post("/simulate", {"session": "s-1"})
    assert before == (backend.sessions, backend.decisions.entries, backend.activity.counts)


def test_facts_of_the_customer_and_the_page_count(viewer: Visitor) -> None:
    asked = {"events": EVENTS, "customer": "c1", "fact.customer.tier": "gold", "fact.context.page": "cart"}
    page = words(viewer.post("/simulate", asked).text)
    assert "Points reminder by service.points_reminder" in page


@pytest.mark.parametrize(
    ("form", "says"),
    [
        ({"events": "- {at: 10:00:00, cart_aded: {}}"}, "did you mean cart_added?"),
        ({"events": "- {at: 10:00:00, cart_added: {quantity: many}}"}, "Line 1:"),
        ({"events": "- {at: 10:00:00"}, "Line"),
        ({"events": "[{}]"}, "no list of events in JSON"),
        ({"events": '[{"type": "cart_aded"}]'}, "is refused"),
        ({"clock": "noon"}, "is no time"),
        ({"score.purchase_intent": "7"}, "from 0 to 1"),
        ({"session": "gone"}, "no session gone any more"),
    ],
)
def test_what_can_not_be_simulated_says_why(viewer: Visitor, form: dict[str, str], says: str) -> None:
    assert says in words(viewer.post("/simulate", form).text)


def test_events_may_be_json_of_the_api(viewer: Visitor) -> None:
    events = [
        {"type": "cart_added", "time": NOON - 60_000, "attributes": {"product_id": "p", "quantity": 1, "price": 210}},
        {"type": "checkout_viewed", "time": "2026-11-23T11:59:30Z", "attributes": {}},
    ]
    form = {"events": msgspec.json.encode(events).decode(), "score.purchase_intent": "0.1"}
    assert "Free shipping by" in words(viewer.post("/simulate", form).text)


def with_stock() -> dict[str, str]:
    """The shop with a rule about what is left of a thing in the cart."""
    sources = shop_sources()
    rule = """  - rule: scarce
    when:
      all:
        - {event: cart_added, as: added, within: 1 hour}
        - {fact: product.stock, of: $added.product_id, at_most: 3}
    then: [{trigger: scarce, payload: {product: "{added.product_id}"}}]

tests:
"""
    fact = "facts:\n  product.stock: {type: integer, from: catalogue, by: product_id}\n"
    return sources | {
        "vocabulary.yaml": sources["vocabulary.yaml"].replace("facts:\n", fact, 1),
        "service.yaml": sources["service.yaml"].replace("tests:\n", rule, 1),
    }


def verdict_of(page: str, rule: str) -> str:
    """What a page says of a rule."""
    (found,) = [part for part in page.split("<summary>")[1:] if f">{rule}<" in part]
    return words(found.partition("</summary>")[0])


def test_what_the_catalogue_says_counts_as_in_the_worker(viewer: Visitor, backend: MemoryBackend) -> None:
    """In a simulation and in the report of a session; the messages are those that the worker would send."""
    backend.publish(with_stock(), "ci", "")
    a_session(backend)
    backend.things["product_id/p1"] = b'{"product.stock": 40}'
    assert "messages sent" not in words(viewer.post("/simulate", {"events": EVENTS}).text)
    assert "holds" not in verdict_of(viewer.get("/why/session/s-1").text, "service.scarce")
    backend.things["product_id/p1"] = b'{"product.stock": 2}'
    assert "scarce at" in words(viewer.post("/simulate", {"events": EVENTS}).text).partition("messages sent")[2]
    assert verdict_of(viewer.get("/why/session/s-1").text, "service.scarce").split() == ["service.scarce", "holds"]


@pytest.mark.parametrize("path", ["/simulate", "/why/session/s-1"])
def test_a_catalogue_that_can_not_be_asked_is_said_and_not_taken_as_empty(
    viewer: Visitor, backend: MemoryBackend, path: str
) -> None:
    backend.publish(with_stock(), "ci", "")
    a_session(backend)
    backend.is_catalogue_gone = True
    answer = viewer.post(path, {"events": EVENTS}) if path == "/simulate" else viewer.get(path)
    assert answer.status_code == 503
    assert "the catalogue does not answer" in words(answer.text)


def test_a_typed_customer_is_simulated_with_what_is_known_of_them(viewer: Visitor, backend: MemoryBackend) -> None:
    backend.profiles["c1"] = b'{"customer.tier": "gold"}'
    asked = {"events": EVENTS, "customer": "c1", "fact.context.page": "cart"}
    assert "Points reminder by" in words(viewer.post("/simulate", asked).text)
    assert "Points reminder by" not in words(viewer.post("/simulate", asked | {"customer": "c2"}).text)


def test_what_is_no_longer_known_of_a_customer_does_not_count_in_their_session(
    viewer: Visitor, backend: MemoryBackend
) -> None:
    """The memory was stored with it; the worker takes it back at the next event, and the report with it."""
    a_session(backend)
    live = backend.live()
    assert live is not None
    memory = live.network.restore(backend.sessions["s-1"].snapshot)
    live.network.set_facts(memory, {"customer.tier": "gold"}, NOON, backend.score)
    for profile in (b"{}", None):
        backend.sessions["s-1"] = msgspec.structs.replace(
            backend.sessions["s-1"], snapshot=live.network.snapshot(memory), profile=profile
        )
        page = words(viewer.post("/simulate", {"session": "s-1", "fact.context.page": "cart"}).text)
        assert "Points reminder by" not in page


# ------------------------------------------------------------------ why


def test_a_decision_is_explained_with_what_was_shown_and_how_far_the_others_were(
    viewer: Visitor, backend: MemoryBackend
) -> None:
    decision = a_session(backend)
    assert viewer.get(f"/why?q={decision.id}").headers["Location"] == f"/why/decision/{decision.id}"
    page = words(viewer.get(f"/why/decision/{decision.id}").text)
    assert "Standard banner the fallback" in page
    assert "All rules, as they were" in page
    assert "40.00 EUR more" in page


def test_an_old_decision_says_that_the_session_has_gone_on(viewer: Visitor, backend: MemoryBackend) -> None:
    decision = a_session(backend)
    stored = backend.sessions["s-1"]
    backend.sessions["s-1"] = msgspec.structs.replace(stored, clock=NOON)
    assert "The session has gone on since this decision" in words(viewer.get(f"/why/decision/{decision.id}").text)


def test_a_session_shows_every_rule_and_its_decisions(viewer: Visitor, backend: MemoryBackend) -> None:
    a_session(backend)
    page = words(viewer.get("/why/session/s-1").text)
    assert f"{NUDGE} one condition short" in page
    assert "Its decisions" in page


def test_of_a_session_that_ended_its_decisions_remain(viewer: Visitor, backend: MemoryBackend) -> None:
    a_session(backend)
    backend.sessions.clear()
    page = words(viewer.get("/why/session/s-1").text)
    assert "It has ended" in page
    assert "Cart banner: Standard banner" in page


def test_exposures_in_the_log_are_no_decisions(viewer: Visitor, backend: MemoryBackend) -> None:
    a_session(backend)
    backend.decisions.append([("x_1", "s-1", NOON, b'{"id":"x_1","decision_id":"d-s-1"}')])
    assert viewer.get("/why").status_code == 200
    assert viewer.get("/why/decision/x_1").status_code == 404


def test_an_unknown_id_is_answered_with_what_to_do(viewer: Visitor) -> None:
    assert "Nothing is known of “nix”" in viewer.get("/why?q=nix").text
