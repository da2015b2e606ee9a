"""The watchdog ends a process in which a call does not return, and no other."""

from __future__ import annotations

import threading

from service.worker.watchdog import Watchdog


def test_a_call_that_does_not_return_ends_the_process(caplog) -> None:
    ended = threading.Event()
    watchdog = Watchdog(ended.set, limit_s=0.05, step_s=0.01)
    with watchdog.watching("sending outputs of partition 3"):
        assert ended.wait(20)
    assert "sending outputs of partition 3 does not return" in caplog.text


def test_calls_that_return_end_nothing() -> None:
    ended, looked = threading.Event(), threading.Event()
    watchdog = Watchdog(ended.set, limit_s=1.0, step_s=0.001)
    for _ in range(50):
        with watchdog.watching("reading"):
            looked.wait(0.005)
    watchdog.stop()
    assert not ended.is_set()
