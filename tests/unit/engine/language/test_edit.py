"""Edits touch the bytes of one value: everything else stays as it was written."""

import itertools
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.language.diagnostics import Report
from engine.language.edit import EditError, Path, locate, rule_spans, set_enabled, set_scalar
from engine.language.nodes import Mapping, Node, Scalar, Sequence, read_nodes
from engine.language.source import Source
from tests.unit.engine.language.samples import FOLDER, RULES

COMMENTED = """\
ruleset: r   # the name
rules:
# About the first.
# Two lines.
- rule: first
  note: |
    Several lines
    of text.

  # about the condition
  when: {fact: a.b, above: 5}   # five
  then: []
  # commented out: true
# About the second.
- {rule: second, when: {fact: a.b, above: 5}, then: []}

-   # a comment beside the dash
  rule: 'third'
  when: always
  then: []
"""


def paths(node: Node, path: Path = ()) -> list[Path]:
    """Every way to a scalar."""
    if isinstance(node, Mapping):
        return [each for entry in node.entries for each in paths(entry.value, (*path, entry.key.text))]
    if isinstance(node, Sequence):
        return [each for index, item in enumerate(node.items) for each in paths(item, (*path, index))]
    return [path] if isinstance(node, Scalar) else []


def read(source: str, path: Path) -> Scalar:
    root = read_nodes(Source("f", source), Report())
    for step in path:
        if isinstance(root, Mapping):
            root = root.get(str(step))
        elif isinstance(root, Sequence):
            root = root.items[int(step)]
    assert isinstance(root, Scalar)
    return root


def scalars() -> list[tuple[str, Path]]:
    roots = {file: read_nodes(Source(file, text), Report()) for file, text in FOLDER.items()}
    return [(file, path) for file, root in sorted(roots.items()) if root is not None for path in paths(root)]


VALUES = st.one_of(
    st.booleans(), st.integers(-(10**9), 10**9), st.floats(-1e6, 1e6), st.text(min_size=1, max_size=30), st.none()
)


@given(st.sampled_from(scalars()), VALUES)
def test_a_new_value_changes_no_byte_outside_the_old_one(where: tuple[str, Path], value: str | float | None) -> None:
    file, path = where
    source = FOLDER[file]
    start, end = locate(source, path)
    try:
        edited = set_scalar(source, path, value)
    except EditError:
        return  # refused whole: nothing is changed
    assert edited.startswith(source[:start])
    assert edited.endswith(source[end:])
    found = read(edited, path)
    assert (found.text if isinstance(value, str) else found.value) == value


def test_a_value_keeps_the_way_it_is_written() -> None:
    source = "a: 5   # five\nb: 'five'\nc: five\nd: \"five\"\ne:\nf: {g: 4.90}\n"
    assert set_scalar(source, ("a",), 6) == source.replace("a: 5 ", "a: 6 ")
    assert set_scalar(source, ("a",), "6") == source.replace("a: 5 ", "a: 6 ")
    assert set_scalar(source, ("b",), "six") == source.replace("'five'", "'six'")
    assert set_scalar(source, ("c",), "six") == source.replace("c: five", "c: six")
    assert set_scalar(source, ("c",), "6") == source.replace("c: five", "c: '6'")
    assert set_scalar(source, ("c",), "a: b") == source.replace("c: five", "c: 'a: b'")
    assert set_scalar(source, ("c",), "it's\n") == source.replace("c: five", 'c: "it\'s\\n"')
    assert set_scalar(source, ("c",), "#1") == source.replace("c: five", "c: '#1'")
    assert set_scalar(source, ("d",), "six") == source.replace('"five"', "'six'")
    assert set_scalar(source, ("e",), 7) == source.replace("e:\n", "e: 7\n")
    assert set_scalar(source, ("f", "g"), Decimal("5.10")) == source.replace("4.90", "5.10")
    assert set_scalar(source, ("a",), None) == source.replace("a: 5 ", "a: null ")


