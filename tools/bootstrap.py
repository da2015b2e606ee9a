"""Make `.venv` from a lock, then run a command in it.

    python3 tools/bootstrap.py run  [COMMAND ...]     # what `make run` needs
    python3 tools/bootstrap.py test [COMMAND ...]     # and what tests and linters need

A lock whose packages are already there costs two small files read. Standard library only, and written so that a Python 3
of any age can read it: an old one must be able to say that it is too old.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from typing import Dict, List, Optional, Tuple

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(ROOT, ".venv")
STAMP = os.path.join(VENV, "salience-locks.json")
OLDEST = (3, 11)
# Newest first of those on which the locks are tested; a newer one is tried when nothing else is there.
CANDIDATES = ("python3.13", "python3.12", "python3.11", "python3.14", "python3")
# The packages of `run` are all in `test`, at the same versions (a test compares them).
INCLUDES = {"run": ("run",), "test": ("test", "run")}

NETWORK = re.compile(
    r"NewConnectionError|NameResolutionError|Temporary failure in name resolution|ConnectTimeout|ReadTimeout|ProxyError"
    r"|Network is unreachable|Connection refused|Connection reset|Max retries exceeded|SSLError"
)


class BootstrapError(Exception):
    """Something that the person at the terminal has to do something about; the message says what."""


def say(text: str) -> None:
    """Print one line of what is being done, on stderr."""
    sys.stderr.write("salience: " + text + "\n")
    sys.stderr.flush()


def version_of(command: str) -> Optional[Tuple[int, int]]:
    """Return (major, minor) of a Python, or None where the command does not run (a shim without its version)."""
    try:
        out = subprocess.check_output(
            [command, "-c", "import sys; print(sys.version_info[0], sys.version_info[1])"], stderr=subprocess.DEVNULL
        )
        major, minor = out.decode().split()
        return int(major), int(minor)
    except (OSError, subprocess.CalledProcessError, ValueError):
        return None


def find_python() -> str:
    """Return a Python that is new enough: the running one, else one from PATH."""
    if sys.version_info[:2] >= OLDEST:
        return sys.executable
    for name in CANDIDATES:
        found = shutil.which(name)
        version = version_of(found) if found else None
        if found and version and version >= OLDEST:
            say("python3 is {}, so {} is used ({})".format(dotted(sys.version_info[:2]), name, found))
            return found
    raise BootstrapError(
        "Salience needs Python 3.11 or newer. {} is Python {}, and no python3.11, python3.12 or python3.13 that runs was "
        "found on PATH. Install one (Debian, Ubuntu: apt install python3.11 python3.11-venv; Fedora: dnf install "
        "python3.11; macOS: brew install python@3.13) and run this again, or name one: make run PYTHON=/path/to/python".format(
            sys.executable, dotted(sys.version_info[:2])
        )
    )


def dotted(version: Tuple[int, ...]) -> str:
    """Write a version the way people do."""
    return ".".join(str(part) for part in version)


def lock_path(name: str) -> str:
    """Return the path of a lock."""
    return os.path.join(ROOT, "requirements", name + ".txt")


def fingerprint(name: str) -> str:
    """Return a hash of what an installation follows from: the lock and the packaging."""
    digest = hashlib.sha256()
    for path in (lock_path(name), os.path.join(ROOT, "setup.py")):
        with open(path, "rb") as source:
            digest.update(source.read())
    return digest.hexdigest()


def installed() -> Dict[str, str]:
    """Return lock name -> fingerprint of what the environment holds (and its folder); empty where it is unusable."""
    try:
        with open(STAMP) as stamp:
            locks = dict(json.load(stamp))
    except (OSError, ValueError):
        return {}
    # The scripts of an environment name the folder it was made in, so a checkout that was moved needs a new one.
    # A link to a Python that has gone does not exist either.
    return locks if locks.get("folder") == VENV and os.path.exists(venv_python()) else {}


def venv_python() -> str:
    """Return the path of the environment's interpreter."""
    return os.path.join(VENV, "bin", "python")


