"""`salience rebuild`: stored state from the event log, with what was live at each offset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import click
from rich.table import Table

from engine.ports import PortError
from service.cli.console import Bar, print_json, progress, stderr, stdout
from service.cli.invocation import Failure, Invocation, json_option, pass_invocation
from service.cli.snapshot import refuse_while_workers_run, while_workers_run
from service.wiring import Wiring


@click.command("rebuild")
@click.option("--compare", is_flag=True, help="Put nothing in place: build aside and say which sessions differ.")
@while_workers_run
@json_option
@pass_invocation
def command(invocation: Invocation, compare: bool, despite_workers: bool, as_json: bool) -> int:
    """Build sessions and positions anew from the event log, up to where the stored state stands, and put them in its place.

    Each record is evaluated with the revision, the models and the allowed lateness that it was evaluated with first: they are
    recorded with the state and the outputs. So the result is the state that the workers had, byte for byte, but for profiles and
    the catalogue, which are as they are now; and where the log no longer has its beginning, which is said, for sessions that were
    open there. It is built aside, in data_dir, and goes on where it stopped when it is run again after an end.
    Stop the workers first. What was out is not sent again.

    With --compare workers may go on, nothing is changed, and the exit code is 1 where a session differs.
    """
    from service.rebuild.plan import RebuildError  # noqa: PLC0415 - `--help` answers without the engine
    from service.rebuild.run import Rebuild  # noqa: PLC0415

    with Wiring(invocation.settings) as wiring, progress("records", None) as bar:
        try:
            if not compare and not despite_workers:
                refuse_while_workers_run(wiring)
            done = Rebuild(wiring, compares=compare).run(
                lambda total, resumed: _begin(bar, total, resumed), bar.advance
            )
        except (RebuildError, PortError) as error:
            raise Failure(str(error)) from error
    differ = sum(each.differing or 0 for each in done)
    if as_json:
        print_json(done)
        return int(compare and differ > 0)
    if not done:
        stderr().print("nothing was ever evaluated, so there is nothing to build")
        return 0
    table = Table("partition", "up to offset", "sessions", "otherwise before", "such as", box=None, pad_edge=False)
    for each in done:
        before = "nothing to compare" if each.differing is None else f"{each.differing:,}"
        table.add_row(
            str(each.partition), f"{each.offset:,}", f"{each.sessions:,}", before, ", ".join(each.examples),
            style="yellow" if each.differing else None,
        )  # fmt: skip
    stdout().print(table)
    _tell_assumed([each.partition for each in done if each.is_assumed])
    _tell_begins({each.partition: each.begins for each in done if each.begins})
    if not compare:
        stderr().print("the state is in place; start the workers")
    return int(compare and differ > 0)


def _begin(bar: Bar, total: int, is_resumed: bool) -> None:
    bar.expect(total)
    if is_resumed:
        stderr().print(f"going on with a rebuild that was ended: {total:,} records are left")


def _tell_begins(begins: Mapping[int, int]) -> None:
    if begins:
        told = ", ".join(f"{partition} at offset {offset:,}" for partition, offset in begins.items())
        stderr().print(
            f"the event log no longer begins at offset 0 (partition {told}): sessions that were open there lack what came before it. "
            "A snapshot that is older has it: `salience snapshot load`, then start the workers",
            style="yellow",
        )


def _tell_assumed(partitions: Sequence[int]) -> None:
    if partitions:
        stderr().print(
            f"of partitions {', '.join(map(str, partitions))} it is not recorded what was live when: all was evaluated with what "
            "is live now",
            style="yellow",
        )
