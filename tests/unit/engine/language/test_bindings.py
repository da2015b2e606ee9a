"""Bound names: where they are bound and used, what tells activations apart, and what is refused."""

import pytest

from engine.language import check
from engine.language.bindings import attributes_of, binders, identity, references, type_of
from engine.language.sentence import rule_sentence
from engine.language.tree import (
    Aggregate,
    All,
    BoundRef,
    FactRef,
    Keyed,
    Not,
    OfferAction,
    Operator,
    Seen,
    Selection,
    Sequence,
    Span,
    Template,
    Test,
    TriggerAction,
)
from engine.language.tree import AttributeTest as Where
from engine.values import Kind
from tests.unit.engine.language.pattern_samples import SHOP, folder, found_in, pattern_rule

SEEN = "{event: product_viewed, as: seen}"
LIKED = "{count: product_viewed, per: product_id, within: 1 hour, at_least: 3, as: liked}"
SHOWN = "{offer: o, placement: cart_banner}"


def offers(title: str) -> str:
    return f'offers:\n  o: {{content: {{title: "{title}"}}}}\n  standard: {{content: {{title: Hello}}}}\n'


def test_a_bound_event_is_used_by_the_conditions_beside_it() -> None:
    rule = pattern_rule(f"{{all: [{SEEN}, {{event: price_changed, where: {{product_id: $seen.product_id, price: {{below: $seen.price}}}}}}]}}")  # fmt: skip
    tests = (
        Where("price", Operator.BELOW, BoundRef("seen", "price")),
        Where("product_id", Operator.IS, BoundRef("seen", "product_id")),
    )
    assert rule.when == All(
        (Seen(Selection("product_viewed"), Span(), "seen"), Seen(Selection("price_changed", None, tests), Span()))
    )
    assert rule.identity == (BoundRef("seen", "price"), BoundRef("seen", "product_id"))


def test_a_name_is_used_below_not_and_any_and_in_an_all_within_the_all() -> None:
    used = "{event: cart_added, where: {product_id: $seen.product_id}}"
    for when in (
        f"{{all: [{SEEN}, {{not: {used}}}]}}",
        f"{{all: [{SEEN}, {{any: [{used}, {{event: purchase}}]}}]}}",
        f"{{all: [{used}, {{all: [{SEEN}, {{event: purchase}}]}}]}}",
        f"{{all: [{{count: cart_added, where: {{product_id: $seen.product_id}}, at_least: 2}}, {SEEN}]}}",
        f"{{all: [{SEEN}, {{absence: {{of: {used}, after: purchase, for: 1 minute}}}}]}}",
        f"{{all: [{SEEN}, {{sequence: [purchase, {used}]}}]}}",
    ):
        assert pattern_rule(when).identity == (BoundRef("seen", "product_id"),)


def test_the_right_side_of_a_test_and_the_key_of_a_fact_of_the_catalogue() -> None:
    rule = pattern_rule(f"{{all: [{SEEN}, {{fact: product.price, of: $seen.product_id, below: $seen.price}}, {{fact: cart.value, above: {{fact: product.price, of: $seen.product_id}}}}]}}")  # fmt: skip
    looked_up = FactRef("product.price", BoundRef("seen", "product_id"))
    assert isinstance(rule.when, All)
    assert rule.when.parts[1:] == (
        Test(looked_up, Operator.BELOW, BoundRef("seen", "price")),
        Test(FactRef("cart.value"), Operator.ABOVE, looked_up),
    )


def test_the_value_of_an_aggregate_is_used_and_tells_nothing_apart() -> None:
    rule = pattern_rule(
        f"{{all: [{LIKED}, {{fact: product.views, at_most: $liked.value}}]}}",
        "{trigger: t, payload: {text: '{liked.product_id}: {liked.value}'}}",
    )
    assert rule.identity == (BoundRef("liked", "product_id"),)
    assert {ref.attribute for ref in references(rule.when)} == {"value"}


