"""What is proved about rules, and what is not, because it is not certain."""

import pytest

from engine.language import check
from engine.language.derived import strata
from tests.unit.engine.language.samples import FOLDER, VOCABULARY, codes_of, program_of


@pytest.mark.parametrize(
    "parts",
    [
        "{fact: cart.value, above: 10, below: 5}",
        "{fact: product.views, above: 3, below: 4}",
        "{fact: cart.value, above: 10}, {fact: cart.value, at_most: 10}",
        "{fact: cart.value, above: 10}, {not: {fact: cart.value, above: 5}}",
        "{fact: cart.value, is: 10}, {fact: cart.value, above: 10}",
        "{fact: customer.tier, is: gold}, {fact: customer.tier, is_one_of: [silver, bronze]}",
        "{fact: customer.tier, is_none_of: [bronze, silver, gold, platinum]}, {event: purchase}",
        "{fact: customer.country, is: DE}, {fact: customer.country, is: FR}",
        "{fact: customer.consent, is: true}, {not: {fact: customer.consent, is: true}}",
        "{fact: customer.since, before: 2026-01-01}, {fact: customer.since, after: 2026-02-01}",
        "{fact: customer.tier, exists: false}, {fact: customer.tier, is: gold}",
        "{count: purchase, below: 0}, {event: purchase}",
        "{event: purchase, within: 5 minutes}, {not: {event: purchase}}",
        "{event: purchase, where: {total: {above: 5}}}, {not: {event: purchase}}",
        "{segment: loyal}, {fact: customer.tier, is: bronze}",
        "{segment: loyal}, {not: {segment: loyal}}",
        "{score: purchase_intent, above: 0.5, if_unavailable: skip}, {score: purchase_intent, below: 0.5, if_unavailable: skip}",
        "{fact: cart.value, above: {fact: cart.value}}, {event: purchase}",
        "{all: [{fact: cart.value, above: 10}]}, {all: [{fact: cart.value, below: 10}]}",
    ],
)
def test_what_can_never_hold(parts: str) -> None:
    assert "impossible" in codes_of(f"{{all: [{parts}]}}")
    assert "impossible" in codes_of(f"{{any: [{{event: identify}}, {{all: [{parts}]}}]}}")


@pytest.mark.parametrize(
    "parts",
    [
        "{fact: cart.value, above: 5, below: 10}",
        "{fact: cart.value, above: 3, below: 4}",
        "{fact: euros_per_view, above: 3, below: 4}",
        "{fact: customer.tier, is_not: gold}, {fact: customer.tier, is_not: silver}",
        "{fact: customer.country, is_not: DE}, {fact: customer.country, is_not: FR}",
        "{event: purchase, within: 1 hour}, {not: {event: purchase, within: 5 minutes}}",
        "{event: purchase}, {not: {event: purchase, where: {total: {above: 5}}}}",
        "{event: purchase, since: identify}, {not: {event: purchase, within: 5 minutes}}",
        "{fact: customer.tags, contains: a}, {not: {fact: customer.tags, contains: b}}",
        "{fact: customer.country, contains: a}, {fact: customer.country, contains: b}",
        "{fact: customer.since, older_than: 5 days}, {fact: customer.since, within_last: 10 days}",
        "{score: purchase_intent, above: 0.5, if_unavailable: assume true}, {score: purchase_intent, below: 0.4, if_unavailable: assume true}",
        "{score: purchase_intent, above: 0.5, release_below: 0.1, if_unavailable: skip}, {score: purchase_intent, below: 0.4, if_unavailable: skip}",
        "{fact: cart.value, above: {fact: customer.average_order}}, {fact: cart.value, below: 1}",
        "{fact: cart.value, below: 0}, {event: purchase}",
    ],
)  # fmt: skip
def test_what_may_hold_is_not_warned_of(parts: str) -> None:
    """`cart.value` may be negative: it is a sum with a minus."""
    assert codes_of(f"{{all: [{parts}]}}") == []


@pytest.mark.parametrize(
    "when",
    [
        "{count: purchase, at_least: 0}",
        "{distinct: product_viewed.category, above: -1}",
        "{fact: customer.tier, is_one_of: [bronze, silver, gold, platinum]}",
        "{score: purchase_intent, at_most: 1, if_unavailable: skip}",
        "{any: [{event: purchase}, {not: {event: purchase}}]}",
        "{any: [{fact: cart.value, above: 5}, {fact: cart.value, below: 10}]}",
        "{fact: cart.value, at_least: {fact: cart.value}}",
    ],
)
def test_what_always_holds(when: str) -> None:
    assert codes_of(when) == ["always-true"]


