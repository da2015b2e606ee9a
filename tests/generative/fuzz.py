"""Many generated cases: `python -m tests.generative.fuzz --cases 10000 --seed 1 --jobs 2`.

A case is one generated ruleset with one generated history: its events, some late or of one moment, changes of facts,
steps of the clock, snapshots that are restored, reloads, and requests. Eight cases share a ruleset and its revisions,
one of sixteen is played in a session that keeps few events. The network and the naive evaluator must say the same.

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

from engine.language.tree import Program
from engine.rete.compilation import Compiled, compile_program
from tests.generative.agreement import Case
from tests.generative.bounded import run_bounded_case
from tests.generative.drawing import Ruleset, Story, draw_ruleset
from tests.generative.ledger import Ledger, Stretch
from tests.generative.shrinking import shrink
from tests.generative.words import PATTERNS
from tests.generative.written import written

BATCH = 200
"""Cases that a process takes at a time."""


@dataclass(frozen=True)
class Options:
    """How cases are drawn."""

    steps: int
    patterns: frozenset[str]
    reports_every: int

    def name(self) -> str:
        """What a ledger says of them."""
        return f"{self.steps} steps, {' '.join(sorted(self.patterns))}, reports of every {self.reports_every}th look"


HISTORIES = 8
"""Cases that share a ruleset, each with a history of its own."""


@lru_cache(maxsize=4)
def ruleset_of(number: int, words: frozenset[str]) -> Ruleset:
    """The ruleset of so many cases: of ten, one is wild and two are plain; every second has patterns."""
    patterns = words if number % 2 else frozenset[str]()
    return draw_ruleset(Random(number), wild=number % 10 == 0, plain=number % 10 > 7, patterns=patterns)


def story_of(seed: int, options: Options) -> Story:
    """The story of a seed."""
    ruleset = ruleset_of(seed // HISTORIES, options.patterns)
    return ruleset.story(Random(f"history {seed}"), options.steps)


@lru_cache(maxsize=12)
def _compiled(program: SameProgram) -> Compiled:
    return compile_program(program.program)


class SameProgram:
    """A program that equals nothing but itself: to compare programs costs as much as to compile one."""

    def __init__(self, program: Program) -> None:
        self.program = program

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SameProgram) and other.program is self.program

    def __hash__(self) -> int:
        return id(self.program)


def problem_of(story: Story, reports_every: int = 1) -> Exception | None:
    """What goes wrong in it."""
    try:
        Case(story, reports_every, lambda program: _compiled(SameProgram(program))).play()
    except Exception as problem:  # noqa: BLE001 - whatever it is, it is a finding
        return problem
    return None


def problem_of_seed(seed: int, options: Options) -> Exception | None:
    """What goes wrong with a seed; one of sixteen is played in a session that keeps few events."""
    if seed % 16 == 7:
        try:
            run_bounded_case(Random(seed), (3, 6, 10, 500)[seed // 16 % 4], patterns=PATTERNS)
        except Exception as problem:  # noqa: BLE001 - as above
            return problem
        return None
    return problem_of(story_of(seed, options), options.reports_every)


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
    parser.add_argument("--steps", type=int, default=14)
    parser.add_argument(
        "--patterns", action=argparse.BooleanOptionalAction, default=True, help="in every second ruleset"
    )
    parser.add_argument("--reports-every", type=int, default=4, help="of so many looks one compares reports, too")
    parser.add_argument("--most-failures", type=int, default=1)
    parser.add_argument("--shrink-seconds", type=float, default=60)
    given = parser.parse_args()
    first = given.seed if given.seed is not None else time.time_ns() // 1_000_000 % 1_000_000_000
    options = Options(given.steps, PATTERNS if given.patterns else frozenset(), given.reports_every)
    ledger = Ledger(given.ledger)
    print(f"{given.cases:,} cases from seed {first} in {given.jobs} processes", flush=True)
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
    if seed % 16 == 7:
        print(f"seed {seed} is of a session that keeps few events: run_bounded_case draws it again")
        return
    story = story_of(seed, options)
    first = problem_of(story)
    kind = type(first)

    def goes_wrong(other: Story) -> bool:
        return type(problem_of(other)) is kind

    small = shrink(story, goes_wrong, seconds) if first is not None else story
    print(f"\n# seed {seed}, made smaller: {kind.__name__}: {str(problem_of(small)).strip()[-600:]}\n")
    for name, text in written(small).items():
        print(f"# ---- {name}\n{text}")


if __name__ == "__main__":
    sys.exit(main())
