"""One session that never stops, beside ordinary ones: `python -m benchmarks.hostile [--events 100000 --products 10000]`.

All sessions share a network with joins, counts per product, sequences, absences and windows. Printed for each tenth of
the hostile session: CPU time of one of its events, its stored bytes, the timers that it has pending; and the CPU time of
an event of ordinary sessions in the same turns, which should stay what it was.
"""

from __future__ import annotations

import argparse
import statistics
import time
from random import Random

from engine.activation import FactReader, ScoreAnswer, ScoreStatus
from engine.event import Event
from engine.language import check, render
from engine.rete import Memory, Network
from engine.values import Value

VOCABULARY = """\
currency: EUR
session: {timeout: 1 days, keep_events: 500}
events:
  viewed: {product_id: text, price: integer}
  added: {product_id: text, price: integer}
  removed: {product_id: text, price: integer}
facts: {}
features:
  products: {distinct: viewed.product_id}
  spent: {sum: added.price, minus: removed.price}
  dearest: {maximum: viewed.price, within: 1 hour}
placements: {}
"""
RULES = """\
ruleset: r
rules:
  - {rule: liked, when: {count: viewed, per: product_id, within: 1 hour, at_least: 3, as: k}, then: [{trigger: t, payload: "{k.product_id}"}]}
  - rule: not_added
    when: {all: [{event: viewed, within: 1 hour, as: seen}, {not: {event: added, where: {product_id: $seen.product_id}}}]}
    then: [{trigger: t, payload: "{seen.product_id}"}]
  - rule: regret
    when: {sequence: [{event: added, as: put}, {event: removed, where: {product_id: $put.product_id}}], within: 1 hour}
    then: [{trigger: t, payload: "{put.product_id}"}]
  - rule: left_in_the_cart
    when:
      all:
        - {event: added, as: put}
        - {absence: {of: {event: removed, where: {product_id: $put.product_id}}, after: {event: added, where: {product_id: $put.product_id}}, for: 1 hour}}
    then: [{trigger: t, payload: "{put.product_id}"}]
  - {rule: many, when: {fact: products, above: 40}, then: [{trigger: t}]}
  - {rule: dear, when: {all: [{fact: dearest, above: 90}, {fact: spent, above: 1000}]}, then: [{trigger: t}]}
"""


def main() -> None:
    """Run it, and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--products", type=int, default=10_000)
    given = parser.parse_args()
    network, random = built(), Random(1)
    hostile = network.open("hostile")
    ordinary = [network.open(f"s{number}") for number in range(200)]
    print("events  us an event  us of an ordinary one  stored bytes  timers  combinations")
    tenth, now = given.events // 10, 0
    for turn in range(10):
        own, others = [], []
        for number in range(tenth):
            now += random.randrange(1, 400)
            own.append(_timed(network, hostile, event(random, f"{turn}.{number}", "hostile", now, given.products)))
            if number % 20 == 0:
                memory = ordinary[number // 20 % len(ordinary)]
                others.append(_timed(network, memory, event(random, f"o{turn}.{number}", memory.session_id, now, 20)))
        print(
            f"{tenth * (turn + 1):6,}  {statistics.mean(own):11.1f}  {statistics.median(others):21.1f}"
            f"  {len(network.snapshot(hostile)):12,}  {timers(hostile):6,}  {combinations(hostile):12,}",
            flush=True,
        )


def built() -> Network:
    """The network of the rules above."""
    files = {"vocabulary.yaml": VOCABULARY, "rules.yaml": RULES}
    checked = check(files)
    if checked.program is None:
        raise SystemExit(render(checked.diagnostics, files))
    return Network.build(checked.program)


def event(random: Random, number: str, session: str, time: int, products: int) -> Event:
    """Any event of any of so many products."""
    kind = random.choice(("viewed", "viewed", "added", "removed"))
    attributes: dict[str, Value] = {"product_id": f"p{random.randrange(products)}", "price": random.randrange(100)}
    return Event(number, kind, session, 1_700_000_000_000 + time, None, attributes)


def timers(memory: Memory) -> int:
    """The moments that a session waits for."""
    return len(memory.timed) + len(memory.lazy)


def combinations(memory: Memory) -> int:
    """The combinations of bound names that it keeps."""
    return 0 if memory.joins is None else sum(len(state.tokens) for state in memory.joins.states.values())


def _timed(network: Network, memory: Memory, event: Event) -> float:
    """Microseconds of CPU that an event takes."""
    began = time.process_time_ns()
    network.insert(memory, event, no_model)
    return (time.process_time_ns() - began) / 1_000


def no_model(name: str, reader: FactReader) -> ScoreAnswer:
    """The rules ask no model."""
    return ScoreAnswer(ScoreStatus.MISSING)


if __name__ == "__main__":
    main()
