"""Processes that this one started and that may outlive whoever asked for them."""

import atexit
import subprocess

_STARTED: dict[int, "subprocess.Popen[bytes]"] = {}
"""By process id. Kept here because a `Popen` that is collected while its process runs warns of a leak, and because only the
parent can reap: an unreaped child looks alive."""


def keep(child: "subprocess.Popen[bytes]") -> "subprocess.Popen[bytes]":
    """Hold a child until it has ended."""
    _STARTED[child.pid] = child
    return child


def reap() -> None:
    """Forget those that have ended."""
    for pid in [pid for pid, child in _STARTED.items() if child.poll() is not None]:
        del _STARTED[pid]


@atexit.register
def _leave() -> None:
    """Let those that still run go on without a warning: a shared server is ended by whoever started the run."""
    for child in _STARTED.values():
        child.returncode = child.returncode or 0
