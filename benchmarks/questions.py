"""What is asked beside the stream: `python -m benchmarks.questions [--rules 1000] [--compile 10000]`.

`why not` over all rules for a session of the shop workload; compiling many rules (checking their text, then building
the network); a reload that changes one of them. Each is given beside the decode of the same session's events or the
parse of the same YAML, so that a ratio can be carried to another machine.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import yaml

from benchmarks.sessions import fed
from benchmarks.shop import generate, translation
from benchmarks.shop.beside import DEFAULT
from benchmarks.three import no_model
from engine.language import check
from engine.rete import Network

ASKED = 20


def why_not(rules: int) -> None:
    """Print what explaining every rule costs, for sessions of 200 events."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        generate.write(replace(DEFAULT, sessions=ASKED, events=200 * ASKED, rules=rules), folder)
        program = translation.program(folder)
        raw = translation.lines(folder)
    network = Network.build(program)
    memories = list(fed(network, raw).values())
    first: float | None = None
    spent = []
    for memory in memories:
        began = time.process_time()
        view = network.view(memory, memory.clock or 0, {}, no_model)
        told = [view.explain(rule) for rule in program.rules]
        spent.append(time.process_time() - began)
        first = first or spent[0]
        if len(told) != rules:
            raise SystemExit("a rule was not explained")
    began = time.process_time()
    for line in raw:
        json.loads(line)
    decoding = (time.process_time() - began) / ASKED
    middle = statistics.median(spent)
    print(
        f"  why not over {rules} rules: {1000 * middle:.2f} ms of CPU (the first, which makes the sentences, "
        f"{1000 * (first or 0):.1f}), {1e6 * middle / rules:.2f} us a rule; {middle / decoding:.1f} times a json.loads of "
        "the session's 200 events"
    )


def compiling(rules: int) -> None:
    """Print what compiling costs, and a reload that changes one rule."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        generate.write(replace(DEFAULT, sessions=ASKED, events=200 * ASKED, rules=rules), folder)
        sources = translation.sources(folder)
        raw = translation.lines(folder)
    began = time.process_time()
    for text in sources.values():
        yaml.load(text, Loader=yaml.CSafeLoader)
    parse = time.process_time() - began
    gc.collect()
    began = time.process_time()
    checked = check(sources)
    checking = time.process_time() - began
    if checked.program is None:
        raise SystemExit("the rules were refused")
    began = time.process_time()
    network = Network.build(checked.program, "before")
    building = time.process_time() - began
    print(
        f"  compiling {rules} rules: {checking + building:.2f} s of CPU (check {checking:.2f}, network {building:.2f}), "
        f"{(checking + building) / parse:.1f} times a libyaml parse ({parse:.2f} s)"
    )
    memories = list(fed(network, raw).values())
    snapshots = [network.snapshot(memory) for memory in memories]
    file = max(name for name in sources if name.startswith("shop"))
    changed = {**sources, file: sources[file].replace("at_least: 1}", "at_least: 2}", 1)}
    if changed == sources:
        raise SystemExit("no rule was changed")
    began = time.process_time()
    again = check(changed)
    if again.program is None:
        raise SystemExit("the changed rules were refused")
    rechecking = time.process_time() - began
    ancestry = {"before": network.rule_digests}
    reloaded = Network.build(again.program, "after", ancestry)
    spent = time.process_time() - began
    began = time.process_time()
    for snapshot in snapshots:
        reloaded.restore(snapshot)
    restore = (time.process_time() - began) / len(snapshots)
    began = time.process_time()
    for snapshot in snapshots:
        network.restore(snapshot)
    same = (time.process_time() - began) / len(snapshots)
    print(
        f"  a reload that changes one of {rules}: {1000 * spent:.0f} ms of CPU (check {1000 * rechecking:.0f}); a session "
        f"is restored into it in {1e6 * restore:.0f} us, {restore / same:.1f} times a restore into the same"
    )


def main() -> None:
    """Run as a program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rules", type=int, default=1_000)
    parser.add_argument("--compile", type=int, default=10_000)
    options = parser.parse_args()
    print("questions beside the stream")
    why_not(options.rules)
    compiling(options.compile)


if __name__ == "__main__":
    main()
