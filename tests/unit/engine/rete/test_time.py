"""Windows, clocks, timers and late events: who acts, and at which millisecond."""

from __future__ import annotations

from tests.unit.engine.rete.shop import MINUTE, SECOND, START, Session

SEEN = "- {rule: seen, when: {event: checkout, within: 5 minutes}, then: [{trigger: t}]}"
QUIET = "- {rule: quiet, when: {not: {event: purchase, within: 5 minutes}}, then: [{trigger: t}]}"


def test_an_event_is_in_its_window_until_exactly_its_length_has_passed() -> None:
    session = Session(SEEN)
    session.happens(0, "checkout")
    assert session.holds(5 * MINUTE - 1) == ["seen"]
    assert session.holds(5 * MINUTE) == []


def test_a_rule_acts_once_while_it_holds_and_again_when_it_holds_again() -> None:
    session = Session(SEEN)
    assert session.happens(0, "checkout") == ["seen@0"]
    assert session.happens(MINUTE, "checkout") == []
    assert session.happens(6 * MINUTE - 1, "checkout") == []
    assert session.happens(20 * MINUTE, "checkout") == [f"seen@{20 * MINUTE}"]


def test_what_expires_at_the_time_of_an_event_is_seen_together_with_it() -> None:
    """One condition rises as another falls, or the same is renewed: the rule held throughout, and does not act again."""
    session = Session(SEEN)
    session.happens(0, "checkout")
    assert session.happens(5 * MINUTE, "checkout") == []
    assert session.happens(10 * MINUTE + 1, "checkout") == [f"seen@{10 * MINUTE + 1}"]


def test_an_expiry_acts_at_its_own_moment_before_a_later_event() -> None:
    session = Session(QUIET)
    assert session.happens(0, "purchase", total=1) == []
    assert session.happens(7 * MINUTE, "checkout") == [f"quiet@{5 * MINUTE}"]


def test_an_expiry_acts_when_the_clock_passes_it_though_nothing_happens() -> None:
    session = Session(QUIET)
    session.happens(0, "purchase", total=1)
    assert session.due() == 5 * MINUTE
    assert session.waits(5 * MINUTE - 1) == []
    assert session.waits(5 * MINUTE) == [f"quiet@{5 * MINUTE}"]
    assert session.due() is None


def test_a_window_that_can_only_end_a_rule_needs_no_timer() -> None:
    session = Session(SEEN)
    session.happens(0, "checkout")
    assert session.due() is None


def test_due_follows_an_event_that_is_seen_again() -> None:
    session = Session(QUIET)
    session.happens(0, "purchase", total=1)
    session.happens(MINUTE, "purchase", total=1)
    assert session.due() == 6 * MINUTE


def test_a_late_event_counts_from_its_own_time_and_acts_at_the_clock() -> None:
    session = Session(SEEN)
    session.happens(4 * MINUTE, "viewed")
    assert session.happens(MINUTE, "checkout") == [f"seen@{4 * MINUTE}"]
    assert session.holds(6 * MINUTE - 1) == ["seen"]
    assert session.holds(6 * MINUTE) == []


def test_a_late_event_that_has_left_its_window_changes_nothing() -> None:
    session = Session(SEEN)
    session.happens(10 * MINUTE, "viewed")
    assert session.happens(5 * MINUTE, "checkout") == []


def test_a_late_purchase_empties_the_cart_of_what_came_before_it_only() -> None:
    session = Session("- {rule: full, when: {fact: cart.value, at_least: 1}, then: [{trigger: t}]}")
    session.happens(0, "added", price=100)
    session.happens(2 * MINUTE, "added", price=200)
    session.happens(MINUTE, "purchase", total=100)
    assert session.looks(2 * MINUTE).fact("cart.value") == 200


def test_a_late_line_before_the_purchase_is_not_in_the_cart() -> None:
    session = Session("- {rule: full, when: {fact: cart.value, at_least: 1}, then: [{trigger: t}]}")
    session.happens(MINUTE, "purchase", total=100)
    session.happens(0, "added", price=100)
    assert session.looks(MINUTE).fact("cart.value") == 0


def test_the_clock_never_runs_back() -> None:
    session = Session(SEEN)
    session.happens(10 * MINUTE, "viewed")
    session.waits(2 * MINUTE)
    assert session.memory.clock == START + 10 * MINUTE
    assert session.looks(0).now == START + 10 * MINUTE


def test_events_of_one_millisecond_keep_their_order() -> None:
    session = Session("""
    - rule: cheap
      when: {last: added.price, below: 1}
      then: [{trigger: t}]
    """)
    assert session.happens(0, "added", price=500) == []
    assert session.happens(0, "added", price=50) == ["cheap@0"]
    assert session.happens(0, "added", price=500) == []


def test_a_date_grows_older_without_an_event() -> None:
    session = Session("- {rule: back, when: {fact: customer.last_order, older_than: 1 hour}, then: [{trigger: t}]}")
    session.learns(0, {"customer.last_order": START - 59 * MINUTE})
    assert session.due() == MINUTE
    assert session.waits(10 * MINUTE) == [f"back@{MINUTE}"]


def test_a_session_ends_after_its_timeout_without_an_event() -> None:
    session = Session(SEEN)
    session.happens(0, "viewed")
    assert not session.memory.has_ended(START + 30 * MINUTE - 1, 30 * MINUTE)
    assert session.memory.has_ended(START + 30 * MINUTE, 30 * MINUTE)


def test_valid_until_is_the_moment_at_which_the_answer_changes() -> None:
    """A window that changes nothing is passed over, the one that ends the rule is exact."""
    session = Session("""
    - rule: busy
      when: {all: [{count: viewed, within: 1 minute, at_least: 2}, {event: checkout, within: 5 minutes}]}
      then: [{trigger: t}]
    """)
    session.happens(0, "viewed")
    session.happens(0, "checkout")
    session.happens(20 * SECOND, "viewed")
    session.happens(30 * SECOND, "viewed")
    assert session.looks(30 * SECOND).valid_until() == START + 80 * SECOND
    assert session.looks(2 * MINUTE).valid_until() is None
