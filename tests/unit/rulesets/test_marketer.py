"""The twenty wishes of a marketing department: rules without a complaint, tested, and each test worth having."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from engine.language import check, render
from engine.language.sentence import rule_sentence
from engine.language.tree import Program
from engine.rete import Network
from engine.testing import examine, run_tests
from service.ruleset_folder import read_sources

FOLDER = Path(__file__).parents[3] / "rulesets" / "marketer"


@cache
def marketer() -> Program:
    sources = read_sources(FOLDER)
    checked = check(sources)
    assert not checked.diagnostics, "\n" + render(checked.diagnostics, sources)
    assert checked.program is not None
    return checked.program


def test_there_is_a_rule_for_each_wish() -> None:
    """The 15th is a condition of an offer; the 9th needs two rules: what is concluded, and what is shown."""
    assert len(marketer().rules) == 21
    assert marketer().offers["cheap_bundle"].eligible is not None


def test_the_rules_read_as_sentences() -> None:
    said = {rule.name: rule_sentence(rule, marketer()) for rule in marketer().rules}
    assert said["still_thinking"] == (
        "When the shopper is in segment open_to_offers, for some product_id (liked), the number of product_viewed in the last "
        "hour is at least 3 and no cart_added with the same product_id as liked happened in this session, show liked_product "
        "in product_tip."
    )
    assert said["forgotten_cart"] == (
        "When the shopper is in segment human and 15 minutes have passed without purchase since the latest cart_added, send "
        "the trigger cart_reminder; once per session."
    )
    assert said["wavering"] == (
        "When the shopper is in segment open_to_offers and cart_added (wanted), then cart_removed with the same product_id as "
        "wanted, then cart_added with the same product_id as wanted happened in the last hour, show reserve_it in cart_banner."
    )


def test_all_tests_beside_the_rules_pass() -> None:
    results = run_tests(marketer(), Network.build(marketer()))
    failed = [
        (result.test, check_.at, check_.expected, check_.came, check_.why)
        for result in results
        for check_ in result.checks
        if not check_.passed
    ]
    assert not failed
    assert all(result.passed for result in results), [result.problem for result in results]


def test_whatever_is_changed_in_a_rule_a_test_notices() -> None:
    """But that 5,000 a day and 20,000 euros are enough: that would take as many shoppers."""
    examination = examine(marketer())
    assert [weak.message for weak in examination.weak] == []
    assert [each.message for each in examination.unnoticed] == [
        "no test notices when about_to_leave is changed so that it has no limits"
    ]
