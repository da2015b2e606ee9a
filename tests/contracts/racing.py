"""What several processes do to one storage at once."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from contextlib import closing
from typing import TypeVar

from engine.ports import Applied, Cap, Claim, ConflictError, SessionState, StateBatch
from tests.contracts.backends import open_stores

T = TypeVar("T")


def race(work: Callable[..., T], *arguments: object, processes: int = 3) -> list[T]:
    """Run `work(*arguments, number)` in several new processes at once."""
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        results = [pool.apply_async(work, (*arguments, number)) for number in range(processes)]
        answers = [result.get(timeout=60) for result in results]
        pool.close()
        pool.join()
        return answers


def take_many(backend: str, address: str, most: int, tries: int, number: int) -> int:
    """Take from one cap; return how many were granted."""
    with closing(open_stores(backend, address).limits()) as limits:
        cap = Cap("total", most, 1)
        return sum(limits.take([Claim(f"{number}-{i}", (cap,))], 1, 1_000, None)[0].granted for i in range(tries))


def count_up(backend: str, address: str, times: int, number: int) -> int:
    """Add to one row by compare-and-set; return how often another was faster."""
    conflicts = 0
    with closing(open_stores(backend, address).tables()) as tables:
        for _ in range(times):
            while True:
                row = tables.get("t", "counter")
                value = str(int(row.value) + 1 if row else 1).encode()
                try:
                    tables.put("t", "counter", value, expected=row.version if row else 0)
                except ConflictError:
                    conflicts += 1
                else:
                    break
    return conflicts


def advance(backend: str, address: str, until: int, number: int) -> int:
    """Write a partition's batches in competition with others; return how many of ours were written."""
    written = 0
    with closing(open_stores(backend, address).state()) as state:
        position = state.claim(0, 1)
        assert position is not None
        offset = position.offset
        while offset < until:
            batch = StateBatch(
                partition=0,
                generation=1,
                expected_offset=offset,
                next_offset=offset + 1,
                sessions={f"s{offset}": SessionState(str(number).encode(), offset, None)},
                seen=[f"e{offset}"],
                outputs=[],
                watermark=offset,
            )
            if state.apply(batch) is Applied.APPLIED:
                written += 1
                offset += 1
            else:
                position = state.claim(0, 1)
                assert position is not None
                offset = position.offset
    return written
