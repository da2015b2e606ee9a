"""`salience keys`: the keys of API clients."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click
from rich.table import Table

from engine.ports import PortError, Tables
from service.cli.console import print_json, stderr, stdout
from service.cli.invocation import Failure, Invocation, json_option, pass_invocation
from service.cli.reports import moment
from service.clock import wall_ms
from service.keys import ApiKey, KeyKind, KeyRefusedError, Scope, create, listed, revoke
from service.wiring import Wiring


@click.group("keys")
def command() -> None:
    """Manage the keys of API clients. A key is shown once, when it is made; only its hash is kept."""


@command.command("create")
@click.argument("name")
@click.option(
    "--kind",
    type=click.Choice([kind.value for kind in KeyKind]),
    default=KeyKind.SERVER.value,
    show_default=True,
    help="storefront: public, stands in pages; server: stays on your servers.",
)
@click.option("--origin", "origins", multiple=True, help="Of a storefront key: an origin whose pages may use it.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice([scope.value for scope in Scope]),
    help="What it may do; repeatable. Default: events and decide for storefronts, everything for servers.",
)
@json_option
@pass_invocation
def create_command(
    invocation: Invocation, name: str, kind: str, origins: tuple[str, ...], scopes: tuple[str, ...], as_json: bool
) -> None:
    """Make a key called NAME and show it, this once."""
    with _tables(invocation) as tables:
        wanted = [Scope(scope) for scope in scopes] or None
        try:
            key, text = create(tables, name, KeyKind(kind), wall_ms(), scopes=wanted, origins=origins)
        except KeyRefusedError as error:
            raise Failure(str(error)) from None
    if as_json:
        print_json({**_plain(key), "key": text})
        return
    stdout().print(text)
    console = stderr()
    console.print(f"key {key.id} ({key.kind}) may: {', '.join(sorted(key.scopes))}. It is not shown again.")
    if key.kind is KeyKind.STOREFRONT and not key.origins:
        console.print("[yellow]no page may use it yet[/yellow]: make it with --origin https://your.shop")


@command.command("list")
@json_option
@pass_invocation
def list_command(invocation: Invocation, as_json: bool) -> None:
    """List all keys, the revoked ones too, without their text."""
    with _tables(invocation) as tables:
        keys = listed(tables)
    if as_json:
        print_json([_plain(key) for key in keys])
        return
    if not keys:
        stderr().print("there are no keys yet; `salience keys create NAME` makes one")
        return
    table = Table(
        "id", "name", "kind", "may", "origins", "made", "state", box=None, pad_edge=False, header_style="bold"
    )
    for key in keys:
        state = "valid" if key.revoked is None else f"revoked {moment(key.revoked)}"
        may, origins = ", ".join(sorted(key.scopes)), ", ".join(key.origins)
        table.add_row(key.id, key.name, key.kind, may, origins, moment(key.created), state)
    stdout().print(table)


@command.command("revoke")
@click.argument("key_id", metavar="ID")
@json_option
@pass_invocation
def revoke_command(invocation: Invocation, key_id: str, as_json: bool) -> None:
    """Make a key invalid for good, in every process within a second."""
    with _tables(invocation) as tables:
        try:
            key = revoke(tables, key_id, wall_ms())
        except KeyRefusedError as error:
            raise Failure(str(error)) from None
    if as_json:
        print_json(_plain(key))
    else:
        stderr().print(f"key {key.id} ({key.name}) is revoked")


def _plain(key: ApiKey) -> dict[str, object]:
    """What may be shown: everything but the hash."""
    return {
        "id": key.id,
        "name": key.name,
        "kind": key.kind,
        "scopes": sorted(key.scopes),
        "origins": key.origins,
        "created": key.created,
        "revoked": key.revoked,
    }


@contextmanager
def _tables(invocation: Invocation) -> Iterator[Tables]:
    try:
        with Wiring(invocation.settings) as wiring:
            yield wiring.tables()
    except PortError as error:
        raise Failure(f"the control tables can't be reached: {error}") from None
