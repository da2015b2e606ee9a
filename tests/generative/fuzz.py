"""Many generated cases, fast: `python -m tests.generative.fuzz --cases 10000 --seed 1`. Prints the seed of a failure."""

from __future__ import annotations

import argparse
import time
from random import Random

from tests.generative.agreement import run_case
from tests.generative.words import PATTERNS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=0, help="of the first case; the others follow")
    parser.add_argument("--steps", type=int, default=14)
    parser.add_argument("--patterns", action=argparse.BooleanOptionalAction, default=True, help="in every second case")
    parser.add_argument("--most-failures", type=int, default=1)
    options = parser.parse_args()
    began = time.monotonic()
    failures = 0
    for seed in range(options.seed, options.seed + options.cases):
        try:
            patterns = PATTERNS if options.patterns and seed % 2 else frozenset[str]()
            run_case(Random(seed), wild=seed % 10 == 0, plain=seed % 10 > 7, steps=options.steps, patterns=patterns)
        except Exception as problem:
            failures += 1
            print(f"seed {seed}: {type(problem).__name__}: {problem}", flush=True)
            if failures >= options.most_failures:
                raise
        if (seed - options.seed) % 5_000 == 4_999:
            print(f"{seed - options.seed + 1} cases, {failures} failures", flush=True)
    print(f"{options.cases} cases from seed {options.seed}, {failures} failures, {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
