"""Build Salience with the compiled network into `.compiled/lib`, for tests and benchmarks: `python -m tools.compiled`.

It is what a wheel holds. With CI=true it is a failure where it can't be compiled.

    python -m tools.compiled [COMMAND ...]     # build if anything changed, then run a command that imports from there
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".compiled"
LIB = HOME / "lib"
STAMP = HOME / "stamp"
PACKAGES = ("connectors", "engine", "service")
"""Those with compiled modules: they are taken from there as a whole, the others from the checkout."""


def fingerprint() -> str:
    """A hash of all that the build follows from."""
    digest = hashlib.sha256(f"{sys.version} {version('mypy')}".encode())
    modules = (path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py")))
    for path in (ROOT / "setup.py", *modules):
        digest.update(path.relative_to(ROOT).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()


def build() -> str:
    """Build where something changed; returns what the compiler said if the network stayed in Python, else nothing."""
    now = fingerprint()
    if STAMP.exists() and STAMP.read_text() == now:
        return ""
    shutil.rmtree(HOME, ignore_errors=True)
    HOME.mkdir()
    print("compiled: compiling the network; this takes a minute or two", file=sys.stderr, flush=True)
    command = [sys.executable, "setup.py", "-q", "build", "--build-lib", str(LIB), "--build-temp", str(HOME / "temp")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    if done.returncode or not (LIB / "engine" / "rete" / f"network{suffix}").exists():
        return (done.stdout + done.stderr)[-3000:]
    shutil.rmtree(HOME / "temp", ignore_errors=True)
    for path in LIB.iterdir():
        if path.is_dir() and path.name not in PACKAGES:
            shutil.rmtree(path)
    STAMP.write_text(now)
    return ""


def main(command: list[str]) -> int:
    """Build, then run the command; without a C compiler nothing is run, and 1 is returned in CI."""
    problem = build()
    if problem:
        print(problem.rstrip(), "compiled: the network could not be compiled: SKIPPED what needs it", sep="\n")
        return int(os.environ.get("CI") == "true")
    if not command:
        return 0
    path = os.pathsep.join([str(LIB), str(ROOT)])
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONSAFEPATH": "1"}
    proof = "import engine.rete as r, sys; sys.exit(None if r.IS_COMPILED else 'compiled: it is not what is imported')"
    for each in ([sys.executable, "-c", proof], command):
        code = subprocess.run(each, cwd=ROOT, env=environment, check=False).returncode
        if code:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
