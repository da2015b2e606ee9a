"""Sequences, absences and aggregates for each key: what they are once they are checked, and what is refused."""

import pytest

from engine.language import check
from engine.language.digest import Digests
from engine.language.sentence import sentence
from engine.language.tree import (
    Absence,
    Aggregate,
    Aggregation,
    All,
    BoundRef,
    FactRef,
    Keyed,
    Not,
    Operator,
    Selection,
    Sequence,
    SequenceStep,
    Span,
)
from engine.language.tree import AttributeTest as Where
from engine.values import Kind, ValueType
from tests.unit.engine.language.pattern_samples import SHOP, folder, found_in, pattern_of
from tests.unit.engine.language.samples import UNUSED

MINUTE, HOUR = 60_000, 3_600_000
VIEWS = Aggregate(Aggregation.COUNT, Selection("product_viewed"), Span(window=HOUR), ValueType(Kind.INTEGER))


def test_a_sequence_has_its_steps_in_order_and_one_span() -> None:
    written = "{sequence: [{event: cart_added, where: {quantity: 1}}, cart_removed, {event: purchase}], within: 1 hour}"
    assert pattern_of(written) == Sequence(
        (
            SequenceStep(Selection("cart_added", None, (Where("quantity", Operator.IS, 1),))),
            SequenceStep(Selection("cart_removed")),
            SequenceStep(Selection("purchase")),
        ),
        Span(window=HOUR),
    )
    since = pattern_of("{sequence: [cart_added, cart_removed], since: purchase}")
    assert isinstance(since, Sequence)
    assert since.span == Span(since="purchase")


def test_an_absence() -> None:
    assert pattern_of("{absence: {of: purchase, after: checkout_viewed, for: 15 minutes}}") == Absence(
        Selection("purchase"), Selection("checkout_viewed"), 15 * MINUTE
    )
    selected = "{absence: {of: {event: purchase, where: {total: {above: 5}}}, after: {event: cart_added, where: {category: a}}, for: 1 minute, until: 1 hour}}"
    assert pattern_of(selected) == Absence(
        Selection("purchase", None, (Where("total", Operator.ABOVE, 500),)),
        Selection("cart_added", None, (Where("category", Operator.IS, "a"),)),
        MINUTE,
        HOUR,
    )


def test_an_aggregate_for_each_key() -> None:
    assert pattern_of("{count: product_viewed, per: product_id, within: 1 hour, at_least: 3}") == Keyed(
        VIEWS, "product_id", ((Operator.AT_LEAST, 3),)
    )
    written = "{count: product_viewed, per: product_id, within: 1 hour, below: 9, at_least: {fact: product.views}}"
    assert pattern_of(written) == Keyed(
        VIEWS, "product_id", ((Operator.AT_LEAST, FactRef("product.views")), (Operator.BELOW, 9))
    )
    assert pattern_of("{not: {count: product_viewed, per: product_id, within: 1 hour, at_least: 3}}") == Not(
        Keyed(VIEWS, "product_id", ((Operator.AT_LEAST, 3),))
    )


def test_only_the_key_with_the_highest_value() -> None:
    when = "{all: [{sum: cart_added.amount, per: category, above: 5, take: highest, as: best}, {event: product_viewed, where: {category: $best.category}}]}"
    condition = pattern_of(when)
    assert isinstance(condition, All)
    keyed = condition.parts[0]
    assert isinstance(keyed, Keyed)
    assert (keyed.take_highest, keyed.bind, keyed.per) == (True, "best", "category")
    assert keyed.aggregate.type == ValueType(Kind.MONEY)
    assert keyed.tests == ((Operator.ABOVE, 500),)


