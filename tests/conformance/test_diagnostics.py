"""Each folder of `diagnostics/` is a ruleset folder and the text that the checker answers with: nothing else."""

from pathlib import Path

import pytest

from engine.language import CODES, check, render

CASES = Path(__file__).with_name("diagnostics")
NAMES = sorted(path.name for path in CASES.iterdir())


def sources_of(name: str) -> dict[str, str]:
    folder = CASES / name
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "expected.txt"]
    return {path.relative_to(folder).as_posix(): path.read_bytes().decode() for path in files}


@pytest.mark.parametrize("name", NAMES)
def test_the_checker_finds_what_is_expected(name: str) -> None:
    sources = sources_of(name)
    checked = check(sources)
    assert render(checked.diagnostics, sources) == (CASES / name / "expected.txt").read_text("utf-8")
    assert (checked.program is None) == any(found.severity == "error" for found in checked.diagnostics)


def test_every_code_has_a_case() -> None:
    found = "\n".join((CASES / name / "expected.txt").read_text("utf-8") for name in NAMES)
    without = [code for code in CODES if f"[{code}]" not in found]
    assert without == ["too-many-diagnostics"]  # tests/unit/engine/language/test_diagnostics.py has it
