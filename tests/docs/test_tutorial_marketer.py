"""The tutorial for marketers, done by the letter: each file written, each command run, each answer compared."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from service.cli import cli

PAGE = Path(__file__).parents[2] / "docs" / "tutorial-marketer.md"
BLOCK = re.compile(r"^```(yaml|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def answer(command: str) -> str:
    """What a terminal shows after a command: both streams, as they come."""
    program, *arguments = shlex.split(command)
    assert program == "salience"
    result = CliRunner().invoke(cli, arguments, standalone_mode=False)
    failure = getattr(result.exception, "message", "")
    assert result.exception is None or failure, result.exception
    return result.output + (f"salience: {failure}\n" if failure else "")


def test_every_step_does_what_the_page_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("my_shop").mkdir()
    commands = 0
    for kind, text in BLOCK.findall(PAGE.read_text("utf-8")):
        first, _, rest = text.partition("\n")
        if kind == "yaml":
            # The line with the name is no part of the file: numbers of lines on the page are those of the reader's file.
            Path(first.removeprefix("# ")).write_text(rest)
        else:
            assert answer(first.removeprefix("$ ")) == rest
            commands += 1
    assert commands >= 6
