"""What conditions, rules and vocabularies mean once they are checked."""

import dataclasses

import pytest

from engine.language import check
from engine.language.digest import Digests
from engine.language.tree import (
    Aggregate,
    Aggregation,
    All,
    AssertAction,
    CalendarUnit,
    FactRef,
    IfUnavailable,
    Limit,
    LimitScope,
    Not,
    OfferAction,
    Operator,
    Schedule,
    ScoreTest,
    Seen,
    Segment,
    Selection,
    Span,
    Template,
    Test,
    TriggerAction,
)
from engine.values import Kind, ValueType
from tests.unit.engine.language.samples import (
    FOLDER,
    OFFERS,
    RULES,
    VOCABULARY,
    codes_of,
    condition_of,
    program,
    program_of,
    rule_of,
)

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000


def operand(when: str) -> object:
    condition = condition_of(when)
    assert isinstance(condition, Test)
    return condition.operand


def test_the_rule_that_everything_must_make_possible() -> None:
    rule = program().rules[0]
    assert rule.when == All(
        (
            Test(FactRef("cart.value"), Operator.AT_LEAST, 20_000),
            Seen(Selection("checkout_viewed"), Span(window=5 * MINUTE)),
            Not(Seen(Selection("purchase"), Span(window=30 * MINUTE))),
            ScoreTest("purchase_intent", Operator.BELOW, 0.4, IfUnavailable.SKIP),
        )
    )
    assert rule.actions == (OfferAction("free_shipping", "cart_banner"),)
    assert rule.schedule == Schedule(1_795_129_200_000, 1_796_079_600_000, "Europe/Berlin")
    assert rule.limits == (
        Limit(LimitScope.SESSION, 1),
        Limit(LimitScope.CUSTOMER, 3, sliding=7 * DAY),
        Limit(LimitScope.TOTAL, 5_000, sliding=DAY),
    )
    assert (rule.budget, rule.holdout, rule.priority, rule.owner) == (2_000_000, 0.1, 50, "growth")
    assert (rule.id, rule.order) == ("cart_recovery.free_shipping_nudge", (-50, 0, "rules/cart.yaml"))


def test_operands_are_in_the_units_of_the_engine() -> None:
    assert operand("{fact: cart.value, above: 4.9}") == 490
    assert operand("{fact: cart.value, above: 4.90 EUR}") == 490
    assert operand("{fact: cart.value, between: [1, 2.5]}") == (100, 250)
    assert operand("{fact: product.views, is_one_of: [0x10, 3, 0o7]}") == (3, 7, 16)
    assert operand("{fact: customer.tier, is_one_of: [silver, gold, silver]}") == ("gold", "silver")
    assert operand("{fact: customer.since, older_than: 2 weeks}") == 14 * DAY
    assert operand("{fact: customer.since, before: 2026-07-01}") == operand(
        "{fact: customer.since, before: 2026-06-30T22:00Z}"
    )
    assert operand("{fact: customer.consent, is: True}") is True
    assert operand("{fact: customer.tags, contains: b2b}") == "b2b"
    assert operand("{fact: euros_per_view, above: 3}") == 3.0
    assert operand("{fact: cart.value, above: {fact: customer.average_order}}") == FactRef("customer.average_order")
    assert operand("{fact: customer.country, is: ''}") == ""


@pytest.mark.parametrize("word", ["NO", "on", "yes", "1:30", "2026-11-20", "0b1", "1_000", "=", "<<", "y"])
def test_what_yaml_1_1_turns_into_something_else_is_text(word: str) -> None:
    assert operand(f"{{fact: customer.country, is: {word}}}") == word


@pytest.mark.parametrize("word", ["49", "1.5", "1e3", "true", "null", "~", "0x1F", "0o17", ".inf"])
def test_what_yaml_1_2_reads_as_something_else_is_no_text(word: str) -> None:
    assert codes_of(f"{{fact: customer.country, is: {word}}}") == ["wrong-type"]
    assert operand(f"{{fact: customer.country, is: '{word}'}}") == word


