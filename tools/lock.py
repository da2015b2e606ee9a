"""Write the locks in `requirements/` from setup.py: `python -m tools.lock [--upgrade]`.

One resolution serves Python 3.11 to 3.13 on every platform (the same versions on all, so that what is tested is what
runs), with a hash for every file. Settings of the machine (an index, a folder of wheels) stay out of it.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OPTIONS = (
    "--universal --python-version 3.11 --fork-strategy fewest --generate-hashes --no-emit-index-url "
    "--no-emit-find-links --no-header --quiet"
).split()
# Each is held to the one before it, so that tests run on the versions that ship.
LOCKS = {
    "run": ["setup.py", "requirements/build.in"],
    "test": ["setup.py", "requirements/build.in", "--extra", "test", "--extra", "dev", "-c", "requirements/run.txt"],
    "bench": ["requirements/bench.in"],
}


def write(name: str, *options: str) -> None:
    """Write one lock; what it held stays where setup.py allows it, unless `--upgrade` is among the options."""
    uv = str(Path(sys.executable).with_name("uv"))
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PIP_FIND", "UV_"))}
    lock = f"requirements/{name}.txt"
    subprocess.run(
        [uv, "pip", "compile", *LOCKS[name], *OPTIONS, *options, "-o", lock], cwd=ROOT, env=environment, check=True
    )
    print(f"{lock}: {(ROOT / lock).read_text().count('==')} lines with a version")


def main() -> None:
    """Write all locks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions that setup.py allows")
    arguments = parser.parse_args()
    for name in LOCKS:
        write(name, *(["--upgrade"] if arguments.upgrade else []))


if __name__ == "__main__":
    main()
