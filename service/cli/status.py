"""`salience status`: what is live, who serves it, and how it is."""

from __future__ import annotations

import click
import msgspec
from rich.table import Table

from engine.bundle import Revision
from engine.ports import PortError
from engine.values import EpochMs
from service.cli.console import print_json, stdout
from service.cli.invocation import Failure, Invocation, json_option, pass_invocation
from service.clock import wall_ms
from service.control import FolderReport, ProcessReport, Refusal, Stage
from service.wiring import Wiring


class Status(msgspec.Struct, frozen=True):
    """Everything that the control tables say.

    Attributes:
        answers: Of the processes to what is staged: "accepted", or why not.
        lag: Events in the log that no worker has evaluated yet.
    """

    time: EpochMs
    live: Revision | None
    processes: list[ProcessReport]
    staged: Stage | None
    answers: dict[str, str]
    folder: FolderReport
    refusal: Refusal | None
    lag: int


@click.command("status")
@json_option
@pass_invocation
def command(invocation: Invocation, as_json: bool) -> int:
    """Show what is live, which processes serve it, what the watched folder does, and how far behind the workers are.

    The network runs compiled where salience was installed with a C compiler and mypy, else in Python: slower, with the same answers.

    Exit code 0 where all is well, 1 where nothing is live, a process serves another revision or names a problem.
    """
    with Wiring(invocation.settings) as wiring:
        try:
            control = wiring.publisher().control
            now = wall_ms()
            stage, _ = control.staged()
            status = Status(
                time=now,
                live=control.live()[0],
                processes=control.processes(now),
                staged=stage,
                answers={} if stage is None else {
                    each.process: "accepted" if each.accepted else each.reason for each in control.answers(stage).values()
                },
                folder=control.folder()[0],
                refusal=control.refusal(),
                lag=sum(each.counts.get("lag", 0) for each in control.processes(now) if each.is_live(now)),
            )  # fmt: skip
        except PortError as error:
            raise Failure(str(error)) from error
    if as_json:
        print_json(status)
    else:
        _show(status)
    return 0 if is_well(status) else 1


def is_well(status: Status) -> bool:
    """Whether something is live, and every live process serves it without a problem."""
    live = status.live
    if live is None:
        return False
    serving = [each for each in status.processes if each.is_live(status.time)]
    return all(each.revision == live.number and not each.problem for each in serving)


def _show(status: Status) -> None:
    console = stdout()
    live = status.live
    if live is None:
        console.print("nothing is live; publish a folder with `salience publish`", style="bold red")
    else:
        restored = "" if live.restores is None else f", back to revision {live.restores}"
        note = f": {live.note}" if live.note else ""
        console.print(
            f"live: revision {live.number} ({live.bundle[:12]}) by {live.author}, "
            f"{_ago(status.time - live.time)} ago{restored}{note}",
            style="bold", markup=False,
        )  # fmt: skip
        key, _, _ = live.signature.partition(" ")
        if key:
            console.print(f"signed: by key {key}", markup=False)
        else:
            console.print("not signed: whoever can write to the control tables can change the rules", style="yellow")
    if status.processes:
        table = Table("process", "revision", "network", "seen", "events", "lag", "problem", box=None, pad_edge=False)
        for each in status.processes:
            is_live = each.is_live(status.time)
            worker = each.role == "worker"
            table.add_row(
                each.name,
                "-" if each.revision is None else str(each.revision),
                "compiled" if each.is_compiled else "in Python",
                f"{_ago(status.time - each.seen)} ago",
                f"{each.counts.get('applied', 0):,}" if worker else "",
                f"{each.counts.get('lag', 0):,}" if worker else "",
                each.problem if is_live else "gone",
                style=None if is_live and not each.problem else "yellow",
            )
        console.print(table)
    else:
        console.print("no process runs", style="yellow")
    if status.staged is not None:
        waiting = ", ".join(f"{name}: {answer}" for name, answer in status.answers.items()) or "no answer yet"
        console.print(f"staged: revision {status.staged.revision.number}; {waiting}", markup=False)
    folder = status.folder
    if folder.path:
        console.print(f"folder: {folder.path}: {folder.unreadable or folder.problem or 'published'}", markup=False)
    if status.refusal is not None:
        refusal = status.refusal
        console.print(f"last refusal: {_ago(status.time - refusal.time)} ago, by {refusal.author}:", markup=False)
        for reason in refusal.reasons:
            console.print("  " + reason.rstrip().replace("\n", "\n  "), markup=False)


def _ago(ms: int) -> str:
    seconds = max(0, ms) // 1000
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"
