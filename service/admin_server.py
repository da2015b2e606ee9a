"""The admin UI on gunicorn: one process of some threads, an end in order.

Nothing here imports the application before the fork, as for the API: ports belong to one process, and the runtime of the models
does not survive a fork.
"""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Callable
from typing import Any

from gunicorn.app.base import BaseApplication
from gunicorn.errors import AppImportError
from gunicorn.glogging import Logger

from admin_ui.options import Options
from config.schema import Settings
from engine.ports import PortError
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
            "logger_class": ServerLog,
            "loglevel": self._settings.log.level,
            "proc_name": "salience-admin",
            "default_proc_name": "salience-admin",
            "graceful_timeout": GRACE_S,
            "keepalive": 15,
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


class ServerLog(Logger):
    """gunicorn's messages in our log; there is no access log."""

    def setup(self, cfg: Any) -> None:
        """Use our logger."""
        super().setup(cfg)
        for handler in list(self.error_log.handlers):
            self.error_log.removeHandler(handler)
        self.error_log = log
        # "Booting worker", "Listening at" and the like: of interest to who looks closely.
        if log.getEffectiveLevel() == logging.INFO:
            log.setLevel(logging.WARNING)


class PortTakenError(OSError):
    """The address can't be listened on; the message says which and what to do."""


def listen(host: str, port: int) -> socket.socket:
    """Take the address; raises `PortTakenError`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            reason = "another program listens there; end it, or choose another with --port or the setting admin.port"
        elif error.errno == errno.EACCES:
            reason = "ports below 1024 need special rights; choose another with --port or the setting admin.port"
        else:
            reason = f"{error.strerror or error}; see the setting admin.host"
        raise PortTakenError(f"{host}:{port} can't be listened on: {reason}") from None


def serve(settings: Settings, listener: socket.socket) -> None:
    """Serve until a signal ends it; leaves the process with `SystemExit`."""
    AdminServer(settings, listener).run()
