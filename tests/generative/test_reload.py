"""A folder that is checked with what came of another is checked as if from nothing; so is what its rules become."""

from __future__ import annotations

from random import Random

import pytest

from engine.activation import ScoreAnswer
from engine.event import Event
from engine.language import check, passages
from engine.language.tree import All, AnyOf, Condition, Not, Program
from engine.rete import Network
from tests.generative.agreement import Case
from tests.generative.drawing import Reload, draw_ruleset
from tests.generative.structure import structure
from tests.generative.words import PATTERNS

VOCABULARY = """currency: EUR
events:
  viewed: {product: text, price: money}
  bought: {product: text, price: money}
facts:
  customer.tier: {choice: [bronze, silver, gold], from: profile}
  shopper.keen: {type: boolean, from: rules}
  product.stock: {type: integer, from: catalogue, by: product}
features:
  spent: {sum: bought.price}
scores:
  intent: {model: intent}
placements:
  banner: {slots: 1, fallback: plain}
  side: {slots: 2, fallback: plain}
"""
OFFERS = """offers:
  plain: {content: {title: Hello}}
  shipping: {content: {title: "Free from {spent}"}, cost: 4.90}
  look: {content: {title: "Look at {seen.product} again, {product.stock of seen.product} left"}}
"""
SEGMENTS = """segments:
  loyal: {fact: customer.tier, is: gold}
  rich: {all: [{segment: loyal}, {fact: spent, above: 500}]}
"""
CONDITIONS = (
    "{fact: spent, above: 10}",
    "{fact: spent, above: 20, below: 15}",
    "{event: viewed, within: 5 minutes}",
    "{count: viewed, where: {product: shoes}, at_least: 0}",
    "{segment: rich}",
    "{fact: shopper.keen, is: true}",
    "{score: intent, below: 0.4, if_unavailable: skip}",
    "{event: viewed, as: seen}",
    "{not: {fact: shopper.keen, is: true}}",
    '{fact: customer.tier, is: "gold"}',
    "\n          fact: spent\n          above: 7",
    "{fact: spent,\n          above: 7}",
    "{any: [{event: bought}, {fact: spent, between: [1, 2]}]}",
    "{not: {event: viewed, where: {product: {is_not: shoes}}}}",
)
WRONG = (
    "{fact: spent, over: 3}",
    "{fact: spnt, above: 3}",
    "{fact: spent, above: 1, above: 2}",
    "{event: viewed, as: seen}",
)
ODD = (
    '    note: "open',
    "    note: 'a\n  - b'",
    "    note: &a b",
    "\tnote: a",
    "    ? note\n    : a",
    "    note: [a,\n  - b]",
)
ACTIONS = (
    "{trigger: hello}",
    '{trigger: hello, payload: {much: "{spent}"}}',
    "{offer: shipping, placement: banner}",
    "{offer: look, placement: side}",
    "{assert: shopper.keen}",
)


def rule(random: Random, name: str) -> list[str]:
    """The lines of a rule, that may be wrong."""
    lines = [f"  - rule: {name}"]
    if random.random() < 0.4:
        lines.append(f"    priority: {random.randrange(3)}")
    if random.random() < 0.1:
        lines += ["    note: |", "      rules:", "      - not a rule", "", "# nor this"]
    if random.random() < 0.02:
        lines.append(random.choice(ODD))
    lines += ["    when:", "      all:"]
    conditions = [
        random.choice(WRONG if random.random() < 0.02 else CONDITIONS) for _ in range(1 + random.randrange(3))
    ]
    actions = [random.choice(ACTIONS) for _ in range(1 + random.randrange(2))]
    if "{offer: look, placement: side}" in actions and random.random() < 0.9:
        conditions.append("{event: viewed, as: seen}")
    lines += [f"        - {condition}" for condition in conditions]
    if random.random() < 0.2:
        lines.append("    # a remark")
    lines += ["    then:", *(f"      - {action}" for action in actions)]
    if random.random() < 0.2:
        lines.append("")
    return lines