def test_two_tests_in_one_mapping_are_both_asked() -> None:
    subject = FactRef("cart.value")
    both = All((Test(subject, Operator.ABOVE, 100), Test(subject, Operator.BELOW, 200)))
    assert condition_of("{fact: cart.value, above: 1, below: 2}") == both
    release = condition_of(
        "{score: purchase_intent, above: 0.2, release_below: 0.1, below: 0.9, if_unavailable: assume true}"
    )
    assert release == All(
        (
            ScoreTest("purchase_intent", Operator.ABOVE, 0.2, IfUnavailable.ASSUME_TRUE, release=0.1),
            ScoreTest("purchase_intent", Operator.BELOW, 0.9, IfUnavailable.ASSUME_TRUE),
        )
    )


def test_an_aggregate_in_a_condition_equals_the_feature_that_means_the_same() -> None:
    condition = condition_of("{count: product_viewed, at_least: 3}")
    assert isinstance(condition, Test)
    assert condition.subject == program().vocabulary.facts["product.views"].aggregate
    assert condition_of("{count: product_viewed, where: {category: a, product_id: b}, at_least: 1}") == condition_of(
        "{count: product_viewed, at_least: 1, where: {product_id: b, category: {is: a}}}"
    )


@pytest.mark.parametrize(
    ("written", "kind"),
    [
        ("count: purchase", Kind.INTEGER),
        ("distinct: product_viewed.category", Kind.INTEGER),
        ("sum: cart_added.quantity", Kind.INTEGER),
        ("sum: cart_added.price", Kind.MONEY),
        ("average: cart_added.quantity", Kind.NUMBER),
        ("average: cart_added.price", Kind.MONEY),
        ("minimum: cart_added.price", Kind.MONEY),
        ("last: product_viewed.category", Kind.TEXT),
        ("first: identify.tier", Kind.CHOICE),
    ],
)
def test_types_of_aggregates(written: str, kind: Kind) -> None:
    features = VOCABULARY.replace("features:\n", f"features:\n  x: {{{written}}}\n")
    assert program_of({**FOLDER, "vocabulary.yaml": features}).vocabulary.facts["x"].type.kind is kind


def test_a_feature_with_minus_where_and_since() -> None:
    assert program().vocabulary.facts["cart.value"].aggregate == Aggregate(
        Aggregation.SUM,
        Selection("cart_added", "amount"),
        Span(since="purchase"),
        ValueType(Kind.MONEY),
        Selection("cart_removed", "amount"),
    )


def test_segments_are_resolved_and_equal_wherever_they_are_used() -> None:
    loyal = Test(FactRef("customer.tier"), Operator.IS_ONE_OF, ("gold", "platinum"))
    assert condition_of("{segment: loyal}") == Segment("loyal", loyal)
    assert program().segments == {"loyal": loyal, "new": Not(Segment("loyal", loyal))}


def test_always() -> None:
    assert condition_of("always") == All(())


def test_places_do_not_count_for_equality() -> None:
    first, second = condition_of("{event: purchase}"), condition_of("\n      event: purchase")
    assert first == second
    assert hash(first) == hash(second)
    assert isinstance(first, Seen)
    assert isinstance(second, Seen)
    assert first.place != second.place


def test_actions() -> None:
    asserted, trigger = program().rules[1].actions
    assert asserted == AssertAction("shopper.hesitates", value=True)
    assert trigger == TriggerAction(
        "hesitating", (("cart", Template("{cart.value}", ("", "cart.value", ""))), ("again", [1, True, None]))
    )


def test_braces_are_written_twice() -> None:
    offers = OFFERS.replace('"Free shipping over {cart.value}"', "'{{x}} {product.views}!'")
    content = program_of({**FOLDER, "offers.yaml": offers}).offers["free_shipping"].content
    assert content == (("title", Template("{{x}} {product.views}!", ("{x} ", "product.views", "!"))),)


@pytest.mark.parametrize(
    ("written", "limit"),
    [
        ("5", Limit(LimitScope.TOTAL, 5)),
        ("5 per hour", Limit(LimitScope.TOTAL, 5, sliding=HOUR)),
        ("5 per 3 days", Limit(LimitScope.TOTAL, 5, sliding=3 * DAY)),
        ("5 in 30 minutes", Limit(LimitScope.TOTAL, 5, sliding=30 * MINUTE)),
        ("5 per calendar month", Limit(LimitScope.TOTAL, 5, calendar=CalendarUnit.MONTH, timezone="Europe/Berlin")),
    ],
)
def test_limits(written: str, limit: Limit) -> None:
    assert rule_of("always", more=f"limits: {{total: {written}}}").limits == (limit,)