def test_what_is_not_there_or_no_value_is_refused() -> None:
    with pytest.raises(EditError, match=r"the file has no rules\.9\.when"):
        set_scalar(RULES, ("rules", 8, "when"), 1)
    with pytest.raises(EditError, match="a list or a mapping"):
        set_scalar(RULES, ("rules", 0, "when"), 1)
    with pytest.raises(EditError, match="line 1"):
        set_scalar("a: [", ("a",), 1)
    with pytest.raises(EditError):
        locate("", ("a",))


def test_locate_finds_values_lists_and_mappings() -> None:
    start, end = locate(RULES, ("rules", 0, "priority"))
    assert RULES[start:end] == "50"
    start, end = locate(RULES, ("rules", 0, "when", "all", 1))
    assert RULES[start:end] == "{event: checkout_viewed, within: 5 minutes}"
    start, end = locate(RULES, ("rules", 0, "then"))
    assert RULES[start:end] == "- offer: free_shipping\n        placement: cart_banner"


@pytest.mark.parametrize("name", ["first", "second", "third"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_switch_is_added_below_the_name_and_then_changed(name: str, newline: str) -> None:
    source = COMMENTED.replace("\n", newline)
    off = set_enabled(source, name, enabled=False)
    assert "enabled: false" in off
    added = ", enabled: false" if name == "second" else f"  enabled: false{newline}"
    assert off.replace(added, "", 1) == source
    on = set_enabled(off, name, enabled=True)
    assert on == off.replace("enabled: false", "enabled: true")
    assert set_enabled(source, name, enabled=True) == source
    assert [span.name for span in rule_spans(off)] == ["first", "second", "third"]


def test_a_switch_on_the_last_line_without_an_end() -> None:
    assert set_enabled("rules:\n- rule: a", "a", enabled=False) == "rules:\n- rule: a\n  enabled: false"


def test_a_rule_that_is_not_there_or_twice_is_not_switched() -> None:
    with pytest.raises(EditError, match="no rule fourth"):
        set_enabled(COMMENTED, "fourth", enabled=False)
    with pytest.raises(EditError, match="more than one rule a"):
        set_enabled("rules: [{rule: a}, {rule: a}]", "a", enabled=False)


def test_a_rule_owns_the_comments_above_it() -> None:
    first, second, third = rule_spans(COMMENTED)
    assert COMMENTED[first.start : first.end].startswith("# About the first.\n# Two lines.\n- rule: first\n")
    assert COMMENTED[first.start : first.end].endswith("  then: []\n")
    assert COMMENTED[second.start : second.end] == (
        "# About the second.\n- {rule: second, when: {fact: a.b, above: 5}, then: []}\n"
    )
    assert COMMENTED[third.start : third.end].startswith("-   # a comment")
    assert COMMENTED[third.start : third.end].endswith("then: []\n")


def test_spans_of_a_real_file_do_not_overlap() -> None:
    spans = rule_spans(RULES)
    assert [span.name for span in spans] == ["free_shipping_nudge", "hesitates"]
    assert RULES[spans[0].start :].startswith("  # The best one so far.\n")
    assert spans[0].end <= spans[1].start
    assert RULES[spans[1].start : spans[1].end].startswith("  # Says that it is one")
    assert rule_spans("ruleset: r\n") == ()


@given(st.data())
def test_a_switch_in_a_damaged_file_is_set_or_refused(data: st.DataObject) -> None:
    """Whatever stands in the file: what comes back differs by the switch alone, and no other error gets out."""
    start = data.draw(st.integers(0, len(RULES)))
    end = data.draw(st.integers(start, min(len(RULES), start + 20)))
    put = data.draw(
        st.sampled_from(
            ["", "\n", " ", "  # comment\n", "\r\n", ",", ": ", "- ", "{", "]", "|\n", "'", "\t", "rule: x", "#"]
        )
    )
    source = RULES[:start] + put + RULES[end:]
    try:
        spans = rule_spans(source)
        edited = set_enabled(source, "free_shipping_nudge", enabled=False)
    except EditError:
        return
    assert [span.name for span in rule_spans(edited)] == [span.name for span in spans]
    for line in source.splitlines():
        assert line in edited
    assert 0 <= len(edited) - len(source) <= len("\r\n        enabled: false") + 20
    for before, after in itertools.pairwise(spans):
        assert before.start < before.end <= after.start
