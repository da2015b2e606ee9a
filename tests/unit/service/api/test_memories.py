"""The memory of a session is read once for each of its snapshots, and no request changes it for another."""

import pytest

from engine.rete import SnapshotError
from service.api.memories import Memories
from tests.unit.service.api.shop import NOW, WITHOUT_MODELS, Shop, loaded, no_score


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


def test_one_that_is_asked_about_again_stays(shop):
    shop.full_cart("s3")
    memories = Memories(shop.rules.network, capacity=2)
    first = memories.of("s1", snapshot(shop, "s1"))
    second = memories.of("s2", snapshot(shop, "s2"))
    memories.of("s1", snapshot(shop, "s1"))
    memories.of("s3", snapshot(shop, "s3"))
    assert memories.of("s1", snapshot(shop, "s1")) is first
    assert memories.of("s2", snapshot(shop, "s2")) is not second


def test_nothing_is_left_of_a_session_that_was_erased_when_it_is_asked_about_next():
    shop = Shop(current=loaded(sources=WITHOUT_MODELS))
    shop.full_cart("s1")
    stored, evaluations = snapshot(shop, "s1"), shop.evaluations
    held = []

    def ask(client):
        return client.post("/v1/decide", json={"session_id": "s1", "placements": ["hero"]})

    async def look(_):
        assert shop.services is not None
        rules = shop.services.rules.current
        assert rules is not None
        memory = rules.memories.of("s1", stored)
        held.append((memory, evaluations._kept.get("s1"), tuple(evaluations._standing.values())))

    async def erase(_):
        del shop.state.sessions["s1"]

    shop.run(ask, ask, look, ask, look, erase, ask, look)
    first, before, after = held
    assert before[0] is first[0]
    assert before[1] is first[1] is before[2][0].evaluated
    assert after[0] is not before[0]
    assert after[1] is not before[1]
    assert after[2] == ()


def test_what_was_evaluated_for_a_customer_and_read_of_them_goes_with_them():
    shop = Shop(current=loaded(sources=WITHOUT_MODELS))
    for session, customer in (("s1", "c1"), ("s2", "c2"), ("s3", None)):
        shop.full_cart(session, customer)

    def ask(session):
        return lambda client: client.post("/v1/decide", json={"session_id": session, "placements": ["hero"]})

    shop.run(*map(ask, ("s1", "s2", "s3")), lambda client: client.delete("/v1/customers/c1"))
    assert list(shop.evaluations._kept) == ["s2", "s3"]
    assert [shop.lately.find(each, None, NOW) is None for each in ("s1", "s2", "s3")] == [True, False, False]


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
