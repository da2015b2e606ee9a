"""How what was read is cut into batches."""

from __future__ import annotations

import random

from engine.ports import Record
from service.worker import backlog as backlog_module
from service.worker.backlog import Backlog
from tests.unit.service.worker.bench import record


def filled(*offsets: int, keys: int = 1) -> Backlog:
    backlog = Backlog()
    backlog.add([record(offset, b"", key=f"k{offset % keys}") for offset in offsets])
    return backlog


def offsets(batch: list[Record]) -> list[int]:
    return [each.offset for each in batch]


def test_a_batch_is_as_long_as_it_may_be_and_comes_again_until_it_is_done() -> None:
    """What failed is evaluated again; what is written is not."""
    backlog = filled(*range(5))
    assert offsets(backlog.batch(3, 0)) == offsets(backlog.batch(3, 0)) == [0, 1, 2]
    backlog.done()
    assert offsets(backlog.batch(3, 3)) == [3, 4]
    backlog.done()
    assert not backlog
    assert not backlog.batch(3, 5)


def test_a_batch_ends_where_it_would_touch_too_many_sessions(monkeypatch) -> None:
    """One write of very many sessions would keep the store from answering others; many events of few do not count."""
    monkeypatch.setattr(backlog_module, "KEYS_AT_ONCE", 3)
    backlog = filled(0, 1, 2, 4, 5, 6, 3, 7, keys=4)
    assert offsets(backlog.batch(100, 0)) == [0, 1, 2, 4, 5, 6]
    backlog.done()
    assert offsets(backlog.batch(100, 7)) == [7]


def test_records_that_come_again_are_taken_once_and_in_order() -> None:
    """Whatever was delivered twice, a batch goes on from the position, and never back."""
    rng = random.Random(7)
    for _ in range(200):
        delivered, position = [rng.randrange(12) for _ in range(20)], rng.randrange(4)
        expected = offsets(filled(*delivered).batch(100, position))
        backlog, taken = filled(*delivered), []
        while backlog:
            batch = offsets(backlog.batch(rng.randrange(1, 6), position))
            backlog.done()
            taken += batch
            position = batch[-1] + 1 if batch else position
        assert taken == expected == sorted(set(expected))
