"""Sending beside the evaluation: in order, and settled before more goes out."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

import pytest

from engine.ports import Output, OutputKind, Place, PortError, Turn
from engine.regime import Regime
from service.worker import emission as module
from service.worker.emission import Emission


class Outputs:
    """An `OutputLog` that notes its calls; `settle` answers and fails as a test says."""

    def __init__(self, settled: Sequence[bool | PortError] = ()) -> None:
        self.calls: list[str] = []
        self._settled = list(settled)
        self._lock = threading.Lock()

    def claim(self, partition: int) -> Turn:
        return Turn(1, Place())

    def send(self, partition: int, token: int, outputs: Sequence[Output], regimes: Sequence[Regime] = ()) -> None:
        with self._lock:
            self.calls += [each.id for each in outputs]

    def settle(self, partition: int, token: int) -> bool:
        with self._lock:
            self.calls.append("settle")
            answer = self._settled.pop(0) if self._settled else True
        if isinstance(answer, PortError):
            raise answer
        return answer

    def read(self, kind: OutputKind, limit: int) -> Sequence[Output]:
        raise AssertionError

    def close(self) -> None:
        """Nothing is open."""


def output(number: int) -> Output:
    return Output(str(number), OutputKind.TRIGGER, "s", b"", number)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.fixture
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SETTLE_S", 0.0)


@pytest.mark.usefixtures("_at_once")
def test_it_is_asked_until_all_that_was_sent_is_settled_and_then_no_more() -> None:
    outputs = Outputs([False, False])
    emission = Emission(outputs)
    emission.claim(0)
    emission.offer(0, [output(0)])
    wait_until(lambda: outputs.calls == ["0", "settle", "settle", "settle"])
    emission.offer(0, [output(1)])
    wait_until(lambda: len(outputs.calls) == 6)
    assert outputs.calls[4:] == ["1", "settle"]
    emission.close()


@pytest.mark.usefixtures("_at_once")
def test_what_can_not_be_settled_is_claimed_anew() -> None:
    outputs = Outputs([PortError("gone")])
    emission = Emission(outputs)
    emission.claim(0)
    emission.offer(0, [output(0)])
    wait_until(lambda: emission.has_failed(0))
    assert "gone" in emission.problem
    assert emission.sent() == {0: 1}
    emission.claim(0)
    assert not emission.problem
    emission.close()
