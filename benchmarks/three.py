"""Three tests on one event, the work on which rule engines publish: `python -m benchmarks.three [--rules ...] [--sessions ...]`.

A rule tests a category for equality, a price and a size against thresholds; about one rule in a hundred matches an
event. The same rules and events go through each peer that is installed (`benchmarks/peers`), each in a process of its
own; one that is not is named loudly and left out. All count the CPU time from the plain event to what fired.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from random import Random

from benchmarks.peers import PeerMissingError, drools
from engine.activation import FactReader, ScoreAnswer, ScoreStatus
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
FILE = 500
"""Rules of one file; the language bounds its size."""
WORK = 20_000_000
"""Rules times events of a peer whose cost grows with its rules: bounds the time of its run."""
GIVE_UP_S = 240
PEERS = {
    "clips": "CLIPS (clipspy)",
    "zen": "zen-engine",
    "durable": "durable_rules",
}
MOST_EVENTS = {"clips": 2_000}  # each further event costs it more than the one before; its best is measured
MOST_SESSIONS = {"durable": 1_000}  # it raises MemoryError at the 1,025th
MOST_RULES = {"durable": 1_000}  # 10,000 take it minutes to be defined


def drawn_rules(count: int) -> list[tuple[int, int, int]]:
    """Category, price and size of each rule."""
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
    sources = {"vocabulary.yaml": VOCABULARY}
    for first in range(0, len(rules), FILE):
        text = "".join(
            RULE.format(number=number, category=category, price=price, size=size)
            for number, (category, price, size) in enumerate(rules[first : first + FILE], first)
        )
        sources[f"three{first}.yaml"] = f"ruleset: three{first}\nowner: benchmark\nrules:\n{text}"
    checked = check(sources)
    if checked.program is None:
        raise SystemExit(render(checked.diagnostics, sources))
    return checked.program


def no_model(name: str, reader: FactReader) -> ScoreAnswer:
    """The workload asks no model."""
    return ScoreAnswer(ScoreStatus.MISSING)


def ours(network: Network, count: int, sessions: int) -> tuple[float, int]:
    """CPU microseconds for an event, and how many rules fired. Events of a session are further apart than the window."""
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
        fired += len(network.insert(memory, event, no_model).activations)
    return (time.process_time() - began) / count * 1e6, fired


def peer(name: str, rules: int, count: int, sessions: int) -> tuple[float, int]:
    """The same through a peer of `benchmarks.peers`, in a process of its own.

    Raises:
        PeerMissingError: It is not installed, or gave up.
    """
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.peers", name, str(rules), str(count), str(sessions)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=GIVE_UP_S)
    except subprocess.TimeoutExpired as late:
        raise PeerMissingError(f"not done after {GIVE_UP_S} s") from late
    if done.returncode != 0:
        raise PeerMissingError((done.stderr.strip().splitlines() or ["no word of why"])[-1])
    per_event, fired = json.loads(done.stdout.strip().splitlines()[-1])
    return per_event, fired


def through_drools(rules: int, count: int, sessions: Sequence[int]) -> list[tuple[float, int]]:
    """The same through Drools for each number of sessions, after passes that warm its JIT compiler up.

    Raises:
        PeerMissingError: It is not installed, or gave up.
    """
    streams = [
        [
            (drawn["session"], number, f"c{drawn['category']}", drawn["price"], drawn["size"])
            for number, drawn in enumerate(drawn_events(count, shoppers))
        ]
        for shoppers in sessions
    ]
    found = drools.run("three", drools.three_rules(drawn_rules(rules)), streams, passes=5, timeout=GIVE_UP_S)
    return [(each.thread_us, int(each.firings)) for each in found]


def cell(mine: float, fired: int, theirs: tuple[float, int]) -> str:
    """A peer's cost, its ratio to ours, and what it fired where that differs."""
    cost, other = theirs
    text = f"{cost:.2f} us, {cost / mine:.2f}x"
    return text if other == fired else f"{text} (fired {other}, ours {fired})"


def rows(rules: Sequence[int], sessions: Sequence[int], events: int, names: Sequence[str]) -> None:
    """Print a line for each number of rules and sessions, and below it one for each peer."""
    for number in rules:
        network = Network.build(program(drawn_rules(number)))
        java: list[tuple[float, int]] | str = "not asked for"
        if "drools" in names:
            try:
                java = through_drools(number, events, sessions)
            except PeerMissingError as missing:
                java = f"NOT MEASURED: {missing}"
        for at, shoppers in enumerate(sessions):
            mine, fired = ours(network, events, shoppers)
            print(
                f"  {number:6d} rules x {shoppers:5d} sessions  salience {mine:8.2f} us of CPU an event, fired {fired}"
            )
            if "drools" in names:
                print(
                    f"      {'Drools':18} {java if isinstance(java, str) else cell(mine, fired, java[at])}", flush=True
                )
            for name in names:
                if name != "drools":
                    print(
                        f"      {PEERS[name]:18} {_beside(network, name, number, shoppers, events, mine)}", flush=True
                    )


def _beside(network: Network, name: str, number: int, shoppers: int, events: int, mine: float) -> str:
    few = min(events, MOST_EVENTS.get(name) or max(200, WORK // number // 50))
    if number > MOST_RULES.get(name, number):
        return f"NOT MEASURED: not run beyond {MOST_RULES[name]} rules"
    try:
        theirs = peer(name, number, few, min(shoppers, MOST_SESSIONS.get(name, shoppers)))
    except PeerMissingError as missing:
        return f"NOT MEASURED: {missing}"
    return cell(mine, ours(network, few, shoppers)[1], theirs)


def main() -> None:
    """Run as a program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rules", type=int, nargs="+", default=[10, 100, 1_000, 10_000])
    parser.add_argument("--sessions", type=int, nargs="+", default=[1, 100, 1_000])
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--peers", nargs="*", default=["drools", *PEERS], choices=["drools", *PEERS])
    options = parser.parse_args()
    print(
        f"three tests on one event, {options.events} events; peers with their ratio to ours (above 1: ours is faster)"
    )
    rows(options.rules, options.sessions, options.events, options.peers)


if __name__ == "__main__":
    main()