def test_a_step_uses_what_the_steps_before_it_bind() -> None:
    rule = pattern_rule("{sequence: [{event: product_viewed, as: seen}, {event: cart_removed, where: {product_id: $seen.product_id}}]}")  # fmt: skip
    assert isinstance(rule.when, Sequence)
    assert rule.when.steps[0].bind == "seen"
    assert rule.when.steps[1].of.where == (Where("product_id", Operator.IS, BoundRef("seen", "product_id")),)


def test_holes_name_bound_attributes_and_facts_of_things() -> None:
    text = "{liked.product_id} has {product.stock of liked.product_id} left, {liked.value} views, cart {cart.value}"
    rule = pattern_rule(LIKED, f"{{trigger: t, payload: {{text: '{text}'}}}}")
    action = rule.actions[0]
    assert isinstance(action, TriggerAction)
    assert isinstance(action.payload, tuple)
    key = BoundRef("liked", "product_id")
    template = dict(action.payload)["text"]  # type: ignore[arg-type] # a mapping became pairs
    assert isinstance(template, Template)
    assert template.holes == (key, FactRef("product.stock", key), BoundRef("liked", "value"), FactRef("cart.value"))
    assert template.parts[1::2] == (
        "liked.product_id",
        "product.stock of liked.product_id",
        "liked.value",
        "cart.value",
    )
    assert rule.identity == (key,)


def test_content_of_an_offer_names_what_the_rule_binds_that_shows_it() -> None:
    rule = pattern_rule(LIKED, SHOWN, offers=offers("Still {product.stock  of liked.product_id}"))
    assert rule.actions == (OfferAction("o", "cart_banner"),)
    assert rule.identity == (BoundRef("liked", "product_id"),)


def test_what_content_names_is_part_of_what_the_rule_means() -> None:
    """What tells activations apart changes with it, so that the rule is a new one after a reload."""
    plain, named = (pattern_rule(SEEN, SHOWN, offers=offers(f"x {{seen.{name}}}")) for name in ("price", "category"))
    assert plain.digest != named.digest


def test_a_tree_says_itself_what_is_bound() -> None:
    rule = pattern_rule(
        f"{{all: [{LIKED}, {{all: [{{sequence: [{{event: cart_added, as: added}}, {{event: purchase, where: {{total: {{above: $added.price}}}}}}]}}]}}, {{segment: loyal}}]}}",
        "{trigger: t, payload: {text: '{liked.product_id}'}}",
    )
    bound = binders(rule.when)
    assert list(bound) == ["liked", "added"]
    assert isinstance(bound["liked"], Keyed)
    program = check(SHOP).program
    assert program is not None
    assert set(attributes_of(bound["liked"], program.vocabulary)) == {"product_id", "value"}
    assert type_of(BoundRef("added", "amount"), bound, program.vocabulary).kind is Kind.MONEY
    assert identity(rule.when, ()) == (BoundRef("added", "price"),)


def test_every_place_of_a_reference_is_found() -> None:
    def ref(number: int) -> BoundRef:
        return BoundRef("a", f"x{number}")

    def where(number: int) -> Selection:
        return Selection("purchase", None, (Where("total", Operator.IS, ref(number)),))

    count = pattern_rule("{count: purchase, at_least: 2}").when
    assert isinstance(count, Test)
    assert isinstance(count.subject, Aggregate)
    condition = All(
        (
            Not(Seen(where(0), Span())),
            Test(FactRef("f", ref(1)), Operator.IS, ref(2)),
            Test(FactRef("f"), Operator.IS, FactRef("f", ref(3))),
        )
    )
    assert list(references(condition)) == [ref(0), ref(1), ref(2), ref(3)]


ADDED = "{event: cart_added, where: {product_id: $seen.product_id}}"


