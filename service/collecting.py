"""Python's search for unreachable cycles, put off while something large is made that has none."""

from __future__ import annotations

import contextlib
import gc
import threading
from collections.abc import Iterator

_lock = threading.Lock()
_putting_off = 0


@contextlib.contextmanager
def collection_put_off() -> Iterator[None]:
    """No search for cycles inside: in compiling 10,000 rules it takes a quarter of the time, over and over all that lives.

    Several threads may be inside; the search goes on when the last one leaves, if it was on when the first one came.
    """
    global _putting_off, _was_on  # noqa: PLW0603 - of the process, like the collector
    with _lock:
        if _putting_off == 0:
            _was_on = gc.isenabled()
            gc.disable()
        _putting_off += 1
    try:
        yield
    finally:
        with _lock:
            _putting_off -= 1
            if _putting_off == 0 and _was_on:
                gc.enable()


_was_on = True
