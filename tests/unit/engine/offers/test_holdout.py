"""Who is held out, and that it stays so."""

from __future__ import annotations

import hashlib
import math

import pytest

from engine.decision import Outcome
from engine.offers import draw, is_held_out
from tests.unit.engine.offers.fakes import Shop, lost, offer, program, rule, shown, template

PERSONS = 20_000


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.95])
def test_the_share_is_that_of_a_fair_draw(share: float) -> None:
    """Within four standard deviations: a fair draw misses that once in 16,000 times, and this one is fixed."""
    held = sum(is_held_out("salt", "rule/shop.nudge", f"customer-{number}", share) for number in range(PERSONS))
    assert abs(held - PERSONS * share) < 4 * math.sqrt(PERSONS * share * (1 - share))


def test_draws_are_uniform_over_the_whole_range() -> None:
    """Chi-square over 20 equal bins, against its 99.99 % quantile for 19 degrees of freedom."""
    bins = [0] * 20
    for number in range(PERSONS):
        bins[int(draw("salt", "rule/r", f"c{number}") * 20)] += 1
    expected = PERSONS / 20
    assert sum((count - expected) ** 2 / expected for count in bins) < 50.8


def test_the_draw_of_one_rule_says_nothing_about_another() -> None:
    both = sum(
        is_held_out("salt", "rule/a", f"c{number}", 0.5) and is_held_out("salt", "rule/b", f"c{number}", 0.5)
        for number in range(PERSONS)
    )
    assert abs(both - PERSONS / 4) < 4 * math.sqrt(PERSONS * 0.25 * 0.75)


def test_a_draw_is_the_one_that_is_documented() -> None:
    """Fixed for good: another number would move every customer who is held out today."""
    digest = hashlib.sha256("salt\0rule/shop.nudge\0Zoë".encode()).digest()
    assert draw("salt", "rule/shop.nudge", "Zoë") == 0.5314069556288947
    assert draw("salt", "rule/shop.nudge", "Zoë") == pytest.approx(int.from_bytes(digest[:8]) / 2**64, abs=1e-15)


def test_another_salt_draws_anew() -> None:
    moved = sum(
        is_held_out("one", "rule/r", f"c{number}", 0.5) != is_held_out("two", "rule/r", f"c{number}", 0.5)
        for number in range(1_000)
    )
    assert 400 < moved < 600


def test_share_zero_and_no_salt_hold_nobody_out() -> None:
    assert not any(is_held_out("salt", "rule/r", f"c{number}", 0.0) for number in range(1_000))
    assert not any(is_held_out(None, "rule/r", f"c{number}", 0.99) for number in range(1_000))


def held_person(thing: str, share: float, *, held: bool) -> str:
    return next(f"c{n}" for n in range(1_000) if is_held_out("salt", thing, f"c{n}", share) is held)


def test_a_customer_is_held_out_in_every_session_and_on_every_device() -> None:
    bundle = program((rule("nudge", ("a", "banner"), holdout=0.2),), (offer("a"),))
    shop = Shop(bundle)
    out = held_person("rule/shop.nudge", 0.2, held=True)
    for session in ("s1", "s2", "s3"):
        decision = shop.decide(session=session, customer=out, salt="salt")
        assert shown(decision) == ["standard_banner"]
        assert decision.placements[0].outcome is Outcome.HOLDOUT
    assert shown(shop.decide(session="s4", customer=held_person("rule/shop.nudge", 0.2, held=False), salt="salt")) == [
        "a"
    ]


def test_an_anonymous_session_draws_for_itself() -> None:
    bundle = program((rule("nudge", ("a", "banner")),), (offer("a", holdout=0.2),))
    decision = Shop(bundle).decide(session=held_person("offer/a", 0.2, held=True), salt="salt")
    assert lost(decision) == {"shop.nudge/a": "holdout"}
    assert decision.placements[0].lost[0].detail == "among the 20 % held out from offer a"


def test_whoever_is_held_out_of_one_rule_may_see_the_next() -> None:
    bundle = program(
        (rule("nudge", ("a", "banner"), holdout=0.2, priority=1), rule("other", ("b", "banner"))),
        (offer("a"), offer("b")),
    )
    out = held_person("rule/shop.nudge", 0.2, held=True)
    decision = Shop(bundle).decide(customer=out, salt="salt")
    assert shown(decision) == ["b"]
    assert decision.placements[0].outcome is Outcome.OFFER
    assert lost(decision) == {"shop.nudge/a": "holdout"}


def test_whoever_could_not_have_been_shown_the_offer_is_not_among_the_held_out() -> None:
    """Or the comparison with those who saw it would be with other people."""
    content = template("{customer.name}", "", "customer.name", "")
    bundle = program((rule("nudge", ("a", "banner"), holdout=0.2),), (offer("a", content=content),))
    out = held_person("rule/shop.nudge", 0.2, held=True)
    decision = Shop(bundle).decide(customer=out, salt="salt")
    assert lost(decision) == {"shop.nudge/a": "not_eligible"}
    assert decision.placements[0].outcome is Outcome.SUPPRESSED
