"""What is written alike is read once, and everything that is said of it stands at its own place."""

from __future__ import annotations

import pytest

from engine.language import alike, check, passages
from engine.language.alike import Alikes
from engine.language.diagnostics import Report
from engine.language.nodes import Alike, Mapping, Node, Scalar, Sequence, read_part
from engine.language.source import Source
from engine.language.tree import All, AnyOf, Condition, Not, Program, Rule

VOCABULARY = """currency: EUR
events:
  viewed: {product: text, price: money}
facts:
  tier: {choice: [gold, silver], from: profile}
features:
  spent: {sum: viewed.price}
placements: {}
"""
PLAIN = """  - rule: NAME
    priority: 5
    when:
      all:
        - {fact: spent, above: 20}
        - not: {event: viewed, within: 5 minutes}
    then:
      - trigger: NAME
"""
ODD = {
    "a condition in a block of text": PLAIN.replace("priority: 5", "note: |\n        - {fact: spent, above: 20}\n"),
    "a condition in quotes": PLAIN.replace("priority: 5", 'note: "a\n        - {fact: spent, above: 20}\n        b"'),
    "a condition in a text of several lines": PLAIN.replace(
        "priority: 5", "note: a\n      and\n        - {fact: spent, above: 20}"
    ),
    "a condition as a payload": PLAIN + "        payload:\n          - {fact: spent, above: 20}\n",
    "a condition as an action": PLAIN + "      - {event: viewed, within: 5 minutes}\n",
    "words on several lines": PLAIN.replace("priority: 5", "note: one\n      two: three"),
    "words in braces on several lines": PLAIN.replace(
        "- {fact: spent, above: 20}", "- {\n           fact: spent,\n           above: 20\n          }"
    ),
    "words after a comma in braces": PLAIN.replace(
        "- {fact: spent, above: 20}", "- {fact: spent,\n           above: 20, below: 10}"
    ),
    "a brace in a comment": PLAIN.replace("above: 20}", "above: 20} # }"),
    "two mappings in a line": PLAIN.replace("above: 20}", "above: 20}: {a: b}"),
    "nothing": PLAIN.replace("priority: 5", "schedule: null"),
    "nothing but a tilde": PLAIN.replace("priority: 5", "limits: ~"),
    "the same key twice": PLAIN.replace("priority: 5", "priority: 5\n    priority: 5"),
    "a key that is unknown": PLAIN.replace("priority: 5", "prority: high"),
    "a priority that is none": PLAIN.replace("priority: 5", "priority: high up"),
    "an unknown fact": PLAIN.replace("fact: spent", "fact: spnt"),
    "a condition that never holds": PLAIN.replace("above: 20", "above: 20, below: 10"),
    "a condition against another": PLAIN.replace(
        "- not: {event: viewed, within: 5 minutes}",
        "- {event: viewed, within: 1 minute}\n        - not: {event: viewed, within: 5 minutes}",
    ),
    "a name that is bound": PLAIN.replace("- not: {event: viewed, within: 5 minutes}", "- {event: viewed, as: seen}"),
    "a name that is used": PLAIN.replace(
        "- not: {event: viewed, within: 5 minutes}",
        "- {event: viewed, as: seen}\n        - {event: viewed, where: {product: $seen.product}}",
    ),
    "a tab": PLAIN.replace("    priority", "\tpriority"),
    "a character that is not allowed": PLAIN.replace("spent", "sp\x07ent"),
    "one condition only": PLAIN.replace(
        "\n      all:\n        - {fact: spent, above: 20}\n        - not: {event: viewed, within: 5 minutes}",
        " {fact: spent, above: 20}",
    ),
}


@pytest.mark.parametrize("what", ODD)
def test_what_is_read_once_says_what_it_says_when_it_is_read_each_time(
    what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Diagnostics with their places, and rules with theirs, also in a folder where most is written alike."""
    rules = [PLAIN, ODD[what], PLAIN, ODD[what], PLAIN, ODD[what]]
    named = [text.replace("NAME", f"rule_{number * 99}") for number, text in enumerate(rules)]
    folder = {"vocabulary.yaml": VOCABULARY, "a.yaml": "ruleset: a\nrules:\n" + "".join(named)}
    found = check(folder)
    with monkeypatch.context() as patch:
        patch.setattr(passages, "_in_passages", lambda *_: None)
        whole = check(folder)
    assert found.diagnostics == whole.diagnostics
    assert _places(found.program) == _places(whole.program)


def _places(program: Program | None) -> list[object]:
    """What rules mean, and where they and their conditions stand in the file."""
    rules = () if program is None else program.rules
    return [(rule.digest, rule.place, _within(rule.when, rule)) for rule in rules]


def _within(condition: Condition, rule: Rule) -> list[object]:
    inner: tuple[Condition, ...] = ()
    if isinstance(condition, All | AnyOf):
        inner = condition.parts
    elif isinstance(condition, Not):
        inner = (condition.part,)
    return [rule.located(condition.place), *(_within(part, rule) for part in inner)]


@pytest.mark.parametrize("what", ["one condition only", "words in braces on several lines", "a name that is bound"])
def test_nodes_that_are_put_together_stand_where_the_parser_finds_them(what: str) -> None:
    """Each with its text, its style and its extent; where a condition was met before, only that differs."""
    alikes = Alikes()
    for name in ("first", "second", "a_much_longer_name"):
        text = ODD[what].replace("NAME", name)
        source = Source("a.yaml", text)
        filled = alikes.read(source, 1)
        if name == "first":
            assert filled is None
            continue
        read = read_part(source, 0, len(text), Report(), 1)
        assert filled is not None
        assert read is not None
        _compare(filled.root, read)


def _compare(one: Node, other: Node) -> None:
    assert (one.extent.start, one.extent.end) == (other.extent.start, other.extent.end)
    if isinstance(one, Alike):
        assert isinstance(other, Mapping)
        return
    assert type(one) is type(other)
    if isinstance(one, Scalar) and isinstance(other, Scalar):
        assert (one.text, one.is_plain, one.value) == (other.text, other.is_plain, other.value)
    elif isinstance(one, Mapping) and isinstance(other, Mapping):
        assert one.is_flow is other.is_flow
        for entry, same in zip(one.entries, other.entries, strict=True):
            _compare(entry.key, same.key)
            _compare(entry.value, same.value)
    elif isinstance(one, Sequence) and isinstance(other, Sequence):
        assert one.is_flow is other.is_flow
        for left, right in zip(one.items, other.items, strict=True):
            _compare(left, right)


def test_a_form_and_a_condition_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a hundred rules that differ in their names, the parser sees the first two, their form and their conditions."""
    read: list[str] = []

    def noted(source: Source, start: int, end: int, report: Report, levels: int = 0) -> Node | None:
        read.append(source.text)
        return read_part(source, start, end, report, levels)

    for module in (passages, alike):
        monkeypatch.setattr(module, "read_part", noted)
    rules = [PLAIN.replace("NAME", f"rule{number}") for number in range(100)]
    folder = {"vocabulary.yaml": VOCABULARY, "a.yaml": "ruleset: a\nrules:\n" + "".join(rules)}
    assert check(folder).program is not None
    assert sum(text in rules for text in read) == 1
    assert sum(text == "{fact: spent, above: 20}" for text in read) == 1
    assert len(read) < 10
