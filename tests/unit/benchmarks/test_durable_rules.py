"""The same rules on durable_rules: where its meaning allows it, the same comes of them; what differs is in docs/engine-benchmarks.md."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from benchmarks.hostile import no_model
from engine.event import Event
from engine.language import check, render
from engine.rete import Network

lang = pytest.importorskip("durable.lang")

VOCABULARY = """\
currency: EUR
session: {timeout: 1 days, keep_events: 500}
events:
  viewed: {number: integer, product: text, price: integer}
  added: {number: integer, product: text, price: integer}
facts: {}
placements: {}
"""
RULES = """\
ruleset: r
rules:
  - {rule: dear, when: {event: viewed, where: {price: {above: 5}}, as: a}, then: [{trigger: t, payload: "{a.number}"}]}
  - rule: both
    when: {all: [{event: viewed, as: a}, {event: added, where: {product: $a.product}, as: b}]}
    then: [{trigger: t, payload: "{a.number} {b.number}"}]
  - rule: cheaper
    when: {all: [{event: viewed, as: a}, {event: added, where: {product: $a.product, price: {below: $a.price}}, as: b}]}
    then: [{trigger: t, payload: "{a.number} {b.number}"}]
"""


def drawn(seed: int) -> list[dict[str, Any]]:
    random = Random(seed)
    return [
        {
            "type": random.choice(("viewed", "added")),
            "number": number,
            "product": random.choice("xyz"),
            "price": random.randrange(10),
        }
        for number in range(30)
    ]


def ours(events: list[dict[str, Any]]) -> set[tuple[str, str]]:
    files = {"vocabulary.yaml": VOCABULARY, "rules.yaml": RULES}
    checked = check(files)
    assert checked.program is not None, render(checked.diagnostics, files)
    network = Network.build(checked.program)
    memory = network.open("s")
    found = set()
    for each in events:
        attributes = {name: value for name, value in each.items() if name != "type"}
        event = Event(str(each["number"]), each["type"], "s", each["number"], None, attributes)
        step = network.insert(memory, event, no_model)
        found |= {(act.rule, str(act.triggers[0].payload)) for act in step.activations}
    return found


def theirs(events: list[dict[str, Any]], name: str) -> set[tuple[str, str]]:
    """As facts: an event would be gone with the first rule that takes it."""
    found = set()
    m, c = lang.m, lang.c
    with lang.ruleset(name):

        @lang.when_all((m.type == "viewed") & (m.price > 5))
        def dear(context: Any) -> None:
            found.add(("r.dear", f"{context.m.number}"))

        @lang.when_all(c.a << m.type == "viewed", c.b << (m.type == "added") & (m.product == c.a.product))
        def both(context: Any) -> None:
            found.add(("r.both", f"{context.a.number} {context.b.number}"))

        @lang.when_all(
            c.a << m.type == "viewed",
            c.b << (m.type == "added") & (m.product == c.a.product) & (m.price < c.a.price),
        )
        def cheaper(context: Any) -> None:
            found.add(("r.cheaper", f"{context.a.number} {context.b.number}"))

    for each in events:
        try:
            lang.assert_fact(name, each)
        except Exception as problem:
            if type(problem).__name__ != "MessageNotHandledException":
                raise
    return found


@pytest.mark.parametrize("seed", range(5))
def test_tests_and_joins_act_for_the_same_events(seed: int) -> None:
    events = drawn(seed)
    expected = theirs(events, f"same{seed}")
    assert len(expected) > 20
    assert ours(events) == expected


def test_an_event_is_taken_by_one_rule_there_and_looked_at_by_all_here() -> None:
    taken = []
    with lang.ruleset("taking"):

        @lang.when_all(lang.m.price > 5)
        def first(context: Any) -> None:
            taken.append("first")

        @lang.when_all(lang.m.price > 6)
        def second(context: Any) -> None:
            taken.append("second")

    lang.post("taking", {"price": 9})
    assert len(taken) == 1
