"""Rules as a marketer would say them."""

import pytest

from engine.language.sentence import required_text, rule_sentence, sentence, value_text
from engine.language.tree import Test
from engine.values import Kind, ValueType
from tests.unit.engine.language.samples import condition_of, program, program_of, rule_of


@pytest.mark.parametrize(
    ("when", "text"),
    [
        ("{fact: cart.value, at_least: 200}", "cart.value is at least 200.00 EUR"),
        ("{not: {fact: cart.value, above: 200}}", "cart.value is not above 200.00 EUR"),
        ("{fact: cart.value, between: [5, 9.5]}", "cart.value is between 5.00 EUR and 9.50 EUR"),
        ("{fact: cart.value, above: {fact: customer.average_order}}", "cart.value is above customer.average_order"),
        ("{fact: customer.tier, is_one_of: [gold, silver]}", "customer.tier is gold or silver"),
        ("{fact: customer.tier, is_none_of: [gold, silver]}", "customer.tier is not gold or silver"),
        ("{fact: customer.country, is_not: DE}", "customer.country is not DE"),
        ("{fact: customer.country, starts_with: 'D '}", 'customer.country starts with "D "'),
        ("{not: {fact: customer.country, matches: 'D.'}}", 'customer.country does not match "D."'),
        ("{fact: customer.tags, contains: b2b}", "customer.tags contains b2b"),
        ("{fact: customer.tier, exists: false}", "customer.tier has no value"),
        ("{not: {fact: customer.tier, exists: false}}", "customer.tier has a value"),
        ("{fact: customer.consent, is: true}", "customer.consent is true"),
        ("{fact: customer.since, older_than: 90 days}", "customer.since is older than 90 days"),
        ("{fact: customer.since, within_last: 1 week}", "customer.since is within the last week"),
        ("{fact: customer.since, before: 2026-11-20}", "customer.since is before 2026-11-19 23:00:00 UTC"),
        ("{event: purchase}", "purchase happened in this session"),
        ("{event: purchase, since: cart_added}", "purchase happened since the latest cart_added"),
        ("{not: {event: purchase, where: {total: {at_least: 50}}, within: 1 hour}}", "no purchase with total at least 50.00 EUR happened in the last hour"),
        ("{count: product_viewed, where: {category: shoes}, within: 10 minutes, at_least: 3}", "the number of product_viewed with category shoes in the last 10 minutes is at least 3"),
        ("{sum: cart_added.amount, since: purchase, above: 80}", "the sum of cart_added.amount since the latest purchase is above 80.00 EUR"),
        ("{distinct: product_viewed.category, at_least: 2}", "the number of different product_viewed.category in this session is at least 2"),
        ("{last: identify.tier, is: gold}", "the latest identify.tier in this session is gold"),
        ("{score: purchase_intent, above: 0.7, release_below: 0.6, if_unavailable: assume false}", "the score purchase_intent is above 0.7 (and then until it is below 0.6) (if unavailable: assume false)"),
        ("{score: purchase_intent, below: 0.4, if_unavailable: last known for 60 seconds}", "the score purchase_intent is below 0.4 (if unavailable: the last known for 1 minute)"),
        ("{segment: loyal}", "the shopper is in segment loyal"),
        ("{not: {segment: loyal}}", "the shopper is not in segment loyal"),
        ("{any: [{segment: loyal}, {all: [{segment: new}, {event: purchase}]}]}", "the shopper is in segment loyal or (the shopper is in segment new and purchase happened in this session)"),
        ("{not: {any: [{segment: loyal}, {event: purchase}]}}", "not (the shopper is in segment loyal or purchase happened in this session)"),
    ],
)  # fmt: skip
def test_conditions(when: str, text: str) -> None:
    assert sentence(condition_of(when), program().vocabulary) == text


def test_whole_rules() -> None:
    nudge, hesitates = (rule_sentence(rule, program()) for rule in program().rules)
    assert nudge == (
        "When the cart value is at least 200.00 EUR, checkout_viewed happened in the last 5 minutes, no purchase happened in "
        "the last 30 minutes and the score purchase_intent is below 0.4, show free_shipping in cart_banner; from 2026-11-20 "
        "until 2026-12-01 (Europe/Berlin); once per session, 3 times per customer and week, 5000 times per day in all; at "
        "most 20000.00 EUR in all; 10% held out."
    )
    assert hesitates == (
        "When the number of checkout_viewed in the last 10 minutes is at least 2, take it that shopper.hesitates is true and "
        "send the trigger hesitating."
    )


def test_a_rule_that_is_switched_off_and_one_that_always_holds() -> None:
    rule = rule_of("always", more="enabled: false\nschedule: {on: [sat, sun], between: [18:00, 22:00]}\nholdout: 2.5%")
    assert rule_sentence(rule, program()) == (
        "Switched off: Always show free_shipping in cart_banner; on Saturday and Sunday, from 18:00 to 22:00 (Europe/Berlin); "
        "2.5% held out."
    )


def test_what_a_test_asks_for() -> None:
    condition = condition_of("{fact: cart.value, above: 200}")
    assert isinstance(condition, Test)
    assert required_text(condition, program().vocabulary) == "above 200.00 EUR"


def test_values() -> None:
    vocabulary = program().vocabulary
    yen = program_of({"vocabulary.yaml": "currency: JPY\n"}).vocabulary
    texts = ValueType(Kind.LIST, item=ValueType(Kind.TEXT))
    assert value_text(-1205, ValueType(Kind.MONEY), vocabulary) == "-12.05 EUR"
    assert value_text(1205, ValueType(Kind.MONEY), yen) == "1205 JPY"
    assert value_text(0.30000000000000004, ValueType(Kind.NUMBER), vocabulary) == "0.3"
    assert value_text(3.0, ValueType(Kind.NUMBER), vocabulary) == "3"
    assert value_text(("a", "b"), texts, vocabulary) == "a, b"
    assert value_text((), texts, vocabulary) == "nothing"
    assert value_text(None, texts, vocabulary) == "no value"
    assert value_text(True, ValueType(Kind.BOOLEAN), vocabulary) == "true"
    assert value_text(1_795_169_040_000, ValueType(Kind.TIMESTAMP), vocabulary) == "2026-11-20 10:04:00 UTC"