def test_several_limits_of_one_scope() -> None:
    limits = rule_of("always", more="limits: {per_customer: [1 per day, 3 per week]}").limits
    assert [limit.most for limit in limits] == [1, 3]
    assert codes_of(more="limits: {per_customer: [1 per day, 3 per day]}") == ["bad-limit"]


def test_the_zone_of_calendar_limits_is_the_schedules() -> None:
    rule = rule_of("always", more="schedule: {on: mon, timezone: Asia/Tokyo}\nlimits: {total: 3 per calendar week}")
    assert rule.schedule == Schedule(timezone="Asia/Tokyo", days=(0,))
    assert rule.limits[0].timezone == "Asia/Tokyo"


def test_schedules() -> None:
    more = "schedule: {on: [sun, Saturday], between: [22:00, 24:00], from: 2026-11-20T10:00+00:00}"
    assert rule_of("always", more=more).schedule == Schedule(
        1_795_168_800_000, None, "Europe/Berlin", (5, 6), (22 * 60, 0)
    )


@pytest.mark.parametrize(
    "zone", ["localtime", "posix/Europe/Berlin", "../etc/passwd", "Europe", "UTC+1", "/etc/passwd", "Europe/"]
)
def test_zones_that_only_some_machines_have_are_none(zone: str) -> None:
    assert codes_of(more=f"schedule: {{on: mon, timezone: {zone}}}") == ["unknown-timezone"]


def test_rules_are_in_order_of_acting() -> None:
    def ruleset(name: str, *priorities: int) -> str:
        rules = "".join(
            f"  - {{rule: r{index}, priority: {priority}, when: {{count: purchase, at_least: {index + 2}}}, then: {{trigger: {name}}}}}\n"
            for index, priority in enumerate(priorities)
        )
        return f"ruleset: {name}\nrules:\n{rules}"

    sources = {
        "vocabulary.yaml": VOCABULARY,
        "offers.yaml": OFFERS,
        "b.yaml": ruleset("b", 0, 5, 5),
        "a.yaml": ruleset("a", 0, 9),
    }
    assert [rule.id for rule in program_of(sources).rules] == ["a.r1", "b.r1", "b.r2", "a.r0", "b.r0"]


def test_a_digest_tells_a_changed_rule_from_one_that_moved() -> None:
    def digest(rules: str = RULES, vocabulary: str = VOCABULARY) -> str:
        return program_of({**FOLDER, "rules/cart.yaml": rules, "vocabulary.yaml": vocabulary}).rules[0].digest

    same = digest()
    assert (
        digest("# a comment\n" + RULES.replace("growth", "sales").replace("Free shipping for", "Delivery for")) == same
    )
    assert digest(RULES.replace("{fact: cart.value, at_least: 200}", "{at_least: 200.00, fact: cart.value}")) == same
    changed = [
        digest(RULES.replace("at_least: 200", "at_least: 201")),
        digest(RULES.replace("priority: 50", "priority: 51")),
        digest(RULES.replace("priority: 50", "enabled: false")),
        digest(RULES.replace("2026-12-01T00:00", "2026-12-02T00:00")),
        digest(RULES.replace("free_shipping_nudge", "nudge")),
        digest(vocabulary=VOCABULARY.replace("since: purchase", "within: 1 hour")),
        digest(vocabulary=VOCABULARY.replace("model: purchase_intent", "model: other")),
    ]
    assert len({same, *changed}) == len(changed) + 1


def test_a_digest_is_the_same_on_every_machine() -> None:
    assert program().rules[0].digest == "bfb05f142906e11f6ec5b98fc292e642"


def test_the_same_sources_give_the_same_program() -> None:
    assert check(FOLDER) == check(dict(reversed(FOLDER.items())))


def test_tests_beside_the_rules() -> None:
    test = program().tests[0]
    assert (test.name, test.ruleset, test.customer_id) == (
        "a hesitating shopper gets free shipping",
        "cart_recovery",
        "c1",
    )
    assert [event.at for event in test.events] == [1_795_597_200_000, 1_795_597_440_000]
    assert test.events[0].attributes == {"product_id": "p1", "quantity": 2, "price": 120}
    assert test.facts == {"customer.tier": "gold", "customer.tags": ("new", "b2b")}
    assert test.scores == {"purchase_intent": 0.2}
    assert [expected.offer for expected in test.expect] == ["free_shipping", "standard"]


