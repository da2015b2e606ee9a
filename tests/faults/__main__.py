"""`make faults`: kill everything, and print what was promised beside what was seen. Ends with 1 where a promise was broken.

    python -m tests.faults --seed 1 --minutes 30 --rows 1,3,4 --client librdkafka

Rows share the minutes; with enough of them each makes the full count of faults.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import get_args

from connectors.kafka_port import ClientName
from tests.faults import scenarios
from tests.faults.api import limits, outages, overload
from tests.faults.installation import Cluster
from tests.faults.reloads import reloads
from tests.faults.scenarios import Bounds, Row, Scenario

PLAN: list[tuple[str, Scenario, int, float, str]] = [
    ("1", scenarios.killed_workers, 500, 0.35, "one"),
    ("3", scenarios.lost_tail, 100, 0.12, "one"),
    ("cluster", scenarios.clustered, 60, 0.10, "one"),
    ("4", scenarios.zombies, 100, 0.20, "one"),
    ("14", reloads, 100, 0.06, "one"),
    ("7", scenarios.power, 3, 0.05, "one"),
    ("10", scenarios.cheap_writes, 40, 0.02, "one"),
    ("6", scenarios.unknown_commits, 200, 0.12, "proxied"),
    ("all", scenarios.everything, 10, 0.05, "proxied"),
    ("5", scenarios.killed_brokers, 20, 0.14, "three"),
]
"""Row, what it does, how many faults at most, its share of the minutes, on which cluster."""
OF_API: list[tuple[str, Callable[[Path, int, Bounds], Iterable[Row]], int, float]] = [
    ("11", outages.redis_gone, 1, 0.04),
    ("12", overload.overload, 1, 0.04),
    ("13", outages.all_gone, 4, 0.03),
    ("14-api", overload.reloads_under_load, 100, 0.06),
    ("15", outages.bad_bundles, 1_000, 0.01),
    ("limits", limits.limits, 60, 0.05),
]
"""The same of the decision API, which needs no cluster."""


def run(folder: Path, seed: int, minutes: float, rows: set[str], library: ClientName) -> Iterable[Row]:
    """Every row asked for, as it is done."""
    asked = [each for each in PLAN if not rows or each[0] in rows]
    of_api = [each for each in OF_API if not rows or each[0] in rows]
    whole = sum(each[3] for each in asked) + sum(each[3] for each in of_api)
    for number, of_the_api, faults, share in of_api:
        yield from of_the_api(folder / f"row-{number}", seed, Bounds(faults, share / whole * minutes * 60))
    for kind in ("one", "proxied", "three"):
        plan = [each for each in asked if each[4] == kind]
        if not plan:
            continue
        with Cluster(folder / kind, 3 if kind == "three" else 1, proxied=kind == "proxied", library=library) as cluster:
            for number, scenario, faults, share, _ in plan:
                bounds = Bounds(faults, share / whole * minutes * 60)
                yield from scenario(folder / f"row-{number}", cluster, seed, bounds)


def main() -> int:
    """Run and print; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--minutes", type=float, default=30, help="for making faults; starting and comparing comes on top"
    )
    parser.add_argument(
        "--rows",
        default="",
        help=f"only these, of {','.join([each[0] for each in PLAN] + [each[0] for each in OF_API])}",
    )
    parser.add_argument("--client", choices=get_args(ClientName), default="kafka-python", help="the client of Kafka")
    options = parser.parse_args()
    for library in ("kafka", "librdkafka", "salience"):
        logging.getLogger(library).setLevel(logging.CRITICAL + 1)
    began, is_kept = time.monotonic(), True
    with tempfile.TemporaryDirectory(prefix="salience-faults-") as folder:
        print(
            f"{options.client}, seed {options.seed}\n| row | promise | faults | seen | kept |\n|---|---|---|---|---|",
            flush=True,
        )
        rows = set(filter(None, options.rows.split(",")))
        for row in run(Path(folder), options.seed, options.minutes, rows, options.client):
            is_kept = is_kept and row.is_kept
            kept = "yes" if row.is_kept else "NO"
            print(f"| {row.number} | {row.promise} | {row.faults} | {row.figure} | {kept} |", flush=True)
    print(f"{time.monotonic() - began:.0f} s")
    return 0 if is_kept else 1


if __name__ == "__main__":
    sys.exit(main())
