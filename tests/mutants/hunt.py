"""Hunts mutants: `python -m tests.mutants.hunt [NAME...]`. Prints one line of JSON for each: its name, and what noticed it;
first, where none is named, for the network as it is, of which nothing must be noticed.

Each lives in a fork of its own, which reads the mutated source in the place of the real one, and is held against the
conformance corpus, then against generated cases, until the first difference.
"""

from __future__ import annotations

import contextlib
import importlib.abc
import importlib.machinery
import importlib.util
import io
import json
import os
import resource
import sys
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

# Read once by the parent: nothing of it imports the engine.
import hypothesis  # noqa: F401 - as above
import msgspec  # noqa: F401 - as above
import pytest  # noqa: F401 - as above
import re2  # noqa: F401 - as above
import yaml  # noqa: F401 - as above

from tests.mutants.mutants import MUTANTS, Mutant

RETE = Path(__file__).parents[2] / "engine" / "rete"
NO_MUTANT = "no mutant"
CASES = 160
"""Generated cases for each mutant; most are noticed by the corpus, the others within the first few dozen."""
LONGEST = 45
"""CPU seconds for one mutant, some four times what the whole takes: one that makes the network run for ever is noticed by that."""


class Mutated(importlib.machinery.SourceFileLoader):
    """Reads a module with one text replaced."""

    def __init__(self, fullname: str, mutant: Mutant) -> None:
        super().__init__(fullname, str(RETE / mutant.file))
        self.mutant = mutant

    def get_code(self, fullname: str) -> types.CodeType:
        source = (RETE / self.mutant.file).read_text()
        return compile(source.replace(self.mutant.before, self.mutant.after), self.path, "exec")


class Finder(importlib.abc.MetaPathFinder):
    """Finds the mutated module before anybody else finds the real one."""

    def __init__(self, mutant: Mutant) -> None:
        self.mutant = mutant
        self.name = f"engine.rete.{mutant.file.removesuffix('.py').replace('/', '.')}"

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: Any = None) -> Any:
        if fullname != self.name:
            return None
        return importlib.util.spec_from_file_location(
            fullname, RETE / self.mutant.file, loader=Mutated(fullname, self.mutant)
        )


def difference() -> str | None:
    """What the corpus and generated cases notice first; None where all is as it should be."""
    from tests.conformance.cases import NAMES
    from tests.conformance.playing import InNetwork
    from tests.conformance.test_evaluation import holds_up
    from tests.generative.agreement import run_case
    from tests.generative.bounded import run_bounded_case
    from tests.generative.found import FOUND_BY_FUZZ, run_seed
    from tests.generative.words import PATTERNS

    for restoring in (True, False):
        for name in NAMES:
            with noticing(f"the case {name}"):
                played = InNetwork(name, restoring=restoring)
                played.play()
                holds_up(name, played)
    for seed in range(CASES):
        with noticing(f"the generated case {seed}"):
            run_case(
                Random(seed), wild=seed % 10 == 0, plain=seed % 10 > 7, patterns=PATTERNS if seed % 2 else frozenset()
            )
            if seed % 4 == 0:
                run_bounded_case(Random(seed), 3)
    for found in FOUND_BY_FUZZ.values():
        with noticing(f"the seed {found} that a long run found"):
            run_seed(found)
    return None


class NoticedError(Exception):
    """Something is not as it should be."""


@contextlib.contextmanager
def noticing(what: str) -> Any:
    try:
        yield
    except Exception as problem:
        raise NoticedError(what) from problem


def in_a_fork(look: Callable[[], str | None]) -> str | None:
    """What `look` notices, in a process of its own."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_CPU, (LONGEST, LONGEST))
        os.close(read)
        found = ""
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                found = look() or ""
        except NoticedError as noticed:
            found = str(noticed)
        except BaseException as problem:  # noqa: BLE001 - whatever a mutant breaks is noticed
            found = f"{type(problem).__name__}: {problem}"
        os.write(write, found.encode()[:1_000])
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        found = pipe.read().decode()
    _, status = os.waitpid(child, 0)
    return f"its {LONGEST} seconds were over" if os.WIFSIGNALED(status) else found or None


def hunt(mutant: Mutant) -> str | None:
    """What notices a mutant; None where it survives."""

    def look() -> str | None:
        sys.meta_path.insert(0, Finder(mutant))
        return difference()

    return in_a_fork(look)


def main() -> None:
    """Hunt the mutants that are named as arguments; all of them, and before them what nobody changed, without any."""
    names = sys.argv[1:] or [NO_MUTANT, *(mutant.name for mutant in MUTANTS)]
    mutants = {mutant.name: mutant for mutant in MUTANTS}
    unknown = [name for name in names if name != NO_MUTANT and name not in mutants]
    if unknown:
        sys.exit(f"no mutant is named {unknown[0]!r}; there are: {', '.join(mutants)}")
    for name in names:
        tell(name, in_a_fork(difference) if name == NO_MUTANT else hunt(mutants[name]))


def tell(name: str, noticed: object) -> None:
    sys.stdout.write(json.dumps([name, noticed]) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
