"""`salience network`: what the rules became, and what it took."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from service.cli import cli
from tests.unit.service.cli.test_validate_and_test import CART, OFFERS, VOCABULARY

MORE = """\
  - rule: full
    when: {all: [{fact: cart.value, at_least: 100}, {event: cart_added, where: {product_id: p1}, within: 5 minutes}]}
    then: [{trigger: full}]
  - rule: twice
    when:
      all:
        - {event: cart_added, as: first}
        - not: {event: cart_added, where: {product_id: $first.product_id, price: {above: 500}}}
    then: [{trigger: dear}]
tests:
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "rules"
    place.mkdir()
    rules = CART.replace("tests:\n", MORE)
    for name, text in {"vocabulary": VOCABULARY, "offers": OFFERS, "cart": rules}.items():
        (place / f"{name}.yaml").write_text(text)
    return place


def salience(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments], standalone_mode=False)


def test_a_condition_that_two_rules_have_is_one_node_that_leads_to_both(folder: Path) -> None:
    nodes = json.loads(salience("network", folder, "--json").stdout)["nodes"]
    (condition,) = [node for node in nodes if node["text"] == "cart.value is at least 100.00 EUR"]
    assert (condition["kind"], condition["rules"], condition["feeds"]) == ("condition", 2, ["r1", "r2"])
    (value,) = [node for node in nodes if node["text"].startswith("cart.value: the sum")]
    assert value["feeds"] == [condition["id"]]
    assert [node["text"] for node in nodes if node["kind"] == "rule"] == ["cart.nudge", "cart.full", "cart.twice"]
    (pattern,) = [node for node in nodes if node["kind"] == "pattern"]
    assert pattern["feeds"] == ["r3"]


def test_a_rule_says_what_an_event_may_cost_it(folder: Path) -> None:
    """What is found by an index is one place; what is joined with nothing, or compares with a fact, is every kept event."""
    rules = (folder / "cart.yaml").read_text()
    odd = (
        "  - rule: odd\n    when: {event: cart_added, where: {product_id: {starts_with: p}, price: {above: 5}}}\n"
        "    then: [{trigger: odd}]\n"
        "  - rule: scans\n    when: {count: cart_added, where: {price: {above: {fact: cart.value}}}, at_least: 2}\n"
        "    then: [{trigger: scans}]\n"
        "  - rule: untied\n    when:\n      all:\n        - {event: cart_added, as: one}\n"
        "        - {event: cart_added, where: {price: {above: $one.price}}}\n    then: [{trigger: untied}]\ntests:\n"
    )
    (folder / "cart.yaml").write_text(rules.replace("tests:\n", odd, 1))
    nodes = json.loads(salience("network", folder, "--json").stdout)["nodes"]
    cost = {node["text"]: node["cost"]["cart_added"] for node in nodes if node["kind"] == "rule"}
    assert cost["cart.nudge"] == 2  # it enters the sum, which stands in one way to hold
    assert cost["cart.full"] == 4  # and whether one was seen
    assert cost["cart.odd"] == 3  # and its beginning is looked at
    assert cost["cart.twice"] < 10
    assert cost["cart.scans"] > 100
    assert cost["cart.untied"] > 100
    assert "cart.full  at most 4 places for a cart_added" in salience("network", folder).stdout


def test_the_list_counts_what_is_shared(folder: Path) -> None:
    text = salience("network", folder).stdout
    assert "Quantities (2, 1 shared)" in text
    assert "Rules (3)" in text


@pytest.mark.parametrize(("form", "edge"), [("mermaid", "  c1 --> r1"), ("dot", "  c1 -> r1;")])
def test_a_drawing_has_every_node_and_edge(folder: Path, form: str, edge: str) -> None:
    nodes = json.loads(salience("network", folder, "--json").stdout)["nodes"]
    lines = salience("network", folder, "--format", form).stdout.splitlines()
    assert edge in lines
    arrows = [line for line in lines if "-->" in line or " -> " in line]
    assert len(arrows) == sum(len(node["feeds"]) for node in nodes)


def test_a_recording_is_measured_node_by_node(folder: Path, tmp_path: Path) -> None:
    recording = tmp_path / "day.jsonl"
    rows = [
        {"t": 1_700_000_000_000 + 1_000 * at, "s": f"s{at % 2}", "e": "cart_added", "p": f"p{at}", "m": 60}
        for at in range(6)
    ]
    recording.write_text("".join(json.dumps(row) + "\n" for row in [*rows, {**rows[0], "e": "unheard"}]))
    mapping = tmp_path / "mapping.yaml"
    mapping.write_text(
        "columns: {time: {column: t, format: milliseconds}, type: e, session_id: s}\n"
        "attributes: {product_id: p, price: m}\n"
    )
    result = salience("network", folder, "--recording", recording, "--mapping", mapping, "--json")
    found = json.loads(result.stdout)
    assert (found["measured"]["events"], found["measured"]["refused"]) == (6, 1)
    by_text = {node["text"]: node for node in found["nodes"]}
    assert by_text["cart.nudge"]["activations"] == 2
    (value,) = [node for text, node in by_text.items() if text.startswith("cart.value: ")]
    assert value["times"] == 6
    text = salience("network", folder, "--recording", recording, "--mapping", mapping).stdout
    assert "The most expensive conditions" in text
    assert "2 activations" in text


def test_the_tests_beside_the_rules_are_measured(folder: Path) -> None:
    found = json.loads(salience("network", folder, "--tests", "--json").stdout)
    assert found["measured"]["events"] == 1
    assert any(node.get("times") == 1 for node in found["nodes"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--recording", "day.jsonl"], "go together"),
        (["--recording", "a.csv", "--mapping", "m", "--tests"], "not on both"),
        (["--only", "carts"], "there is no ruleset carts; did you mean cart?"),
    ],
)
def test_what_can_not_be_done_is_said(folder: Path, arguments: list[str], words: str) -> None:
    result = salience("network", folder, *arguments)
    assert words in str(getattr(result.exception, "message", result.exception))
