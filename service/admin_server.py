"""The admin UI on gunicorn: one process of some threads, an end in order.

Nothing here imports the application before the fork, as for the API: ports belong to one process, and the runtime of the models
does not survive a fork.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from typing import Any

from gunicorn.app.base import BaseApplication
from gunicorn.errors import AppImportError

from admin_ui.options import Options
from config.schema import Settings
from engine.ports import PortError
from service.listening import BACKLOG, ServerLog
from service.secret_files import generated_secret

log = logging.getLogger("salience.admin")

THREADS = 8
"""Requests at once: people's clicks, and a poll every 3 s of each open home screen."""
GRACE_S = 3


def options(settings: Settings) -> Options:
    """The options of the application; raises `SecretFileError` where the generated secret can't be kept."""
    secret = settings.admin.secret_key
    if not secret.reveal():
        secret = generated_secret(settings.data_dir, "admin_session")
    host = "localhost" if settings.shop.host in {"0.0.0.0", "::"} else settings.shop.host  # noqa: S104 - compared
    return Options(
        secret_key=secret.reveal(),
        is_https=settings.admin.secure_cookies,
        session=settings.admin.session_hours * 60 * 60 * 1000,
        # HTTPS ends at a proxy in front, whose word on who calls is taken then, and never where there is none.
        proxies=1 if settings.admin.secure_cookies else 0,
        shop_url=f"http://{host}:{settings.shop.port}/",
    )


class AdminLog(ServerLog):
    """The messages of this server."""

    LOG = log


class AdminServer(BaseApplication):
    """gunicorn with one process of some threads: what a publication is waiting for is kept in its memory."""

    def __init__(self, settings: Settings, listener: socket.socket) -> None:
        self._settings = settings
        self._listener = listener
        self._closing: list[Callable[[], None]] = []
        super().__init__()

    def load_config(self) -> None:
        """Set what differs from gunicorn's defaults."""
        chosen: dict[str, Any] = {
            "bind": [f"fd://{self._listener.fileno()}"],
            "workers": 1,
            "worker_class": "gthread",
            "threads": THREADS,
            "logger_class": AdminLog,
            "loglevel": self._settings.log.level,
            "proc_name": "salience-admin",
            "default_proc_name": "salience-admin",
            "graceful_timeout": GRACE_S,
            "keepalive": 15,
            "backlog": BACKLOG,
            "control_socket_disable": True,
            "worker_exit": lambda _server, _worker: self.close(),
        }
        for name, value in chosen.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        """The application; called in the process that serves, after the fork."""
        from service.admin import application  # noqa: PLC0415  see above

        try:
            app, self._closing = application(self._settings, options(self._settings))
        except PortError as error:
            raise AppImportError(str(error)) from error  # gunicorn then prints the sentence alone, and ends
        return app

    def close(self) -> None:
        """End the holder, then the ports."""
        while self._closing:
            self._closing.pop(0)()


def serve(settings: Settings, listener: socket.socket) -> None:
    """Serve until a signal ends it; leaves the process with `SystemExit`."""
    AdminServer(settings, listener).run()
