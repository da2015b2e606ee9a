"""The engine beside its peers: `python -m benchmarks.engine [--rules 10 100 1000] [--events 20000] [--sessions 100]`.

Two workloads, each in one run on one machine, so that the ratios mean something elsewhere:

- three tests on one event (the work on which rule engines publish): a category, a price above and a size at least. The
  same rules and events go through durable_rules where it is installed (the extra `bench`), in a process of its own,
  since its native part keeps what it allocates; where it is not, that is said loudly and its lines are left out. It
  fires fewer rules: an event is gone with the first rule that takes it;
- the shop workload (`benchmarks.shop`): carts, windows and tiers over a session, beside a decode of the same events.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random

from benchmarks.shop import __main__ as shop
from benchmarks.shop import generate
from engine.event import Event
from engine.language import check, render
from engine.language.tree import Program
from engine.rete import Memory, Network

CATEGORIES = 20
WINDOW_MS = 1_000
VOCABULARY = """\
currency: EUR
events:
  viewed: {category: text, price: integer, size: integer}
facts: {}
placements: {}
"""
RULE = """\
  - rule: r{number}
    when: {{event: viewed, where: {{category: c{category}, price: {{above: {price}}}, size: {{at_least: {size}}}}}, within: 1 second}}
    then: [{{trigger: t}}]
"""
MOST_DURABLE_SESSIONS = 1_000  # durable_rules raises MemoryError at the 1,025th


def drawn_rules(count: int) -> list[tuple[int, int, int]]:
    """Category, price and size of each rule; about one rule in a hundred matches an event."""
    random = Random(20)
    return [(random.randrange(CATEGORIES), 700 + random.randrange(300), 5 + random.randrange(5)) for _ in range(count)]


def drawn_events(count: int, sessions: int) -> list[dict[str, int]]:
    """Session, category, price and size of each event."""
    random = Random(21)
    return [
        {
            "session": random.randrange(sessions),
            "category": random.randrange(CATEGORIES),
            "price": random.randrange(1_000),
            "size": random.randrange(10),
        }
        for _ in range(count)
    ]


def program(rules: Sequence[tuple[int, int, int]]) -> Program:
    """The rules in the rule language."""
    text = "".join(
        RULE.format(number=number, category=category, price=price, size=size)
        for number, (category, price, size) in enumerate(rules)
    )
    sources = {"vocabulary.yaml": VOCABULARY, "tests.yaml": f"ruleset: three\nowner: benchmark\nrules:\n{text}"}
    checked = check(sources)
    if checked.program is None:
        raise SystemExit(render(checked.diagnostics, sources))
    return checked.program


def ours(rules: int, count: int, sessions: int) -> tuple[float, int]:
    """CPU microseconds for an event, and how many rules fired. Events of a session are further apart than the window."""
    network = Network.build(program(drawn_rules(rules)))
    events = [
        Event(
            str(number),
            "viewed",
            f"s{drawn['session']}",
            1_700_000_000_000 + number * 2 * WINDOW_MS,
            None,
            {"category": f"c{drawn['category']}", "price": drawn["price"], "size": drawn["size"]},
        )
        for number, drawn in enumerate(drawn_events(count, sessions))
    ]
    memories: dict[str, Memory] = {}
    fired = 0
    began = time.process_time()
    for event in events:
        memory = memories.get(event.session_id)
        if memory is None:
            memory = memories[event.session_id] = network.open(event.session_id)
        fired += len(network.insert(memory, event, shop.no_model).activations)
    return (time.process_time() - began) / count * 1e6, fired


def durable(rules: int, count: int, sessions: int) -> tuple[float, int] | None:
    """The same through durable_rules, in a process of its own; None where it is not installed or gave up."""
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "benchmarks.engine",
        "--durable",
        str(rules),
        str(count),
        str(sessions),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["no word of why"])[-1]
        print(f"  NOT MEASURED: durable_rules, {rules} rules: {reason}")
        return None
    per_event, fired = json.loads(done.stdout.strip().splitlines()[-1])
    return per_event, fired


def run_durable(rules: int, count: int, sessions: int) -> None:
    """In the process of its own: measure, and print a JSON line."""
    from durable.lang import m, post, ruleset, when_all  # noqa: PLC0415 - an extra

    fired = 0
    with ruleset("three"):
        for category, price, size in drawn_rules(rules):

            @when_all((m.category == f"c{category}") & (m.price > price) & (m.size >= size))  # type: ignore[untyped-decorator]
            def matched(context: object) -> None:
                nonlocal fired
                fired += 1

    events = [
        {
            "id": number,
            "sid": str(drawn["session"]),
            "category": f"c{drawn['category']}",
            "price": drawn["price"],
            "size": drawn["size"],
        }
        for number, drawn in enumerate(drawn_events(count, sessions))
    ]
    began = time.process_time()
    for event in events:
        try:
            post("three", event)
        except Exception as problem:
            if type(problem).__name__ != "MessageNotHandledException":
                raise
    print(json.dumps([(time.process_time() - began) / count * 1e6, fired]))


def three_tests(rules: Sequence[int], count: int, sessions: int) -> None:
    """Print the first workload."""
    print(
        f"three tests on one event, {count} events, {sessions} sessions: CPU us an event (events a CPU second), fired"
    )
    for number in rules:
        mine, fired = ours(number, count, sessions)
        line = f"  {number:6d} rules  salience {mine:8.2f} ({1e6 / mine:9.0f}) {fired}"
        few = min(count, 2_000)
        theirs = durable(number, few, min(sessions, MOST_DURABLE_SESSIONS))
        if theirs is not None:
            other, other_fired = theirs
            check_fired = ours(number, few, min(sessions, MOST_DURABLE_SESSIONS))[1]
            same = f"fired {other_fired} where salience fired {check_fired}"
            line += f"   durable_rules {other:8.2f} ({1e6 / other:9.0f}), {other / mine:.1f} times ours; {same}"
        print(line, flush=True)


def shop_workload(rules: Sequence[int], count: int) -> None:
    """Print the second workload."""
    with tempfile.TemporaryDirectory() as folder:
        parameters = generate.Params(
            20,
            1_000,
            count,
            max(rules),
            20,
            ("guest", "silver", "gold", "platinum"),
            12_000,
            1,
            150_000,
            5,
            300,
            1_800,
            600,
            1_700_000_000_000,
        )
        generate.write(parameters, Path(folder))
        print(f"shop workload, {count} events, 1,000 sessions all kept")
        for number in rules:
            print(shop.describe(shop.run(Path(folder), number)), flush=True)


def main() -> None:
    """Run as a program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rules", type=int, nargs="+", default=[10, 100, 1_000])
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--sessions", type=int, default=100)
    parser.add_argument("--durable", type=int, nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.durable:
        run_durable(*options.durable)
        return
    three_tests(options.rules, options.events, options.sessions)
    shop_workload(options.rules, options.events * 5)


if __name__ == "__main__":
    main()
