"""The application on gunicorn's ASGI worker: one port, some processes, an end in order.

Nothing here imports the application before the fork: ports belong to one process, and prometheus-client must first know
whether several processes share their metrics.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import socket
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gunicorn.app.base import BaseApplication
from gunicorn.workers.gasgi import ASGIWorker

from config.schema import Settings
from service.listening import BACKLOG, ServerLog

if TYPE_CHECKING:
    from service.api.app import Application

log = logging.getLogger("salience.api.server")

METRICS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
KEEP_ALIVE_S = 15
GRACE_S = 3
"""For requests in flight at the end: ten deadlines. Idle connections of browsers are cut then."""
HANG_S = 30
"""A process whose event loop stands still for so long is ended and started anew."""
SWITCH_S = 0.0005
"""So soon the event loop gets the interpreter back from a thread that loads rules beside it. Python's own 5 ms, paid at
each wait of a request, are more than a decision takes."""


class ApiLog(ServerLog):
    """The messages of this server."""

    LOG = log


class ApiWorker(ASGIWorker):
    """Ends in order on every signal: Ctrl-C too must not lose a decision that is still to be logged.

    It shows that it lives from its first moment: gunicorn's own beat begins only when the application has started, and
    to compile and test a large ruleset may take longer than the pause after which a process counts as hung.
    """

    async def _serve(self) -> None:
        sys.setswitchinterval(SWITCH_S)
        beat = asyncio.create_task(self._beat())
        try:
            await super()._serve()  # type: ignore[misc]  # the stubs leave it out
        finally:
            beat.cancel()

    async def _beat(self) -> None:
        while True:
            self.notify()
            await asyncio.sleep(1.0)

    async def _shutdown(self) -> None:
        application: Any = self.asgi
        leaving = asyncio.create_task(application.leave())  # beside HTTP, not after it: there are some seconds for both
        await super()._shutdown()  # type: ignore[misc]  # as above
        await leaving

    def handle_quit_signal(self) -> None:
        """As SIGTERM."""
        self.handle_exit_signal()


class ApiServer(BaseApplication):
    """gunicorn with our settings in place of its own."""

    def __init__(self, settings: Settings, listener: socket.socket) -> None:
        self._settings = settings
        self._listener = listener
        super().__init__()

    def load_config(self) -> None:
        """Set what differs from gunicorn's defaults."""
        options: dict[str, Any] = {
            "bind": [f"fd://{self._listener.fileno()}"],
            "workers": self._settings.api.workers,
            "worker_class": ApiWorker,
            "logger_class": ApiLog,
            "loglevel": self._settings.log.level,
            "proc_name": "salience-api",
            "default_proc_name": "salience-api",
            "asgi_lifespan": "on",
            "timeout": HANG_S,
            "graceful_timeout": GRACE_S,
            "keepalive": KEEP_ALIVE_S,
            "backlog": BACKLOG,
            "limit_request_line": 8190,
            "limit_request_fields": 64,
            "limit_request_field_size": 8190,
            "control_socket_disable": True,
            "http_protocols": "h2,h1",
            "child_exit": _process_died,
        }
        if self._settings.api.tls_certificate:
            options["certfile"] = self._settings.api.tls_certificate
            options["keyfile"] = self._settings.api.tls_key or None
        elif self._settings.api.http2_cleartext:
            # From this machine alone (gunicorn's `forwarded_allow_ips`). "prior-knowledge" would refuse HTTP/1.1 from there.
            # With "both" a client whose Upgrade header a proxy hands on could send past that proxy: so not by default.
            options["http2_cleartext"] = "both"
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Application:
        """The application; called in each process after the fork."""
        from service.api.startup import application  # noqa: PLC0415  see above

        return application(self._settings)


def serve(settings: Settings, listener: socket.socket) -> None:
    """Serve until a signal ends it; leaves the process with `SystemExit`."""
    shared: Path | None = None
    if settings.api.workers > 1:
        shared = Path(tempfile.mkdtemp(prefix="salience-api-metrics-"))
        os.environ[METRICS_VARIABLE] = str(shared)
    owner = os.getpid()
    try:
        ApiServer(settings, listener).run()
    finally:
        if shared is not None and os.getpid() == owner:
            shutil.rmtree(shared, ignore_errors=True)


def _process_died(_server: object, worker: Any) -> None:
    """Forget the gauges of a process that ended."""
    if METRICS_VARIABLE in os.environ:
        from prometheus_client import multiprocess  # noqa: PLC0415  see above

        multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]
