"""How strong are generated cases: `python -m tests.mutants.counting --seeds 0 100000 200000 --most 1500`.

Prints one line of JSON for each mutant: its name, and for each first seed the number of the generated case that notices
it (the conformance corpus has no say here); null where so many cases do not. Last the sum of the medians.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import sys
from typing import Any

from tests.mutants.hunt import Finder, tell
from tests.mutants.mutants import MUTANTS, Mutant

LONGEST = 20
"""CPU seconds for one case: a mutant that makes the network run for ever is noticed by that."""


def cases_until(mutant: Mutant | None, first: int, most: int) -> int | None:
    """The number of the generated case that notices a mutant, in a process of its own."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        os.write(write, str(_count(mutant, first, most)).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        found = int(pipe.read())
    os.waitpid(child, 0)
    return found or None


def _count(mutant: Mutant | None, first: int, most: int) -> int:
    """So many; 0 where none notices it."""

    def too_long(*_: Any) -> None:
        raise TimeoutError

    if mutant is not None:
        sys.meta_path.insert(0, Finder(mutant))
    signal.signal(signal.SIGVTALRM, too_long)
    try:
        from tests.generative.fuzz import Options, problem_of_seed
        from tests.generative.words import PATTERNS
    except Exception:  # noqa: BLE001 - what can't be imported is noticed at once
        return 1
    options = Options(14, PATTERNS, reports_every=4)
    for number in range(most):
        signal.setitimer(signal.ITIMER_VIRTUAL, LONGEST)
        if problem_of_seed(first + number, options) is not None:
            return number + 1
    return 0


def main() -> None:
    """Count, and tell."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", help="parts of names; all mutants when absent")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 100_000, 200_000])
    parser.add_argument("--most", type=int, default=1_500)
    given = parser.parse_args()
    total = 0.0
    for mutant in MUTANTS:
        if not given.names or any(each in mutant.name for each in given.names):
            found = [cases_until(mutant, first, given.most) for first in given.seeds]
            total += statistics.median(each or given.most for each in found)
            tell(mutant.name, found)
    tell("sum of the medians", total)


if __name__ == "__main__":
    main()
