"""The drawing in docs/engine.md is the one that the program makes."""

import re
import shlex
from pathlib import Path

from click.testing import CliRunner

from service.cli import cli

ROOT = Path(__file__).resolve().parents[2]


def test_the_drawing_of_a_network_is_what_the_command_beside_it_prints() -> None:
    page = (ROOT / "docs" / "engine.md").read_text("utf-8")
    (written,) = re.findall(r"`(salience network rulesets/\S+ .*--format mermaid)`", page)
    (drawn,) = re.findall(r"```mermaid\n(.*?)```", page, re.DOTALL)
    _, name, folder, *options = shlex.split(written)
    result = CliRunner().invoke(cli, [name, str(ROOT / folder), *options], standalone_mode=False)
    assert result.stdout == drawn
