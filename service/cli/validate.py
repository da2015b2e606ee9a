"""`salience validate`: check a ruleset folder and name every mistake."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import click

from engine.language import Checked, check
from engine.language.diagnostics import Diagnostic, Severity, render
from engine.language.sentence import value_text
from engine.language.worst_case import worst_cases
from engine.values import Kind, ValueType
from service.cli.console import print_json, stderr
from service.cli.invocation import Failure, Invocation, json_option, pass_invocation
from service.ruleset_folder import RulesetFolderError, read_sources


class FolderFailure(Failure):
    """The folder can't be read: it was named wrongly, or holds what is no ruleset. Exit code 2."""

    exit_code = 2


path_argument = click.argument("path", type=click.Path(path_type=Path), required=False)
"""Decorates a command that takes `path`, the ruleset folder; None where it is not given."""


def folder_sources(invocation: Invocation, path: Path | None) -> Mapping[str, str]:
    """The files of the folder named, else of the one that the settings name; raises `FolderFailure`."""
    try:
        return read_sources(invocation.settings.bundle.folder if path is None else path)
    except RulesetFolderError as error:
        raise FolderFailure(str(error)) from error


def print_diagnostics(checked: Checked, sources: Mapping[str, str]) -> None:
    """Print what the checker found on stderr, each with its line and a caret."""
    console = stderr()
    text = render(checked.diagnostics, sources)
    for line in text.splitlines():
        style = "red" if ": error: " in line else "yellow" if ": warning: " in line else None
        console.print(line, style=style, markup=False)


def summary(checked: Checked) -> str:
    """What a checked folder holds, or how much is wrong with it."""
    errors = sum(found.severity is Severity.ERROR for found in checked.diagnostics)
    warnings = len(checked.diagnostics) - errors
    found = ", ".join(_number(count, word) for count, word in ((errors, "error"), (warnings, "warning")) if count)
    if checked.program is None:
        return found
    program = checked.program
    rulesets = len({rule.ruleset for rule in program.rules})
    held = f"{_number(len(program.rules), 'rule')} in {_number(rulesets, 'ruleset')}, {_number(len(program.offers), 'offer')}"
    return f"{held}, {_number(len(program.tests), 'test')}: {found or 'nothing to complain about'}"


@click.command("validate")
@path_argument
@json_option
@pass_invocation
def command(invocation: Invocation, path: Path | None, as_json: bool) -> int:
    """Check the rulesets of a folder and name every mistake with its place.

    It also says what each placement could give away at worst, in one decision and to one session, and why not more.
        PATH is the folder with vocabulary.yaml; without it the setting bundle.folder. Exit code 0 where the folder could be
    published (warnings do not stop that), 1 where it has errors, 2 where it can't be read.
    """
    sources = folder_sources(invocation, path)
    checked = check(sources)
    program = checked.program
    worst = () if program is None else worst_cases(program)
    if as_json:
        print_json(
            {
                "valid": checked.program is not None,
                "files": list(sources),
                "diagnostics": [diagnostic_json(found) for found in checked.diagnostics],
                "worst_cases": [asdict(found) for found in worst],
            }
        )
    else:
        print_diagnostics(checked, sources)
        if program is not None:
            for each in worst:
                money = value_text(each.decision, ValueType(Kind.MONEY), program.vocabulary)
                stderr().print(
                    f"{each.placement} gives away {money} in a decision at worst: {each.proof}", markup=False
                )
        stderr().print(summary(checked), style="green" if checked.program is not None else "bold red", markup=False)
    return 0 if checked.program is not None else 1


def diagnostic_json(found: Diagnostic) -> Mapping[str, object]:
    """A diagnostic for programs."""
    return {
        "code": found.code,
        "severity": found.severity.value,
        "file": found.place.file,
        "line": found.place.line,
        "column": found.place.column,
        "length": found.length,
        "message": found.message,
        "proposal": found.proposal,
    }


def _number(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"
