"""What joining costs as the candidates of a session grow: `python -m benchmarks.fanout [--kept 50 100 200 400]`.

A session has seen so many products, and each event that is measured joins with one of them. Five shapes of joins, each
an event's CPU time by the number of kept events: it should follow the matches, which stay the same, and not the
candidates, nor the products of candidates that a join without indexes would look at. The last shape has no attribute
to be found by (below another's price) and looks at all candidates, to show the difference.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from random import Random

from engine.activation import FactReader, ScoreAnswer, ScoreStatus
from engine.event import Event
from engine.language import check, render
from engine.rete import Network
from engine.values import Value

VOCABULARY = """\
currency: EUR
session: {timeout: 1 days, keep_events: 10000}
events:
  viewed: {product_id: text, price: integer}
  added: {product_id: text, price: integer}
  removed: {product_id: text, price: integer}
facts: {}
placements: {}
"""
SHAPES = {
    "not added (join with a negation)": """
      all: [{event: viewed, as: seen}, {not: {event: added, where: {product_id: $seen.product_id}}}]""",
    "chain of three joins and a negation": """
      all:
        - {event: viewed, as: seen}
        - {event: added, where: {product_id: $seen.product_id}, as: put}
        - {event: removed, where: {price: $put.price}, as: gone}
        - {not: {event: viewed, where: {product_id: $gone.product_id, price: {above: $put.price}}}}""",
    "count per product": """
      {count: viewed, per: product_id, within: 1 hour, at_least: 3, as: liked}""",
    "sequence of one product": """
      sequence:
        - {event: viewed, as: seen}
        - {event: added, where: {product_id: $seen.product_id}}
        - {event: removed, where: {product_id: $seen.product_id}}
      within: 1 hour""",
    "absence for each product": """
      all:
        - {event: added, as: put}
        - {absence: {of: {event: removed, where: {product_id: $put.product_id}}, after: {event: added, where: {product_id: $put.product_id}}, for: 1 hour}}""",
    "highest count": """
      {count: viewed, per: product_id, within: 1 hour, at_least: 3, take: highest, as: liked}""",
    "below its price (no index)": """
      all: [{event: viewed, as: seen}, {event: added, where: {price: {below: $seen.price}}, as: put}, {event: removed, where: {product_id: $put.product_id}}]""",
}
MEASURED = 200


def network_of(condition: str) -> Network:
    """A network of one rule with this condition, which uses all that it binds."""
    lines = condition.strip("\n")
    body = f"\n{lines}" if lines.lstrip() != lines or "\n" in lines else f" {lines}"
    payload = next((name for name in ("liked", "gone", "put", "seen") if f"as: {name}" in condition), None)
    text = f'"{{{payload}.product_id}}"'
    sources = {
        "vocabulary.yaml": VOCABULARY,
        "rules.yaml": f"ruleset: r\nowner: b\nrules:\n  - rule: r\n    when:{body}\n    then: [{{trigger: t, payload: {text}}}]\n",
    }
    checked = check(sources)
    if checked.program is None:
        raise SystemExit(render(checked.diagnostics, sources))
    return Network.build(checked.program)


def events_of(kept: int, measured: int) -> list[Event]:
    """So many events over as many products, then those that are measured, each over one of twenty products."""
    random = Random(7)
    events = []
    for number in range(kept + measured):
        product = number if number < kept else random.randrange(20)
        kind = ("viewed", "added", "removed")[random.randrange(3)]
        attributes: dict[str, Value] = {"product_id": f"p{product}", "price": 100 + product}
        events.append(Event(str(number), kind, "s", 1_700_000_000_000 + 1_000 * number, None, attributes))
    return events


def cost(network: Network, kept: int) -> float:
    """Microseconds of CPU for an event in a session that has kept so many."""
    memory = network.open("s")
    events = events_of(kept, MEASURED)
    for event in events[:kept]:
        network.insert(memory, event, _no_score)
    began = time.process_time()
    for event in events[kept:]:
        network.insert(memory, event, _no_score)
    return (time.process_time() - began) / MEASURED * 1e6


def _no_score(name: str, reader: FactReader) -> ScoreAnswer:
    return ScoreAnswer(ScoreStatus.MISSING)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kept", type=int, nargs="+", default=[100, 400, 1_600], help="events that the session has")
    options = parser.parse_args(arguments)
    heads = "".join(f"{kept:>10,}" for kept in options.kept)
    print(f"{'microseconds an event, by events kept':<40}{heads}")
    for name, condition in SHAPES.items():
        network = network_of(condition)
        figures = "".join(f"{min(cost(network, kept) for _ in range(3)):>10.1f}" for kept in options.kept)
        print(f"{name:<40}{figures}", flush=True)


if __name__ == "__main__":
    main()