@pytest.mark.parametrize(
    ("when", "found"),
    [
        # Where nothing can bind
        (f"{{any: [{SEEN}, {ADDED}]}}", ("binding-place", "seen")),
        (f"{{all: [{{not: {SEEN}}}, {ADDED}]}}", ("binding-place", "seen")),
        (f"{{all: [{{any: [{{all: [{SEEN}, {ADDED}]}}, {{event: purchase}}]}}]}}", ("binding-place", "seen")),
        ("{any: [{sequence: [{event: purchase, as: a}, cart_added]}, {event: purchase}]}", ("binding-place", "a")),
        ("{count: product_viewed, at_least: 3, as: a}", ("binding-place", "a")),
        ("{fact: cart.value, above: 3, as: a}", ("unknown-key", "as")),
        # Unknown names
        (ADDED, ("unknown-binding", "$seen.product_id")),
        (f"{{all: [{SEEN}, {{event: cart_added, where: {{product_id: $sen.product_id}}}}]}}", ("unknown-binding", "$sen.product_id")),
        (f"{{all: [{SEEN}, {{event: cart_added, where: {{product_id: $seen.product}}}}]}}", ("unknown-attribute", "$seen.product")),
        (f"{{all: [{LIKED}, {{event: cart_added, where: {{category: $liked.category}}}}]}}", ("unknown-attribute", "$liked.category")),
        (f"{{all: [{SEEN}, {{event: cart_added, where: {{product_id: $seen}}}}]}}", ("bad-name", "$seen")),
        ("{event: product_viewed, as: 1st}", ("bad-name", "1st")),
        # Names twice
        (f"{{all: [{SEEN}, {{event: cart_added, as: seen}}]}}", ("duplicate-name", "seen")),
        ("{sequence: [{event: purchase, as: a}, {event: cart_added, as: a}]}", ("duplicate-name", "a")),
        ("{event: product_viewed, as: cart}", ("duplicate-name", "cart")),
        ("{count: price_changed, per: value, at_least: 3, as: a}", ("duplicate-name", "value")),
        # Types
        (f"{{all: [{SEEN}, {{event: cart_added, where: {{product_id: $seen.price}}}}]}}", ("wrong-type", "$seen.price")),
        (f"{{all: [{SEEN}, {{fact: cart.value, above: $seen.category}}]}}", ("wrong-type", "$seen.category")),
        (f"{{all: [{SEEN}, {{count: purchase, above: $seen.price}}]}}", ("wrong-type", "$seen.price")),
        (f"{{all: [{SEEN}, {{fact: customer.country, starts_with: $seen.category}}]}}", ("operator-not-here", "$seen.category")),
        (f"{{all: [{SEEN}, {{fact: customer.country, is_one_of: [a, $seen.category]}}]}}", ("operator-not-here", "$seen.category")),
        (f"{{all: [{SEEN}, {{fact: cart.value, between: [1, $seen.price]}}]}}", ("operator-not-here", "$seen.price")),
        (f"{{all: [{SEEN}, {{score: purchase_intent, above: $seen.price, if_unavailable: skip}}]}}", ("wrong-shape", "$seen.price")),
        # Circles
        ("{event: product_viewed, as: a, where: {product_id: $a.product_id}}", ("binding-cycle", "$a.product_id")),
        ("{all: [{event: product_viewed, as: a, where: {product_id: $b.product_id}}, {event: cart_added, as: b, where: {product_id: $a.product_id}}]}", ("binding-cycle", "$a.product_id")),
        ("{sequence: [{event: product_viewed, where: {product_id: $b.product_id}}, {event: cart_added, as: b}]}", ("binding-cycle", "$b.product_id")),
        ("{count: product_viewed, per: product_id, at_least: $a.value, as: a}", ("binding-cycle", "$a.value")),
        # Facts of the catalogue
        ("{fact: product.stock, below: 5}", ("missing-key", "product.stock")),
        (f"{{all: [{SEEN}, {{fact: product.stock, of: p1, below: 5}}]}}", ("wrong-shape", "p1")),
        (f"{{all: [{SEEN}, {{fact: product.stock, of: $seen.price, below: 5}}]}}", ("wrong-type", "$seen.price")),
        (f"{{all: [{SEEN}, {{fact: cart.value, of: $seen.product_id, below: 5}}]}}", ("operator-not-here", "$seen.product_id")),
        (f"{{all: [{SEEN}, {{fact: cart.value, above: {{fact: product.price}}}}]}}", ("missing-key", "product.price")),
        # Without effect
        (SEEN, ("without-effect", "seen")),
        (LIKED, ("without-effect", "liked")),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_found_at_its_place(when: str, found: tuple[str, str]) -> None:
    assert found in found_in(when)


def test_a_broken_binder_is_reported_once_and_not_where_it_is_used() -> None:
    assert found_in(f"{{all: [{{event: product_vewed, as: seen}}, {ADDED}]}}") == [("unknown-event", "product_vewed")]


def test_three_binders_in_a_circle_are_one_finding() -> None:
    events = ("product_viewed", "cart_added", "cart_removed")
    parts = [
        f"{{event: {event}, as: {name}, where: {{product_id: ${other}.product_id}}}}"
        for event, name, other in zip(events, "abc", "bca", strict=True)
    ]
    assert [code for code, _ in found_in(f"{{all: [{', '.join(parts)}]}}")] == ["binding-cycle"]


def test_text_that_begins_with_a_dollar_is_quoted() -> None:
    assert found_in("{fact: customer.country, is: '$a.b'}") == []


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{seen.produkt_id}", "unknown-attribute"),
        ("{sen.product_id}", "unknown-fact"),
        ("{$seen.product_id}", "unknown-fact"),
        ("{product.stock}", "missing-key"),
        ("{product.stock of seen}", "bad-name"),
        ("{product.stock of seen.price}", "wrong-type"),
        ("{product.stok of seen.product_id}", "unknown-fact"),
        ("{cart.value of seen.product_id}", "operator-not-here"),
        ("{product.stock of sen.product_id}", "unknown-binding"),
    ],
)
def test_a_hole_that_nothing_fills(text: str, code: str) -> None:
    when = f"{{all: [{SEEN}, {ADDED}]}}"
    assert [each for each, _ in found_in(when, f'{{trigger: t, payload: {{text: "{text}"}}}}')] == [code]
    if code != "unknown-binding":
        assert [each for each, _ in found_in(when, SHOWN, offers=offers(text))] == [code]


