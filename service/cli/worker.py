"""`salience worker`: evaluate the event stream."""

from __future__ import annotations

import signal
from types import FrameType

import click

from engine.ports import PortError
from service.cli.invocation import Failure, Invocation, pass_invocation


@click.command("worker")
@click.option("--no-watch", is_flag=True, help="Don't publish the ruleset folder when it changes.")
@pass_invocation
def command(invocation: Invocation, no_watch: bool) -> None:
    """Evaluate the event stream: events in, state and triggers out.

    Several workers share the partitions of the log. SIGTERM and Ctrl-C end it after its batch; another worker goes on
    where it stopped. With the setting bundle.watch it also publishes the ruleset folder when a file of it changes.
    """
    from service.logs import set_up_logging  # noqa: PLC0415  `--help` answers without the imports of a worker
    from service.worker.process import WorkerProcess  # noqa: PLC0415

    settings = invocation.settings
    set_up_logging(settings.log)
    try:
        process = WorkerProcess(settings, watch=settings.bundle.watch and not no_watch)
    except PortError as error:
        raise Failure(f"the worker can't start: {error}") from error

    def stop(_signum: int, _frame: FrameType | None) -> None:
        process.stop()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    process.run()
