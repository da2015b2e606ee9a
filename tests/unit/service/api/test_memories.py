"""The memory of a session is read once for each of its snapshots, and no request changes it for another."""

import pytest

from engine.rete import SnapshotError
from service.api.memories import Memories
from tests.unit.service.api.shop import NOW, Shop, no_score


@pytest.fixture
def shop():
    shop = Shop()
    shop.full_cart("s1")
    shop.full_cart("s2")
    return shop


def snapshot(shop, session):
    return shop.state.sessions[session].snapshot


def test_the_same_snapshot_is_the_same_memory_and_another_is_another(shop):
    memories = Memories(shop.rules.network)
    first = memories.of("s1", snapshot(shop, "s1"))
    assert memories.of("s1", bytes(snapshot(shop, "s1"))) is first
    shop.full_cart_at(NOW + 1, "s1")
    second = memories.of("s1", snapshot(shop, "s1"))
    assert second is not first
    assert (first.clock, second.clock) == (NOW - 60_000, NOW - 59_999)


def test_looking_at_a_memory_leaves_it_as_it_is_stored(shop):
    network, memories = shop.rules.network, Memories(shop.rules.network)
    memory = memories.of("s1", snapshot(shop, "s1"))
    for later in (0, 3 * 60_000, 20 * 60_000):
        view = network.view(memory, NOW + later, {"context.page": "cart"}, no_score)
        view.holding()
        view.valid_until()
        for rule in shop.rules.program.rules[:2]:
            view.explain(rule)
    assert network.snapshot(memory) == snapshot(shop, "s1")


def test_those_asked_about_longest_ago_go(shop):
    memories = Memories(shop.rules.network, capacity=1)
    first = memories.of("s1", snapshot(shop, "s1"))
    memories.of("s2", snapshot(shop, "s2"))
    assert memories.of("s1", snapshot(shop, "s1")) is not first


def test_bytes_that_are_no_snapshot_are_refused_and_not_kept(shop):
    memories = Memories(shop.rules.network)
    for _ in range(2):
        with pytest.raises(SnapshotError):
            memories.of("s1", b"nothing")


def test_events_that_ride_along_are_not_in_what_other_requests_look_at(shop):
    purchase = {"id": "p", "type": "purchase", "session_id": "s1"}
    assert shop.decide("banner")["placements"][0]["outcome"] == "offer"
    shop.decide("hero", events=[purchase])
    shop.accepted.drop("s1", {"p"})
    assert shop.decide("banner", context={"context.page": "home"})["placements"][0]["outcome"] == "offer"
