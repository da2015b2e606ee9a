"""`salience api`: serve the decision API."""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack

import click
import msgspec

from service.cli.console import stderr
from service.cli.invocation import Failure, Invocation, pass_invocation


@click.command("api")
@click.option("--host", help="Address to listen on (setting api.host).")
@click.option("--port", type=int, help="Port to listen on; 0: one that is free (setting api.port).")
@click.option("--grpc-port", type=int, help="Port of gRPC; 0: one that is free (setting api.grpc_port).")
@click.option("--workers", type=int, help="Processes (setting api.workers).")
@pass_invocation
def command(
    invocation: Invocation, host: str | None, port: int | None, grpc_port: int | None, workers: int | None
) -> None:
    """Serve the decision API until a signal ends it; what was accepted is written before.

    SIGTERM and Ctrl-C end it in order. A new ruleset needs no restart: it is taken up while requests go on.
    """
    from service.api.server import serve  # noqa: PLC0415 - `--help` answers without it
    from service.listening import PortTakenError, listen, reserve  # noqa: PLC0415
    from service.logs import set_up_logging  # noqa: PLC0415

    settings = invocation.having(
        api__host=host, api__port=port, api__grpc_port=grpc_port, api__workers=workers
    ).settings
    set_up_logging(settings.log)
    for name in ("tls_certificate", "tls_key"):
        file = getattr(settings.api, name)
        if file and not os.access(file, os.R_OK):
            raise Failure(f"{file} can't be read; see the setting api.{name}")
    if settings.api.tls_key and not settings.api.tls_certificate:
        raise Failure("api.tls_key is the key of no certificate; see the setting api.tls_certificate")
    with ExitStack() as held:
        try:
            listener = listen(settings.api.host, settings.api.port, "api")
            grpc_address = ""
            if settings.api.grpc_port is not None:
                place = held.enter_context(reserve(settings.api.host, settings.api.grpc_port, "api", "grpc_port"))
                bound = place.getsockname()[1]
                settings = msgspec.structs.replace(settings, api=msgspec.structs.replace(settings.api, grpc_port=bound))
                grpc_address = f" and gRPC on {_shown(place)}"
        except PortTakenError as error:
            raise Failure(str(error)) from None
        scheme = "https" if settings.api.tls_certificate else "http"
        stderr().print(f"decision API on {scheme}://{_shown(listener)}{grpc_address}")
        serve(settings, listener)


def _shown(listener: socket.socket) -> str:
    address, port, *_ = listener.getsockname()
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
