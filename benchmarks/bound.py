"""Reloads where all rules bind names: `python -m benchmarks.bound [--rules 10000]`.

A quarter of the rules each joins two events by a product, is a sequence with names, counts per product, and waits for
what does not come. They differ in their lengths, limits and categories, so that most are patterns of their own. One of
them is changed, added, removed, moved. Beside it, what it costs a session to go on after that.
"""

from __future__ import annotations

import argparse
import random
import re
import time
from collections.abc import Mapping

from benchmarks.questions import edits, going_on, reload_each
from benchmarks.three import no_model
from engine.event import Event
from engine.language import check, render
from engine.rete import Memory, Network
from engine.values import Value
from service.collecting import collection_put_off

VOCABULARY = """\
currency: EUR
session: {timeout: 30 minutes, keep_events: 500}
events:
  product_viewed: {product_id: text, category: text, price: money}
  cart_added: {product_id: text, category: text, price: money}
  purchase: {product_id: text}
facts:
  customer.tier: {choice: [bronze, silver, gold], from: profile}
  product.stock: {type: integer, from: catalogue, by: product_id}
placements: {}
"""
FILE = 500
"""Rules of one file."""
CATEGORIES = 50
SESSIONS = 200
EVENTS = 20

SHAPES = {
    "a join": """\
        - {{event: product_viewed, where: {{category: c{category}}}, within: {minutes} minutes, as: seen}}
        - not: {{event: purchase, where: {{product_id: $seen.product_id}}}}
        - {{count: cart_added, where: {{product_id: $seen.product_id}}, at_least: {limit}}}
""",
    "a sequence": """\
        - sequence:
            - {{event: product_viewed, where: {{category: c{category}}}, as: first}}
            - {{event: cart_added, where: {{product_id: $first.product_id}}, as: second}}
          within: {minutes} minutes
        - not: {{event: purchase, where: {{product_id: $second.product_id}}, within: {minutes} minutes}}
""",
    "a count per key": """\
        - count: product_viewed
          where: {{category: c{category}}}
          per: product_id
          within: {minutes} minutes
          at_least: {limit}
          as: often
        - {{fact: product.stock, of: $often.product_id, below: 10}}
""",
    "an absence": """\
        - {{event: cart_added, where: {{category: c{category}}}, as: left}}
        - absence:
            of: {{event: purchase, where: {{product_id: $left.product_id}}}}
            after: {{event: cart_added, where: {{product_id: $left.product_id}}}}
            for: {minutes} minutes
""",
}


def sources(rules: int) -> dict[str, str]:
    """So many rules as files of the rule language."""
    files = {"vocabulary.yaml": VOCABULARY}
    for begin in range(0, rules, FILE):
        name = f"bound{begin // FILE:03d}"
        texts = [_rule(number) for number in range(begin, min(begin + FILE, rules))]
        files[f"{name}.yaml"] = f"ruleset: {name}\nowner: benchmark\nrules:\n" + "".join(texts)
    return files


def _rule(number: int) -> str:
    drawn = random.Random(number)
    shape = [*SHAPES.values()][number % len(SHAPES)].format(
        category=drawn.randrange(CATEGORIES), minutes=drawn.randrange(1, 120), limit=drawn.randrange(1, 30)
    )
    tier = drawn.choice(("bronze", "silver", "gold"))
    return (
        f"  - rule: r{number}\n    when:\n      all:\n        - {{fact: customer.tier, is: {tier}}}\n{shape}"
        f"    then:\n      - trigger: t{number}\n"
    )


def changes(files: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """The folder edited: one rule of a file in the middle added, removed, moved; then one of each shape another."""
    found = edits(files, "bound", (" minutes", " seconds"))
    del found["changes"]
    file = sorted(name for name in files if name.startswith("bound"))[len(files) // 2]
    head, *texts = re.split(r"(?m)^(?=  - rule: )", files[file])
    for number, name in enumerate(SHAPES):
        edited = [text.replace(" minutes", " seconds") if at == number else text for at, text in enumerate(texts)]
        found[f"changes {name}, "] = {**files, file: "".join([head, *edited])}
    return found


def fed(network: Network) -> list[Memory]:
    """Sessions of 20 events each."""
    memories = []
    for number in range(SESSIONS):
        drawn = random.Random(number)
        memory = network.open(str(number))
        for at in range(EVENTS):
            product = drawn.randrange(200)
            attributes: dict[str, Value] = {
                "product_id": f"p{product}",
                "category": f"c{product % CATEGORIES}",
                "price": 100 * product,
            }
            kind = drawn.choice(("product_viewed", "product_viewed", "product_viewed", "cart_added", "purchase"))
            network.insert(memory, Event(f"{number}-{at}", kind, str(number), at * 20_000, None, attributes), no_model)
        memories.append(memory)
    return memories


def main() -> None:
    """Run as a program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rules", type=int, default=10_000)
    files = sources(parser.parse_args().rules)
    with collection_put_off():
        began = time.process_time()
        checked = check(files)
        if checked.program is None:
            raise SystemExit(render(checked.diagnostics, files))
        middle = time.process_time()
        network = Network.build(checked.program, "before")
        end = time.process_time()
    print(
        f"{len(network.rule_digests)} rules that bind names: check {middle - began:.2f} s of CPU, network {end - middle:.2f}"
    )
    reloaded = reload_each(changes(files), checked, network, end - began)
    going_on(network, reloaded, fed(network))


if __name__ == "__main__":
    main()