def test_an_offer_of_two_rules_names_what_both_bind() -> None:
    other = "  - {rule: y, when: {event: purchase}, then: {offer: o, placement: cart_banner}}\n"
    assert found_in(SEEN, SHOWN, other, offers=offers("{seen.price}")) == [("unknown-binding", "{seen.price}")]
    both = other.replace("{event: purchase}", "{event: cart_added, as: seen}")
    assert found_in(SEEN, SHOWN, both, offers=offers("{seen.price}")) == []


def test_a_fallback_names_nothing_bound() -> None:
    text = 'offers:\n  standard: {content: {title: "{seen.price}"}}\n'
    then = "{offer: standard, placement: cart_banner}"
    assert [code for code, _ in found_in(SEEN, then, offers=text)] == ["fallback-names-fact"]


def test_a_segment_and_the_condition_of_an_offer_bind_nothing() -> None:
    segments = "segments:\n  s: {all: [{event: cart_added, as: b}, {event: purchase, where: {total: $b.price}}]}\n  loyal: {event: purchase}\n"
    assert found_in("{segment: s}", segments=segments) == [("binding-place", "b"), ("unknown-binding", "$b.price")]
    eligible = (
        "offers:\n  o: {content: {title: x}, eligible: {event: cart_added, as: b}}\n  standard: {content: {title: x}}\n"
    )
    assert found_in("always", SHOWN, offers=eligible) == [("binding-place", "b")]


def test_a_feature_binds_nothing() -> None:
    features = SHOP["vocabulary.yaml"].replace(
        "features:\n", "features:\n  x: {count: purchase, where: {total: $a.b}}\n"
    )
    assert found_in("always", vocabulary=features) == [("unknown-binding", "$a.b")]


def test_the_catalogue_is_looked_up_by_an_attribute_that_events_have() -> None:
    vocabulary = SHOP["vocabulary.yaml"].replace("by: product_id}\n  product.price", "by: produkt_id}\n  product.price")
    assert found_in("always", vocabulary=vocabulary) == [("unknown-attribute", "produkt_id")]


