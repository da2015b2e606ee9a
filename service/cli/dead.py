"""`salience dead`: records that could not be applied, and another try for them."""

from __future__ import annotations

import base64

import click
import msgspec
from rich.table import Table

from engine.ports import NewRecord, OutputKind, PortError
from service.cli.console import print_json, stderr, stdout
from service.cli.invocation import Failure, Invocation, json_option, pass_invocation
from service.cli.reports import moment
from service.wiring import Wiring
from service.worker.messages import Rejected

LOOK_AT_MOST = 100_000
"""Dead letters among which one is looked for."""

APPEND_MS = 30_000


@click.group("dead")
def command() -> None:
    """List, show and retry records that could not be applied: no event, or one on which the engine failed."""


@command.command("list")
@click.option("--limit", type=click.IntRange(1, LOOK_AT_MOST), default=20, show_default=True, help="How many at most.")
@json_option
@pass_invocation
def list_command(invocation: Invocation, limit: int, as_json: bool) -> None:
    """List dead letters, the newest first, each with its place (partition-offset) and the reason."""
    found = _read(invocation, limit)
    if as_json:
        print_json(found)
        return
    if not found:
        stderr().print("there are no dead letters")
        return
    table = Table("place", "received", "code", "key", "reason", box=None, pad_edge=False)
    for each in found:
        table.add_row(_place(each), moment(each.received), each.code, each.key, each.reason)
    stdout().print(table)


@command.command("show")
@click.argument("place")
@json_option
@pass_invocation
def show_command(invocation: Invocation, place: str, as_json: bool) -> None:
    """Show the dead letter of PLACE (partition-offset, as `list` names it) with its original bytes."""
    letter = _find(invocation, place)
    if as_json:
        print_json(letter)
        return
    console = stdout()
    console.print(f"{_place(letter)}: {letter.reason} \\[{letter.code}]", style="bold")
    console.print(f"key {letter.key!r}, received {moment(letter.received)}", markup=False)
    try:
        console.print(letter.value.decode(), markup=False)
    except UnicodeDecodeError:
        console.print(f"no text; in base64: {base64.b64encode(letter.value).decode()}", markup=False)


@command.command("retry")
@click.argument("places", nargs=-1, required=True)
@pass_invocation
def retry_command(invocation: Invocation, places: tuple[str, ...]) -> None:
    """Append the original bytes of the dead letters at PLACES to the event log once more.

    Do so when what was wrong is mended: an event that the vocabulary knows by now, or a fault of the engine. An event that
    was applied meanwhile counts once, by its id; the dead letter stays where it is.
    """
    letters = [_find(invocation, place) for place in places]
    answers: list[PortError | None] = []
    with Wiring(invocation.settings) as wiring:
        try:
            log = wiring.event_log()
            log.append([NewRecord(each.key, each.value) for each in letters], answers.append)
            log.flush(APPEND_MS)
        except PortError as error:
            raise Failure(str(error)) from error
    if not answers or answers[0] is not None:
        raise Failure(f"not all was appended, try again: {answers[0] if answers else 'the log gave no answer'}")
    stderr().print(f"{len(letters)} appended; a worker evaluates {'it' if len(letters) == 1 else 'them'} next")


def _read(invocation: Invocation, limit: int) -> list[Rejected]:
    with Wiring(invocation.settings) as wiring:
        try:
            found = wiring.outputs().read(OutputKind.DEAD, limit)
        except PortError as error:
            raise Failure(str(error)) from error
    return [msgspec.json.decode(each.value, type=Rejected) for each in found]


def _find(invocation: Invocation, place: str) -> Rejected:
    for each in _read(invocation, LOOK_AT_MOST):
        if _place(each) == place:
            return each
    raise Failure(f"there is no dead letter at {place}; `salience dead list` names those that are there")


def _place(letter: Rejected) -> str:
    return f"{letter.partition}-{letter.offset}"
