"""The wall clock of the processes; the engine never reads it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeAlias

from engine.values import EpochMs

Clock: TypeAlias = Callable[[], EpochMs]


def wall_ms() -> EpochMs:
    """Milliseconds since the epoch, now."""
    return time.time_ns() // 1_000_000