@pytest.mark.parametrize(
    "when",
    [
        "{any: [{fact: cart.value, above: 10}, {fact: cart.value, below: 10}]}",
        "{any: [{fact: customer.consent, is: true}, {not: {fact: customer.consent, is: true}}]}",
        "{count: purchase, at_least: 1}",
        "{fact: customer.country, is_not: DE}",
        "{score: purchase_intent, below: 1, if_unavailable: skip}",
        "{not: {event: purchase}}",
    ],
)
def test_what_may_fail_is_not_warned_of(when: str) -> None:
    """A fact without a value makes a test and its `not` unknown, so one of them may not hold."""
    assert codes_of(when) == []


FACTS = VOCABULARY.replace(
    "features:\n",
    "  d.a: {type: boolean, from: rules}\n  d.b: {type: boolean, from: rules}\n  d.mood: {choice: [good, bad], from: rules}\n"
    "  d.n: {type: integer, from: rules}\nfeatures:\n  d.next: {integer: d.n + 1}\n",
)


def derived_codes(*rules: tuple[str, str]) -> list[str]:
    texts = [f"  - {{rule: r{index}, when: {when}, then: {then}}}\n" for index, (when, then) in enumerate(rules)]
    offers = "offers: {standard: {content: {title: Hello}}}\n"
    sources = {"vocabulary.yaml": FACTS, "offers.yaml": offers, "r.yaml": "ruleset: r\nrules:\n" + "".join(texts)}
    return [found.code for found in check(sources).diagnostics if found.code != "unused-segment"]


@pytest.mark.parametrize(
    "rules",
    [
        [("{not: {fact: d.a, is: true}}", "{assert: d.a}")],
        [("{fact: d.a, is: false}", "{assert: d.a}")],
        [("{fact: d.a, is_not: true}", "{assert: d.b}"), ("{fact: d.b, is: true}", "{assert: d.a}")],
        [("{fact: d.a, is: true}", "{assert: d.a, value: false}")],
        [("{fact: d.mood, is: good}", "{assert: d.mood, value: bad}")],
        [("{fact: d.next, above: 3}", "{assert: d.n, value: 1}")],
        [("{fact: d.a, is: true}", "{assert: d.n, value: 1}"), ("{fact: d.n, exists: true}", "{assert: d.a}")],
        [("{event: cart_added, where: {quantity: {above: {fact: d.n}}}}", "{assert: d.n, value: 1}")],
        [
            (
                "{absence: {of: purchase, after: {event: cart_added, where: {quantity: {is: {fact: d.n}}}}, for: 1 hour}}",
                "{assert: d.n, value: 1}",
            )
        ],
    ],
)
def test_a_cycle_without_one_answer_is_refused(rules: list[tuple[str, str]]) -> None:
    assert derived_codes(*rules) == ["negation-cycle"]


@pytest.mark.parametrize(
    "rules",
    [
        [("{fact: d.a, is: true}", "{assert: d.a}")],
        [
            ("{fact: d.a, is: true}", "{assert: d.b}"),
            ("{any: [{fact: d.b, is: true}, {event: purchase}]}", "{assert: d.a}"),
        ],
        [("{event: purchase}", "{assert: d.a}"), ("{not: {fact: d.a, is: true}}", "{assert: d.b}")],
        [
            ("{event: purchase}", "{assert: d.n, value: 1}"),
            ("{event: cart_added, where: {quantity: {above: {fact: d.n}}}}", "{assert: d.a}"),
        ],
        [("{event: purchase}", "{assert: d.mood, value: bad}"), ("{fact: d.mood, is: bad}", "{assert: d.n, value: 2}")],
    ],
)
def test_other_chains_are_taken(rules: list[tuple[str, str]]) -> None:
    assert derived_codes(*rules) == []


