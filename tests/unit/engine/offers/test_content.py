"""Templates filled with values as people write them."""

from __future__ import annotations

import pytest

from engine.activation import FactReader
from engine.language.tree import Payload
from engine.offers.content import UnknownHoleError, fill, holes
from engine.values import Value
from tests.unit.engine.offers.fakes import program, template

VOCABULARY = program((), ()).vocabulary

CONTENT: Payload = (
    ("title", template("{cart.value} for {customer.name}", "", "cart.value", " for ", "customer.name", "")),
    ("slots", [1, 2.5, True, None, "plain"]),
    ("button", (("text", "Go"), ("count", template("{views.minute}", "", "views.minute", "")))),
)

FACTS: dict[str, Value] = {"cart.value": 24_800, "customer.name": "Zoë", "views.minute": 3}


def _reader(facts: dict[str, Value]) -> FactReader:
    def read(name: str) -> Value | None:
        return facts.get(name)

    return read


def test_holes_are_filled_with_the_unit_of_their_fact() -> None:
    assert fill(CONTENT, _reader(FACTS), VOCABULARY) == {
        "title": "248.00 EUR for Zoë",
        "slots": [1, 2.5, True, None, "plain"],
        "button": {"text": "Go", "count": "3"},
    }


def test_a_value_is_never_read_as_a_template() -> None:
    """What a shopper types stays text."""
    filled = fill(
        template("{customer.name}", "", "customer.name", ""), _reader({"customer.name": "{cart.value}"}), VOCABULARY
    )
    assert filled == "{cart.value}"


def test_an_unknown_fact_is_named() -> None:
    with pytest.raises(UnknownHoleError) as raised:
        fill(CONTENT, _reader({"cart.value": 1}), VOCABULARY)
    assert raised.value.fact == "customer.name"


def test_holes_are_listed_in_order() -> None:
    assert list(holes(CONTENT)) == ["cart.value", "customer.name", "views.minute"]
