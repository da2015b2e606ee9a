"""Partitions of one worker beside one another: while one waits for its store, another is evaluated.

Each is worked on by a thread, in which its batches take the same steps in the same order as if it were alone. Whoever evaluates
holds the baton, and hands it on for the length of a call of the state store only. So what partitions share, as
profiles and networks, is for one thread at a time, and nobody is interrupted amid an evaluation by another that could not be
any faster for it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Baton:
    """The right to evaluate."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    @contextmanager
    def handed_on(self) -> Iterator[None]:
        """Let others evaluate meanwhile: for a holder."""
        self._lock.release()
        try:
            yield
        finally:
            self._lock.acquire()
