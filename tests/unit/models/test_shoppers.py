import random
from collections.abc import Collection
from itertools import pairwise

import pytest

from models.shoppers import EFFECTS, SEGMENTS, Visit, history, shopper
from service.shop.catalogue import products

NOW = 1_760_000_000_000


def bought(number: int, offers: Collection[str]) -> bool | None:
    """Whether the visit that begins like any other of this number ends with a purchase; None without a checkout."""
    visit = Visit(3, shopper(3, number, products(), NOW), 0, products())
    steps = visit.steps()
    step, seen_checkout = next(steps), False
    try:
        while True:
            seen_checkout |= step.event.type == "checkout_viewed"
            step = steps.send(frozenset(offers))
    except StopIteration as end:
        return end.value if seen_checkout else None


def test_the_same_seed_gives_the_same_history() -> None:
    assert list(history(5, 40, products(), NOW)) == list(history(5, 40, products(), NOW))
    assert list(history(5, 40, products(), NOW)) != list(history(6, 40, products(), NOW))


def test_events_of_a_visit_are_in_order_and_have_ids_of_their_own() -> None:
    for _, events in history(5, 200, products(), NOW):
        assert all(a.time <= b.time for a, b in pairwise(events))  # type: ignore[operator]
        assert len({event.id for event in events}) == len(events)
        assert len({event.session_id for event in events}) == 1


def test_an_offer_in_sight_sells_more_and_one_without_effect_changes_nothing() -> None:
    checkouts = [number for number in range(2500) if bought(number, ()) is not None]
    plain = [bought(number, ()) for number in checkouts]
    assert plain == [bought(number, ("standard_banner",)) for number in checkouts]
    with_offer = [bought(number, ("free_shipping",)) for number in checkouts]
    assert all(after or not before for before, after in zip(plain, with_offer, strict=True))
    assert sum(map(bool, with_offer)) > 1.15 * sum(map(bool, plain))


def test_effects_name_offers_of_the_example_shop() -> None:
    from importlib.resources import files

    offers = files("rulesets").joinpath("shop", "offers.yaml").read_text("utf-8")
    for name in EFFECTS:
        assert f"\n  {name}:" in offers


def test_segments_cover_all_shoppers() -> None:
    assert sum(segment.share for segment in SEGMENTS) == pytest.approx(1)


def test_a_cart_never_loses_what_it_does_not_hold() -> None:
    for _, events in history(9, 400, products(), NOW):
        held: dict[object, int] = {}
        for event in events:
            amount = event.attributes.get("quantity", 0)
            assert isinstance(amount, int)
            product = event.attributes.get("product_id")
            held[product] = held.get(product, 0) + (amount if event.type == "cart_added" else -amount)
            if event.type == "cart_removed":
                assert held[product] >= 0


def test_wall_clock_and_global_randomness_play_no_part() -> None:
    random.seed(1)
    first = list(history(5, 10, products(), NOW))
    random.seed(2)
    assert list(history(5, 10, products(), NOW)) == first
