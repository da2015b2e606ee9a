"""Where commands write: data to stdout, messages and progress to stderr; plain when that is no terminal."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

WIDTH = 200
"""Columns where nobody looks: a pipe or a file gets rows in one line."""


def stdout() -> Console:
    """Return the console for data."""
    return Console(file=sys.stdout, width=None if sys.stdout.isatty() else WIDTH, highlight=False, soft_wrap=True)


def stderr() -> Console:
    """Return the console for messages."""
    return Console(stderr=True, width=None if sys.stderr.isatty() else WIDTH, highlight=False, soft_wrap=True)


def print_json(value: object) -> None:
    """Print one JSON document on stdout, in lines for a person at a terminal; msgspec types are taken as they are."""
    text = msgspec.json.encode(value, order="deterministic")
    click.echo(msgspec.json.format(text, indent=2 if sys.stdout.isatty() else -1))


@contextmanager
def progress(description: str, total: int | None) -> Iterator["Bar"]:
    """Show progress of long work on stderr, at a terminal only.

    Args:
        description: What is being done.
        total: Steps of the work; None where that is not known.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=stderr(), disable=not sys.stderr.isatty(), transient=True) as shown:
        yield Bar(shown, shown.add_task(description, total=total))


class Bar:
    """One line of progress."""

    def __init__(self, shown: Progress, task: TaskID) -> None:
        self._shown, self._task = shown, task

    def expect(self, total: int) -> None:
        """Say how many steps there are, where that was not known before."""
        self._shown.update(self._task, total=total)

    def advance(self, steps: int = 1) -> None:
        """Count steps that are done."""
        self._shown.advance(self._task, steps)
