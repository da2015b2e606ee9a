"""`salience snapshot`: a copy of all stored state in a file, and back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from engine.copies import PartitionCopy
from engine.ports import PortError, Position
from service.cli.console import Bar, print_json, progress, stderr, stdout
from service.cli.invocation import Failure, Invocation, json_option, pass_invocation
from service.cli.reports import moment
from service.clock import wall_ms
from service.rebuild.plan import workers_at_work
from service.snapshot_file import About, SnapshotFile, SnapshotFileError, write_snapshot
from service.wiring import Wiring

while_workers_run: Callable[[Callable[..., Any]], Callable[..., Any]] = click.option(
    "--while-workers-run",
    "despite_workers",
    is_flag=True,
    help="Don't look whether workers run; those that do are fenced, and stand still until they are started again.",
)
"""Decorates a command that takes `despite_workers`."""


@click.group("snapshot")
def command() -> None:
    """Save the stored state of all partitions in a file, and put it back."""


@command.command("save")
@click.argument("file", type=click.Path(path_type=Path))
@json_option
@pass_invocation
def save_command(invocation: Invocation, file: Path, as_json: bool) -> None:
    """Save sessions, ids seen, outbox, positions and what was live at which offset in FILE.

    Workers may go on: each partition is copied as of one moment, with the offset at which it stands. Limits, profiles, rules and
    the other control tables are not in it. The file holds what sessions know of people: guard it as you guard the store.
    """
    with Wiring(invocation.settings) as wiring, progress("partitions", invocation.settings.kafka.partitions) as bar:
        try:
            about = write_snapshot(file, wall_ms(), _copies(wiring, bar))
        except OSError as error:
            raise Failure(f"{file} can't be written: {error.strerror}") from error
        except PortError as error:
            raise Failure(str(error)) from error
    if as_json:
        print_json(about)
    else:
        stdout().print(f"{about.sessions:,} sessions of {about.partitions} partitions are in {file}", markup=False)


@command.command("load")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--replace", is_flag=True, help="Put it in the place of a state that is there.")
@while_workers_run
@json_option
@pass_invocation
def load_command(invocation: Invocation, file: Path, replace: bool, despite_workers: bool, as_json: bool) -> None:
    """Put the state in FILE back; the workers go on from its offsets when they are started.

    The file is checked whole before anything is written, and what is stored is compared with it after. What was sent since it
    was saved is not sent again. The event log must still reach back to its offsets: `salience snapshot show` names them.
    """
    with Wiring(invocation.settings) as wiring, progress("partitions", invocation.settings.kafka.partitions) as bar:
        try:
            if not despite_workers:
                refuse_while_workers_run(wiring)
            snapshot = SnapshotFile(file)
            about, partitions = snapshot.about, invocation.settings.kafka.partitions
            if about.partitions != partitions:
                raise Failure(
                    f"{file} has {about.partitions} partitions, and the setting kafka.partitions says {partitions}: sessions "
                    "would be looked for elsewhere"
                )
            snapshot.verify()
            if not replace:
                _refuse_what_is_there(wiring)
            for copy in snapshot.copies():
                _put_back(wiring, copy)
                bar.advance()
        except (SnapshotFileError, PortError) as error:
            raise Failure(str(error)) from error
    if as_json:
        print_json(about)
    else:
        stdout().print(f"{about.sessions:,} sessions of {about.partitions} partitions are in place; start the workers")


@command.command("show")
@click.argument("file", type=click.Path(path_type=Path))
@json_option
def show_command(file: Path, as_json: bool) -> None:
    """Check FILE and say what it holds, and where each partition stands in it."""
    try:
        snapshot = SnapshotFile(file)
        snapshot.verify()
    except SnapshotFileError as error:
        raise Failure(str(error)) from error
    if as_json:
        print_json(snapshot.about)
        return
    about: About = snapshot.about
    console = stdout()
    console.print(f"{about.sessions:,} sessions of {about.partitions} partitions, saved {moment(about.taken)}")
    for partition, offset in enumerate(about.offsets):
        console.print(f"partition {partition} at offset {offset:,}")


def refuse_while_workers_run(wiring: Wiring) -> None:
    """Raise `Failure` where a worker is at work: it would write on into what is replaced."""
    names = workers_at_work(wiring.publisher().control)
    if names:
        raise Failure(f"{', '.join(names)} at work: stop the workers first, or give --while-workers-run")


def _copies(wiring: Wiring, bar: Bar) -> Iterator[PartitionCopy]:
    for partition in range(wiring.settings.kafka.partitions):
        yield wiring.state().copy(partition)
        bar.advance()


def _refuse_what_is_there(wiring: Wiring) -> None:
    for partition in range(wiring.settings.kafka.partitions):
        position = wiring.state().position(partition)
        if position != Position(0, 0):
            raise Failure(
                f"there is a state already: partition {partition} is at offset {position.offset:,}; to put the snapshot in its "
                "place, give --replace"
            )


def _put_back(wiring: Wiring, copy: PartitionCopy) -> None:
    state = wiring.state()
    state.replace(copy)
    found = state.copy(copy.partition)
    if (found.sessions, found.position, list(found.outbox)) != (copy.sessions, copy.position, list(copy.outbox)):
        raise Failure(f"partition {copy.partition} is not as the file has it after it was written: run it again")
    if copy.seen.keys() - found.seen.keys():
        stderr().print(
            f"partition {copy.partition}: {len(copy.seen.keys() - found.seen.keys()):,} ids were seen too long ago to be kept"
        )
