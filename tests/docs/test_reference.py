"""The documentation names everything that there is, and the reference pages are those that the code gives."""

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from engine.language.codes import CODES
from service.api.problems import PROBLEMS
from service.cli.root import cli
from service.settings_values import kinds
from tools.reference import PAGES

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def documentation() -> str:
    """The text of all pages in docs/."""
    return "\n".join(path.read_text("utf-8") for path in sorted((ROOT / "docs").glob("*.md")))


@pytest.mark.parametrize("name", PAGES)
def test_a_reference_page_is_the_one_that_the_code_gives(name: str) -> None:
    """`make docs` writes it."""
    assert (ROOT / name).read_text("utf-8") == PAGES[name]()


def commands(command: click.Command, context: click.Context) -> Iterator[tuple[str, click.Command]]:
    yield context.command_path, command
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from commands(inner, click.Context(inner, info_name=name, parent=context))


def test_every_command_and_option_is_documented_and_explained(documentation: str) -> None:
    for path, command in commands(cli, click.Context(cli, info_name="salience")):
        assert path in documentation
        assert command.help, f"{path} says nothing of itself"
        for option in command.params:
            if isinstance(option, click.Option) and not option.hidden:
                assert option.help, f"{path} {option.opts[0]} says nothing of itself"
                assert option.opts[-1] in documentation


def test_every_setting_is_documented(documentation: str) -> None:
    assert [key for key in kinds() if f"`{key}`" not in documentation] == []


def test_every_code_is_documented(documentation: str) -> None:
    assert [code for code in (*CODES, *PROBLEMS) if f"`{code}`" not in documentation] == []


def test_codes_are_stable_words() -> None:
    for code in (*CODES, *PROBLEMS):
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", code), code
