"""Kept events are packed, and read as they came."""

from __future__ import annotations

from engine.rete.memory.retained import Kept, Packing, Retained

VIEW = Packing(("view", "product", "price"))


def test_kept_events_are_read_as_they_came_the_late_ones_in_their_place() -> None:
    retained = Retained(1_000)
    retained.add(1_000, {"product": "a"}, VIEW, 10)
    retained.add(3_000, {"product": "b", "price": 5}, VIEW, 10)
    retained.add(4_000, {}, Packing(("leave",)), 10)
    retained.add(2_000, {"product": "c", "price": 7}, VIEW, 10)
    assert retained.read() == [
        Kept("view", 1_000, {"product": "a"}),
        Kept("view", 2_000, {"product": "c", "price": 7}),
        Kept("view", 3_000, {"product": "b", "price": 5}),
        Kept("leave", 4_000, {}),
    ]


def test_an_event_with_an_integer_beyond_64_bits_is_kept_as_it_is() -> None:
    retained = Retained(0)
    retained.add(1, {"product": ("x", "y"), "price": -(2**70)}, VIEW, 10)
    assert retained.read() == [Kept("view", 1, {"product": ("x", "y"), "price": -(2**70)})]


def test_past_the_limit_the_oldest_goes_and_its_time_is_noted() -> None:
    retained = Retained(0)
    for time in range(5):
        retained.add(time, {"product": "a"}, VIEW, 3)
    assert retained.count == 3
    assert retained.dropped == 1
    assert retained.oldest() == Kept("view", 2, {"product": "a"})


def test_what_was_stored_is_read_when_it_is_needed_and_a_shape_that_is_known_keeps_its_number() -> None:
    """Also where it is stored again unread, and where an event of another network's shape comes in between."""
    retained = Retained(0)
    retained.add(1, {"product": "a"}, VIEW, 10)
    retained.add(2, {}, Packing(("leave",)), 10)
    stored = retained.stored_shapes()
    again = Retained(0, bytes(retained.packed), stored)
    again.count, again.latest = retained.count, retained.latest
    assert again.stored_shapes() == stored
    again.add(3, {"product": "b"}, Packing(VIEW.names), 10)
    assert again.stored_shapes() == stored
    assert again.read() == [Kept("view", 1, {"product": "a"}), Kept("leave", 2, {}), Kept("view", 3, {"product": "b"})]
