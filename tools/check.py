"""Run the linters, the formatter's check, the type checker, the import floors and what is generated, side by side: `python -m tools.check`."""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
CHECKS = {
    "ruff check": ["ruff", "check", "--quiet"],
    "ruff format": ["ruff", "format", "--check", "--quiet"],
    "mypy --strict": ["mypy"],
    "import floors": ["lint-imports"],
    "modules of gRPC": ["python", "-m", "tools.protos", "--check"],
}


def run(name: str) -> tuple[str, bool, str, float]:
    """Run one check; return its name, whether it passed, what it printed and the seconds it took."""
    started = time.monotonic()
    program, *arguments = CHECKS[name]
    done = subprocess.run(
        [str(BIN / program), *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return name, done.returncode == 0, done.stdout, time.monotonic() - started


def main() -> int:
    """Print what failed in full and one line for what passed; return the exit code."""
    failed = False
    with ThreadPoolExecutor(max_workers=2) as pool:
        for name, passed, output, seconds in pool.map(run, CHECKS):
            print(f"{'ok' if passed else 'FAILED':6} {name} ({seconds:.1f} s)", flush=True)
            if not passed:
                failed = True
                print(output.rstrip(), flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