def test_a_fact_inside_where_that_no_rule_asserts_or_the_stream_does_not_know() -> None:
    where = "{event: cart_added, where: {quantity: {above: {fact: d.n}}}}"
    assert derived_codes((where, "{trigger: t}")) == ["never-asserted"]
    facts = "{event: product_viewed, where: {category: {is: {fact: context.page}}}}"
    assert derived_codes((facts, "{trigger: t}")) == ["not-in-stream"]
    assert derived_codes((f"{{not: {facts}}}", "{trigger: t}")) == []


def test_a_feature_selects_by_values() -> None:
    feature = "features:\n  cart.dear: {count: cart_added, where: {price: {above: {fact: customer.average_order}}}}\n"
    found = check(
        {"vocabulary.yaml": VOCABULARY.replace("features:\n", feature), "offers.yaml": "offers: {standard: {}}"}
    )
    assert "operator-not-here" in [each.code for each in found.diagnostics]


def test_layers_put_what_is_asserted_before_what_depends_on_it() -> None:
    rules = (
        "  - {rule: r0, when: {not: {fact: d.b, is: true}}, then: {assert: d.mood, value: bad}}\n"
        "  - {rule: r1, when: {fact: d.a, is: true}, then: {assert: d.b}}\n"
        "  - {rule: r2, when: {any: [{fact: d.b, is: true}, {event: purchase}]}, then: {assert: d.a}}\n"
    )
    offers = "offers: {standard: {content: {title: Hello}}}\n"
    program = program_of({"vocabulary.yaml": FACTS, "offers.yaml": offers, "r.yaml": "ruleset: r\nrules:\n" + rules})
    layers = strata(program.rules, program.vocabulary)
    assert layers.index(frozenset({"d.a", "d.b"})) < layers.index(frozenset({"d.mood"}))


EARLY = "  - rule: early\n    priority: 10\n    when: {fact: cart.value, above: 100}\n    then: {offer: free_shipping, placement: cart_banner}\n"
LATE = "  - rule: late\n    when: {all: [{event: purchase}, {fact: cart.value, above: 100}]}\n    then: {offer: standard, placement: cart_banner}\n"
PLAIN = "offers:\n  free_shipping: {content: {title: Free}}\n  standard: {content: {title: Hello}}\n"


def shadow_codes(early: str = EARLY, late: str = LATE, offers: str = PLAIN, vocabulary: str = VOCABULARY) -> list[str]:
    sources = {
        **FOLDER,
        "vocabulary.yaml": vocabulary,
        "offers.yaml": offers,
        "rules/cart.yaml": f"ruleset: r\nrules:\n{early}{late}",
    }
    return [found.code for found in check(sources).diagnostics if found.code != "unused-segment"]


def test_a_rule_that_never_wins() -> None:
    assert shadow_codes() == ["shadowed-rule"]
    assert shadow_codes(early=EARLY.replace("{fact: cart.value, above: 100}", "always")) == ["shadowed-rule"]
    assert shadow_codes(late=LATE.replace("{event: purchase}", "{all: [{event: purchase}]}")) == ["shadowed-rule"]


@pytest.mark.parametrize(
    "change",
    [
        {"early": EARLY.replace("priority: 10", "priority: 0")},  # of equal priority the better offer wins
        {"early": EARLY + "    limits: {per_session: 1}\n"},
        {"early": EARLY + "    holdout: 10%\n"},
        {"early": EARLY + "    schedule: {on: sat}\n"},
        {"early": EARLY + "    enabled: false\n"},
        {"early": EARLY.replace("above: 100", "above: 200")},
        {"late": LATE.replace("cart_banner", "hero")},
        {"late": LATE.replace("then: {", "then: [{trigger: t}, {").replace("banner}", "banner}]")},
        {"late": LATE + "    enabled: false\n"},
        {"offers": PLAIN.replace("{title: Free}", "{title: Free}, holdout: 5%")},
        {"offers": PLAIN.replace("{title: Free}", "{title: Free}, eligible: {event: purchase}")},
        {"offers": PLAIN.replace("{title: Free}", "{title: Free}, group: shipping")},
        {"offers": PLAIN.replace("{title: Free}", "{title: Free}, limits: {total: 5}")},
        {"vocabulary": VOCABULARY.replace("slots: 1", "slots: 2")},
    ],
)
def test_a_rule_that_may_win_is_not_warned_of(change: dict[str, str]) -> None:
    hero = change.get("vocabulary", VOCABULARY) + "  hero: {fallback: standard}\n"
    assert shadow_codes(**{**change, "vocabulary": hero}) == []
