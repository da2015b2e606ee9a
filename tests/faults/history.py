"""Events for the runs with faults: duplicates, disorder, late ones, records that are no events. Seeded."""

from __future__ import annotations

import random
from collections.abc import Iterator

import msgspec

from engine.event import RawEvent
from engine.ports import NewRecord

NOON = 1_700_000_000_000
LATENESS_MS = 60_000
STEP_MS = 1_000
SESSIONS = 200
"""At once; each is followed by another after a while, so that sessions begin and end throughout."""

DUPLICATES = 0.10
POISON = 0.01
LATE = 0.01


def history(seed: int) -> Iterator[NewRecord]:
    """Without end: 10 % are sent twice, all are shuffled within the lateness, 1 % come too late, 1 % are no events."""
    rng = random.Random(seed)
    number = 0
    kept: list[NewRecord] = []
    while True:
        chunk: list[tuple[int, NewRecord]] = []
        for _ in range(100):
            number += 1
            session = f"s{seed}-{number // 4_000}-{rng.randrange(SESSIONS)}"
            time = NOON + number * STEP_MS
            if rng.random() < LATE:
                time -= 3 * LATENESS_MS
            event = RawEvent("seen", session, f"e{seed}-{number}", time, rng.choice((None, "c1")), {"product": "p"})
            record = NewRecord(session, msgspec.json.encode(event))
            kept.append(record)
            chunk.append((number + rng.randrange(40), record))
            if rng.random() < DUPLICATES:
                chunk.append((number + rng.randrange(80), rng.choice(kept)))
            if rng.random() < POISON:
                chunk.append((number, NewRecord(session, b"poison %d" % number)))
        del kept[:-1_000]
        for _, record in sorted(chunk, key=lambda each: each[0]):
            yield record
