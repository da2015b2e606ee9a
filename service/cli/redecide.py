"""`salience redecide`: make a logged decision again, to prove it, or by other rules."""

from __future__ import annotations

import difflib
import hashlib
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.markup import escape

from engine.decision import Decision, PlacementDecision
from engine.ports import PortError
from service.cli.console import print_json, stdout
from service.cli.invocation import Failure, Invocation, json_option, pass_invocation
from service.cli.reports import moment, placement_tree
from service.control import Control
from service.installation import holdout_salt
from service.redecide import Redecided, RedecideError, Redecider
from service.ruleset_folder import RulesetFolderError, read_sources
from service.wiring import Wiring


class _TroubleError(Failure):
    exit_code = 2


@click.command("redecide")
@click.argument("decision_id")
@click.option(
    "--draft",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Decide by the rules of this folder instead, and show what differs.",
)
@json_option
@pass_invocation
def command(invocation: Invocation, decision_id: str, draft: Path | None, as_json: bool) -> int:
    """Make a logged decision again from what it was made of.

    By the bundle that it names: it must come out the same, byte for byte. With --draft: by other rules, of the same
    session at the same moment; what the limits said of an offer then counts. Nothing is logged or taken. Exit code
    0 where it is the same, 1 where it differs, 2 where it can't be made again.
    """
    settings = invocation.settings
    try:
        with Wiring(settings) as wiring:
            tables = wiring.tables()
            redecider = Redecider(wiring.decisions(), Control(tables), settings.models.registry, holdout_salt(tables))
            if draft is None:
                done = redecider.prove(decision_id)
                same = done.is_same
            else:
                done = redecider.compare(decision_id, read_sources(draft))
                same = not _changed(done)
    except (PortError, RedecideError, RulesetFolderError) as error:
        raise _TroubleError(str(error)) from error
    if as_json:
        print_json(_plain(done, same, is_draft=draft is not None))
    elif draft is None:
        _show_proof(done)
    else:
        _show_draft(done)
    return 0 if same else 1


def _shown(placed: PlacementDecision) -> object:
    """What a shopper sees of it."""
    return placed.outcome, [(each.offer, each.content, each.rule) for each in placed.offers]


def _changed(done: Redecided) -> list[tuple[PlacementDecision, PlacementDecision | None]]:
    after = {placed.placement: placed for placed in done.after.placements}
    pairs = ((placed, after.get(placed.placement)) for placed in done.before.placements)
    return [(before, then) for before, then in pairs if then is None or _shown(before) != _shown(then)]


def _plain(done: Redecided, same: bool, *, is_draft: bool) -> dict[str, object]:
    return {
        "decision_id": done.before.id,
        "same": same,
        "sha256": hashlib.sha256(done.logged).hexdigest(),
        "again": hashlib.sha256(done.again).hexdigest(),
        "made_of": done.made_of,
        "remarks": done.remarks,
        "changed": [before.placement for before, _ in _changed(done)],
        **({"draft": done.after} if is_draft else {}),
    }


def _show_proof(done: Redecided) -> None:
    console = stdout()
    _head(done)
    if done.is_same:
        digest = hashlib.sha256(done.logged).hexdigest()
        console.print(f"[green]the same[/green], byte for byte: {len(done.logged):,} bytes, SHA-256 {digest}")
    else:
        console.print("[red]not the same[/red]: the log, then what came out")
        for line in difflib.unified_diff(_lines(done.before), _lines(done.after), "logged", "again", lineterm="", n=2):
            console.print(line, markup=False, highlight=False)


def _show_draft(done: Redecided) -> None:
    console = stdout()
    _head(done)
    changed = _changed(done)
    if not changed:
        console.print("[green]shows the same[/green] in every placement")
    for before, after in changed:
        console.print(f"[bold]{escape(before.placement)}[/bold] shows something else. Then:")
        console.print(placement_tree(before.placement, before.outcome, before.offers, before.lost, before.valid_until))
        if after is not None:
            console.print("By the draft:")
            console.print(placement_tree(after.placement, after.outcome, after.offers, after.lost, after.valid_until))


def _head(done: Redecided) -> None:
    console = stdout()
    made = done.before
    console.print(f"decision [bold]{made.id}[/bold] about session {escape(made.session_id)}, revision {made.revision}, "
                  f"{moment(made.time)}")  # fmt: skip
    console.print(f"[dim]made of {escape(', '.join(done.made_of))}[/dim]")
    for remark in done.remarks:
        console.print(f"[yellow]note[/yellow] {escape(remark)}")


def _lines(decision: Decision) -> list[str]:
    plain: Any = msgspec.json.format(msgspec.json.encode(decision), indent=2)
    return str(plain.decode()).splitlines()
