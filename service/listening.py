"""What the servers of this package share: taking an address, and gunicorn's messages in our log."""

from __future__ import annotations

import errno
import logging
import socket
from typing import Any, ClassVar

from gunicorn.glogging import Logger

BACKLOG = 1024
"""Connections that may wait to be accepted."""


class PortTakenError(OSError):
    """The address can't be listened on; the message says which and what to do."""


def reserve(host: str, port: int, settings: str, name: str = "port") -> socket.socket:
    """Hold an address on which processes will listen together, each with a socket of its own (SO_REUSEPORT).

    Args:
        host: Name or address of an interface.
        port: 0: the system chooses.
        settings: As in `listen`.
        name: Of the setting in that group.

    Raises:
        PortTakenError: Somebody else has it.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    held = socket.socket(family, socket.SOCK_STREAM)
    try:
        # First without, or a port on which another program lets others listen would be shared with that program.
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind((host, port))
        bound = held.getsockname()[1]
        held.close()
        held = socket.socket(family, socket.SOCK_STREAM)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind((host, bound))
    except OSError as error:
        held.close()
        raise _taken(host, port, error, f"the setting {settings}.{name}", f"{settings}.host") from None
    return held


def listen(host: str, port: int, settings: str) -> socket.socket:
    """Take the address.

    Args:
        host: Name or address of an interface.
        port: 0: the system chooses.
        settings: The group of settings that the address came from, for the message: `api`.

    Raises:
        PortTakenError: It can't be taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise _taken(host, port, error, f"--port or the setting {settings}.port", f"{settings}.host") from None


def _taken(host: str, port: int, error: OSError, chosen_by: str, host_setting: str) -> PortTakenError:
    another = f"choose another with {chosen_by}"
    if error.errno == errno.EADDRINUSE:
        reason = f"another program listens there; end it, or {another}"
    elif error.errno == errno.EACCES:
        reason = f"ports below 1024 need special rights; {another}"
    else:
        reason = f"{error.strerror or error}; see the setting {host_setting}"
    return PortTakenError(f"{host}:{port} can't be listened on: {reason}")


class ServerLog(Logger):
    """gunicorn's messages in a log of ours, which a subclass names; there is no access log, the metrics count."""

    LOG: ClassVar[logging.Logger]

    def setup(self, cfg: Any) -> None:
        """Use our logger."""
        super().setup(cfg)
        for handler in list(self.error_log.handlers):
            self.error_log.removeHandler(handler)
        self.error_log = self.LOG
        # "Booting worker", "Listening at" and the like: of interest to who looks closely.
        if self.LOG.getEffectiveLevel() == logging.INFO:
            self.LOG.setLevel(logging.WARNING)
