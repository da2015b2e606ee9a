"""`salience users`: who may sign in to the admin UI, and what they may do there."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from service.cli.console import print_json, stderr, stdout
from service.cli.invocation import Failure, Invocation, json_option, pass_invocation

if TYPE_CHECKING:
    from admin_ui.accounts import Accounts

ROLES = ("viewer", "editor", "publisher")


@click.group("users")
def command() -> None:
    """Manage who may sign in to the admin UI.

    A viewer sees everything, an editor also changes the draft, a publisher also publishes and rolls back.
    """


@command.command("add")
@click.argument("name")
@click.option("--role", type=click.Choice(ROLES), default="editor", show_default=True, help="What they may do.")
@click.option("--password-stdin", is_flag=True, help="Read the password from the first line of standard input.")
@json_option
@pass_invocation
def add(invocation: Invocation, name: str, role: str, password_stdin: bool, as_json: bool) -> None:
    """Add a user; asks for the password."""
    from admin_ui.accounts import Role  # noqa: PLC0415 - commands import what they run, when they run it
    from service.clock import wall_ms  # noqa: PLC0415

    with _accounts(invocation) as accounts:
        if accounts.get(name) is not None:
            raise Failure(f"there is a user {name} already; `salience users password {name}` changes the password")
        account = accounts.add(name, Role(role), _password(from_stdin=password_stdin), wall_ms())
    if as_json:
        print_json({"name": account.name, "role": account.role, "created": account.created})
    else:
        stderr().print(f"{name} may sign in now, as {role}")


@command.command("list")
@json_option
@pass_invocation
def list_users(invocation: Invocation, as_json: bool) -> None:
    """List all users with their roles."""
    import datetime as dt  # noqa: PLC0415

    from rich.table import Table  # noqa: PLC0415

    with _accounts(invocation) as accounts:
        known = accounts.all()
    if as_json:
        print_json([{"name": each.name, "role": each.role, "created": each.created} for each in known])
        return
    if not known:
        stderr().print("nobody may sign in yet; `salience users add NAME` adds somebody")
        return
    table = Table("name", "role", "since", box=None, pad_edge=False, header_style="bold")
    for each in known:
        since = dt.datetime.fromtimestamp(each.created / 1000, dt.UTC).strftime("%Y-%m-%d")
        table.add_row(each.name, each.role, since)
    stdout().print(table)


@command.command("remove")
@click.argument("name")
@json_option
@pass_invocation
def remove(invocation: Invocation, name: str, as_json: bool) -> None:
    """Remove a user; who is signed in by that name is out at the next click."""
    with _accounts(invocation) as accounts:
        accounts.remove(name)
    _say(as_json, {"name": name, "removed": True}, f"{name} may not sign in any more")


@command.command("password")
@click.argument("name")
@click.option("--password-stdin", is_flag=True, help="Read the password from the first line of standard input.")
@json_option
@pass_invocation
def password(invocation: Invocation, name: str, password_stdin: bool, as_json: bool) -> None:
    """Set a new password; ends the sessions signed in with the old one."""
    with _accounts(invocation) as accounts:
        if accounts.get(name) is None:
            raise Failure(f"there is no user {name}")
        accounts.set_password(name, _password(from_stdin=password_stdin))
    _say(as_json, {"name": name, "changed": True}, f"{name} has a new password")


@command.command("role")
@click.argument("name")
@click.argument("role", type=click.Choice(ROLES))
@json_option
@pass_invocation
def change_role(invocation: Invocation, name: str, role: str, as_json: bool) -> None:
    """Change what a user may do; it counts from their next click."""
    from admin_ui.accounts import Role  # noqa: PLC0415

    with _accounts(invocation) as accounts:
        accounts.set_role(name, Role(role))
    _say(as_json, {"name": name, "role": role}, f"{name} is {role} now")


def _say(as_json: bool, document: dict[str, object], sentence: str) -> None:
    if as_json:
        print_json(document)
    else:
        stderr().print(sentence)


def _password(*, from_stdin: bool) -> str:
    """Never an argument: other users of the machine could read it there."""
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    return str(click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))


@contextmanager
def _accounts(invocation: Invocation) -> Iterator[Accounts]:
    from admin_ui.accounts import AccountError, Accounts  # noqa: PLC0415
    from engine.ports import PortError  # noqa: PLC0415
    from service.wiring import Wiring  # noqa: PLC0415

    try:
        with Wiring(invocation.settings) as wiring:
            yield Accounts(wiring.tables())
    except (AccountError, PortError) as error:
        raise Failure(str(error)) from None
