"""How strong are generated cases: `python -m tests.mutants.counting --seconds 5`.

Prints one line of JSON for each mutant: its name, how many generated rulesets notice it with one of their histories, how
many cases were played, and the CPU seconds that took, those of reading the sources aside. The conformance corpus has no say here.
Each is played for so many seconds, and longer as long as nothing notices it. Last how many are noticed, and the sum over all
mutants of the CPU seconds for each time that one is.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import signal
import sys
import time
from typing import Any

from tests.mutants.hunt import Finder, tell
from tests.mutants.mutants import MUTANTS, Mutant

LONGEST = 10
"""CPU seconds for one case: a mutant that makes the network run for ever is noticed by that."""

Noticed = tuple[int, int, float]
"""Rulesets, cases, CPU seconds."""


def noticed(mutant: Mutant | None, first: int, seconds: float, longest: float) -> Noticed:
    """How often a mutant is noticed, in a process of its own."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        os.write(write, json.dumps(_notice(mutant, first, seconds, longest)).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        found: list[Any] = json.loads(pipe.read())
    os.waitpid(child, 0)
    return found[0], found[1], found[2]


def _notice(mutant: Mutant | None, first: int, seconds: float, longest: float) -> Noticed:
    def too_long(*_: Any) -> None:
        raise TimeoutError

    if mutant is not None:
        sys.meta_path.insert(0, Finder(mutant))
    signal.signal(signal.SIGVTALRM, too_long)
    try:
        from tests.generative.fuzz import Options, problem_of_seed
    except Exception:  # noqa: BLE001 - what can't be imported is noticed at once
        return 1, 0, 0.0
    options = Options()
    gc.disable()  # as in a long run
    began, spent, number, found = time.process_time(), 0.0, 0, set[int]()
    while spent < seconds or (not found and spent < longest):
        signal.setitimer(signal.ITIMER_VIRTUAL, LONGEST)
        if problem_of_seed(first + number, options) is not None:
            found.add((first + number) // options.histories)
        number += 1
        if number % 200 == 0:
            gc.collect()
        spent = time.process_time() - began
    signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    return len(found), number, round(spent, 2)


def main() -> None:
    """Count, and tell."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", help="parts of names; all mutants when absent")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=5, help="CPU seconds for each mutant")
    parser.add_argument("--longest", type=float, default=30, help="as long as nothing notices it")
    given = parser.parse_args()
    total, some, every = 0.0, 0, 0
    for mutant in MUTANTS:
        if not given.names or any(each in mutant.name for each in given.names):
            found = noticed(mutant, given.seed, given.seconds, given.longest)
            tell(mutant.name, found)
            every, some = every + 1, some + (found[0] > 0)
            total += found[2] / max(1, found[0])
    tell("noticed", [some, every])
    tell("CPU seconds for each time", round(total, 2))


if __name__ == "__main__":
    main()