class Drafts:
    """A folder, edited again and again."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.sources = {"vocabulary.yaml": VOCABULARY, "offers.yaml": OFFERS, "segments.yaml": SEGMENTS}
        self.rules = {
            file: [rule(random, f"{file[0]}{number}") for number in range(2 + random.randrange(4))]
            for file in ("a.yaml", "b.yaml")
        }

    def folder(self) -> dict[str, str]:
        """The sources as they are now."""
        texts = {
            file: "\n".join(
                [f"ruleset: {file[0]}", "owner: growth", "rules:", *(line for each in rules for line in each)]
            )
            + "\ntests:\n  - {test: t, expect: [{at: 10:00:00, facts: {spent: 1}}]}\n"
            for file, rules in self.rules.items()
        }
        return self.sources | texts

    def edit(self) -> None:
        """Change something."""
        random = self.random
        if random.random() < 0.1:
            file = random.choice(sorted(self.sources))
            self.sources[file] = self.sources[file].replace("gold", "silver") + random.choice(
                ("", "# a remark\n", "\n")
            )
            return
        rules = self.rules[random.choice(sorted(self.rules))]
        at = random.randrange(len(rules))
        what = random.random()
        if what < 0.5:
            rules[at] = rule(random, rules[at][0].split()[-1])
        elif what < 0.6:
            rules.insert(at, rule(random, f"n{random.randrange(6)}"))
        elif what < 0.7 and len(rules) > 1:
            rules.pop(at)
        elif what < 0.8:
            random.shuffle(rules)
        elif what < 0.9:
            rules[at] = ["# moved", *rules[at]]
        else:
            rules[at] = [line.replace("hello", "bye") for line in rules[at]]


def placed(program: Program) -> list[object]:
    """What equality leaves aside: where rules and their conditions stand, and what the holes of their texts name."""
    return [
        (rule.place, rule.digest, str(rule.actions), [rule.located(part.place) for part in parts(rule.when)])
        for rule in program.rules
    ]


def parts(condition: Condition) -> list[Condition]:
    """A condition and all in it."""
    inner = (
        condition.parts
        if isinstance(condition, All | AnyOf)
        else [condition.part]
        if isinstance(condition, Not)
        else []
    )
    return [condition, *(each for part in inner for each in parts(part))]


@pytest.mark.parametrize("seed", range(16))
def test_a_check_with_the_one_before_says_the_same(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it: diagnostics with their places, rules with theirs, offers, tests, and the network's listing.

    And a file that is read rule by rule says what it says when it is read as a whole.
    """
    drafts = Drafts(Random(seed))
    before, network = None, None
    for _ in range(12):
        folder = drafts.folder()
        after, fresh = check(folder, before), check(folder)
        with monkeypatch.context() as patch:
            patch.setattr(passages, "_in_passages", lambda *_: None)
            whole = check(folder)
        for other in (fresh, whole):
            assert after.diagnostics == other.diagnostics
            assert after.program == other.program
            if after.program is not None and other.program is not None:
                assert placed(after.program) == placed(other.program)
        if after.program is not None and fresh.program is not None:
            network = Network.build(after.program, previous=network)
            listed = [each.text for each in Network.build(fresh.program).nodes()]
            assert [each.text for each in network.nodes()] == listed
        before = after
        drafts.edit()


def test_a_rule_that_did_not_change_is_taken_over() -> None:
    """The others are the same objects, also where they moved by lines; what they mean is not compiled again."""
    drafts = Drafts(Random(1))
    drafts.sources["offers.yaml"] = "offers:\n  plain: {content: {title: Hello}}\n"
    rules = {name: [f"  - rule: {name}", "    when: always", "    then: [{trigger: t}]"] for name in ("a", "b", "c")}
    drafts.rules = {"a.yaml": list(rules.values()), "b.yaml": [["  - rule: d", *rules["a"][1:]]]}
    before = check(drafts.folder())
    rules["a"][2] = "    then:\n      - {trigger: other}"
    after = check(drafts.folder(), before)
    assert before.program is not None
    assert after.program is not None
    old, new = ({rule.name: rule for rule in program.rules} for program in (before.program, after.program))
    assert new["d"] is old["d"]
    assert new["a"] is not old["a"]
    assert new["b"].when is old["b"].when
    assert new["b"].place.line == old["b"].place.line + 1
    first = Network.build(before.program)
    second = Network.build(after.program, previous=first)
    assert [node.text for node in second.nodes()] == [node.text for node in Network.build(after.program).nodes()]


@pytest.mark.parametrize(
    "others",
    ["{all: [{event: viewed, where: {product: shoes}}, {event: bought}]}", "{event: viewed, where: {product: shoes}}"],
)
def test_what_a_rule_was_does_not_act_any_more_and_what_it_is_does(others: str) -> None:
    """In a session that goes on where it is: it saw nothing of what the old and the new condition look at.

    Another rule still looks at it, with more to ask or with nothing: then a look is enough for it to act.
    """
    drafts = Drafts(Random(1))
    drafts.sources["offers.yaml"] = "offers:\n  plain: {content: {title: Hello}}\n"
    lines = ["  - rule: a", "    when: {event: viewed, where: {product: shoes}}", "    then: [{trigger: t}]"]
    other = ["  - rule: b", f"    when: {others}", "    then: [{trigger: t}]"]
    drafts.rules = {"a.yaml": [lines, other]}
    before = check(drafts.folder())
    lines[1] = "    when: {event: viewed, where: {product: hats}}"
    after = check(drafts.folder(), before)
    assert before.program is not None
    assert after.program is not None
    first = Network.build(before.program, "first")
    second = Network.build(after.program, "second", {"first": first.rule_digests}, first)
    memory = first.open("s")
    first.insert(memory, Event("1", "bought", "s", 1_000, None, {}), no_score)
    assert second.take_over(memory, first) is memory
    second.insert(memory, Event("2", "bought", "s", 1_500, None, {}), no_score)  # what is new was looked at after it
    for time, product, acts in ((2_000, "shoes", ["a.b"]), (3_000, "hats", ["a.a"]), (4_000, "shoes", [])):
        step = second.insert(memory, Event(str(time), "viewed", "s", time, None, {"product": product}), no_score)
        assert [each.rule for each in step.activations] == acts


