"""Random hexadecimal text for ids that nobody can guess, from the system's generator by the page.

Each question to the system lets another thread have the interpreter; one for hundreds of ids costs nothing that counts.
"""

from __future__ import annotations

import os

PAGE = 4_096


class _Pages:
    """Bytes of the system's generator, each given out once. Used from the event loop alone."""

    __slots__ = ("_at", "_page")

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Forget what is left: a process that was forked must not give out what its parent does."""
        self._page = b""
        self._at = 0

    def take(self, count: int) -> bytes:
        """So many bytes, a page at most."""
        if len(self._page) - self._at < count:
            self._page, self._at = os.urandom(PAGE), 0
        begin = self._at
        self._at += count
        return self._page[begin : self._at]


_pages = _Pages()
os.register_at_fork(after_in_child=_pages.begin)


def random_hex(count: int) -> str:
    """Text of `count` random bytes, two characters each."""
    return _pages.take(count).hex()
