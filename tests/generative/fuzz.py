"""Many generated cases: `python -m tests.generative.fuzz --cases 10000 --seed 1 --jobs 2`.

A case is one generated ruleset with one generated history of its own: 3 to 16 things that happen, which are events, some
late or of one moment, changes of facts, steps of the clock, snapshots that are restored, and reloads, with a request after every
second of them. Eight cases share a ruleset and its revision. Of one ruleset of eight, one rule after the other is edited, twelve times
and between any two things that happen. One of sixteen is played in a session that keeps few events, with
up to twice as many things that happen. The network and the naive evaluator must say the same.

Played in as many processes as there are cores. With `--ledger FILE` what was played is noted, and the same call goes on
where it stopped. A case that goes wrong is made smaller and printed as a bundle and its events; the exit code is 1 then.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from random import Random

from tests.generative.agreement import Case
from tests.generative.bounded import BoundedCase
from tests.generative.compiling import Compiler
from tests.generative.drawing import Ruleset, Story, draw_ruleset
from tests.generative.ledger import Ledger, Stretch
from tests.generative.shrinking import shrink
from tests.generative.words import PATTERNS
from tests.generative.written import written

BATCH = 200
"""Cases that a process takes at a time."""


FEWEST, STEPS = 3, 16
"""Things that happen in a history at least, and at most."""

HISTORIES = 8
"""Cases that share a ruleset, each with a history of its own."""

EDITS = 12
"""Revisions of one of eight rulesets, each of which differs from the one before in one rule."""

KEPT = (2, 3, 5, 8)
"""Events that a session keeps, in one of sixteen rulesets."""


@dataclass(frozen=True)
class Options:
    """How cases are drawn."""

    steps: int = STEPS
    patterns: frozenset[str] = PATTERNS
    reports_every: int = 6
    histories: int = HISTORIES

    def name(self) -> str:
        """What a ledger says of them."""
        return (
            f"{self.histories} histories of {FEWEST} to {self.steps} steps for a ruleset, reports of every {self.reports_every}th "
            f"look, edited between, {' '.join(sorted(self.patterns)) or 'no patterns'}"
        )


@lru_cache(maxsize=4)
def ruleset_of(number: int, words: frozenset[str]) -> Ruleset:
    """The ruleset of so many cases: of ten, one is wild and two are plain; every second has patterns."""
    patterns = words if number % 2 else frozenset[str]()
    if is_bounded(number):
        keeps = KEPT[number // 16 % len(KEPT)]
        return draw_ruleset(Random(number), wild=False, plain=False, patterns=words, keep_events=keeps)
    chain = is_chain(number)
    edits = EDITS if chain else 1
    wild, plain = number % 10 == 0, number % 10 > 7
    return draw_ruleset(Random(number), wild=wild, plain=plain, patterns=patterns, edits=edits, is_chain=chain)


def is_chain(number: int) -> bool:
    """Whether the rules of a ruleset are edited, one after the other, between one thing that happens and the next."""
    return number % 16 in {3, 12}  # with patterns and without; others than those of the seeds that are named as found


def is_bounded(number: int) -> bool:
    """Whether the sessions of a ruleset keep few events."""
    return number % 16 == 7


def story_of(seed: int, options: Options) -> Story:
    """The story of a seed."""
    ruleset = ruleset_of(seed // options.histories, options.patterns)
    random = Random(f"history {seed}")
    if is_bounded(seed // options.histories):
        # So many that something has to go.
        return ruleset.story(random, random.randint(options.steps // 2, 2 * options.steps))
    # Few things more often than many: defects that need many are few, and what happens last costs most.
    steps = min(random.randint(FEWEST, options.steps), random.randint(FEWEST, options.steps))
    return ruleset.story(random, steps)


_COMPILER = Compiler()


def problem_of(story: Story, reports_every: int = 1, *, is_bounded: bool = False) -> Exception | None:
    """What goes wrong in it; of a session that keeps few events, whether all is exact or unknown."""
    try:
        if is_bounded:
            BoundedCase(story, _COMPILER).play()
        else:
            Case(story, reports_every, _COMPILER).play()
    except Exception as problem:  # noqa: BLE001 - whatever it is, it is a finding
        return problem
    return None


def problem_of_seed(seed: int, options: Options) -> Exception | None:
    """What goes wrong with a seed."""
    return problem_of(story_of(seed, options), options.reports_every, is_bounded=is_bounded(seed // options.histories))


def run(work: tuple[range, Options]) -> Stretch:
    """Play a batch."""
    seeds, options = work
    gc.disable()  # a batch leaves little behind, and to look through it all the time costs more than to play it
    began = time.process_time()
    wrong = []
    for seed in seeds:
        problem = problem_of_seed(seed, options)
        if problem is not None:
            wrong.append(seed)
            print(f"seed {seed}: {type(problem).__name__}: {str(problem).strip()[-400:]}", flush=True)
    gc.collect()
    return Stretch(seeds.start, len(seeds), options.name(), tuple(wrong), time.process_time() - began)


def main() -> int:
    """Play them, and tell."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, help="of the first case, the others follow; by the time of day when absent")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--ledger", type=Path, help="file of what was played: the same call goes on where it stopped")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin nothing more after so long")
    parser.add_argument("--steps", type=int, default=STEPS, help="most things that happen in a history")
    parser.add_argument(
        "--patterns", action=argparse.BooleanOptionalAction, default=True, help="in every second ruleset"
    )
    parser.add_argument(
        "--reports-every", type=int, default=Options.reports_every, help="of so many looks one compares reports, too"
    )
    parser.add_argument("--most-failures", type=int, default=1)
    parser.add_argument("--shrink-seconds", type=float, default=60)
    given = parser.parse_args()
    first = given.seed if given.seed is not None else time.time_ns() // 1_000_000 % 1_000_000_000
    options = Options(given.steps, PATTERNS if given.patterns else frozenset(), given.reports_every)
    ledger = Ledger(given.ledger)
    print(f"{given.cases:,} cases from seed {first} in {given.jobs} processes: {options.name()}", flush=True)
    began = told = time.monotonic()

    def batches() -> Iterator[tuple[range, Options]]:
        for part in list(ledger.left(range(first, first + given.cases), options.name())):
            for at in range(part.start, part.stop, BATCH):
                if time.monotonic() - began > given.seconds:
                    return
                yield range(at, min(at + BATCH, part.stop)), options

    wrong: list[int] = []
    for stretch in _results(batches(), given.jobs):
        ledger.add(stretch)
        wrong += stretch.wrong
        if time.monotonic() - told > 10:
            told = time.monotonic()
            print(ledger.total(), flush=True)
        if len(wrong) >= given.most_failures:
            break
    print(f"{ledger.total()}; this run took {time.monotonic() - began:.0f} s")
    if wrong:
        show(wrong[0], options, given.shrink_seconds)
    return 1 if wrong else 0


