"""What timers that wait cost: `python -m benchmarks.timers [--pending 2000 1000000]`.

So many sessions saw the checkout, and each has a timer for it: who does not buy within a quarter of an hour is reminded.
All of it goes the way of a worker over the embedded stores: read, evaluated, stored. Then further events come while all
those wait, and timers come due, a hundred at a time, in a worker that has just begun (no session is in its memory). The
figures are CPU time; with a scan they would grow with the number of timers.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from connectors.embedded import Embedded
from engine.bundle import Bundle, Revision
from engine.event import RawEvent
from engine.ports import Record
from models.scorer import Scorer
from service.loading import Loaded, compile_bundle
from service.worker.counts import Counts
from service.worker.emission import Emission
from service.worker.equipment import Equipment
from service.worker.messages import tick_record
from service.worker.partition import Partition
from service.worker.stores import Stores

SOURCES = {
    "vocabulary.yaml": """\
currency: EUR
session: {timeout: 4 hours, keep_events: 500}
events:
  page_viewed: {page: text}
  checkout_viewed: {}
  purchase: {}
facts: {}
placements: {}
""",
    "reminders.yaml": """\
ruleset: reminders
rules:
  - rule: still_there
    when: {absence: {of: purchase, after: checkout_viewed, for: 15 minutes}}
    then: [{trigger: still_there}]
""",
}
BEGAN = 1_700_000_000_000
WAIT = 15 * 60_000
BATCH = 500
BATCHES = 20
"""Of events, and of timers that come due; the median counts."""
DUE = 100
"""Timers that come due at a time, and events of a batch that is measured."""
SPACE = 200
"""Milliseconds between two of these."""
LATER = DUE * BATCHES * SPACE
"""When the sessions come whose timers only wait."""
QUIET = LATER + 3 * 60_000
"""When all have come, and none is due."""


class Bench:
    """A partition over stores in a folder."""

    def __init__(self, folder: Path) -> None:
        self._embedded = Embedded(folder, 1)
        state, limits, outputs = self._embedded.state(), self._embedded.limits(), self._embedded.outputs()
        profiles, catalogue = self._embedded.profiles(), self._embedded.catalogue()
        identities = self._embedded.identities()
        self._emission = Emission(outputs)
        self._opened = (state, limits, outputs, profiles, catalogue, identities)
        self._stores = Stores(state, limits, self._emission, identities, None)
        bundle = Bundle(SOURCES)
        compiled = compile_bundle(bundle, {})
        loaded = Loaded(Revision(1, bundle.hash, "", 0, ""), bundle, compiled.program, compiled.network, Scorer({}))
        self._equipment = Equipment.of(loaded, profiles, catalogue, lambda: BEGAN, 0)
        self._generation = self.offset = 0
        self.begin()

    def begin(self) -> None:
        """A worker that has nothing in its memory."""
        self._generation += 1
        self._partition = Partition(0, self._generation, self._stores, 64 << 20)
        self._partition.claim()

    def process(self, values: Sequence[bytes]) -> Counts:
        """Records that follow the last."""
        records = [Record(0, self.offset + number, "k", value, BEGAN) for number, value in enumerate(values)]
        self.offset += len(values)
        return self._partition.process(records, self._equipment)

    def close(self) -> None:
        """Let go of the stores."""
        self._emission.close()
        for each in self._opened:
            each.close()


def events(kind: str, sessions: Iterable[str], times: Iterable[float]) -> list[bytes]:
    """One event of each session."""
    return [
        msgspec.json.encode(RawEvent(kind, session, f"{session}-{kind}-{at}", BEGAN + int(at), None, {}))
        for session, at in zip(sessions, times, strict=False)
    ]


def measured(pending: int) -> tuple[float, float]:
    """Microseconds of CPU for an event, and for a timer that comes due, with so many timers that wait."""
    spent: tuple[list[float], list[float]] = [], []
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(Path(name))
        for start in range(0, pending, BATCH):
            numbers = range(start, min(start + BATCH, pending))
            times = (_begun(each, pending) for each in numbers)
            bench.process(events("checkout_viewed", (f"s{each}" for each in numbers), times))
        bench.begin()
        gc.collect()
        for batch in range(BATCHES):
            values = events("page_viewed", (f"v{each}" for each in range(DUE)), [QUIET + batch] * DUE)
            began = time.process_time()
            bench.process(values)
            spent[0].append((time.process_time() - began) / DUE)
        bench.begin()
        for batch in range(BATCHES):
            value = tick_record(0, 1, BEGAN + WAIT + _begun(DUE * (batch + 1) - 1, pending)).value
            began = time.process_time()
            acted = bench.process([value]).activations
            spent[1].append((time.process_time() - began) / DUE)
            if acted != DUE:
                raise SystemExit(f"{acted} timers acted, not {DUE}")
        bench.close()
    event, expiry = (1e6 * statistics.median(each) for each in spent)
    return event, expiry


def _begun(number: int, pending: int) -> int:
    """When a session saw the checkout: those whose timers come due are as far apart whatever else waits after them."""
    if number < DUE * BATCHES:
        return number * SPACE
    return LATER + (number * (QUIET - LATER)) // pending


def main(arguments: Sequence[str] | None = None) -> None:
    """Run as a program."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pending", type=int, nargs=2, default=[2_000, 1_000_000], metavar=("FEW", "MANY"))
    few, many = parser.parse_args(arguments).pending
    if min(few, many) < DUE * BATCHES:
        parser.error(f"{DUE * BATCHES:,} timers come due, so that many are the fewest")
    print("timers that wait")
    one, other = measured(few), measured(many)
    for what, before, after in zip(("an event", "a timer that comes due"), one, other, strict=True):
        print(f"  {what}: {before:.1f} us of CPU with {few:,}, {after:.1f} with {many:,}: {after / before:.2f} times")


if __name__ == "__main__":
    main()
