"""An event log that is away at the start."""

import time

import pytest

from engine.ports import NewRecord, PortError
from service.api import late_log
from service.api.late_log import LateEventLog
from tests.unit.service.api.fakes import FakeLog


def test_events_are_refused_until_the_log_is_there(monkeypatch):
    monkeypatch.setattr(late_log, "AGAIN_S", 0.01)
    real = FakeLog()
    tries = []

    def opening():
        tries.append(1)
        if len(tries) < 3:
            raise PortError("no broker")
        return real

    log = LateEventLog(opening)
    log.start()
    with pytest.raises(PortError, match="no broker"):
        log.append([NewRecord("s1", b"{}")], lambda error: None)
    until = time.monotonic() + 10
    while len(tries) < 3:
        assert time.monotonic() < until
        time.sleep(0.005)
    log.close()
    log.append([NewRecord("s1", b"{}")], lambda error: None)
    assert len(real.records) == 1
    assert log.partitions == 1


def test_a_log_that_is_there_is_opened_once():
    log = LateEventLog(FakeLog)
    log.start()
    log.append([NewRecord("s1", b"{}")], lambda error: None)
    assert log._thread is not None
    log._thread.join(10)
    assert not log._thread.is_alive()
    log.close()
