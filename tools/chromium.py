"""Find a Chromium of this machine for Playwright, which here never downloads a browser of its own."""

import os
import shutil
from pathlib import Path

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

FLAGS = (
    "--no-sandbox",  # root in a container has no user namespaces
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    # Nothing but the page under test goes over the network.
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def find() -> Path | None:
    """Return the browser's path: CHROMIUM if that is set, else the first of `PROGRAMS` on PATH."""
    named = os.environ.get("CHROMIUM")
    found = named if named and Path(named).exists() else next(filter(None, map(shutil.which, PROGRAMS)), None)
    return Path(found) if found else None