def _results(work: Iterator[tuple[range, Options]], jobs: int) -> Iterator[Stretch]:
    """In the order in which they come; no more is handed out than can be played soon."""
    if jobs == 1:
        yield from map(run, work)
        return
    with multiprocessing.get_context("fork").Pool(jobs) as pool:
        waiting = [pool.apply_async(run, (each,)) for each, _ in zip(work, range(2 * jobs), strict=False)]
        while waiting:
            ready = waiting.pop(0)
            yield ready.get()
            following = next(work, None)
            if following is not None:
                waiting.append(pool.apply_async(run, (following,)))


def show(seed: int, options: Options, seconds: float) -> None:
    """Print a seed's story as small as it gets."""
    story = story_of(seed, options)
    keeps_few = is_bounded(seed // options.histories)
    first = problem_of(story, is_bounded=keeps_few)
    kind = type(first)

    def goes_wrong(other: Story) -> bool:
        return type(problem_of(other, is_bounded=keeps_few)) is kind

    small = shrink(story, goes_wrong, seconds) if first is not None else story
    print(
        f"\n# seed {seed}, made smaller: {kind.__name__}: {str(problem_of(small, is_bounded=keeps_few)).strip()[-600:]}\n"
    )
    for name, text in written(small).items():
        print(f"# ---- {name}\n{text}")


if __name__ == "__main__":
    sys.exit(main())
