"""A worker under a steady load for as long as asked, with what it and Redis hold: `python -m benchmarks.stream.endurance --minutes 60`.

Sessions come and end all the time, and time passes in the events some hundred times as fast as on the wall: what is held is
constant once the ids of the first events, which are kept for 24 to 30 hours, are forgotten. Ends with 1 where an event is not
applied at the end, or where the worker or Redis grew by more than a tenth after the first 40 % of the time.
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
FULL = 8
"""The sample from which on what is held must not grow."""
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
    first, last = samples[FULL], samples[-1]
    growth = max(last.worker_mb / first.worker_mb, last.redis_mb / first.redis_mb)
    print(
        f"\n{number:,} events sent, {last.events:,} applied, {counts['triggers']:,} triggers; {cost.micros:.1f} us of CPU an event; "
        f"from {first.events:,} events on: worker {first.worker_mb:.0f} -> {last.worker_mb:.0f} MB, "
        f"Redis {first.redis_mb:.1f} -> {last.redis_mb:.1f} MB"
    )
    return last.events == number and growth <= MOST_GROWTH


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
        bench = Bench(Path(folder), options.partitions, 500, stack)
        return 0 if run(bench.place(), options.minutes, options.rate) else 1


if __name__ == "__main__":
    sys.exit(main())
