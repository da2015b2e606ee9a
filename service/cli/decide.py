"""`salience decide`: ask what a session is shown."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec
from rich.markup import escape

from engine.decision import Outcome
from service.cli.asking import ask, asking_options
from service.cli.console import print_json, stdout
from service.cli.invocation import Failure, Invocation, json_option, pass_invocation
from service.cli.reports import degraded_lines, moment, placement_tree, rules_tree


@click.command("decide")
@click.argument("session")
@click.option("--placement", "-p", "placements", multiple=True, required=True, help="A placement; repeatable.")
@click.option("--context", "-c", multiple=True, metavar="NAME=VALUE", help="A request fact, such as context.page=cart.")
@click.option("--customer", help="The customer who is signed in.")
@click.option("--why", "explains", is_flag=True, help="Show every rule that could nominate, and how far it is.")
@asking_options
@json_option
@pass_invocation
def command(
    invocation: Invocation,
    session: str,
    placements: tuple[str, ...],
    context: tuple[str, ...],
    customer: str | None,
    explains: bool,
    url: str | None,
    key_file: Path | None,
    local: bool,
    as_json: bool,
) -> int:
    """Ask for a decision about SESSION, as a storefront does: it takes from limits and is logged.

    Exit code 0 where every placement has an answer, 1 where one does not exist.
    """
    from service.api.schema import DecideAnswer  # noqa: PLC0415 - `--help` answers without it

    body = {
        "session_id": session,
        "placements": list(placements),
        "context": dict(fact_option(each, "--context") for each in context),
        "explain": True,
        **({"customer_id": customer} if customer else {}),
    }
    answer = ask(
        invocation.settings, "POST", "/v1/decide", DecideAnswer, body=body, url=url, key_file=key_file, local=local
    )
    failed = any(each.error is not None for each in answer.placements)
    if as_json:
        print_json(answer)
        return int(failed)
    console = stdout()
    console.print(f"decision [bold]{answer.decision_id}[/bold], revision {answer.revision}, {moment(answer.time)}")
    for line in degraded_lines(answer.degraded):
        console.print(line)
    for warning in answer.warnings:
        console.print(f"[yellow]left out[/yellow] {escape(warning.field)}: {escape(warning.detail)}")
    for each in answer.placements:
        if each.error is not None:
            console.print(f"[bold]{escape(each.placement)}[/bold]  [red]{escape(each.error.detail)}[/red]")
            continue
        console.print(
            placement_tree(each.placement, each.outcome or Outcome.DEGRADED, each.offers, each.lost, each.valid_until)
        )
    if explains and answer.rules:
        console.print(rules_tree("rules that nominate for these placements", answer.rules))
    return int(failed)


def fact_option(text: str, option: str) -> tuple[str, object]:
    """`context.page=cart`; a value that reads as a JSON number, boolean or list is one."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise Failure(f"{option} {text!r} is no NAME=VALUE; give for instance context.page=cart")
    try:
        decoded: object = msgspec.json.decode(value)
    except msgspec.MsgspecError:
        return name, value
    return name, decoded
