"""Tests beside rules and the enable switch."""

from __future__ import annotations

from engine.language import check
from engine.language.edit import set_enabled
from engine.rete import Network
from engine.testing import run_tests
from tests.unit.admin_ui.memory_backend import shop_sources

FILE = "cart_recovery.yaml"


def failing(sources: dict[str, str]) -> list[str]:
    program = check(sources).program
    assert program is not None
    return [result.test for result in run_tests(program, Network.build(program)) if not result.passed]


def test_a_rule_that_has_tests_can_be_switched_off() -> None:
    sources = shop_sources()
    sources[FILE] = set_enabled(sources[FILE], "free_shipping_nudge", enabled=False)
    assert failing(sources) == []


def test_a_switch_hides_no_test_that_the_rule_itself_fails() -> None:
    sources = shop_sources()
    wrong = sources[FILE].replace("cart.value, at_least: 200}", "cart.value, at_least: 500}")
    assert failing(sources | {FILE: wrong}) != []
    assert failing(sources | {FILE: set_enabled(wrong, "free_shipping_nudge", enabled=False)}) == failing(
        sources | {FILE: wrong}
    )
