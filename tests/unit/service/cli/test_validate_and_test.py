"""`salience validate` and `salience test`: what a marketer sees, and what a program gets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from service.cli import cli

VOCABULARY = """\
currency: EUR
session: {timeout: 30 minutes, keep_events: 100}
events:
  cart_added: {product_id: text, price: money}
features:
  cart.value: {sum: cart_added.price}
placements:
  banner: {slots: 1, fallback: standard}
"""
OFFERS = """\
offers:
  standard: {note: for all, content: {title: Two days}}
  free_shipping: {note: a nudge, content: {title: Free}}
"""
CART = """\
ruleset: cart
owner: growth
rules:
  - rule: nudge
    when: {fact: cart.value, at_least: 100}
    then: [{offer: free_shipping, placement: banner}]
tests:
  - test: a full cart travels free
    events: [{at: 10:00:00, cart_added: {product_id: p1, price: 100}}]
    expect: [{at: 10:00:00, placement: banner, offer: free_shipping}]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in {"vocabulary": VOCABULARY, "offers": OFFERS, "cart": CART}.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    return tmp_path


def change(folder: Path, old: str, new: str, name: str = "cart") -> None:
    file = folder / f"{name}.yaml"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))


def salience(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments], standalone_mode=False)


def code(result: Result) -> int:
    """The exit code that `main` would end with."""
    if result.exception is not None:
        return int(getattr(result.exception, "exit_code", 1))
    return int(result.return_value or 0)


def test_a_folder_without_mistakes_is_valid(folder: Path) -> None:
    result = salience("validate", folder)
    assert code(result) == 0
    assert result.stdout == ""
    assert result.stderr == "1 rule in 1 ruleset, 2 offers, 1 test: nothing to complain about\n"


def test_a_mistake_is_shown_with_its_line_a_caret_and_a_proposal(folder: Path) -> None:
    change(folder, "cart.value", "cart.valeu")
    result = salience("validate", folder)
    assert code(result) == 1
    assert result.stdout == ""
    assert "cart.yaml:5:18: error: " in result.stderr
    assert "[unknown-fact]" in result.stderr
    assert "    when: {fact: cart.valeu, at_least: 100}" in result.stderr
    assert "^^^^^^^^^^" in result.stderr
    assert "did you mean cart.value?" in result.stderr
    assert result.stderr.rstrip().endswith("1 error")


def test_square_brackets_in_a_file_are_no_markup(folder: Path) -> None:
    change(folder, "cart.value", "'[bold]cart'")
    assert "[bold]cart" in salience("validate", folder).stderr


def test_programs_get_json_on_stdout_and_nothing_else(folder: Path) -> None:
    change(folder, "cart.value", "cart.valeu")
    result = salience("validate", "--json", folder)
    assert code(result) == 1
    assert result.stderr == ""
    answer = json.loads(result.stdout)
    assert answer["valid"] is False
    assert answer["files"] == ["cart.yaml", "offers.yaml", "vocabulary.yaml"]
    found = answer["diagnostics"][0]
    assert (found["code"], found["severity"], found["file"]) == ("unknown-fact", "error", "cart.yaml")
    assert (found["line"], found["column"], found["length"]) == (5, 18, 10)
    assert found["proposal"] == "did you mean cart.value?"


def test_it_says_what_a_placement_gives_away_at_worst(folder: Path) -> None:
    offers = (folder / "offers.yaml").read_text()
    name = next(line.split(":")[0].strip() for line in offers.splitlines() if line.startswith("  "))
    (folder / "offers.yaml").write_text(offers.replace(f"{name}: {{", f"{name}: {{cost: 7.50, ", 1))
    result = salience("validate", folder)
    assert "gives away 7.50 EUR in a decision at worst" in result.stderr
    answer = json.loads(salience("validate", "--json", folder).stdout)
    assert [(each["decision"], each["offers"]) for each in answer["worst_cases"]] == [(750, [name])]


def test_a_warning_does_not_make_a_folder_invalid(folder: Path) -> None:
    change(
        folder,
        "  free_shipping:",
        "  spare: {note: nobody nominates it, content: {title: X}}\n  free_shipping:",
        "offers",
    )
    result = salience("validate", folder)
    assert code(result) == 0
    assert "warning: " in result.stderr
    assert result.stderr.rstrip().endswith("1 warning")


@pytest.mark.parametrize("command", ["validate", "test"])
def test_a_missing_folder_is_a_sentence(command: str, tmp_path: Path) -> None:
    result = salience(command, tmp_path / "none")
    assert code(result) == 2
    assert str(result.exception) == (
        f"there is no folder {tmp_path / 'none'}; name the folder of your rulesets, such as rulesets/shop"
    )


def test_without_a_path_the_folder_of_the_settings_is_taken(folder: Path) -> None:
    result = salience("--set", f"bundle.folder={folder}", "validate")
    assert code(result) == 0
    assert "1 rule in 1 ruleset" in result.stderr


def test_passing_tests_are_listed_by_ruleset(folder: Path) -> None:
    result = salience("test", folder)
    assert code(result) == 0
    assert result.stdout == "cart\n  ok a full cart travels free\n"
    assert result.stderr == "1 passed, 0 failed\n"


def test_a_failing_test_says_what_came_and_why(folder: Path) -> None:
    change(folder, "price: 100", "price: 38")
    result = salience("test", folder)
    assert code(result) == 1
    lines = result.stdout.splitlines()
    assert lines[1] == "  FAILED a full cart travels free"
    assert lines[2].strip() == "cart.yaml:10: at 10:00:00"
    assert lines[3].strip() == "expected free_shipping in banner"
    assert lines[4].strip() == "came     standard, the fallback"
    assert lines[5].strip().startswith("cart.nudge does not hold, needed: ")
    assert "62.00 EUR" in lines[5]
    assert result.stderr == "0 passed, 1 failed\n"


def test_results_for_programs(folder: Path) -> None:
    change(folder, "price: 100", "price: 38")
    result = salience("test", "--json", folder)
    assert code(result) == 1
    answer = json.loads(result.stdout)
    assert (answer["passed"], answer["failed"], answer["examination"]) == (0, 1, None)
    (test,) = answer["tests"]
    assert test["passed"] is False
    assert test["test"] == "a full cart travels free"
    assert test["checks"][0]["came"] == "standard, the fallback"


def test_tests_are_chosen_by_words_of_their_name_or_ruleset(folder: Path) -> None:
    assert code(salience("test", "-k", "FULL cart", folder)) == 0
    assert code(salience("test", "-k", "cart", folder)) == 0
    result = salience("test", "-k", "robots", folder)
    assert code(result) == 2
    assert str(result.exception) == "the folder has no test with 'robots' in its ruleset or name"


def test_rules_with_errors_are_not_tested(folder: Path) -> None:
    change(folder, "cart.value", "cart.valeu")
    result = salience("test", folder)
    assert code(result) == 2
    assert "[unknown-fact]" in result.stderr
    assert str(result.exception).endswith("the tests run when the rules are without errors")


def test_tests_that_notice_nothing_are_named_when_asked_for(folder: Path) -> None:
    change(folder, "    expect: [", "    expect: [{at: 10:00:00, facts: {cart.value: 100}}] #")
    result = salience("test", "--weak", folder)
    assert code(result) == 0
    assert "cart.yaml:8: warning: 'a full cart travels free' passes whatever the rules of cart say" in result.stderr
    assert "cart.yaml:4: warning: no test notices when nudge is changed so that it is switched off" in result.stderr
    assert "the tests notice 0 of 2 changes to the rules" in result.stderr
