"""OpenFeature's JavaScript SDK and its OFREP provider, as they are published: `python -m tools.openfeature.modules`.

npm installs what package-lock.json names, checked by its hashes, into the user's cache, once; no script of a package is run.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
FILES = ("package.json", "package-lock.json")


class ModulesError(RuntimeError):
    """npm is missing or failed; the message has the end of its output."""


def folder() -> Path:
    """Where the packages lie, or would lie: its `node_modules` is what an import map needs."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "salience-openfeature"
    return root / hashlib.sha256((HERE / FILES[1]).read_bytes()).hexdigest()[:16]


def fetched() -> bool:
    """Whether they are there, so that neither npm nor a network is needed."""
    return folder().is_dir()


def fetch() -> Path:
    """The folder, filled by npm only where it is not there yet. Raises `ModulesError`."""
    place = folder()
    place.parent.mkdir(parents=True, exist_ok=True)
    with (place.parent / "lock").open("w") as lock:  # two test runs may fetch at once
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.is_dir():
            partial = place.with_suffix(".partial")
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            for name in FILES:
                shutil.copy(HERE / name, partial)
            _install(partial)
            partial.rename(place)
    return place


def _install(into: Path) -> None:
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    try:
        done = subprocess.run(
            command, cwd=into, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=300
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ModulesError(f"npm can't be run: {error}") from error
    if done.returncode:
        raise ModulesError(f"npm failed:\n{(done.stderr or done.stdout)[-1500:]}")


if __name__ == "__main__":
    print(fetch())
