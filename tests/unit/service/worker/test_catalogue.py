"""Facts of things in the stream: asked for once for a batch, kept for a while, and waited for when they can't be had."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.event import Event
from engine.ports import PortError
from service.things import AGE_MS, Lookup, Things
from service.worker.partition import Standing
from tests.unit.service.small_shop import RULES, VOCABULARY, sources
from tests.unit.service.worker.bench import Bench, event, loaded, record, records

STOCKED = """\
  - rule: scarce
    when:
      all:
        - {event: seen, as: seen, within: 1 hour}
        - {fact: product.stock, of: $seen.product, at_most: 3}
    then: [{trigger: scarce, payload: {product: "{seen.product}"}}]
tests:
"""
WITH_STOCK = VOCABULARY.replace(
    "facts:\n",
    "facts:\n  product.stock: {type: integer, from: catalogue, by: product}\n  shop.open: {type: boolean, from: catalogue, by: total}\n",
)
LIVE = loaded(sources(vocabulary=WITH_STOCK, greeting=RULES.replace("tests:\n", STOCKED)))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    made.catalogue.put(
        {"product/p1": b'{"product.stock": 2}', "product/p2": b'{"product": {"stock": 40}}', "product/bad": b"[1"}
    )
    yield made
    made.close()


def seen(session: str, at: int, product: str) -> bytes:
    return event("seen", session, at, product=product)


def told(bench: Bench) -> list[tuple[str, str]]:
    return [(body["session_id"], body["payload"]["product"]) for body in bench.bodies() if body["trigger"] == "scarce"]


def test_rules_of_the_stream_know_the_catalogue(bench: Bench) -> None:
    partition, equipment = bench.partition(), bench.equipment(LIVE)
    values = [
        seen("a", 0, "p1"),
        seen("b", 1, "p2"),
        seen("c", 2, "nobody-knows"),
        seen("d", 3, "bad"),
        seen("e", 4, "p1"),
    ]
    partition.process(records(values), equipment)
    assert told(bench) == [("a", "p1"), ("e", "p1")]
    assert bench.catalogue.calls.count("get") == 1, "all things of a batch at once"
    assert equipment.things.refused == 1


def test_what_is_known_is_as_old_as_is_allowed_at_most(bench: Bench) -> None:
    partition, equipment = bench.partition(), bench.equipment(LIVE)
    partition.process(records([seen("a", 0, "p2")]), equipment)
    bench.catalogue.put({"product/p2": b'{"product.stock": 1}', "product/new": b'{"product.stock": 1}'})
    bench.clock.now += AGE_MS
    partition.process([record(1, seen("b", 1, "p2"))], equipment)
    assert told(bench) == []
    bench.clock.now += 1
    partition.process([record(2, seen("c", 2, "p2"))], equipment)
    assert told(bench) == [("c", "p2")]


def test_things_of_earlier_events_are_asked_for_when_rules_look_at_them(bench: Bench) -> None:
    """A session's kept events name things that no event of the batch does."""
    partition, equipment = bench.partition(), bench.equipment(LIVE)
    partition.process(records([seen("a", 0, "p2")]), equipment)
    bench.catalogue.put({"product/p2": b'{"product.stock": 1}'})
    bench.clock.now += AGE_MS + 1
    lookup = Lookup(equipment.things, bench.clock.now, bench.catalogue.get)
    assert (lookup("product.stock", "p2"), lookup("product.stock", "p9"), lookup("customer.tier", "p2")) == (
        1,
        None,
        None,
    )
    bench.catalogue.put({"product/p2": b'{"product.stock": 7}'})
    bench.clock.now += AGE_MS + 1
    assert lookup("product.stock", "p2") == 1, "one moment sees one catalogue"


@pytest.mark.parametrize("where", ["of the batch", "of an earlier event"])
def test_a_catalogue_that_can_not_be_had_is_waited_for_and_nothing_is_lost(
    bench: Bench, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    partition, equipment = bench.partition(), bench.equipment(LIVE)
    if where == "of an earlier event":
        monkeypatch.setattr(Things, "named_by", lambda *_: [])
    bench.catalogue.fails = {"get": 1}
    with pytest.raises(PortError, match="get failed, as told"):
        partition.process(records([seen("a", 0, "p1")]), equipment)
    assert bench.state.position(0).offset == 0
    partition.reset()
    assert partition.standing is Standing.UNCLAIMED
    partition.claim()
    partition.process(records([seen("a", 0, "p1")]), equipment)
    assert told(bench) == [("a", "p1")]


def test_no_more_things_are_kept_than_allowed() -> None:
    things = Things(LIVE.program.vocabulary, limit=2)
    things.take(["product/a", "product/b"], {}, 0)
    assert things.find("product/a", 0) == {}
    things.take(["product/c"], {}, 0)
    assert things.unknown(["product/a", "product/b", "product/c"], 0) == ["product/b"]


def test_events_name_things_by_the_attributes_that_are_keys() -> None:
    things = Things(LIVE.program.vocabulary)
    events = [
        Event("1", "seen", "s", 0, None, {"product": "p1", "price": 5}),
        Event("2", "bought", "s", 0, None, {"total": 700}),
        Event("3", "seen", "s", 0, None, {"price": 5}),
        Event("4", "seen", "s", 0, None, {"product": "p1"}),
    ]
    assert things.named_by(events) == ["product/p1", "total/700"]
    assert Things(loaded().program.vocabulary).named_by(events) == []
