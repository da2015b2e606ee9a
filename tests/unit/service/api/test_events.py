"""`POST /v1/events`: a verdict for each event, and 202 only for what is durable."""

import asyncio

import msgspec
import pytest

from engine.event import RawEvent
from tests.unit.service.api.shop import NOW, Shop

VIEW = {"type": "checkout_viewed", "session_id": "s1"}


@pytest.fixture
def shop():
    return Shop()


def logged(shop):
    return [msgspec.json.decode(record.value, type=RawEvent) for record in shop.log.records]


def test_a_single_event_gets_id_and_time_and_is_in_the_log_under_its_session(shop):
    answer = shop.post("/v1/events", VIEW)
    assert answer.status_code == 202
    (verdict,) = answer.json()["events"]
    (event,) = logged(shop)
    assert (verdict["verdict"], verdict["id"]) == ("accepted", event.id)
    assert event.time == NOW
    assert shop.log.records[0].key == "s1"


def test_a_batch_has_a_verdict_for_each_event_in_its_order(shop):
    body = {
        "events": [
            VIEW | {"id": "a"},
            {"id": "b", "type": "nonsense", "session_id": "s1"},
            {"id": "c", "type": "cart_added", "session_id": "s1", "attributes": {"price": "much"}},
            {"id": 5},
            VIEW | {"id": "d", "time": "2026-11-18T10:00:00Z"},
            VIEW | {"id": "e", "nonsense": 1},
            [],
        ]
    }
    answer = shop.post("/v1/events", body).json()
    assert (answer["accepted"], answer["refused"]) == (2, 5)
    assert [(each["verdict"], each.get("field"), each.get("code")) for each in answer["events"]] == [
        ("accepted", None, None),
        ("refused", "/type", "unknown-event"),
        ("refused", "/attributes/price", "wrong-type"),
        ("refused", "/id", "invalid-field"),
        ("accepted", None, None),
        ("refused", "/nonsense", "invalid-field"),
        ("refused", "/", "invalid-field"),
    ]
    assert [event.id for event in logged(shop)] == ["a", "d"]


def test_the_senders_clock_is_corrected_by_when_it_sent(shop):
    wrong = NOW + 3_600_000
    body = {
        "sent_at": wrong,
        "events": [VIEW | {"id": "a", "time": wrong - 5_000}, VIEW | {"id": "b", "time": wrong + 5}],
    }
    shop.post("/v1/events", body)
    assert [event.time for event in logged(shop)] == [NOW - 5_000, NOW]


def test_an_event_from_the_future_is_refused_as_it_would_move_the_clock_of_all(shop):
    answer = shop.post("/v1/events", VIEW | {"time": NOW + 120_000}).json()
    assert answer["events"][0]["code"] == "future-time"
    assert shop.log.records == []


def test_a_full_log_is_429_with_retry_after_and_nothing_was_taken(shop):
    shop.log.full = True
    answer = shop.post("/v1/events", {"events": [VIEW]})
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "1"
    assert answer.json()["type"].endswith(":log-full")


def test_a_log_that_fails_is_never_answered_with_accepted(shop):
    shop.log.fails = True
    answer = shop.post("/v1/events", {"events": [VIEW]})
    assert answer.status_code == 503
    assert "the disk is full" in answer.json()["detail"]


def test_nothing_is_accepted_before_the_log_has_it(shop):
    shop.log.silent = True

    async def impatient():
        async with shop.client() as client:
            sending = asyncio.create_task(client.post("/v1/events", json=VIEW))
            await asyncio.sleep(0.2)
            answered = sending.done()
            sending.cancel()
            return answered

    assert asyncio.run(impatient()) is False


def test_too_many_events_are_413(shop):
    answer = shop.post("/v1/events", {"events": [VIEW] * 21})
    assert answer.status_code == 413
    assert answer.json()["field"] == "/events"


def test_without_rules_events_can_not_be_checked_and_are_kept_by_the_sender():
    answer = Shop(ruled=False).post("/v1/events", VIEW)
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
