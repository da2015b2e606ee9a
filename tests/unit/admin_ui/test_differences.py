"""What changed, told in sentences and in lines."""

from __future__ import annotations

from admin_ui.differences import file_changes, rule_changes, word_difference, yaml_difference
from engine.language import check
from engine.language.tree import Program
from tests.unit.admin_ui.memory_backend import shop_sources

FILE = "cart_recovery.yaml"


def program(old: str = "", new: str = "") -> Program:
    sources = shop_sources()
    assert old in sources[FILE]
    found = check({**sources, FILE: sources[FILE].replace(old, new, 1) if old else sources[FILE]})
    assert found.program is not None, found.diagnostics
    return found.program


def test_a_changed_threshold_is_told_before_and_after_with_the_number_marked() -> None:
    (change,) = rule_changes(program(), program("cart.value, at_least: 200", "cart.value, at_least: 150"))
    assert change.kind == "changed"
    assert [piece.text for piece in change.before_pieces if piece.kind == "del"] == ["200.00"]
    assert [piece.text for piece in change.after_pieces if piece.kind == "add"] == ["150.00"]
    assert "".join(piece.text for piece in change.after_pieces) == change.after


def test_a_switch_is_told() -> None:
    (change,) = rule_changes(
        program(), program("- rule: free_shipping_nudge", "- rule: free_shipping_nudge\n    enabled: false")
    )
    assert "switched off" in change.details


def test_a_new_note_is_words_only() -> None:
    (change,) = rule_changes(program(), program("note: Free shipping for", "note: No delivery costs for"))
    assert change.kind == "note"


def test_a_new_priority_is_told() -> None:
    (change,) = rule_changes(program(), program("priority: 50", "priority: 55"))
    assert change.kind == "changed"
    assert "priority 50 becomes 55" in change.details


def test_a_renamed_rule_is_one_removed_and_one_added() -> None:
    renamed = program("- rule: free_shipping_nudge", "- rule: delivery_nudge")
    assert [change.kind for change in rule_changes(program(), renamed)] == ["added", "removed"]


def test_the_first_publication_adds_every_rule() -> None:
    everything = program()
    assert [change.kind for change in rule_changes(None, everything)] == ["added"] * len(everything.rules)


def test_the_same_has_no_difference() -> None:
    assert rule_changes(program(), program()) == []
    assert file_changes({"a": "x"}, {"a": "x"}) == []


def test_files_are_added_removed_and_changed() -> None:
    changes = file_changes({"a": "1\n", "b": "1\n"}, {"b": "2\n", "c": "1\n"})
    assert [(change.path, change.kind) for change in changes] == [("a", "removed"), ("b", "changed"), ("c", "added")]


def test_lines_are_marked() -> None:
    lines = yaml_difference("one\ntwo\n", "one\n2\n")
    assert [(line.kind, line.text) for line in lines[1:]] == [("same", " one"), ("del", "-two"), ("add", "+2")]
    assert lines[0].kind == "hunk"


def test_sentences_are_cut_without_losing_a_letter() -> None:
    was, now = word_difference("at least 200.00 EUR, once", "at least 99.50 EUR,  twice!")
    assert "".join(piece.text for piece in was) == "at least 200.00 EUR, once"
    assert "".join(piece.text for piece in now) == "at least 99.50 EUR,  twice!"
