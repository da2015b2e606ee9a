"""The rulesets that ship: without a complaint of the checker, tested, and each test worth having."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from engine.language import check, render
from engine.language.tree import AssertAction, FactSource, OfferAction, Program, TriggerAction
from engine.offers.content import fill
from engine.rete import Network
from engine.testing import examine, run_tests
from service.ruleset_folder import read_sources

ROOT = Path(__file__).parents[3] / "rulesets"
FOLDERS = ("shop", "rees46")


@cache
def shipped(folder: str) -> Program:
    sources = read_sources(ROOT / folder)
    checked = check(sources)
    assert not checked.diagnostics, "\n" + render(checked.diagnostics, sources)
    assert checked.program is not None
    return checked.program


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_checker_has_nothing_to_complain_about(folder: str) -> None:
    assert shipped(folder).rules


@pytest.mark.parametrize("folder", FOLDERS)
def test_all_tests_beside_the_rules_pass(folder: str) -> None:
    program = shipped(folder)
    results = run_tests(program, Network.build(program))
    failed = [
        (result.test, check_.at, check_.expected, check_.came, check_.why)
        for result in results
        for check_ in result.checks
        if not check_.passed
    ]
    assert not failed
    assert all(result.passed for result in results), [result.problem for result in results]


@pytest.mark.parametrize("folder", FOLDERS)
def test_whatever_is_changed_in_a_rule_a_test_notices(folder: str) -> None:
    examination = examine(shipped(folder))
    assert [weak.message for weak in examination.weak] == []
    assert [f"{each.file}:{each.line}: {each.message}" for each in examination.unnoticed] == []


def test_the_example_shop_uses_what_the_language_has() -> None:
    """It is what people read to learn the language."""
    program = shipped("shop")
    kinds = {type(action) for rule in program.rules for action in rule.actions}
    assert kinds == {OfferAction, TriggerAction, AssertAction}
    assert program.segments
    assert any(rule.schedule for rule in program.rules)
    assert any(rule.holdout for rule in program.rules)
    assert any(rule.budget for rule in program.rules)
    assert any(offer.eligible for offer in program.offers.values())
    assert any(offer.group for offer in program.offers.values())
    assert any(offer.propensity for offer in program.offers.values())
    assert {fact.source for fact in program.vocabulary.facts.values()} >= {
        FactSource.PROFILE,
        FactSource.REQUEST,
        FactSource.RULES,
        FactSource.FEATURE,
    }


def test_every_offer_of_the_shop_says_how_it_is_rendered() -> None:
    """The storefront's components read these."""
    for offer in shipped("shop").offers.values():
        content = fill(offer.content, lambda name: 1, shipped("shop").vocabulary)
        assert isinstance(content, dict), offer.id
        assert content["kind"] in {"banner", "hero", "card", "note"}, offer.id
        assert content["tone"] in {"calm", "fresh", "warm", "bold"}, offer.id
        assert content["title"], offer.id
        assert set(content) <= {"kind", "title", "text", "button", "link", "code", "tone", "category"}, offer.id
        assert ("button" in content) <= ("link" in content), offer.id


def test_what_is_shown_to_everybody_costs_nothing() -> None:
    for folder in FOLDERS:
        program = shipped(folder)
        for placement in program.vocabulary.placements.values():
            assert program.offers[placement.fallback].cost == 0
