"""Open Policy Agent, a peer of the benchmarks, built by Go from its module into the user's cache: `python -m tools.opa`."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

MODULE = "github.com/open-policy-agent/opa"
VERSION = "v1.22.2"


class OpaError(RuntimeError):
    """Go is missing or failed; the message has the end of its output."""


def program() -> Path:
    """Where it lies, or would lie."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "salience-opa"
    return root / VERSION / "opa"


def find() -> str | None:
    """The program that was built, else one on PATH."""
    return str(program()) if program().exists() else shutil.which("opa")


def build() -> Path:
    """Build it unless it is there; minutes, the first time. Raises `OpaError`."""
    place = program()
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, "GOBIN": str(place.parent), "CGO_ENABLED": "0"}
        command = ["go", "install", f"{MODULE}@{VERSION}"]
        try:
            done = subprocess.run(
                command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
            )
        except OSError as error:
            raise OpaError(f"Go can't be run: {error}") from error
        if done.returncode:
            raise OpaError(f"go install failed:\n{done.stderr[-1500:]}")
    return place


if __name__ == "__main__":
    print(build())
