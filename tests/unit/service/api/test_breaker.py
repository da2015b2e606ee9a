"""The circuit breaker: who is gone is not asked, and asked again soon."""

import pytest

from service.api.breaker import Breaker, Circuit


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker("the store", clock, failures=3, rest_s=0.25, longest_rest_s=2.0, draw=lambda: 1.0)


def state(breaker: Breaker) -> int:
    return breaker.circuit


def fail(breaker, times):
    for _ in range(times):
        assert breaker.allows()
        breaker.failed()


def test_it_opens_after_three_failures_in_a_row(breaker):
    fail(breaker, 2)
    assert state(breaker) == Circuit.CLOSED
    fail(breaker, 1)
    assert state(breaker) == Circuit.OPEN
    assert not breaker.allows()
    assert breaker.opened == 1


def test_a_success_between_failures_keeps_it_closed(breaker):
    for _ in range(10):
        fail(breaker, 2)
        assert breaker.allows()
        breaker.succeeded()
    assert state(breaker) == Circuit.CLOSED


def test_after_its_rest_one_probe_goes_through_and_closes_it(breaker, clock):
    fail(breaker, 3)
    clock.now += 0.25
    assert state(breaker) == Circuit.HALF_OPEN
    assert breaker.allows()
    assert not breaker.allows(), "one probe at a time"
    breaker.succeeded()
    assert state(breaker) == Circuit.CLOSED
    assert breaker.allows()


def test_a_probe_that_fails_doubles_the_rest_up_to_the_longest(breaker, clock):
    fail(breaker, 3)
    for rest in (0.25, 0.5, 1.0, 2.0, 2.0):
        clock.now += rest - 0.01
        assert not breaker.allows()
        clock.now += 0.01
        assert breaker.allows()
        breaker.failed()
    assert breaker.opened == 1


def test_late_failures_of_calls_from_before_do_not_lengthen_the_rest(breaker, clock):
    fail(breaker, 3)
    for _ in range(50):
        breaker.failed()
    clock.now += 0.25
    assert breaker.allows()


def test_a_probe_that_is_given_up_leaves_room_for_the_next(breaker, clock):
    fail(breaker, 3)
    clock.now += 0.25
    assert breaker.allows()
    breaker.abandoned()
    assert breaker.allows()


def test_a_probe_whose_caller_vanished_does_not_keep_it_open_for_good(breaker, clock):
    fail(breaker, 3)
    clock.now += 0.25
    assert breaker.allows()
    clock.now += 2.0
    assert breaker.allows()
