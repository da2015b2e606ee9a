"""A worker under a steady load for as long as asked, with what it and Redis hold: `python -m benchmarks.stream.endurance --minutes 60`.

Sessions come and end all the time, and time passes in the events some hundred times as fast as on the wall: what is held is
constant once the ids of the first events are forgotten, which are kept for 24 to 30 hours, six hours at a time. Ends with 1 where an
event is not applied at the end, or where the worker or Redis held a tenth more at most in the last 30 % of the time than in the 30 % before.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, NamedTuple

import redis

from benchmarks.stream import load
from benchmarks.stream.__main__ import Bench, Place, positions

SAMPLES = 20
COMPARED = 6
"""So many of the last samples are compared with as many before them."""
MOST_GROWTH = 1.1
AT_ONCE = 200
"""Sessions side by side."""
DAYS = 4
"""How long the whole takes by the time of the events."""
SETTLED_S = 60
"""For what was appended last to be applied."""


class Held(NamedTuple):
    """What is held at a moment.

    Attributes:
        events: Applied until then.
        worker_mb: Resident memory of the worker, MB.
        redis_mb: What Redis uses for its data, MB.
        keys: Of Redis.
    """

    events: int
    worker_mb: float
    redis_mb: float
    keys: int


def held(place: Place, pid: int) -> Held:
    """What is held now."""
    status = Path(f"/proc/{pid}/status").read_text("utf-8")
    resident = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))
    with closing(redis.Redis.from_url(place.bench.redis.url)) as client:
        used: Any = client.info("memory")
        keys: Any = client.dbsize()
    return Held(sum(positions(place)), resident / 1024, used["used_memory"] / 2**20, keys)


def run(place: Place, minutes: float, rate: float) -> bool:
    """Feed, sample, compare; whether all is well."""
    worker = place.worker(1 << 60)
    step_ms = int(DAYS * 86_400_000 / (minutes * 60 * rate))
    log = place.wiring.event_log()
    print("| minute | events | worker MB | Redis MB | keys of Redis |\n|---|---|---|---|---|", flush=True)
    samples: list[Held] = []
    began, number = time.monotonic(), 0
    while (now := time.monotonic() - began) < minutes * 60:
        due = int(now * rate)
        if due > number:
            log.append(list(load.records(number, due - number, AT_ONCE, step_ms)), lambda _: None)
            number = due
        if now >= (len(samples) + 1) * minutes * 60 / SAMPLES:
            samples.append(held(place, worker.pid))
            _row(now, samples[-1])
        time.sleep(0.02)
    log.flush(30_000)
    until = time.monotonic() + SETTLED_S
    while sum(positions(place)) < number and time.monotonic() < until:
        time.sleep(0.1)
    samples.append(held(place, worker.pid))
    _row(time.monotonic() - began, samples[-1])
    cost, counts = worker.end()
    former, latter = samples[-2 * COMPARED : -COMPARED], samples[-COMPARED:]
    worker_mb = [max(each.worker_mb for each in part) for part in (former, latter)]
    redis_mb = [max(each.redis_mb for each in part) for part in (former, latter)]
    growth = max(worker_mb[1] / worker_mb[0], redis_mb[1] / redis_mb[0])
    print(
        f"\n{number:,} events sent, {latter[-1].events:,} applied, {counts['triggers']:,} triggers; {cost.micros:.1f} us of CPU an event; "
        f"at most from {former[0].events:,} events on and in the last {COMPARED} samples: worker {worker_mb[0]:.0f} and {worker_mb[1]:.0f} MB, "
        f"Redis {redis_mb[0]:.1f} and {redis_mb[1]:.1f} MB"
    )
    return latter[-1].events == number and growth <= MOST_GROWTH


def _row(seconds: float, found: Held) -> None:
    print(
        f"| {seconds / 60:.0f} | {found.events:,} | {found.worker_mb:.0f} | {found.redis_mb:.1f} | {found.keys:,} |",
        flush=True,
    )


def main() -> int:
    """Run it; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--rate", type=float, default=1_500, help="events a second")
    parser.add_argument("--partitions", type=int, default=8)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="salience-endurance-") as folder, ExitStack() as stack:
        bench = Bench(Path(folder), options.partitions, 0, stack)
        return 0 if run(bench.place(), options.minutes, options.rate) else 1


if __name__ == "__main__":
    sys.exit(main())