def test_a_test_says_what_the_catalogue_says() -> None:
    more = "tests:\n  - test: t\n    catalogue: {product.stock: {p1: 4, p2: 0}}\n    expect: [{at: 10:00, no_trigger: t}]\n"
    program = check(folder("{event: purchase}", more=more)).program
    assert program is not None
    assert program.tests[0].catalogue == {"product.stock": {"p1": 4, "p2": 0}}
    for wrong, found in (
        ("{cart.value: {p1: 4}}", ("operator-not-here", "cart.value")),
        ("{product.stock: 4}", ("wrong-shape", "4")),
        ("{product.stock: {p1: much}}", ("wrong-type", "much")),
        ("{product.stok: {p1: 4}}", ("unknown-fact", "product.stok")),
    ):
        text = more.replace("{product.stock: {p1: 4, p2: 0}}", wrong)
        assert found in found_in("{event: purchase}", more=text)
    assert found_in("{event: purchase}", more=more.replace("catalogue: {product.stock: {p1: 4, p2: 0}}", "facts: {product.stock: 4}")) == [("operator-not-here", "product.stock")]  # fmt: skip


@pytest.mark.parametrize(
    ("when", "text"),
    [
        (f"{{all: [{LIKED}, {{not: {{event: cart_added, where: {{product_id: $liked.product_id}}}}}}]}}", "When for some product_id (liked), the number of product_viewed in the last hour is at least 3 and no cart_added with the same product_id as liked happened in this session, send the trigger t."),
        (f"{{all: [{LIKED}, {{fact: product.stock, of: $liked.product_id, below: 5}}]}}", "When for some product_id (liked), the number of product_viewed in the last hour is at least 3 and the product stock of liked is below 5, send the trigger t."),
        (f"{{all: [{SEEN}, {{event: price_changed, where: {{product_id: $seen.product_id, price: {{below: $seen.price}}}}}}]}}", "When product_viewed (seen) happened in this session and price_changed with price below that of seen and the same product_id as seen happened in this session, send the trigger t."),
        (f"{{all: [{SEEN}, {{fact: product.price, of: $seen.product_id, below: $seen.price}}]}}", "When product_viewed (seen) happened in this session and the product price of seen is below the price of seen, send the trigger t."),
        ("{sequence: [{event: product_viewed, as: seen}, {event: cart_added, where: {product_id: {is_not: $seen.product_id}}}], within: 5 minutes}", "When product_viewed (seen), then cart_added with another product_id than seen happened in the last 5 minutes, send the trigger t."),
        ("{all: [{count: product_viewed, per: category, at_least: 3, take: highest, as: best}, {event: cart_added, where: {category: $best.category}}]}", "When for some category (best), the number of product_viewed in this session is at least 3 (of several, the one with the highest) and cart_added with the same category as best happened in this session, send the trigger t."),
    ],
)  # fmt: skip
def test_sentences(when: str, text: str) -> None:
    program = check(folder(when)).program
    assert program is not None
    assert rule_sentence(program.rules[0], program) == text


def test_names_that_nothing_ties_multiply() -> None:
    """500 views and 500 things put in are 250,000 combinations; a condition that looks at both ties them."""
    two = f"{SEEN}, {{event: cart_added, as: added}}"
    then = "{trigger: t, payload: {text: '{seen.product_id} {added.product_id}'}}"
    assert found_in(f"{{all: [{two}]}}", then) == [("untied-names", "added")]
    for tie in (
        "{event: purchase, where: {total: {above: $seen.price, below: $added.price}}}",
        "{any: [{event: purchase, where: {total: $seen.price}}, {fact: cart.value, above: $added.price}]}",
    ):
        assert found_in(f"{{all: [{two}, {tie}]}}", then) == []
    assert found_in(f"{{all: [{SEEN}, {{event: cart_added, as: added, where: {{price: $seen.price}}}}]}}", then) == []
    steps = "{sequence: [{event: product_viewed, as: seen}, {event: cart_added, as: added}]}"
    assert found_in(steps, then) == []


def test_a_rule_binds_a_bounded_number_of_names() -> None:
    events = ", ".join(f"{{event: purchase, as: p{number}}}" for number in range(11))
    assert ("too-large", "p10") in found_in(f"{{all: [{events}]}}")
