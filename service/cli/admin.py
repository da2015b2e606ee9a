"""`salience admin`: serve the admin UI."""

from __future__ import annotations

import click

from service.cli.console import stderr
from service.cli.invocation import Failure, Invocation, pass_invocation


@click.command("admin")
@click.option("--host", help="Address to listen on (setting admin.host).")
@click.option("--port", type=int, help="Port to listen on; 0: one that is free (setting admin.port).")
@pass_invocation
def command(invocation: Invocation, host: str | None, port: int | None) -> None:
    """Serve the admin UI until a signal ends it. `salience users add` makes the people who may sign in.

    The shop goes on without it: what is live stays live.
    """
    # Commands import what they run, when they run it.
    from service.admin_server import PortTakenError, listen, options, serve  # noqa: PLC0415 - see above
    from service.logs import set_up_logging  # noqa: PLC0415 - see above
    from service.secret_files import SecretFileError  # noqa: PLC0415

    settings = invocation.having(admin__host=host, admin__port=port).settings
    set_up_logging(settings.log)
    try:
        options(settings)  # a secret that can't be kept is told here, in one sentence, not by a process that dies
        listener = listen(settings.admin.host, settings.admin.port)
    except (PortTakenError, SecretFileError, ValueError) as error:
        raise Failure(str(error)) from None
    address, bound, *_ = listener.getsockname()
    shown = f"[{address}]" if ":" in address else address
    stderr().print(f"admin UI on http://{shown}:{bound}/")
    serve(settings, listener)
