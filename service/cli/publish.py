"""`salience publish`: make a ruleset live."""

from __future__ import annotations

import getpass
from pathlib import Path

import click
import msgspec

from engine.language.diagnostics import Diagnostic
from engine.ports import PortError
from service.cli.console import print_json, stderr, stdout
from service.cli.invocation import Failure, Invocation, json_option, pass_invocation
from service.publisher import PublishBusyError, Published, PublishRefusedError
from service.ruleset_folder import RulesetFolderError, read_sources
from service.wiring import Wiring


@click.command("publish")
@click.argument("path", type=click.Path(path_type=Path), required=False)
@click.option("--note", default="", help="Why, for the history.")
@click.option("--author", default=None, help="Who, for the history; default: your name on this machine.")
@click.option(
    "--pin", "pins", multiple=True, metavar="MODEL=VERSION", help="A model's version that shall not be the newest."
)
@click.option("--dry-run", is_flag=True, help="Check, pin and test only; nothing becomes live.")
@json_option
@pass_invocation
def command(
    invocation: Invocation,
    path: Path | None,
    note: str,
    author: str | None,
    pins: tuple[str, ...],
    dry_run: bool,
    as_json: bool,
) -> int:
    """Check and test a ruleset folder, and make it live once every process has loaded it.

    PATH is the folder with vocabulary.yaml; without it the setting bundle.folder. Exit code 0 where it is live (or
    was already), 1 where it was refused, 2 where the folder can't be read. A refusal changes nothing.
    """
    settings = invocation.settings
    try:
        sources = read_sources(settings.bundle.folder if path is None else path)
    except RulesetFolderError as error:
        raise _UnreadableError(str(error)) from error
    wanted = dict(_pin(each) for each in pins)
    with Wiring(settings) as wiring:
        try:
            published = wiring.publisher().publish(
                sources, author or getpass.getuser(), note, dry_run=dry_run, pins=wanted
            )
        except PublishRefusedError as refused:
            if as_json:
                print_json(refusal_json(refused))
            else:
                console = stderr()
                for reason in refused.reasons:
                    console.print(reason.rstrip(), markup=False)
                console.print("not published; what was live still is", style="bold red")
            return 1
        except (PublishBusyError, PortError) as error:
            raise Failure(str(error)) from error
    if as_json:
        print_json(published)
    else:
        tell(published)
    return 0


class _UnreadableError(Failure):
    exit_code = 2


def _pin(text: str) -> tuple[str, str]:
    model, _, version = text.partition("=")
    if not model or not version:
        raise click.BadParameter(f"{text!r} is not MODEL=VERSION", param_hint="--pin")
    return model, version


def tell(published: Published) -> None:
    """Say on the terminal how a publication or rollback ended."""
    messages = stderr()
    for warning in published.warnings:
        messages.print(f"warning: {warning}", style="yellow", markup=False)
    revision = published.revision
    what = f"revision {revision.number} ({revision.bundle[:12]})"
    tests = f"{published.tests} tests passed" if published.tests else "no tests beside the rules"
    if published.dry_run and not published.changed:
        line = f"nothing would change: {what} has the same content"
    elif published.dry_run:
        restored = "" if revision.restores is None else f", the content of revision {revision.restores}"
        line = f"would publish {what}{restored}" + ("" if revision.restores else f"; {tests}")
    elif not published.changed:
        line = f"{what} has the same content and is live already"
    else:
        loaded = f"loaded by {', '.join(published.acknowledged)}" if published.acknowledged else "no process runs"
        line = f"{what} is live; " + (loaded if revision.restores else f"{tests}; {loaded}")
    stdout().print(line, markup=False)
    if published.changed and not published.dry_run and not revision.signature:
        messages.print("not signed, as the embedded tables are this host's own; see `salience signing`", style="dim")
    for name in published.missing:
        messages.print(f"{name} gave no sign of life; it loads the revision when it comes back", style="yellow")


def refusal_json(refused: PublishRefusedError) -> dict[str, object]:
    """A refusal for programs."""
    return {"refused": True, "reasons": list(refused.reasons), "diagnostics": [_plain(d) for d in refused.diagnostics]}


def _plain(found: Diagnostic) -> object:
    return msgspec.to_builtins(found)
