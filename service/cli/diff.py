"""`salience diff`: what changed between two revisions, or between a folder and what is live."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import msgspec

from engine.language import check
from engine.language.sentence import rule_sentence
from engine.language.tree import Program
from engine.ports import PortError
from service.cli.console import print_json, stdout
from service.cli.invocation import Failure, Invocation, json_option, pass_invocation
from service.publisher import Publisher
from service.ruleset_folder import RulesetFolderError, read_sources
from service.wiring import Wiring


class RuleChange(msgspec.Struct, frozen=True, omit_defaults=True):
    """A rule that is not the same: its sentence in each, None where it is not there."""

    rule: str
    before: str | None = None
    after: str | None = None


class Difference(msgspec.Struct, frozen=True):
    """Two states of the rules, compared.

    Attributes:
        rules: What changed in meaning, as sentences.
        text: What changed in the files, as a unified diff by file.
    """

    before: str
    after: str
    rules: tuple[RuleChange, ...]
    text: Mapping[str, str]


class _TroubleError(Failure):
    exit_code = 2


@click.command("diff")
@click.argument("before", required=False)
@click.argument("after", required=False)
@json_option
@pass_invocation
def command(invocation: Invocation, before: str | None, after: str | None, as_json: bool) -> int:
    """Compare rules: what changed in meaning, as sentences, and in the files.

    BEFORE and AFTER are each a revision's number, `live`, or a folder. Without both: what is live against the folder of
    the setting bundle.folder; with one: what is live against that. Exit code 0 where both are the same, 1 where they
    differ, 2 where one can't be had.
    """
    settings = invocation.settings
    if before is None:
        first, second = "live", str(settings.bundle.folder)
    elif after is None:
        first, second = "live", before
    else:
        first, second = before, after
    with Wiring(settings) as wiring:
        publisher = wiring.publisher()
        try:
            difference = compare(first, _sources(publisher, first), second, _sources(publisher, second))
        except (PortError, RulesetFolderError, _TroubleError) as error:
            raise _TroubleError(error.message if isinstance(error, Failure) else str(error)) from error
    if as_json:
        print_json(difference)
    else:
        _show(difference)
    return 1 if difference.text else 0


def compare(before: str, old: Mapping[str, str], after: str, new: Mapping[str, str]) -> Difference:
    """Compare two sets of files; where one does not pass the checker, only its text."""
    text = {}
    for name in sorted(old.keys() | new.keys()):
        lines = difflib.unified_diff(
            old.get(name, "").splitlines(keepends=True),
            new.get(name, "").splitlines(keepends=True),
            fromfile=f"{before}: {name}" if name in old else "(none)",
            tofile=f"{after}: {name}" if name in new else "(none)",
        )
        joined = "".join(line if line.endswith("\n") else line + "\n\\ no newline at the end\n" for line in lines)
        if joined:
            text[name] = joined
    rules: list[RuleChange] = []
    if text:
        known = check(old)
        one, other = known.program, check(new, known).program
        if one is not None and other is not None:
            rules = _changes(one, other)
    return Difference(before, after, tuple(rules), text)


def _changes(old: Program, new: Program) -> list[RuleChange]:
    before, after = ({rule.id: rule for rule in program.rules} for program in (old, new))
    changes = []
    for name in dict.fromkeys([*after, *before]):
        one, other = before.get(name), after.get(name)
        if one is not None and other is not None and one.digest == other.digest and one.order[0] == other.order[0]:
            continue
        changes.append(
            RuleChange(
                name,
                None if one is None else rule_sentence(one, old),
                None if other is None else rule_sentence(other, new),
            )
        )
    return changes


def _sources(publisher: Publisher, which: str) -> Mapping[str, str]:
    if which.isdecimal() or which == "live":
        live = publisher.live()
        revision = live if which == "live" else publisher.control.revision(int(which))
        if revision is None:
            newest = "nothing was published yet" if live is None else f"revisions 1 to {live.number} were live"
            raise _TroubleError(f"there is no revision {which}: {newest}")
        try:
            return publisher.bundle(revision.bundle).sources
        except (KeyError, ValueError) as error:
            raise _TroubleError(f"the bundle of revision {revision.number} can't be read: {error}") from error
    return read_sources(Path(which))


def _show(difference: Difference) -> None:
    console = stdout()
    if not difference.text:
        console.print(f"{difference.before} and {difference.after} are the same", markup=False)
        return
    styles: Any = {"+": "green", "-": "red", "@": "cyan"}
    for change in difference.rules:
        if change.before is None:
            console.print(f"added    {change.rule}: {change.after}", style="green", markup=False)
        elif change.after is None:
            console.print(f"removed  {change.rule}: {change.before}", style="red", markup=False)
        elif change.before == change.after:
            console.print(f"changed  {change.rule}, though it reads the same: {change.after}", markup=False)
        else:
            console.print(f"changed  {change.rule}", style="yellow", markup=False)
            console.print(f"    was: {change.before}", style="red", markup=False)
            console.print(f"     is: {change.after}", style="green", markup=False)
    if difference.rules:
        console.print()
    for text in difference.text.values():
        for line in text.splitlines():
            console.print(line, style=styles.get(line[:1]), markup=False)
