"""Write the modules of `service/rpc` from its .proto: `python -m tools.protos [--check]`.

`--check` writes nothing and ends with 1 where what is there is not what the .proto says; `make check` runs it.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
PROTO = "service/rpc/decisions.proto"
TYPERS = ("mypy", "mypy_grpc")
"""Plugins that write the types of the modules; they lie beside the interpreter."""


def write(folder: Path) -> None:
    """Write the modules below a folder, as they lie below the root. Raises `SystemExit` where the .proto is wrong."""
    outputs = [f"--{kind}_out={folder}" for kind in ("python", "grpc_python", "mypy", "mypy_grpc")]
    programs = [f"--plugin=protoc-gen-{kind}={Path(sys.executable).with_name(f'protoc-gen-{kind}')}" for kind in TYPERS]
    if protoc.main(["protoc", f"-I{ROOT}", *programs, *outputs, PROTO]):
        raise SystemExit(1)


def stale() -> list[str]:
    """The modules that are not what the .proto says, those that are not there included."""
    with tempfile.TemporaryDirectory(prefix="salience-protos-") as name:
        folder = Path(name)
        write(folder)
        made = {path.relative_to(folder) for path in folder.rglob("*.py*")}
        return sorted(
            str(path)
            for path in made
            if not (ROOT / path).exists() or (ROOT / path).read_bytes() != (folder / path).read_bytes()
        )


def main() -> int:
    """Write, or check."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing, end with 1 where something is stale")
    if not parser.parse_args().check:
        write(ROOT)
        return 0
    found = stale()
    for path in found:
        print(f"{path} is not what {PROTO} says: run `make protos`")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
