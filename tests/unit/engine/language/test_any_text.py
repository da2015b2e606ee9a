"""Whatever is written: the checker answers, with places that exist."""

import re
from collections.abc import Mapping

from hypothesis import example, given
from hypothesis import strategies as st

from engine.language import Checked, check, render
from engine.language.sentence import rule_sentence
from engine.language.source import Source
from tests.unit.engine.language.pattern_samples import SHOP
from tests.unit.engine.language.samples import FOLDER

FILES = sorted(FOLDER)
KEYS = [
    "all",
    "any",
    "not",
    "fact",
    "event",
    "count",
    "score",
    "segment",
    "sequence",
    "absence",
    "per",
    "as",
    "take",
    "of",
    "where",
    "within",
    "above",
    "between",
    "matches",
]
VALUES = [
    "cart.value",
    "purchase",
    "5 minutes",
    "1e999",
    "-1",
    "9" * 30,
    ".nan",
    "null",
    "~",
    "{a.b}",
    "$x.y",
    "$seen.price",
    "é😀",
    "true",
]
MARKS = [
    "[",
    "]",
    "{",
    "}",
    ": ",
    ", ",
    "- ",
    "\n",
    "    ",
    "*a",
    "&a",
    "!!x",
    "---",
    "|",
    ">",
    "'",
    '"',
    "#",
    "?",
    "%",
]
BLANKS = ["\t", "\r\n", "\r", "\ufeff", "\u2028", "\x00", "\x85", "\ud83d"]
WORDS = st.one_of(*(st.sampled_from(words) for words in (KEYS, VALUES, MARKS, BLANKS)))
PATHS = ("vocabulary.yaml", "offers.yaml", "segments.yaml", "rules.yaml")


def assert_sound(checked: Checked, sources: Mapping[str, str]) -> None:
    errors = [found for found in checked.diagnostics if found.severity == "error"]
    assert (checked.program is None) == bool(errors)
    for found in checked.diagnostics:
        if found.code == "missing-file":
            continue
        source = Source(found.place.file, sources[found.place.file])
        assert found.place.line >= 1
        assert 1 <= found.place.column <= len(source.line_text(found.place.line)) + 1
        lines = source.position(len(source.text))[0]
        assert found.place.line <= lines
        assert found.length >= 1
        assert "\n" not in found.message
    assert "\x00" not in render(checked.diagnostics, sources)
    if checked.program is not None:
        for rule in checked.program.rules:
            assert rule_sentence(rule, checked.program).endswith(".")


@given(st.dictionaries(st.sampled_from(PATHS), st.text(max_size=300), min_size=1))
def test_arbitrary_text(sources: dict[str, str]) -> None:
    assert_sound(check(sources), sources)


@given(st.sampled_from(FILES), st.lists(WORDS, max_size=30).map("".join))
def test_words_of_the_language_in_any_order(file: str, text: str) -> None:
    sources = {**FOLDER, file: text}
    assert_sound(check(sources), sources)


@given(st.data())
def test_a_valid_file_with_a_stretch_replaced(data: st.DataObject) -> None:
    file = data.draw(st.sampled_from(FILES))
    text = FOLDER[file]
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 40)))
    put = data.draw(st.one_of(WORDS, st.text(max_size=5), st.just("")))
    sources = {**FOLDER, file: text[:start] + put + text[end:]}
    assert_sound(check(sources), sources)


@given(st.data())
def test_a_valid_file_with_values_swapped(data: st.DataObject) -> None:
    """Every place of a scalar with the text of another: what parses, but means something else."""
    file = data.draw(st.sampled_from(FILES))
    pieces = FOLDER[file].split(" ")
    for _ in range(data.draw(st.integers(1, 4))):
        first, second = (data.draw(st.integers(0, len(pieces) - 1)) for _ in range(2))
        pieces[first] = pieces[second]
    sources = {**FOLDER, file: " ".join(pieces)}
    assert_sound(check(sources), sources)


PATTERNS = """\
ruleset: patterns
rules:
  - rule: first
    when:
      all:
        - {event: product_viewed, as: seen}
        - {count: cart_added, per: product_id, where: {price: {below: $seen.price}}, at_least: 3, as: liked}
        - {sequence: [{event: cart_added, as: added, where: {price: $seen.price}}, {event: purchase}], within: 1 hour}
        - not: {absence: {of: purchase, after: checkout_viewed, for: 15 minutes, until: 1 hour}}
        - {fact: product.price, of: $liked.product_id, below: $added.price}
    then: {trigger: t, payload: {a: "{liked.product_id} {product.stock of added.product_id} {cart.value}"}}
"""


@given(st.data())
def test_bound_names_swapped_with_anything(data: st.DataObject) -> None:
    """As above, of conditions that name one another."""
    pieces = re.split(r"([\s,{}:\[\]]+)", PATTERNS)
    for _ in range(data.draw(st.integers(1, 4))):
        first, second = (data.draw(st.integers(0, len(pieces) - 1)) for _ in range(2))
        pieces[first] = pieces[second]
    sources = {**SHOP, "rules/cart.yaml": "".join(pieces)}
    assert_sound(check(sources), sources)


def test_the_rule_with_bound_names_is_right_before_it_is_changed() -> None:
    sources = {**SHOP, "rules/cart.yaml": PATTERNS}
    assert check(sources).program is not None


@given(st.sampled_from(FILES))
@example("vocabulary.yaml")
def test_a_missing_file(file: str) -> None:
    sources = {name: text for name, text in FOLDER.items() if name != file}
    assert_sound(check(sources), sources)


def test_no_files_at_all() -> None:
    assert [found.code for found in check({}).diagnostics] == ["missing-file"]
