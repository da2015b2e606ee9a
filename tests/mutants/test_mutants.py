"""The tests of meaning would notice a slip in the network: each mutant is noticed by the corpus or a generated case."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.mutants.hunt import RETE
from tests.mutants.mutants import MUTANTS

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.name for mutant in MUTANTS])
def test_what_a_mutant_changes_stands_in_the_source_once(mutant) -> None:
    """Where the network was rewritten, the mutant must be written anew or taken out."""
    assert (RETE / mutant.file).read_text().count(mutant.before) == 1


@pytest.mark.timeout(400)
def test_no_mutant_survives() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "tests.mutants.hunt"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    noticed = dict(json.loads(line) for line in ran.stdout.splitlines())
    assert noticed.pop("no mutant") is None
    assert list(noticed) == [mutant.name for mutant in MUTANTS]
    assert [name for name, by in noticed.items() if by is None] == []


def test_there_are_many_and_each_has_a_name() -> None:
    assert len(MUTANTS) >= 20
    assert max(Counter(mutant.name for mutant in MUTANTS).values()) == 1
