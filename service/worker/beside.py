"""Partitions of one worker beside one another, each in a thread: claimed, or worked on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")

AT_ONCE = 4
"""Of these one is evaluated (`service.worker.baton`), the others wait for brokers or the state store."""


class Beside:
    """Does something for several at once."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="partitions")

    def each(self, act: Callable[[Item], Answer], items: Sequence[Item]) -> Iterator[Answer]:
        """The answers in order of the items; what one raises is raised in its place. A single one takes no thread."""
        return map(act, items) if len(items) < 2 else self._threads.map(act, items)

    def close(self) -> None:
        """Wait for what is on its way."""
        self._threads.shutdown()
