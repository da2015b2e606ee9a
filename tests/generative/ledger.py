"""Which generated cases were played: a file with a line for each stretch, so that a long run goes on where it stopped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Stretch:
    """Cases that were played one after the other.

    Attributes:
        first: Their first seed.
        cases: How many.
        options: How they were drawn; cases of other options are others.
        wrong: The seeds that went wrong.
        cpu_seconds: What they took.
    """

    first: int
    cases: int
    options: str
    wrong: tuple[int, ...]
    cpu_seconds: float


class Ledger:
    """The stretches of a file; without a file, of this run alone."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        lines = path.read_text().splitlines() if path is not None and path.exists() else []
        self.stretches = [Stretch(**json.loads(line)) for line in lines]

    def add(self, stretch: Stretch) -> None:
        """Note what was played."""
        self.stretches.append(stretch)
        if self._path is not None:
            with self._path.open("a") as file:
                file.write(json.dumps(asdict(stretch)) + "\n")

    def left(self, wanted: range, options: str) -> Iterator[range]:
        """The parts of a range of seeds that were not played yet."""
        at = wanted.start
        for each in sorted(self.stretches, key=lambda each: each.first):
            if each.options == options and each.first + each.cases > at:
                if each.first >= wanted.stop:
                    break
                if each.first > at:
                    yield range(at, each.first)
                at = each.first + each.cases
        if at < wanted.stop:
            yield range(at, wanted.stop)

    def total(self) -> str:
        """All of them in a sentence; of each seed, what was played last counts."""
        if not self.stretches:
            return "no case was played"
        cases = sum(each.cases for each in self.stretches)
        seconds = sum(each.cpu_seconds for each in self.stretches)
        first, last = (
            min(each.first for each in self.stretches),
            max(each.first + each.cases for each in self.stretches) - 1,
        )
        wrong = sorted({seed for each in self.stretches for seed in each.wrong})
        named = f" ({', '.join(map(str, wrong[:20]))})" if wrong else ""
        return (
            f"{cases:,} cases, seeds {first} to {last}: {len(wrong)} differences{named}, {seconds / 3600:.2f} CPU hours, "
            f"{cases / seconds if seconds else 0:.1f} cases a CPU second"
        )
