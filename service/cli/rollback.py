"""`salience rollback`: go back to a former revision."""

from __future__ import annotations

import getpass

import click

from engine.ports import PortError
from service.cli.console import print_json, stderr
from service.cli.invocation import Failure, Invocation, json_option, pass_invocation
from service.cli.publish import refusal_json, tell
from service.publisher import PublishBusyError, PublishRefusedError
from service.wiring import Wiring


@click.command("rollback")
@click.option("--reason", required=True, help="Why; the history keeps it.")
@click.option("--to", type=click.IntRange(min=1), help="The revision to go back to; default: the one before.")
@click.option("--author", default=None, help="Who, for the history; default: your name on this machine.")
@click.option("--dry-run", is_flag=True, help="Say what would be done.")
@json_option
@pass_invocation
def command(
    invocation: Invocation, reason: str, to: int | None, author: str | None, dry_run: bool, as_json: bool
) -> int:
    """Bring the content of a former revision back, as a new revision.

    The watched folder is held back until one of its files changes, or the bad content would return. Exit code 1 where
    it was refused.
    """
    with Wiring(invocation.settings) as wiring:
        try:
            done = wiring.publisher().rollback(reason, author or getpass.getuser(), to, dry_run=dry_run)
        except PublishRefusedError as refused:
            if as_json:
                print_json(refusal_json(refused))
            else:
                for each in refused.reasons:
                    stderr().print(f"salience: {each}", markup=False)
            return 1
        except (PublishBusyError, PortError) as error:
            raise Failure(str(error)) from error
    if as_json:
        print_json(done)
    else:
        tell(done)
    return 0
