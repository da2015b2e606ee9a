"""The tests of meaning would notice a slip in the network: each mutant is noticed by the corpus or a generated case."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.mutants.hunt import NO_MUTANT, RETE
from tests.mutants.mutants import MUTANTS

ROOT = Path(__file__).parents[2]
SHARE = 8
"""Mutants of one test."""


@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.name for mutant in MUTANTS])
def test_what_a_mutant_changes_stands_in_the_source_once(mutant) -> None:
    """Where the network was rewritten, the mutant must be written anew or taken out."""
    assert (RETE / mutant.file).read_text().count(mutant.before) == 1


@pytest.mark.timeout(900)
@pytest.mark.parametrize("first", range(0, len(MUTANTS), SHARE))
def test_no_mutant_survives(first: int) -> None:
    """In shares, so that they can run side by side."""
    wanted = [mutant.name for mutant in MUTANTS[first : first + SHARE]]
    noticed = hunted(*wanted)
    assert list(noticed) == wanted
    assert [name for name, by in noticed.items() if by is None] == []


@pytest.mark.timeout(900)
def test_nothing_is_noticed_where_nothing_is_changed() -> None:
    assert hunted(NO_MUTANT) == {NO_MUTANT: None}


def hunted(*names: str) -> dict[str, str | None]:
    command = [sys.executable, "-m", "tests.mutants.hunt", *names]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return dict(json.loads(line) for line in ran.stdout.splitlines())


def test_there_are_many_and_each_has_a_name() -> None:
    assert len(MUTANTS) >= 20
    assert max(Counter(mutant.name for mutant in MUTANTS).values()) == 1
