"""Open an ONNX file and run it on one row of unknowns: what `registry.open_in_child` starts as a process."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import numpy as np

from models.scorer import ServedModel

MEMORY = 4 << 30  # bytes of address space: ONNX Runtime maps 1 GiB before it has read anything
CPU_SECONDS = 30


def main() -> None:
    """`python -m models.onnx_probe FILE N_FEATURES`; a non-zero exit status means unusable."""
    path, features = Path(sys.argv[1]), int(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    try:
        model = ServedModel(path.read_bytes(), tuple(f"f{n}" for n in range(features)), "probe")
        answer = model.predict(np.full((1, features), np.nan, dtype=np.float32))
    except Exception as error:  # noqa: BLE001  whatever the file does to the library is this process's answer
        sys.exit(f"{type(error).__name__}: {str(error).splitlines()[0]}")
    if answer.shape != (1,) or not 0.0 <= float(answer[0]) <= 1.0:
        sys.exit(f"it answers {answer!r} where one probability was expected")


if __name__ == "__main__":
    main()
