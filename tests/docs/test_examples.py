"""Examples of the documentation work as they stand."""

import re
from pathlib import Path

import pytest

from service.settings import load

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted({*ROOT.glob("*.md"), *(ROOT / "docs").glob("**/*.md")})


def examples(language: str) -> list[tuple[str, str]]:
    """Return (page:line, text) of the fenced examples in a language."""
    fence = re.compile(rf"^```{language}\n(.*?)^```", flags=re.MULTILINE | re.DOTALL)
    return [
        (f"{page.relative_to(ROOT)}:{text[: block.start()].count(chr(10)) + 1}", block[1])
        for page in PAGES
        for text in [page.read_text("utf-8")]
        for block in fence.finditer(text)
    ]


SETTINGS = [example for example in examples("yaml") if example[1].startswith("# salience.yaml")]


@pytest.mark.parametrize("text", [text for _, text in SETTINGS], ids=[place for place, _ in SETTINGS])
def test_an_example_of_a_settings_file_is_taken(text: str, tmp_path: Path) -> None:
    (tmp_path / "salience.yaml").write_text(text)
    loaded = load(environ={}, folder=tmp_path)
    assert any(origin.startswith("salience.yaml") for origin in loaded.origins.values())


def test_an_example_flag_or_variable_is_a_setting(tmp_path: Path) -> None:
    text = "\n".join(page.read_text("utf-8") for page in PAGES)
    flags = re.findall(r"--set ([a-z_.]+=[^\s`]+)", text)
    variables = dict(re.findall(r"\b(SALIENCE_[A-Z_]+)=([^\s`\"]+)", text))
    variables.pop("SALIENCE_DATA", None)
    variables.pop("SALIENCE_CONFIG", None)
    load(environ=variables, flags=flags, folder=tmp_path)
