"""`salience settings`: every setting, its value and where that came from."""

from typing import Any

import click
from rich.table import Table

from config.secret import Secret
from service.cli.console import print_json, stdout
from service.cli.invocation import Invocation, json_option, pass_invocation


@click.command("settings")
@click.option("--changed", is_flag=True, help="Only those that are not the default.")
@json_option
@pass_invocation
def command(invocation: Invocation, changed: bool, as_json: bool) -> None:
    """Show every setting and where it came from: default, file, variable or flag. Secrets are never shown."""
    loaded = invocation.loaded
    rows = {key: value for key, value in loaded.values().items() if not changed or loaded.origins[key] != "default"}
    if as_json:
        print_json({key: {"value": _plain(value), "from": loaded.origins[key]} for key, value in rows.items()})
        return
    table = Table("setting", "value", "from", box=None, pad_edge=False, header_style="bold")
    for key, value in rows.items():
        origin = loaded.origins[key]
        table.add_row(key, _shown(value), origin, style="dim" if origin == "default" else None)
    stdout().print(table)


def _plain(value: object) -> Any:
    if isinstance(value, Secret):
        return repr(value)
    return value if isinstance(value, bool | int | str | tuple | None) else str(value)


def _shown(value: object) -> str:
    plain = _plain(value)
    if isinstance(plain, tuple):
        return ", ".join(plain) or "(none)"
    if isinstance(plain, bool):
        return str(plain).lower()
    return "(empty)" if plain is None or plain == "" else str(plain)