def test_a_network_that_is_edited_rule_by_rule_says_what_one_made_from_nothing_says() -> None:
    """And what the naive evaluator says: rules come, go, change and move, between one event of a session and the next.

    Activations in their order, what holds at requests, the listing of the network and the session's snapshot.
    """
    for patterns in (frozenset[str](), PATTERNS):
        reloads = amended = went_on = 0
        for seed in range(90 if not patterns else 60):
            ruleset = draw_ruleset(
                Random(seed), wild=False, plain=False, patterns=patterns, is_close=False, edits=12, is_chain=True
            )
            story = ruleset.story(Random(f"history {seed}"), 12, edges=0)
            case = Case(story, reports_every=4)
            case.play()
            reloads += sum(isinstance(each, Reload) for each in story.operations)
            amended += case.amended
            went_on += case.went_on
        assert amended > reloads / 3, "many edits are to be made where the network is"
        assert went_on > reloads / 6, "many sessions are to go on as they are"


@pytest.mark.parametrize(
    ("condition", "other"),
    [
        ("{event: viewed, where: {product: shoes}, as: seen}", "{event: viewed, where: {product: hats}, as: seen}"),
        (
            "{count: viewed, per: product, at_least: 2, as: seen}",
            "{count: viewed, per: product, at_least: 1, within: 1 minute, as: seen}",
        ),
        (
            "{sequence: [{event: viewed}, {event: viewed, as: seen}], within: 1 minute}",
            "{sequence: [{event: viewed, as: seen}, {event: viewed}], within: 1 minute}",
        ),
    ],
)
def test_a_rule_that_binds_names_is_changed_where_the_network_is(condition: str, other: str) -> None:
    """And a session that saw nothing of what it looks at goes on as it is, with what it has of other patterns."""
    drafts = Drafts(Random(1))
    drafts.sources["offers.yaml"] = "offers:\n  plain: {content: {title: Hello}}\n"
    lines = ["  - rule: a", f"    when: {condition}", '    then: [{trigger: t, payload: {of: "{seen.product}"}}]']
    bought = "{all: [{event: bought, as: first}, {event: bought, where: {product: $first.product}, as: next}]}"
    same = ["  - rule: b", f"    when: {bought}", '    then: [{trigger: t, payload: {of: "{next.price}"}}]']
    drafts.rules = {"a.yaml": [lines, same]}
    before = check(drafts.folder())
    lines[1] = f"    when: {other}"
    after = check(drafts.folder(), before)
    assert before.program is not None
    assert after.program is not None
    first = Network.build(before.program, "first")
    second = Network.build(after.program, "second", {"first": first.rule_digests}, first)
    assert structure(second._compiled) == structure(Network.build(after.program)._compiled)
    memory = first.open("s")
    first.insert(memory, Event("1", "bought", "s", 1_000, None, {"product": "hats", "price": 1}), no_score)
    assert second.take_over(memory, first) is memory
    acts = []
    for time, kind in ((2_000, "bought"), (3_000, "viewed"), (4_000, "viewed")):
        event = Event(str(time), kind, "s", time, None, {"product": "hats", "price": 2})
        step = second.insert(memory, event, no_score)
        acts += [(each.rule, each.triggers[0].payload) for each in step.activations]
    assert acts == [("a.b", {"of": "0.02 EUR"}), ("a.a", {"of": "hats"})]


def test_what_comes_and_goes_again_and_again_is_named_as_in_a_network_made_from_nothing() -> None:
    """Each time it has another index; with names that follow the former's and with names of its own."""
    drafts = Drafts(Random(1))
    drafts.sources["offers.yaml"] = "offers:\n  plain: {content: {title: Hello}}\n"
    shoes = "{count: viewed, per: product, at_least: 2, within: 1 minute, as: seen}"
    rules = [
        [f"  - rule: {name}", f"    when: {when}", "    then: [{trigger: t}]"]
        for name, when in (
            ("a", "{event: bought}"),
            ("b", shoes),
            ("c", "{count: viewed, within: 5 minutes, at_least: 2}"),
        )
    ]
    checked, network = None, None
    for number in range(12):
        drafts.rules = {"a.yaml": rules[: 1 + number % 2] if number % 3 else [*rules[:1], *rules[2:]]}
        checked = check(drafts.folder(), checked)
        assert checked.program is not None
        network = Network.build(checked.program, str(number), previous=network)
        whole = Network.build(checked.program, str(number))._names
        for names in (network._names, Network(network._compiled, str(number), {})._names):
            assert names.signature == whole.signature
            assert names.places.keys() == whole.places.keys()
            assert names.rule_by_name.keys() == whole.rule_by_name.keys()
            for name, place in names.places.items():
                assert names.ids[place.index] == name
                assert place.index not in network._compiled.quantities.gone


def no_score(name: str, read: object) -> ScoreAnswer:
    """No model is asked."""
    raise AssertionError(name)
