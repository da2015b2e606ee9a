"""The page of the language is true: its files are a ruleset folder without a finding, its examples are taken."""

import re
from pathlib import Path

import pytest

from engine.language import CODES, check, render

DOCS = Path(__file__).resolve().parents[2] / "docs"
CASES = Path(__file__).resolve().parents[1] / "conformance" / "diagnostics"
PAGE = (DOCS / "language.md").read_text("utf-8")
FOLDER = dict(re.findall(r"```yaml title=(\S+)\n(.*?)```", PAGE, re.DOTALL))
SECTION = PAGE.partition("## Conditions")[2].partition("## Actions")[0]
EXAMPLES = re.findall(
    r"`(\{(?:fact|event|count|distinct|sum|maximum|last|sequence|absence|score|segment): [^`]*\})`", SECTION
)


def folder_with(rules: str) -> dict[str, str]:
    return {**FOLDER, "more.yaml": f"ruleset: more\nrules:\n{rules}"}


def test_the_files_of_the_page_are_a_folder_without_a_finding() -> None:
    checked = check(FOLDER)
    assert render(checked.diagnostics, FOLDER) == ""
    assert set(FOLDER) == {
        "vocabulary.yaml",
        "offers.yaml",
        "segments.yaml",
        "rules/cart_recovery.yaml",
        "rules/products.yaml",
        "rules/tests.yaml",
    }


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_of_a_condition_is_taken(example: str) -> None:
    sources = folder_with(f"  - {{rule: x, when: {example}, then: {{trigger: t}}}}\n")
    assert render(check(sources).diagnostics, sources) == ""


def test_there_are_examples() -> None:
    assert len(EXAMPLES) > 12


def test_the_block_about_schedules_and_limits_is_taken() -> None:
    block = re.search(r"```yaml\n(schedule:.*?)```", PAGE, re.DOTALL)
    assert block is not None
    body = "".join(f"    {line}\n" for line in block[1].splitlines())
    sources = folder_with(
        f"  - rule: x\n    when: always\n    then: {{offer: free_shipping, placement: cart_banner}}\n{body}"
    )
    assert render(check(sources).diagnostics, sources) == ""


def test_every_code_has_an_example_and_every_example_is_what_the_checker_says() -> None:
    page = (DOCS / "diagnostics.md").read_text("utf-8")
    answers = "\n".join(path.read_text("utf-8") for path in sorted(CASES.glob("*/expected.txt")))
    sections = dict(re.findall(r"^### `([a-z-]+)`\n(.*?)(?=^##|\Z)", page, re.DOTALL | re.MULTILINE))
    assert list(sections) == list(CODES)
    for code, section in sections.items():
        assert CODES[code].lower() in section.lower()
        example = re.search(r"```text\n(.*?)```", section, re.DOTALL)
        if code != "too-many-diagnostics":
            assert example is not None, code
            assert f"[{code}]" in example[1]
            assert example[1] in answers
