"""Admission by success rate: what fails in part is asked less, and fully again when it is well."""

import random

import pytest

from service.api.breaker import Breaker, Circuit
from service.api.success import LEAST, MOST, WINDOW_S, K, SuccessRate
from tests.unit.service.api.shop import Shop


class Clock:
    def __init__(self):
        self.now = 1_000.0

    def __call__(self):
        return self.now


def run(rate, clock, chance, share, calls=20_000, per_s=200):
    """Calls of which this share succeeds; how many went through, of those wanted in the second half."""
    through = 0
    for number in range(calls):
        clock.now += 1 / per_s
        if rate.allows():
            through += number >= calls / 2
            rate.succeeded() if chance.random() < share else rate.failed()
    return through / (calls / 2)


@pytest.mark.parametrize("share", [1.0, 0.9, 0.7, 0.6])
def test_nothing_is_turned_away_while_half_succeeds(share):
    clock, chance = Clock(), random.Random(1)
    assert run(SuccessRate(clock, chance.random), clock, chance, share) > 0.97


@pytest.mark.parametrize("share", [0.4, 0.25, 0.1, 0.02])
def test_with_less_it_is_asked_about_k_times_as_often_as_it_answers(share):
    """Below 1/K it is asked ever less, down to one in ten."""
    clock, chance = Clock(), random.Random(2)
    rate = SuccessRate(clock, chance.random)
    through = run(rate, clock, chance, share)
    assert 1 - MOST - 0.02 < through < max(K * share, 1 - MOST) + 0.05


def test_it_is_asked_fully_again_within_the_window_when_it_is_well():
    clock, chance = Clock(), random.Random(3)
    rate = SuccessRate(clock, chance.random)
    run(rate, clock, chance, 0.0)
    assert rate.rejection == MOST
    assert run(rate, clock, chance, 1.0, calls=2 * 200 * int(2 * WINDOW_S)) == 1.0, "two windows later"


def test_what_is_under_way_and_a_few_failures_turn_nothing_away():
    rate = SuccessRate(Clock(), lambda: 0.0)
    assert all(rate.allows() for _ in range(1_000))
    for _ in range(LEAST - 1):
        rate.failed()
    assert rate.allows()
    rate.failed()
    assert not rate.allows()


def test_what_is_past_is_forgotten():
    clock = Clock()
    rate = SuccessRate(clock, lambda: 1.0)
    for _ in range(100):
        rate.failed()
    assert rate.rejection == MOST
    clock.now += 9
    assert rate.rejection == MOST
    clock.now += 2
    assert rate.rejection == 0


def test_a_breaker_that_closes_again_lets_everything_through_at_once():
    clock = Clock()
    breaker = Breaker("it", clock, draw=lambda: 0.0)
    for _ in range(3):
        assert breaker.allows()
        breaker.failed()
    assert breaker.circuit is Circuit.OPEN
    clock.now += 1
    assert breaker.allows(), "the probe"
    breaker.succeeded()
    assert all(breaker.allows() for _ in range(100))
    assert breaker.rejection == 0


def test_failures_in_part_are_shed_with_a_count():
    clock, chance = Clock(), random.Random(4)
    breaker = Breaker("it", clock, draw=chance.random)
    asked = 0
    for number in range(4_000):
        clock.now += 0.01
        if breaker.allows():
            asked += 1
            breaker.succeeded() if number % 3 == 0 else breaker.failed()
    assert breaker.shed > 100
    assert asked > 500, "it is still asked"


def test_an_event_log_that_fails_is_refused_before_the_body_is_read_and_taken_again_when_it_is_well():
    shop = Shop()
    event = {"type": "purchase", "session_id": "s1"}

    async def failing(client):
        shop.log.fails = True
        answers = [await client.post("/v1/events", json=event) for _ in range(3)]
        opened = await client.post("/v1/events", content=b"no json at all")
        decided = await client.post(
            "/v1/decide", json={"session_id": "s1", "placements": ["banner"], "events": [event]}
        )
        ready = await client.get("/readyz")
        shop.log.fails = False
        assert shop.services is not None
        shop.services.log_breaker._until = 0  # the rest is over
        after = await client.post("/v1/events", json=event)
        return answers, opened, decided.json(), ready.json(), after

    answers, opened, decided, ready, after = shop.run(failing)
    assert {each.status_code for each in answers} == {503}
    assert (opened.status_code, opened.headers["retry-after"]) == (503, "1")
    assert opened.json()["type"] == "urn:salience:problem:log-unavailable"
    assert decided["events"][0]["verdict"] == "unconfirmed"
    assert [each["detail"] for each in ready["degraded"]] == ["the event log does not answer."]
    assert after.status_code == 202
