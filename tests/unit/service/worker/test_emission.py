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
        self.sizes: list[int] = []
        self._settled = list(settled)
        self._lock = threading.Lock()

    def claim(self, partition: int) -> Turn:
        return Turn(1, Place())

    def send(self, partition: int, token: int, outputs: Sequence[Output], regimes: Sequence[Regime] = ()) -> None:
        with self._lock:
            self.calls += [each.id for each in outputs]
            self.sizes.append(len(outputs))

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


def test_outputs_wait_for_others_no_longer_than_the_first_of_them_may() -> None:
    """So those of several batches go out in one transaction, in their order."""
    outputs = Outputs()
    emission = Emission(outputs)
    emission.claim(0)
    emission.offer(0, [output(0)], patience=400)
    emission.offer(0, [output(1)], patience=60_000)
    assert emission.waiting == 2
    wait_until(lambda: outputs.sizes == [2])
    emission.offer(0, [output(2)], patience=60_000)
    emission.offer(0, [output(3)])
    wait_until(lambda: outputs.sizes == [2, 2])
    assert [each for each in outputs.calls if each != "settle"] == ["0", "1", "2", "3"]
    emission.close()


def test_as_many_outputs_as_fit_a_transaction_wait_for_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SEND_AT_MOST", 3)
    outputs = Outputs()
    emission = Emission(outputs)
    emission.claim(0)
    emission.offer(0, [output(n) for n in range(7)], patience=60_000)
    wait_until(lambda: len([each for each in outputs.calls if each != "settle"]) == 6)
    assert emission.drain(10_000), "at the end nothing waits for others"
    assert [each for each in outputs.calls if each != "settle"] == [str(n) for n in range(7)]
    emission.close()


def test_a_changed_regime_goes_out_at_once_with_what_waits() -> None:
    outputs = Outputs()
    emission = Emission(outputs)
    emission.claim(0)
    emission.offer(0, [output(0)], patience=60_000)
    emission.offer(0, [], [Regime(0, 0, 1, "b", {}, 0)], patience=60_000)
    wait_until(lambda: "0" in outputs.calls)
    emission.close()
