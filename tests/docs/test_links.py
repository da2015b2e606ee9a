"""What a page names is there: files, headings, make targets, commands."""

import re
import subprocess
from pathlib import Path

import click
import pytest

from service.cli.root import cli

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted({*ROOT.glob("*.md"), *(ROOT / "docs").glob("**/*.md")})
IDS = [str(path.relative_to(ROOT)) for path in PAGES]


def prose(page: Path) -> str:
    """Return a page without its fenced code, in which names may be examples."""
    return re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)


def code(page: Path) -> str:
    """Return the code of a page, in lines: what is fenced and what is in backticks."""
    text = page.read_text("utf-8")
    fenced = re.findall(r"^```.*?^```", text, flags=re.MULTILINE | re.DOTALL)
    return "\n".join([*fenced, *re.findall(r"`([^`\n]+)`", prose(page))])


def headings(page: Path) -> set[str]:
    """Return the anchors of a page, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_a_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        assert path.exists(), f"{target} is not there"
        if anchor:
            assert anchor in headings(path), f"{target} has no such heading"


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_a_file_that_is_named_is_there(page: Path) -> None:
    """A name in backticks with a slash, whose first part is a folder of the project."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    folders = {line.partition("/")[0] for line in listed if "/" in line}
    for name in re.findall(r"`([\w.-]+(?:/[\w.*-]+)+/?)`", prose(page)):
        if name.partition("/")[0] in folders:
            assert list(ROOT.glob(name.rstrip("/"))), f"{name} is not there"


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_a_make_target_or_command_that_is_named_exists(page: Path) -> None:
    lines = code(page)
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"^(?:.*&& )?make ([a-z]+)\b", lines, re.MULTILINE)) <= targets
    commands = set(cli.list_commands(click.Context(cli)))
    assert set(re.findall(r"^(?:.*&& )?salience ([a-z]+)\b", lines, re.MULTILINE)) <= commands


def test_nothing_names_a_machine_or_a_registry() -> None:
    """Nothing that is committed knows where it was written, nor where packages come from."""
    words = ["/work/" + "main", "/root" + "/", "pypi" + ".org", "files.python" + "hosted", "repo.maven" + ".apache"]
    found = subprocess.run(
        ["git", "grep", "-nIF", *(part for word in words for part in ("-e", word))],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.stdout == ""
