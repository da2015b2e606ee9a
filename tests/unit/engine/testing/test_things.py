"""Tests beside the rules that tell of things, of what an offer says, and of shoppers who object to profiling."""

from __future__ import annotations

from engine.language import check
from engine.rete import Network
from engine.testing import TestResult, run_tests

VOCABULARY = """
currency: EUR
events:
  product_viewed: {product_id: text, price: money}
facts:
  product.stock: {type: integer, from: catalogue, by: product_id}
  context.page: {type: text, from: request}
placements:
  tip: {slots: 1, fallback: standard}
"""
OFFERS = """
offers:
  standard: {content: {title: Hello}}
  few_left: {content: {title: "Only {product.stock of seen.product_id} left", product: "{seen.product_id}", tags: [a, 1]}}
  of_the_page: {content: {title: Here}}
"""
RULES = """
ruleset: r
rules:
  - rule: few_left
    priority: 1
    when:
      all:
        - {event: product_viewed, as: seen}
        - {fact: product.stock, of: $seen.product_id, below: 5}
    then: {offer: few_left, placement: tip}
  - rule: of_the_page
    when: {fact: context.page, is: home}
    then: {offer: of_the_page, placement: tip}
tests:
  - test: t
    facts: {context.page: home}
    catalogue: {product.stock: {p1: 9, p2: 4, p3: 2}}
    events:
      - {at: 10:00:00, product_viewed: {product_id: p1, price: 3}}
      - {at: 10:01:00, product_viewed: {product_id: p2, price: 3}}
      - {at: 10:02:00, product_viewed: {product_id: p3, price: 3}}
    expect:
"""


def run(*expect: str, rules: str = RULES) -> TestResult:
    text = rules + "".join(f"      - {{{each}}}\n" for each in expect)
    checked = check({"vocabulary.yaml": VOCABULARY, "offers.yaml": OFFERS, "r.yaml": text})
    assert checked.program is not None, checked.diagnostics
    (result,) = run_tests(checked.program, Network.build(checked.program))
    return result


def test_what_the_catalogue_says_decides() -> None:
    assert run(
        "at: 10:00:00, placement: tip, offer: of_the_page", "at: 10:01:00, placement: tip, offer: few_left"
    ).passed


def test_an_offer_says_what_is_bound_for_the_first_combination() -> None:
    said = "content: {title: Only 4 left, product: p2, tags: [a, 1]}"
    assert run(f"at: 10:02:00, placement: tip, offer: few_left, {said}").passed


def test_what_an_offer_says_otherwise_is_told() -> None:
    result = run("at: 10:02:00, placement: tip, offer: few_left, content: {title: Only 2 left, colour: red}")
    assert not result.passed
    assert result.checks[0].why == (
        "title of its content is 'Only 4 left', expected 'Only 2 left'",
        "its content has no colour",
    )


def test_a_shopper_who_objects_to_profiling_gets_what_the_page_gives_reason_for() -> None:
    objecting = RULES.replace("  - test: t\n", "  - test: t\n    profiling: false\n")
    assert run("at: 10:02:00, placement: tip, offer: of_the_page", rules=objecting).passed


def test_content_belongs_to_an_offer() -> None:
    text = RULES + "      - {at: 10:00:00, facts: {context.page: home}, content: {title: x}}\n"
    found = check({"vocabulary.yaml": VOCABULARY, "offers.yaml": OFFERS, "r.yaml": text}).diagnostics
    assert [each.code for each in found] == ["missing-key"]


SCORED = """
ruleset: r
rules:
  - {rule: leaving, when: {score: churn, above: 0.7, if_unavailable: skip}, then: {offer: of_the_page, placement: tip}}
tests:
  - test: t
    scores: {churn: SCORES}
    events: [{at: 10:00:00, product_viewed: {}}]
    expect:
"""


def scored(scores: str, *expect: str) -> list[str] | TestResult:
    text = SCORED.replace("SCORES", scores) + "".join(f"      - {{{each}}}\n" for each in expect)
    offers = "offers:\n  standard: {content: {title: Hello}}\n  of_the_page: {content: {title: Here}}\n"
    vocabulary = VOCABULARY.replace("placements:", "scores:\n  churn: {model: churn}\nplacements:")
    checked = check({"vocabulary.yaml": vocabulary, "offers.yaml": offers, "r.yaml": text})
    if checked.program is None:
        return [each.code for each in checked.diagnostics]
    (result,) = run_tests(checked.program, Network.build(checked.program))
    return result


def test_a_score_changes_at_its_moments() -> None:
    result = scored(
        "{10:00:00: 0.7, 10:01: 0.71, 10:02: unavailable}",
        "at: 10:00:59.999, placement: tip, offer: standard",
        "at: 10:01:00, placement: tip, offer: of_the_page",
        "at: 10:02:00, placement: tip, offer: standard",
    )
    assert isinstance(result, TestResult)
    assert result.passed


def test_a_score_changes_in_order_of_time_and_within_its_range() -> None:
    expect = "at: 10:01:00, placement: tip, offer: standard"
    assert scored("{10:01: 0.7, 10:00: 0.8}", expect) == ["test-order"]
    assert scored("{10:01: 7, soon: 0.8}", expect) == ["out-of-range", "bad-date"]
