"""`salience signing`: the keys that vouch for what is published."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.table import Table

from engine.bundle import Revision
from engine.ports import PortError
from service.cli.console import print_json, stderr, stdout
from service.cli.invocation import Failure, Invocation, json_option, pass_invocation
from service.publisher import PublishBusyError, PublishRefusedError
from service.signing import PublicKey, SigningError
from service.wiring import Wiring


@click.group("signing")
def command() -> None:
    """Manage the keys that sign what is published.

    A process activates only rules that a key signed which it trusts. Public keys are trusted per host; the private key
    stays on the host that publishes. With Redis the first publication makes one; the embedded default goes unsigned until
    `create`. To rotate: `create`, `trust` the printed line on every other host, `use`, and later `distrust` the old one.
    """


@command.command("create")
@json_option
@pass_invocation
def create_command(invocation: Invocation, as_json: bool) -> None:
    """Make a key, trust it here, and print its public line for the other hosts.

    The first key signs from now on, and what is live is signed by it. A later one waits until `salience signing use`.
    """
    with _wiring(invocation) as wiring:
        signing = wiring.signing()
        is_first = signing.own() is None
        live = _vouched(wiring) if is_first else None
        key = signing.create()
        _sign_anew(wiring, live)
    if as_json:
        print_json({"id": key.id, "public": key.text, "signs": is_first})
        return
    stdout().print(key.text, soft_wrap=True, markup=False, highlight=False)
    stderr().print(
        f"key {key.id} " + ("signs from now on" if is_first else "waits: trust it on every host, then `use` it")
    )


@command.command("use")
@pass_invocation
def use_command(invocation: Invocation) -> None:
    """Let the key that waits sign from now on, and sign what is live with it."""
    with _wiring(invocation) as wiring:
        live = _vouched(wiring)
        key = wiring.signing().use()
        _sign_anew(wiring, live)
    stderr().print(f"key {key.id} signs from now on; the one before it stays trusted until you `distrust` it")


@command.command("trust")
@click.argument("public", metavar="LINE|FILE")
@pass_invocation
def trust_command(invocation: Invocation, public: str) -> None:
    """Trust a public key on this host: the line that `create` printed, or a file with it."""
    try:
        text = Path(public).read_text("ascii") if Path(public).is_file() else public
        key = PublicKey.read(text)
        with _wiring(invocation) as wiring:
            wiring.signing().trust(key)
    except (OSError, UnicodeDecodeError, SigningError) as error:
        raise Failure(str(error)) from None
    stderr().print(f"key {key.id} is trusted here")


@command.command("distrust")
@click.argument("key_id", metavar="ID")
@pass_invocation
def distrust_command(invocation: Invocation, key_id: str) -> None:
    """Trust a key no more on this host. Refused while what is live is signed by it."""
    with _wiring(invocation) as wiring:
        live = wiring.publisher().live()
        if live is not None and live.signature.partition(" ")[0] == key_id:
            raise Failure(f"what is live is signed by key {key_id}: sign it anew first (`create` and `use`)")
        wiring.signing().distrust(key_id)
    stderr().print(f"key {key_id} is not trusted here any more")


@command.command("list")
@json_option
@pass_invocation
def list_command(invocation: Invocation, as_json: bool) -> None:
    """List the keys that are trusted here, which one signs, and who signed what is live."""
    with _wiring(invocation) as wiring:
        signing = wiring.signing()
        trusted, own, waiting = signing.trusted(), signing.own(), signing.waiting()
        live = wiring.publisher().live()
    by = "" if live is None else live.signature.partition(" ")[0]
    if as_json:
        print_json({
            "trusted": [{"id": key.id, "public": key.text} for key in trusted.values()],
            "signs": None if own is None else own.id,
            "waits": None if waiting is None else waiting.id,
            "live": by or None,
            "required": signing.is_required,
        })  # fmt: skip
        return
    if not trusted:
        stderr().print("no key is trusted here: " + ("the first publication makes one" if signing.is_required
                                                     else "unsigned rules are taken, as the tables are this host's own"))  # fmt: skip
        return
    table = Table("id", "public", "role", box=None, pad_edge=False, header_style="bold")
    for key in trusted.values():
        roles = [
            *(("signs here",) if own == key else ()),
            *(("waits",) if waiting == key else ()),
            *(("signed what is live",) if by == key.id else ()),
        ]
        table.add_row(key.id, key.text, ", ".join(roles))
    stdout().print(table)


def _vouched(wiring: Wiring) -> Revision | None:
    """What is live, where the keys of now vouch for it: nothing else is to get the signature of another."""
    live = wiring.publisher().live()
    if live is not None:
        wiring.signing().check(live)
    return live


def _sign_anew(wiring: Wiring, live: Revision | None) -> None:
    if live is not None:
        done = wiring.publisher().sign_anew(live, getpass.getuser())
        stderr().print(f"what is live was signed anew, as revision {done.revision.number}")


@contextmanager
def _wiring(invocation: Invocation) -> Iterator[Wiring]:
    try:
        with Wiring(invocation.settings) as wiring:
            yield wiring
    except PortError as error:
        raise Failure(f"the control tables can't be reached: {error}") from None
    except (SigningError, PublishRefusedError, PublishBusyError) as error:
        raise Failure(str(error)) from None
