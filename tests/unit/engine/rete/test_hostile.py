"""A session that never stops: what it keeps does not grow with its events."""

from __future__ import annotations

from random import Random

from benchmarks.hostile import built, combinations, event, no_model, timers
from engine.event import Event
from engine.language import check, render
from engine.rete import Network

SCANNED = """\
ruleset: r
rules:
  - {rule: dear, when: {count: viewed, where: {price: {above: {fact: limit}}}, within: 1 hour, at_least: 2}, then: [{trigger: t}]}
  - {rule: low, when: {minimum: viewed.price, within: 1 hour, below: 3}, then: [{trigger: t}]}
"""
VOCABULARY = """\
currency: EUR
session: {timeout: 1 days, keep_events: 20}
events:
  viewed: {price: integer}
facts:
  limit: {type: integer, from: profile}
placements: {}
"""


def test_timers_combinations_and_bytes_stop_growing_when_as_much_is_kept_as_may_be() -> None:
    network, random = built(), Random(1)
    memory, kept = network.open("s"), []
    for number in range(2_400):
        network.insert(memory, event(random, str(number), "s", 200 * number, 500), no_model)
        if number % 800 == 799:
            kept.append((timers(memory), combinations(memory), len(network.snapshot(memory))))
    assert max(most for most, _, _ in kept) < 40
    assert max(most for _, most, _ in kept) < 2 * 500
    (_, _, early), *_, (_, _, late) = kept
    assert late < 1.3 * early


def test_windows_past_their_bound_and_facts_in_a_where_leave_no_timers_behind() -> None:
    files = {"vocabulary.yaml": VOCABULARY, "rules.yaml": SCANNED}
    checked = check(files)
    assert checked.program is not None, render(checked.diagnostics, files)
    network = Network.build(checked.program)
    memory = network.open("s")
    network.set_facts(memory, {"limit": 5}, 0, no_model)
    most = 0
    for number in range(1_000):
        network.insert(memory, Event(str(number), "viewed", "s", 1_000 + number, None, {"price": number % 9}), no_model)
        most = max(most, timers(memory))
    assert most <= 8 * 20 + 2
