"""The same rules on durable_rules: where its meaning allows it, the same comes of them; what differs is in docs/engine-benchmarks.md.

python -m benchmarks.meaning
"""

from __future__ import annotations

import sys
from random import Random
from typing import Any

from durable import lang

from benchmarks.hostile import no_model
from engine.event import Event
from engine.language import check, render
from engine.rete import Network

HISTORIES = 5
"""With twenty rulesets in one process durable_rules crashes now and then."""
EVENTS = 30

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
    """A history of views and additions."""
    random = Random(seed)
    return [
        {
            "type": random.choice(("viewed", "added")),
            "number": number,
            "product": random.choice("xyz"),
            "price": random.randrange(10),
        }
        for number in range(EVENTS)
    ]


def ours(events: list[dict[str, Any]]) -> set[tuple[str, str]]:
    """Rule and payload of each act here."""
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

        @lang.when_all((m.type == "viewed") & (m.price > 5))  # type: ignore[untyped-decorator]
        def dear(context: Any) -> None:
            found.add(("r.dear", f"{context.m.number}"))

        @lang.when_all(c.a << m.type == "viewed", c.b << (m.type == "added") & (m.product == c.a.product))  # type: ignore[untyped-decorator]
        def both(context: Any) -> None:
            found.add(("r.both", f"{context.a.number} {context.b.number}"))

        @lang.when_all(  # type: ignore[untyped-decorator]
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


def taken_by() -> list[str]:
    """Which of two rules act there for one posted event that both are true for; here both do."""
    taken = []
    with lang.ruleset("taking"):

        @lang.when_all(lang.m.price > 5)  # type: ignore[untyped-decorator]
        def first(context: Any) -> None:
            taken.append("first")

        @lang.when_all(lang.m.price > 6)  # type: ignore[untyped-decorator]
        def second(context: Any) -> None:
            taken.append("second")

    lang.post("taking", {"price": 9})
    return taken


def main() -> int:
    """Print what was compared; the exit code is 1 where the acts differ."""
    differing, acts = 0, 0
    for seed in range(HISTORIES):
        events = drawn(seed)
        expected, found = theirs(events, f"same{seed}"), ours(events)
        acts += len(expected)
        if found != expected:
            differing += 1
            print(f"history {seed}: only there {sorted(expected - found)}, only here {sorted(found - expected)}")
    print(f"{HISTORIES} histories of {EVENTS} events, a test and two joins: {acts} acts, {differing} histories differ")
    print(f"a posted event that two rules are true for, there: {', '.join(taken_by())}; here: both")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
