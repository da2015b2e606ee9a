"""Mapping files: what they say, and each mistake with its place."""

from __future__ import annotations

import pytest

from service.cli.replay import load_mapping
from service.replay.mapping import Cast, read_mapping

GOOD = """\
columns:
  time: {column: ts, format: seconds}
  type: {value: seen}
  session_id: session
  customer_id: user
  id: [order, line]
types: {v: seen}
attributes:
  product: product
  quantity: {column: qty, as: integer, default: 1}
skip:
  - {column: bot, is: ["1", "yes"]}
  - {column: session, is: ""}
"""


def test_a_mapping_says_which_column_is_what() -> None:
    mapping, diagnostics = read_mapping("m.yaml", GOOD)
    assert diagnostics == ()
    assert mapping is not None
    assert (mapping.time.column, mapping.time_format) == ("ts", "seconds")
    assert (mapping.type.column, mapping.type.default) == (None, "seen")
    assert [each.column for each in mapping.id_columns] == ["order", "line"]
    quantity = mapping.attributes["quantity"]
    assert (quantity.column, quantity.cast, quantity.default) == ("qty", Cast.INTEGER, 1)
    assert [each.text for each in mapping.skip] == ["bot is 1 or yes", "session is empty"]
    assert set(mapping.columns()) == {"ts", "session", "user", "order", "line", "product", "qty", "bot"}


def test_the_mapping_that_ships_is_good() -> None:
    mapping = load_mapping("rees46")
    assert mapping.types["view"] == "product_viewed"
    assert mapping.id_columns == ()


@pytest.mark.parametrize(
    ("change", "code", "line"),
    [
        (("session_id: session", "sesion_id: session"), "unknown-key", 4),
        (("  session_id: session\n", ""), "missing-key", 2),
        (("format: seconds", "format: fortnights"), "bad-date", 2),
        (("as: integer", "as: whole"), "unknown-type", 10),
        (("product: product", "product: [a]"), "wrong-shape", 9),
        (('{column: bot, is: ["1", "yes"]}', "{column: bot}"), "missing-key", 12),
        (("types: {v: seen}", "types: {v: seen, v: gone}"), "duplicate-key", 7),
        (("columns:", "columns: ["), "yaml-syntax", 3),
    ],
)
def test_a_mistake_has_its_place(change: tuple[str, str], code: str, line: int) -> None:
    mapping, diagnostics = read_mapping("m.yaml", GOOD.replace(*change))
    assert mapping is None
    assert (code, line) in {(each.code, each.place.line) for each in diagnostics}


@pytest.mark.parametrize("text", ["", "- a", "just text"])
def test_what_is_no_mapping_at_all_is_refused(text: str) -> None:
    mapping, diagnostics = read_mapping("m.yaml", text)
    assert mapping is None
    assert diagnostics