def make_venv(python: str) -> None:
    """Create the environment, or leave one that works.

    Raises:
        BootstrapError: without the venv module, or where the folder can't be written.
    """
    version = version_of(venv_python())
    if version and version >= OLDEST and (installed() or not os.path.exists(STAMP)):
        return
    if subprocess.call([python, "-c", "import ensurepip, venv"], stderr=subprocess.DEVNULL) != 0:
        name = "python" + dotted(version_of(python) or OLDEST)
        raise BootstrapError(
            "{} can't make virtual environments: its venv or ensurepip module is missing. On Debian and Ubuntu they are a "
            "package of their own: apt install {}-venv; then run this again.".format(python, name)
        )
    try:
        if os.path.lexists(VENV):
            if not os.path.exists(os.path.join(VENV, "pyvenv.cfg")):
                raise BootstrapError(VENV + " exists and is no virtual environment; move it away and run this again.")
            say("{} was moved, or its Python is gone or too old; it is made anew".format(shown(VENV)))
            shutil.rmtree(VENV)
        say(
            "making the virtual environment {} with Python {}".format(shown(VENV), dotted(version_of(python) or OLDEST))
        )
        os.makedirs(VENV)
    except OSError as error:
        raise BootstrapError(
            "the virtual environment can't be written to {}: {}. Clone into a folder that you may write "
            "to and run this there".format(VENV, error.strerror)
        )
    done = subprocess.Popen([python, "-m", "venv", VENV], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    output = done.communicate()[0].decode(errors="replace")
    if done.returncode:
        shutil.rmtree(VENV, ignore_errors=True)
        raise BootstrapError("{} -m venv failed:\n{}".format(python, output.strip()))


def shown(path: str) -> str:
    """Write a path below the checkout without the checkout's own."""
    return os.path.relpath(path, ROOT) if path.startswith(ROOT + os.sep) else path


def install(name: str) -> None:
    """Install a lock and the application itself (as a link to this checkout).

    Raises:
        BootstrapError: no registry, a hash that differs, a full disk, or what pip said.
    """
    started = time.time()
    with open(lock_path(name)) as lock:
        count = sum(1 for line in lock if "==" in line and not line.startswith((" ", "#")))
    say("installing {} packages of requirements/{}.txt, hashes checked; this takes a minute".format(count, name))
    # No byte code for all of it: what is imported is compiled then, the rest (most of it) never.
    pip("--require-hashes", "--no-compile", "-r", lock_path(name), total=count)
    pip("--no-deps", "--no-build-isolation", "--editable", ROOT)
    locks = dict(installed(), folder=VENV)
    locks.update({included: fingerprint(included) for included in INCLUDES[name]})
    with open(STAMP, "w") as stamp:
        json.dump(locks, stamp)
    say("installed in {:.0f} s".format(time.time() - started))


def pip(*arguments: str, total: int = 0) -> None:
    """Run pip install; count the packages on one line when stderr is a terminal."""
    command = [venv_python(), "-m", "pip", "install", "--no-input", "--disable-pip-version-check", "--retries", "2"]
    environment = dict(os.environ, PIP_USER="0", PIP_REQUIRE_VIRTUALENV="0", PYTHONNOUSERSITE="1")
    environment.pop("PYTHONPATH", None)
    child = subprocess.Popen(
        command + list(arguments), env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    lines = []  # type: List[str]
    count = 0
    terminal = bool(total) and sys.stderr.isatty()
    assert child.stdout is not None
    for raw in child.stdout:
        line = raw.decode(errors="replace").rstrip()
        lines.append(line)
        if terminal and line.startswith("Collecting "):
            count += 1
            sys.stderr.write("\r\x1b[K  {} of {}: {}".format(count, total, line.split()[1].split("==")[0]))
            sys.stderr.flush()
        elif terminal and line.startswith("Installing collected"):
            sys.stderr.write("\r\x1b[K  unpacking")
            sys.stderr.flush()
    if terminal:
        sys.stderr.write("\r\x1b[K")
    if child.wait():
        raise BootstrapError(explain("\n".join(lines)))


def explain(output: str) -> str:
    """Turn what pip printed when it failed into a sentence that says what to do."""
    errors = [line for line in output.splitlines() if line.startswith(("ERROR", "error", "OSError"))]
    end = "\n".join(errors[-4:] or output.splitlines()[-8:])
    if "DO NOT MATCH THE HASHES" in output:
        return (
            "a downloaded package is not the one whose hash the lock names, so nothing of it was installed:\n"
            + output[-1500:]
        )
    if "No space left" in output:
        return "the disk is full; the packages need about 1 GB. Make room and run this again."
    if NETWORK.search(output):
        return (
            "the Python package registry can't be reached, so the packages can't be installed. Check the network (or the "
            "proxy: HTTPS_PROXY, or pip's index-url) and run this again; it goes on where it stopped. pip said:\n" + end
        )
    if "Read-only file system" in output or "Permission denied" in output:
        return "the folder can't be written to; use one that you may write to. pip said:\n" + end
    return "pip could not install the packages:\n" + end


def main(arguments: List[str]) -> int:
    """Bring the environment up to the named lock, then become the command."""
    if not arguments or arguments[0] not in INCLUDES:
        sys.stderr.write(__doc__ or "")
        return 2
    name, command = arguments[0], arguments[1:]
    try:
        if installed().get(name) != fingerprint(name):
            make_venv(find_python())
            install(name)
    except BootstrapError as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        say("stopped; run this again to go on")
        return 130
    if not command:
        return 0
    program = os.path.join(VENV, "bin", command[0])
    if not os.path.exists(program):
        say("{} is not in {}; remove that folder and run this again".format(command[0], shown(VENV)))
        return 1
    os.execv(program, [program] + command[1:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
