"""How strong are generated cases: `python -m tests.mutants.counting --seeds 0 100000 200000 --seconds 30`.

Prints one line of JSON for each mutant: its name, and for each first seed the number of the generated case that notices
it (the conformance corpus has no say here) and the CPU seconds until then, those of reading the sources aside; null where
none does in so many seconds. Last how many mutants the median seed notices, and the sum of its seconds over all mutants.
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

LONGEST = 20
"""CPU seconds for one case: a mutant that makes the network run for ever is noticed by that."""


Noticed = tuple[int, float]
"""By which case, after how many CPU seconds."""


def noticed(mutant: Mutant | None, first: int, seconds: float) -> Noticed | None:
    """What notices a mutant, in a process of its own."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        os.write(write, json.dumps(_notice(mutant, first, seconds)).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        found: list[Any] | None = json.loads(pipe.read())
    os.waitpid(child, 0)
    return (found[0], found[1]) if found is not None else None


def _notice(mutant: Mutant | None, first: int, seconds: float) -> Noticed | None:
    def too_long(*_: Any) -> None:
        raise TimeoutError

    if mutant is not None:
        sys.meta_path.insert(0, Finder(mutant))
    signal.signal(signal.SIGVTALRM, too_long)
    try:
        from tests.generative.fuzz import Options, problem_of_seed
    except Exception:  # noqa: BLE001 - what can't be imported is noticed at once
        return 1, 0.0
    options = Options()
    gc.disable()  # as in a long run
    began, number = time.process_time(), 0
    while time.process_time() - began < seconds:
        signal.setitimer(signal.ITIMER_VIRTUAL, LONGEST)
        number += 1
        if problem_of_seed(first + number - 1, options) is not None:
            return number, round(time.process_time() - began, 3)
        if number % 200 == 0:
            gc.collect()
    return None


def main() -> None:
    """Count, and tell."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", help="parts of names; all mutants when absent")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 100_000, 200_000])
    parser.add_argument("--seconds", type=float, default=30, help="CPU seconds for each mutant and seed")
    given = parser.parse_args()
    medians: list[float] = []
    for mutant in MUTANTS:
        if not given.names or any(each in mutant.name for each in given.names):
            found = [noticed(mutant, first, given.seconds) for first in given.seeds]
            after = sorted(given.seconds if each is None else each[1] for each in found)
            medians.append(after[len(after) // 2])
            tell(mutant.name, found)
    tell("noticed", sum(each < given.seconds for each in medians))
    tell("sum of the medians", round(sum(medians), 1))


if __name__ == "__main__":
    main()