def test_times_of_tests() -> None:
    text = RULES.replace("at: 10:09:00,", "at: 1:02:03.5 +2d,").replace("at: 10:05:00,", "at: 2026-11-25T09:30:00Z,")
    expect = program_of({**FOLDER, "rules/cart.yaml": text}).tests[0].expect
    day = 1_795_561_200_000  # 2026-11-25 00:00 in Berlin
    assert [each.at - day for each in expect] == [10 * HOUR + 30 * MINUTE, 2 * DAY + HOUR + 2 * MINUTE + 3_500]


@pytest.mark.parametrize("at", ["00:00 +999d", "23:59:59.999 +1d", "9999-12-31T23:59:59-12:00"])
def test_times_beyond_the_calendar(at: str) -> None:
    text = RULES.replace("at: 10:09:00,", f"at: {at},").replace("date: 2026-11-25", "date: 9999-12-31")
    found = [each.code for each in check({**FOLDER, "rules/cart.yaml": text}).diagnostics]
    assert found == ["out-of-range"]


def test_a_customer_of_a_test_has_an_id_that_events_may_have() -> None:
    text = RULES.replace("customer: c1", f"customer: {'c' * 201}")
    assert [each.code for each in check({**FOLDER, "rules/cart.yaml": text}).diagnostics] == ["too-large"]


def test_all_files_are_read_even_if_one_is_broken() -> None:
    sources = {**FOLDER, "a.yaml": "rules: [", "b.yaml": "ruleset: b\nrulez: []\n"}
    assert [(found.place.file, found.code) for found in check(sources).diagnostics] == [
        ("a.yaml", "yaml-syntax"),
        ("b.yaml", "unknown-key"),
    ]


def test_limits_on_size_and_depth() -> None:
    deep = "{not: " * 40 + "{event: purchase}" + "}" * 40
    assert codes_of(deep) == ["too-deep"]
    assert codes_of("{any: [" + "{event: purchase}, " * 2_001 + "]}") == ["too-large"]
    segments = "segments:\n  s0: {any: [{event: purchase}, {event: identify}]}\n" + "".join(
        f"  s{level}: {{all: [{{segment: s{level - 1}}}, {{segment: s{level - 1}}}]}}\n" for level in range(1, 40)
    )
    assert "too-large" in codes_of(segments=segments)  # 2 to the power of 39, written out
    chain = "segments:\n  s0: {event: purchase}\n" + "".join(
        f"  s{n}: {{segment: s{n - 1}}}\n" for n in range(1, 1_000)
    )
    assert set(codes_of(segments=chain)) == {"too-deep"}
    features = (
        "features:\n"
        + "".join(f"  f{n}: {{number: f{n + 1} + 1}}\n" for n in range(1_000))
        + "  f1000: {count: purchase}\n"
    )
    assert "too-deep" in codes_of(vocabulary=VOCABULARY.replace("features:\n", features))
    assert "too-large" in codes_of(notes="#" * (1 << 20) + "\n")


def test_a_program_has_no_reference_to_nodes() -> None:
    """It is kept as long as its revision; the sources are not."""
    pending: list[object] = [program()]
    while pending:
        item = pending.pop()
        assert not type(item).__module__.endswith((".nodes", ".source", ".syntax"))
        if dataclasses.is_dataclass(item):
            pending += [getattr(item, each.name) for each in dataclasses.fields(item)]
        elif isinstance(item, tuple | list):
            pending += item
        elif isinstance(item, dict):
            pending += item.values()


def test_a_large_segment_costs_once_however_many_rules_use_it() -> None:
    """Its parts are hashed, written out and compared once: 3,000 rules over 1,500 parts took two minutes before."""
    parts = ", ".join(f"{{count: purchase, above: {number}}}" for number in range(1_500))
    rules = "".join(
        f"  - {{rule: r{number}, when: {{segment: big}}, then: {{trigger: t{number}}}}}\n" for number in range(300)
    )
    sources = {
        **FOLDER,
        "segments.yaml": f"segments:\n  big: {{any: [{parts}]}}\n",
        "rules/cart.yaml": f"ruleset: r\nrules:\n{rules}",
    }
    digested: list[object] = []
    original = Digests.canonical

    def counting(self: Digests, item: object) -> str:
        digested.append(item)
        return original(self, item)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Digests, "canonical", counting)
        assert len(program_of(sources).rules) == 300
    assert len(digested) < 300 * 100
