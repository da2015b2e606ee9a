"""What a placement could give away at worst, and the words for why it is not more."""

import itertools
from random import Random

import pytest

from engine.language.worst_case import WorstCase, worst_cases
from tests.unit.engine.language.samples import VOCABULARY, program_of

OFFERS = """offers:
  standard: {content: {title: Hello}}
  voucher: {content: {title: a}, cost: 10.00}
  shipping: {content: {title: b}, cost: 4.90}
  mug: {content: {title: c}, cost: 3.00}
"""


def worst(rules: str, offers: str = OFFERS, slots: int = 2) -> WorstCase:
    vocabulary = VOCABULARY.replace("slots: 1", f"slots: {slots}")
    (found,) = worst_cases(program_of({"vocabulary.yaml": vocabulary, "offers.yaml": offers, "r.yaml": rules}))
    return found


def rules_of(*rules: tuple[str, str]) -> str:
    texts = [
        f"  - {{rule: {offer}, when: {when}, then: {{offer: {offer}, placement: cart_banner}}}}\n"
        for offer, when in rules
    ]
    return "ruleset: r\nrules:\n" + "".join(texts)


FREE = rules_of(
    ("voucher", "{fact: cart.value, above: 100}"),
    ("shipping", "{fact: cart.value, above: 50}"),
    ("mug", "{event: purchase}"),
)


def test_the_dearest_offers_fill_the_slots() -> None:
    found = worst(FREE)
    assert (found.decision, found.offers, found.session) == (1490, ("voucher", "shipping"), None)
    assert found.proof == (
        "voucher (10.00 EUR) and shipping (4.90 EUR) at most in 2 slots; "
        "nothing limits how often a session gets voucher, shipping and mug"
    )
    assert worst(FREE, slots=1).decision == 1000
    assert worst(FREE, slots=5).decision == 1790


def test_of_an_exclusion_group_one_is_shown() -> None:
    offers = OFFERS.replace("cost: 10.00", "cost: 10.00, group: money").replace(
        "cost: 4.90", "cost: 4.90, group: money"
    )
    found = worst(FREE, offers)
    assert found.offers == ("voucher", "mug")
    assert "shipping (4.90 EUR) is of the group money like voucher" in found.proof


def test_rules_that_contradict_each_other_are_not_added_up() -> None:
    found = worst(
        rules_of(("voucher", "{fact: cart.value, above: 100}"), ("shipping", "{fact: cart.value, below: 50}"))
    )
    assert (found.decision, found.offers) == (1000, ("voucher",))
    found = worst(
        rules_of(
            ("voucher", "{fact: cart.value, above: 100}"),
            ("shipping", "{fact: cart.value, below: 50}"),
            ("mug", "{event: purchase}"),
        )
    )
    assert found.decision == 1300
    assert "shipping (4.90 EUR) is never shown with it: cart.value is above 100.00 EUR and " in found.proof
    assert "no value is all of that" in found.proof


def test_an_offer_of_several_rules_may_be_shown_if_one_of_them_fits() -> None:
    rules = rules_of(("voucher", "{fact: cart.value, above: 100}"), ("shipping", "{fact: cart.value, below: 50}"))
    other = "  - {rule: more, when: {event: purchase}, then: {offer: shipping, placement: cart_banner}}\n"
    assert worst(rules + other).decision == 1490


def test_what_is_bound_in_two_rules_is_not_the_same() -> None:
    """Equal names mean nothing in another rule."""
    bound = "{{all: [{{event: product_viewed, as: seen}}, {{event: cart_added, where: {{product_id: $seen.product_id}}}}{}]}}"
    rules = rules_of(
        ("voucher", bound.format(", {fact: cart.value, above: 10}")),
        ("shipping", bound.format(", {not: {event: cart_added, where: {product_id: $seen.product_id}}}")),
    )
    assert worst(rules).decision == 1490


def test_schedules_that_never_meet() -> None:
    rules = FREE.replace("{rule: voucher,", "{rule: voucher, schedule: {until: 2026-12-01}, ").replace(
        "{rule: shipping,", "{rule: shipping, schedule: {from: 2026-12-01}, "
    )
    found = worst(rules)
    assert found.offers == ("voucher", "mug")
    assert "the schedules of r.voucher and r.shipping do not meet" in found.proof


def test_limits_bound_what_a_session_gets_and_budgets_what_can_be_given() -> None:
    limited = OFFERS.replace("cost: 10.00", "cost: 10.00, limits: {per_session: 2}").replace(
        "cost: 4.90", "cost: 4.90, limits: {per_session: 1}"
    )
    rules = FREE.replace("{rule: mug,", "{rule: mug, limits: {per_session: 3, budget: 100}, ")
    found = worst(rules, limited)
    assert found.session == 2 * 1000 + 490 + 3 * 300
    assert found.proof.endswith("in a session 33.90 EUR at most: 2 times voucher, 1 times shipping and 3 times mug")
    assert worst(FREE.replace("{rule: voucher,", "{rule: voucher, limits: {budget: 9.99}, ")).decision == 790
    assert worst(FREE.replace("{rule: voucher,", "{rule: voucher, enabled: false, ")).decision == 790


def test_the_fallback_counts_where_it_costs_more() -> None:
    found = worst(FREE, OFFERS.replace("{content: {title: Hello}}", "{content: {title: Hello}, cost: 20.00}"))
    assert (found.decision, found.offers) == (2000, ("standard",))


@pytest.mark.parametrize("seed", range(40))
def test_nothing_that_can_be_shown_costs_more_and_something_costs_as_much(seed: int) -> None:
    random = Random(seed)
    count, slots = 1 + random.randrange(6), 1 + random.randrange(4)
    offers = [
        (f"o{index}", random.randrange(1, 9), random.choice(("", ", group: a", ", group: b"))) for index in range(count)
    ]
    facts = {name: (low, low + random.randrange(1, 5)) for name, _, _ in offers for low in (random.randrange(8),)}
    text = "".join(f"  {name}: {{content: {{t: x}}, cost: {cost}{group}}}\n" for name, cost, group in offers)
    rules = rules_of(
        *((name, f"{{fact: product.views, between: [{low}, {high}]}}") for name, (low, high) in facts.items())
    )
    found = worst(rules, f"offers:\n  standard: {{content: {{t: x}}}}\n{text}", slots)
    possible = [
        sum(cost for _, cost, _ in chosen)
        for size in range(slots + 1)
        for chosen in itertools.combinations(offers, size)
        if len({group for _, _, group in chosen if group}) == sum(1 for _, _, group in chosen if group)
        and max((facts[name][0] for name, _, _ in chosen), default=0)
        <= min((facts[name][1] for name, _, _ in chosen), default=0)
    ]
    assert found.decision == 100 * max(possible)
