"""What is asked beside the stream: `python -m benchmarks.questions [--rules 1000] [--compile 10000]`.

`why not` over all rules for a session of the shop workload; compiling many rules (checking their text, then building
the network); a reload that changes one of them. Each is given beside the decode of the same session's events or the
parse of the same YAML, so that a ratio can be carried to another machine.
"""

from __future__ import annotations

import argparse
import gc
import json
import re
import statistics
import tempfile
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import yaml

from benchmarks.sessions import fed
from benchmarks.shop import generate, translation
from benchmarks.shop.beside import DEFAULT
from benchmarks.three import no_model
from engine.language import Checked, check
from engine.rete import Memory, Network
from service.collecting import collection_put_off

ASKED = 20
REPEATED = 3


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
    parse, checking, building = [], [], []
    for _ in range(REPEATED):
        checked = network = None  # as a service compiles: without a search for cycles
        gc.collect()
        parse.append(_spent(lambda: [deque(yaml.parse(text, Loader=yaml.CSafeLoader), 0) for text in sources.values()]))
        gc.collect()
        with collection_put_off():
            began = time.process_time()
            checked = check(sources)
            checking.append(time.process_time() - began)
            if checked.program is None:
                raise SystemExit("the rules were refused")
            began = time.process_time()
            network = Network.build(checked.program, "before")
            building.append(time.process_time() - began)
    assert checked is not None
    assert network is not None
    both, events = min(map(sum, zip(checking, building, strict=True))), min(parse)
    print(
        f"  compiling {rules} rules: {both:.2f} s of CPU (check {min(checking):.2f}, network {min(building):.2f}), "
        f"{both / events:.1f} times the events of libyaml's parser ({events:.2f} s); the least of {REPEATED}"
    )
    reloaded = reload_each(edits(sources, "shop", ("at_least: ", "at_least: 1")), checked, network, both)
    going_on(network, reloaded, list(fed(network, raw).values()))


def reload_each(edited: Mapping[str, Mapping[str, str]], checked: Checked, network: Network, both: float) -> Network:
    """Print what a reload to each of some edited folders costs, beside `both`, the seconds of compiling from nothing.

    Returns:
        The network of the last.
    """
    ancestry = {"before": network.rule_digests}
    gc.collect()
    gc.freeze()  # what is there already takes seconds to search, each time
    for what, files in edited.items():
        rechecking, rebuilding = [], []
        for _ in range(ASKED):
            gc.collect()
            began = time.process_time()
            again = check(files, checked)
            rechecking.append(time.process_time() - began)
            if again.program is None:
                raise SystemExit("the edited rules were refused")
            began = time.process_time()
            reloaded = Network.build(again.program, "after", ancestry, network)
            rebuilding.append(time.process_time() - began)
        spent = sorted(map(sum, zip(rechecking, rebuilding, strict=True)))
        print(
            f"  a reload that {what} one of {len(network.rule_digests)}: {1000 * statistics.median(spent):.1f} ms of CPU (check "
            f"{1000 * statistics.median(rechecking):.1f}, network {1000 * statistics.median(rebuilding):.1f}; the most "
            f"of {ASKED} {1000 * spent[-1]:.1f}), {statistics.median(spent) / both:.4f} of compiling"
        )
    gc.unfreeze()
    return reloaded


def going_on(network: Network, reloaded: Network, memories: list[Memory]) -> None:
    """Print what it costs a session to go on in another network, in memory and from its snapshot."""
    snapshots = [network.snapshot(memory) for memory in memories]
    reloaded.restore(snapshots[0])  # what is new is found once for all sessions
    into, same = (
        _spent(lambda: [each.restore(snapshot) for snapshot in snapshots]) / len(snapshots)  # noqa: B023 - called here
        for each in (reloaded, network)
    )
    reloaded.take_over(network.restore(snapshots[0]), network)
    over, stayed = 0.0, 0
    for memory in memories:
        began = time.process_time()
        followed = reloaded.take_over(memory, network)
        over += time.process_time() - began
        stayed += followed is memory
    over /= len(memories)
    print(
        f"  a session after it, {stayed} of {len(memories)} where they are in memory: {1e6 * over:.1f} us to go on, "
        f"{1e6 * into:.1f} us to be restored, {into / same:.2f} times a restore before it"
    )


def edits(sources: Mapping[str, str], prefix: str, change: tuple[str, str]) -> dict[str, dict[str, str]]:
    """The folder with one rule of a file in the middle edited, by what is done to it; the last changes one.

    Args:
        sources: The folder.
        prefix: How the names of files with rules begin.
        change: What of a rule's text becomes what.
    """
    files = sorted(name for name in sources if name.startswith(prefix))
    file = files[len(files) // 2]
    head, *texts = re.split(r"(?m)^(?=  - rule: )", sources[file])
    new = texts[0].replace("- rule: ", "- rule: new_").replace(*change)
    orders = {
        "adds": [new, *texts],
        "removes": [*texts[: len(texts) // 2], *texts[len(texts) // 2 + 1 :]],
        "moves": [texts[-1], *texts[:-1]],
        "changes": [texts[0].replace(*change), *texts[1:]],
    }
    return {what: {**sources, file: "".join([head, *ordered])} for what, ordered in orders.items()}


def _spent(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


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