@pytest.mark.parametrize(
    ("when", "found"),
    [
        ("{sequence: [purchase]}", ("empty", "sequence")),
        ("{sequence: purchase}", ("wrong-shape", "purchase")),
        ("{sequence: [" + "purchase, " * 11 + "]}", ("too-large", "sequence")),
        ("{sequence: [purchase, cart_added], within: 5}", ("bad-duration", "5")),
        ("{sequence: [purchase, cart_added], within: {fact: product.views}}", ("bad-duration", "{fact: product.views}")),
        ("{sequence: [purchase, cart_added], within: 0 seconds}", ("out-of-range", "0 seconds")),
        ("{sequence: [purchase, cart_added], within: 1 hour, since: purchase}", ("two-spans", "purchase")),
        ("{sequence: [purchase, cart_added], where: {a: b}}", ("unknown-key", "where")),
        ("{sequence: [purchase, {event: cart_added, within: 1 hour}]}", ("unknown-key", "within")),
        ("{sequence: [purchase, {not: cart_added}]}", ("unknown-key", "not")),
        ("{sequence: [purchase, cart_aded]}", ("unknown-event", "cart_aded")),
        ("{sequence: [purchase, cart_added.price]}", ("wrong-shape", "cart_added.price")),
        ("{sequence: [purchase, {event: cart_added, where: {colour: red}}]}", ("unknown-attribute", "colour")),
        ("{sequence: [purchase, cart_added], event: purchase}", ("two-conditions", "event")),
        ("{absence: purchase}", ("wrong-shape", "purchase")),
        ("{absence: {of: purchase, after: cart_added}}", ("missing-key", "of")),
        ("{absence: {of: purchase, after: cart_added, for: soon}}", ("bad-duration", "soon")),
        ("{absence: {of: purchase, after: cart_added, for: 0 seconds}}", ("out-of-range", "0 seconds")),
        ("{absence: {of: purchase, after: cart_added, for: 5 minutes, until: 5 minutes}}", ("impossible", "5 minutes")),
        ("{absence: {of: purchase, after: cart_aded, for: 5 minutes}}", ("unknown-event", "cart_aded")),
        ("{absence: {of: purchase, after: {event: cart_added, as: a}, for: 5 minutes}}", ("unknown-key", "as")),
        ("{absence: {of: purchase, after: cart_added, within: 5 minutes, for: 1 hour}}", ("unknown-key", "within")),
        ("{count: product_viewed, per: produkt_id, at_least: 3}", ("unknown-attribute", "produkt_id")),
        ("{count: product_viewed, per: product_viewed.product_id, at_least: 3}", ("wrong-shape", "product_viewed.product_id")),
        ("{count: price_changed, per: tags, at_least: 3}", ("operator-type", "tags")),
        ("{count: product_viewed, per: product_id, at_least: 3, take: lowest}", ("wrong-type", "lowest")),
        ("{count: product_viewed, at_least: 3, take: highest}", ("operator-not-here", "highest")),
        ("{last: product_viewed.category, per: product_id, is: a, take: highest}", ("operator-type", "highest")),
        ("{count: product_viewed, per: product_id, at_least: 3, take: highest}", ("without-effect", "highest")),
        ("{count: product_viewed, per: product_id, at_least: 3 EUR}", ("wrong-type", "3 EUR")),
        ("{count: product_viewed, per: product_id, below: 1}", ("impossible", "{")),
        ("{count: product_viewed, per: product_id, above: 5, below: 4}", ("impossible", "{")),
        ("{count: product_viewed, per: product_id, at_least: 1, minus: purchase}", ("operator-not-here", "minus")),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_found_at_its_place(when: str, found: tuple[str, str]) -> None:
    assert found in found_in(when)


def test_a_key_whose_value_is_not_tested() -> None:
    assert [code for code, _ in found_in("{count: product_viewed, per: product_id}")] == ["no-test"]


def test_a_number_of_different_values_may_be_0_for_a_key() -> None:
    """Its events may lack the attribute that is counted, not the one that is the key."""
    assert found_in("{distinct: cart_added.category, per: product_id, below: 1}") == []


@pytest.mark.parametrize(
    ("when", "text"),
    [
        ("{sequence: [cart_added, cart_removed, purchase], within: 1 hour}", "cart_added, then cart_removed, then purchase happened in the last hour"),
        ("{not: {sequence: [cart_added, cart_removed]}}", "not (cart_added, then cart_removed happened in this session)"),
        ("{absence: {of: purchase, after: checkout_viewed, for: 15 minutes}}", "15 minutes have passed without purchase since the latest checkout_viewed"),
        ("{absence: {of: purchase, after: checkout_viewed, for: 1 minute}}", "1 minute has passed without purchase since the latest checkout_viewed"),
        ("{absence: {of: {event: purchase, where: {total: {above: 5}}}, after: {event: cart_added, where: {category: shoes}}, for: 1 minute, until: 1 hour}}", "1 minute to 1 hour have passed without purchase with total above 5.00 EUR since the latest cart_added with category shoes"),
        ("{count: product_viewed, per: product_id, within: 1 hour, at_least: 3}", "for some product_id, the number of product_viewed in the last hour is at least 3"),
        ("{not: {count: product_viewed, per: product_id, above: 2, below: 9}}", "for no product_id, the number of product_viewed in this session is above 2 and below 9"),
    ],
)  # fmt: skip
def test_sentences(when: str, text: str) -> None:
    vocabulary = check(SHOP).program.vocabulary  # type: ignore[union-attr] # of a folder without errors
    assert sentence(pattern_of(when), vocabulary) == text


def test_what_the_engine_does_not_evaluate_is_checked_and_refused() -> None:
    """So that nobody waits for the next version to learn of a slip."""
    written = {
        "sequence": "{sequence: [purchase, cart_added], within: 1 hour}",
        "absence": "{absence: {of: purchase, after: cart_added, for: 5 minutes}}",
        "per": "{count: product_viewed, per: product_id, at_least: 3}",
        "as": "{all: [{event: product_viewed, as: seen}, {event: cart_added, where: {product_id: $seen.product_id}}]}",
        "of": "{all: [{event: product_viewed, as: seen}, {fact: product.stock, of: $seen.product_id, below: 5}]}",
    }
    for word, when in written.items():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("engine.language.shape.UNEVALUATED", frozenset({word}))
            found = [each.code for each in check(folder(when)).diagnostics if each.code not in UNUSED]
            assert found == ["not-supported-yet"], word
            wrong = check(folder(when.replace("purchase", "purchse").replace("product_viewed", "viewed"))).diagnostics
            assert {"not-supported-yet", "unknown-event"} <= {each.code for each in wrong}, word
        assert found_in(when) == []


def test_a_digest_tells_conditions_apart_by_what_they_mean() -> None:
    """Adding these conditions to the language left the digests of all other rules as they were."""
    vocabulary = check(SHOP).program.vocabulary  # type: ignore[union-attr] # of a folder without errors
    digests = Digests(vocabulary)
    conditions = [
        Sequence((SequenceStep(Selection("purchase")), SequenceStep(Selection("cart_added"))), Span()),
        Sequence((SequenceStep(Selection("cart_added")), SequenceStep(Selection("purchase"))), Span()),
        Sequence((SequenceStep(Selection("purchase"), "a"), SequenceStep(Selection("cart_added"))), Span()),
        Absence(Selection("purchase"), Selection("cart_added"), MINUTE),
        Absence(Selection("purchase"), Selection("cart_added"), MINUTE, HOUR),
        Keyed(VIEWS, "product_id", ((Operator.ABOVE, 3),)),
        Keyed(VIEWS, "category", ((Operator.ABOVE, 3),)),
        Keyed(VIEWS, "category", ((Operator.ABOVE, 3),), "a"),
        Keyed(VIEWS, "category", ((Operator.ABOVE, 3),), "a", take_highest=True),
        FactRef("product.stock"),
        FactRef("product.stock", BoundRef("a", "product_id")),
    ]
    texts = [digests.canonical(each) for each in conditions]
    assert len(set(texts)) == len(texts)
    assert "bind" not in texts[0]
