"""The right to evaluate: one partition has it at a time, and gets it back."""

from __future__ import annotations

import threading

import pytest

from service.worker.baton import Baton


def test_another_has_it_while_it_is_handed_on_and_only_then() -> None:
    baton, order, waits = Baton(), [], threading.Event()

    def other() -> None:
        waits.set()
        with baton:
            order.append("other")

    thread = threading.Thread(target=other)
    with baton:
        thread.start()
        assert waits.wait(20)
        order.append("mine")
        with baton.handed_on():
            thread.join(20)
        order.append("mine again")
    assert order == ["mine", "other", "mine again"]


def test_it_comes_back_from_a_call_that_failed() -> None:
    baton = Baton()
    with pytest.raises(ValueError, match="as told"), baton, baton.handed_on():
        raise ValueError("as told")
    with baton:
        pass
