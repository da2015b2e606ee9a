"""The shop workload beside Drools, in one run: `python -m benchmarks.shop.beside [--rules 10 100 1000] [--events 200000]`.

Both take plain events in memory and keep all sessions; Salience runs the exact clock, with timers for what expires
between two events of a shopper, Drools the clock of the events, which is less work. The firings of both are compared
with the digests that the workload publishes, so that no figure is that of a wrong answer.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
from dataclasses import replace
from pathlib import Path

from benchmarks.peers import PeerMissingError, drools
from benchmarks.shop import __main__ as shop
from benchmarks.shop import generate, shapes, translation
from engine.rete import Network

DEFAULT = generate.Params(
    seed=20,
    sessions=1_000,
    events=200_000,
    rules=1_000,
    categories=20,
    tiers=("guest", "silver", "gold", "platinum"),
    max_price=12_000,
    price_step=1,
    max_total=150_000,
    max_views=5,
    checkout_s=300,
    purchase_s=1_800,
    view_s=600,
    epoch_ms=1_700_000_000_000,
)
SHAPES = (10, 100, 1_000)
SHAPED_EVENTS = 20_000
EXACT = {
    10: "d3cb5f74a98911cbb98fbae96df4fc8cca8c038989ac20b6229bba2ca6a2e341",
    100: "d01e4cd80d3af0b8c74fe31e421a620e9b745a02f4c79e86a54c3899b1606a9a",
    1_000: "d69104f82ff314060c360732afee95fa22d7a760d6b2cbd4b33b8850811c03ed",
}
EVENTS = {
    10: "4a19ac193d997881e66be2ea4dacb38ec205d672d62e0bb16c491236b4eb4bcc",
    100: "54a3904a40de1be2b452c49ba3197c49feed9132d2e8ca6e8448077a8e662035",
    1_000: "c12836da815bb06d2edd3bd89063cc84e2b5b8f04996dd9f9e9378973e38cd2d",
}
"""What the workload publishes for its default stream, by the number of rules, for its two clocks."""


def said(digest: str, rules: int, events: int, published: dict[int, str]) -> str:
    """Whether the firings are those that the workload publishes for its default stream."""
    if events != DEFAULT.events or rules not in published:
        return "firings not published for this stream"
    return "firings equal to the reference's" if digest == published[rules] else "FIRINGS DIFFER from the reference's"


def compare(folder: Path, rules: int, events: int) -> None:
    """Print Salience and Drools on the first `rules` rules, with the ratios that the goals are about."""
    mine = shop.run(folder, rules)
    print(f"{shop.describe(mine)}\n  {said(mine.digest, rules, events, EXACT)}", flush=True)
    document = json.loads((folder / "rules.json").read_text(encoding="utf-8"))
    stream = drools.shop_lines(json.loads(line) for line in translation.lines(folder))
    try:
        (java,) = drools.run("shop", drools.shop_rules(document, rules), [stream])
    except PeerMissingError as missing:
        print(f"  NOT MEASURED: Drools: {missing}", flush=True)
        return
    digest = hashlib.sha256(java.text.encode()).hexdigest()
    print(
        f"  Drools: {java.thread_us:.2f} us of its thread's CPU an event ({java.process_us:.2f} of its process), "
        f"p99.9 {java.p999_us:.0f} us; built in {java.build_s:.1f} s; a session {java.session_bytes:.0f} bytes; "
        f"{java.firings:.0f} firings, {said(digest, rules, events, EVENTS)}\n"
        f"  events per CPU second: salience {1e6 / mine.per_event:.0f}, Drools {1e6 / java.thread_us:.0f}: "
        f"{java.thread_us / mine.per_event:.2f} times Drools' ({java.process_us / mine.per_event:.2f} with its process); "
        f"a session takes 1/{java.session_bytes / mine.live_bytes:.0f} of its bytes",
        flush=True,
    )


def growth(folder: Path, events: int) -> None:
    """Print what ten times the rules cost, with as many firings and with ten times as many.

    As many: with ten times the tiers, so that each shopper has as many rules to meet as before.
    """
    tiers = tuple(f"t{number}" for number in range(40))
    streams = {
        "as many firings": replace(DEFAULT, events=events, rules=10_000, tiers=tiers),
        "ten times the firings": replace(DEFAULT, events=events, rules=10_000),
    }
    base = shop.quick(folder, 1_000)
    print(f"growth\n   1000 rules {base.per_event:8.2f} us, {base.firings} firings", flush=True)
    for name, parameters in streams.items():
        with tempfile.TemporaryDirectory() as grown:
            generate.write(parameters, Path(grown))
            more = shop.quick(Path(grown), 10_000)
        print(
            f"  10000 rules {more.per_event:8.2f} us, {more.firings} firings ({name}): "
            f"{more.per_event / base.per_event:.2f} times",
            flush=True,
        )


def many_shapes(folder: Path) -> None:
    """Print what rules of as many different structures cost, and how many of them look at what an event changes."""
    print("rules of as many structures", flush=True)
    for rules in SHAPES:
        program = shapes.program(rules, seed=20)
        per_event, firings = shop.feed(Network.build(program), folder, SHAPED_EVENTS)
        print(
            f"  {rules:6d} rules {per_event:8.2f} us, {firings / SHAPED_EVENTS:.2f} firings an event, "
            f"{1000 * per_event / rules:.0f} ns a rule",
            flush=True,
        )


def main() -> None:
    """Run as a program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rules", type=int, nargs="*", default=[10, 100, 1_000])
    parser.add_argument("--events", type=int, default=DEFAULT.events)
    parser.add_argument("--no-growth", action="store_true", help="leave growth and shapes out")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        generate.write(replace(DEFAULT, events=options.events), folder)
        print(f"shop workload, {options.events} events, {DEFAULT.sessions} sessions all kept")
        for rules in options.rules:
            compare(folder, rules, options.events)
        if not options.no_growth:
            growth(folder, options.events)
            many_shapes(folder)


if __name__ == "__main__":
    main()
