"""`salience lag`: how far behind the workers are."""

from __future__ import annotations

import click
import msgspec
from rich.table import Table

from engine.ports import PortError
from engine.values import EpochMs
from service.cli.console import print_json, stdout
from service.cli.invocation import Failure, Invocation, json_option, pass_invocation
from service.cli.reports import moment
from service.wiring import Wiring


class PartitionLag(msgspec.Struct, frozen=True):
    """One partition.

    Attributes:
        end: Of the log: the next offset to be written.
        state: The next offset that the state needs.
        behind: Records in between.
        waiting: Outputs that are written and not known to be out.
        watermark: The event time that has passed, None where nothing was evaluated.
    """

    partition: int
    end: int
    state: int
    behind: int
    waiting: int
    watermark: EpochMs | None


@click.command("lag")
@json_option
@pass_invocation
def command(invocation: Invocation, as_json: bool) -> None:
    """Show for each partition where its log ends, where its state stands, and how many outputs wait to be sent.

    It asks the log and the state store, so that it tells the truth while no worker runs.
    """
    with Wiring(invocation.settings) as wiring:
        try:
            ends, state = wiring.event_source().ends(), wiring.state()
            found = []
            for number, end in sorted(ends.items()):
                position = state.position(number)
                waiting = len(state.outbox(number))
                behind, watermark = max(0, end - position.offset), position.watermark or None
                found.append(PartitionLag(number, end, position.offset, behind, waiting, watermark))
        except PortError as error:
            raise Failure(str(error)) from error
    if as_json:
        print_json(found)
        return
    table = Table(
        "partition", "log ends at", "state at", "behind", "outputs waiting", "watermark", box=None, pad_edge=False
    )
    for each in found:
        table.add_row(
            str(each.partition), f"{each.end:,}", f"{each.state:,}", f"{each.behind:,}", f"{each.waiting:,}",
            "-" if each.watermark is None else moment(each.watermark), style="yellow" if each.behind else None,
        )  # fmt: skip
    console = stdout()
    console.print(table)
    console.print(f"{sum(each.behind for each in found):,} records behind", style="bold")
