"""What the editor proposes at the cursor."""

from __future__ import annotations

import pytest

from admin_ui.completion import CONDITIONS, KEYS, OPERATORS, complete
from engine.language import check
from engine.language.syntax_conditions import KINDS
from engine.language.tree import Operator, Program
from tests.unit.admin_ui.memory_backend import shop_sources

RULES = """ruleset: mine
rules:
  - rule: first
    when:
      all:
        - {segment: human}
"""


@pytest.fixture(scope="module")
def program() -> Program:
    found = check(shop_sources()).program
    assert found is not None
    return found


def at_end(text: str, program: Program | None) -> list[str]:
    lines = text.split("\n")
    return [each.label for each in complete(text, len(lines), len(lines[-1]) + 1, program)[1]]


@pytest.mark.parametrize(
    ("typed", "among"),
    [
        ("        - {fact: ", "cart.value"),
        ("        - {fact: cart.va", "cart.value"),
        ("        - {event: ", "checkout_viewed"),
        ("        - {count: ", "product_viewed"),
        ("        - {sum: ", "cart_added.amount"),
        ("        - {count: cart_added, since: ", "purchase"),
        ("        - {segment: ", "human"),
        ("        - {score: ", "purchase_intent"),
        ("        - {score: purchase_intent, below: 0.4, if_unavailable: ", "skip"),
        ("        - {fact: customer.tier, is: ", "gold"),
        ("        - {fact: customer.tier, is_one_of: [gold, ", "platinum"),
        ("        - {event: checkout_viewed, within: ", "5 minutes"),
        ("        - {event: checkout_viewed, where: {step: ", "address"),
        ("        - {absence: {", "after"),
        ("        - {absence: {of: ", "purchase"),
        ("        - {absence: {of: purchase, after: cart_added, for: ", "15 minutes"),
        ("        - {count: product_viewed, per: ", "product_id"),
        ("        - {count: product_viewed, per: product_id, take: ", "highest"),
        (
            "        - {event: product_viewed, as: seen}\n        - {event: cart_added, where: {product_id: $",
            "$seen.product_id",
        ),
        (
            "        - {count: product_viewed, per: product_id, at_least: 2, as: liked}\n        - {fact: product.stock, of: ",
            "$liked.product_id",
        ),
        (
            "        - {sum: cart_added.amount, per: category, above: 2, as: best}\n        - {fact: cart.value, below: $be",
            "$best.value",
        ),
        ("    then:\n      - offer: ", "free_shipping"),
        ("    then:\n      - {offer: free_shipping, placement: ", "cart_banner"),
        ("    then:\n      - {assert: ", "shopper.hesitates"),
    ],
)
def test_words_of_the_vocabulary_follow_their_keys(typed: str, among: str, program: Program) -> None:
    assert among in at_end(RULES + typed, program)


@pytest.mark.parametrize(
    ("typed", "among", "not_among"),
    [
        ("        - {", "fact", "placement"),
        ("        - ", "event", "placement"),
        ("        - {fact: cart.value, ", "at_least", "matches"),
        ("        - {fact: customer.first_name, ", "starts_with", "above"),
        ("        - {fact: customer.last_order, ", "older_than", "contains"),
        ("        - {event: cart_added, ", "within", "above"),
        ("        - {event: cart_added, where: {", "product_id", "within"),
        ("        - {score: purchase_intent, ", "if_unavailable", "within"),
        ("    ", "limits", "fact"),
        ("    then:\n      - {", "offer", "fact"),
        ("    limits: {", "per_customer", "placement"),
        ("    schedule: {", "timezone", "per_customer"),
        ("", "tests", "limits"),
        ("tests:\n  - test: one\n    ", "expect", "when"),
    ],
)
def test_keys_fit_the_place(typed: str, among: str, not_among: str, program: Program) -> None:
    proposed = at_end(RULES + typed, program)
    assert among in proposed
    assert not_among not in proposed


def test_a_key_that_stands_there_is_not_proposed_again(program: Program) -> None:
    assert "within" not in at_end(RULES + "        - {event: cart_added, within: 5 minutes, ", program)


def test_the_word_being_typed_is_what_is_replaced(program: Program) -> None:
    text = RULES + "        - {fact: cart.va"
    start, found = complete(text, 7, 25, program)
    assert text.split("\n")[6][start - 1 :] == "cart.va"
    assert found[0].label == "cart.value"


def test_a_name_of_another_rule_is_not_proposed(program: Program) -> None:
    text = (
        RULES
        + "        - {event: product_viewed, as: seen}\n  - rule: second\n    when: {event: cart_added, where: {product_id: $"
    )
    assert at_end(text, program) == []


def test_a_comment_is_left_alone(program: Program) -> None:
    assert at_end(RULES + "        # fact: ", program) == []


def test_keys_are_proposed_also_before_anything_was_ever_valid() -> None:
    assert "fact" in at_end(RULES + "        - {", None)


def test_nothing_breaks_anywhere_in_a_file(program: Program) -> None:
    """Every place of every shipped file: whatever is typed there, an answer comes."""
    for text in shop_sources().values():
        for number, line in enumerate(text.split("\n"), 1):
            for column in range(1, len(line) + 2, 7):
                complete(text, number, column, program)
    assert complete("", 5, 1, program) == (1, [])


def test_every_test_of_the_language_is_known_here() -> None:
    assert set(OPERATORS) == {operator.value for operator in Operator}


def test_every_condition_of_the_language_is_known_here() -> None:
    assert set(CONDITIONS) == set(KINDS)


def test_the_checker_knows_every_key_that_is_proposed() -> None:
    """A key that is proposed and then refused would be a trap."""
    places = {
        "file": "{key}: x\n",
        "rule": "rules:\n  - {key}: x\n",
        "then": "rules:\n  - rule: a\n    then:\n      - {key}: x\n",
        "schedule": "rules:\n  - rule: a\n    schedule: {{{key}: x}}\n",
        "limits": "rules:\n  - rule: a\n    limits: {{{key}: x}}\n",
        "absence": "rules:\n  - rule: a\n    when: {{absence: {{{key}: x}}}}\n",
        "tests": "tests:\n  - {key}: x\n",
        "expect": "tests:\n  - test: a\n    expect:\n      - {key}: x\n",
    }
    assert set(places) == set(KEYS)
    vocabulary = {path: text for path, text in shop_sources().items() if path in {"vocabulary.yaml", "offers.yaml"}}
    for place, text in places.items():
        for key in KEYS[place]:
            source = text.format(key=key)
            found = check({**vocabulary, "mine.yaml": source}).diagnostics
            unknown = [each for each in found if each.place.file == "mine.yaml" and each.code == "unknown-key"]
            assert not unknown or place == "then", (place, key, unknown)
