"""The worker's loop: it follows the group, lets time pass, holds back, reports, and leaves in order."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.ports import OutputKind, PortError
from service.worker import loop as loop_module
from service.worker.loop import Worker
from tests.unit.service.small_shop import with_threshold
from tests.unit.service.worker.bench import NOON, Bench, event, loaded, until

LIVE = loaded()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path, partitions=3)
    yield made
    made.close()


def views(session: str, *seconds: int) -> list[bytes]:
    return [event("seen", session, at, product="p") for at in seconds]


def ended(worker: Worker) -> None:
    worker.stop()
    worker.run()


def test_events_of_all_partitions_become_state_and_triggers(bench: Bench) -> None:
    worker = bench.worker(lambda: LIVE)
    bench.append([value for n in range(10) for value in views(f"s{n}", 0, 1, 2)] + [b"poison"])
    until(lambda: worker.counts.read == 31, worker.round)
    ended(worker)
    assert worker.counts.applied == 30
    assert len(bench.sent()) == 10
    assert len(bench.sent(OutputKind.DEAD)) == 1
    assert len(worker._holdings) == 3


def test_what_was_sent_leaves_the_outbox(bench: Bench) -> None:
    worker = bench.worker(lambda: LIVE)
    bench.append(views("s", 0, 1, 2))
    until(lambda: len(bench.outputs.read(OutputKind.TRIGGER, 10)) == 1, worker.round)
    ended(worker)
    assert [bench.state.outbox(number) for number in range(3)] == [[], [], []]


def test_nothing_is_read_before_something_is_live(bench: Bench) -> None:
    live = [None, LIVE]
    worker = bench.worker(lambda: live[0])
    bench.append(views("s", 0))
    for _ in range(3):
        worker.round()
    assert worker.counts.read == 0
    live.pop(0)
    until(lambda: worker.counts.applied == 1, worker.round)
    ended(worker)


def test_a_new_revision_is_taken_between_batches(bench: Bench) -> None:
    current = [LIVE]
    worker = bench.worker(lambda: current[0])
    bench.append(views("s", 0))
    until(lambda: worker.counts.applied == 1, worker.round)
    current[0] = loaded(with_threshold(9), 2, {LIVE.bundle.hash: LIVE.network.rule_digests})
    bench.append(views("s", 1, 2))
    until(lambda: worker.counts.applied == 3, worker.round)
    ended(worker)
    assert [body["revision"] for body in bench.bodies()] == [2]
    assert worker.counts.fired == {"greeting.third": 1}


def test_while_one_partition_is_written_others_are_evaluated(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that waited for a write would never come to write another."""
    worker = bench.worker(lambda: LIVE)
    until(lambda: len(worker._holdings) == 3, worker.round)
    bench.append([value for n in range(12) for value in views(f"s{n}", 0)])
    found = worker._ports.source.poll(1_000, 1_000)
    apply, meeting = bench.state.apply, threading.Barrier(len(found), timeout=20)

    def met(batch: Any) -> Any:
        meeting.wait()
        return apply(batch)

    assert len(found) > 1
    monkeypatch.setattr(worker._ports.source, "poll", lambda *_: found)
    monkeypatch.setattr(bench.state, "apply", met, raising=False)
    worker.round()
    monkeypatch.undo()
    assert worker.counts.applied == 12
    ended(worker)


@pytest.mark.parametrize("call", ["claim", "seen", "apply", "outbox", "trim"])
@pytest.mark.parametrize("after", [False, True])
def test_a_store_that_fails_for_a_while_loses_nothing(bench: Bench, call: str, after: bool) -> None:
    worker = bench.worker(lambda: LIVE)
    bench.state.fails = {call: 3}
    bench.state.after = after
    bench.append([value for n in range(5) for value in views(f"s{n}", 0, 1, 2)])
    until(lambda: len(bench.outputs.read(OutputKind.TRIGGER, 99)) >= 5, worker.round)
    bench.state.fails = {}
    ended(worker)
    assert len({each.id for each in bench.sent()}) == 5


def test_a_log_that_can_not_be_read_is_tried_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = bench.worker(lambda: LIVE)
    bench.append(views("s", 0))
    poll = worker._ports.source.poll
    failures = 2

    def failing(limit: int, timeout_ms: int) -> object:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise PortError("as told")
        return poll(limit, timeout_ms)

    monkeypatch.setattr(worker._ports.source, "poll", failing)
    until(lambda: worker.counts.applied == 1, worker.round)
    ended(worker)


def test_records_that_a_client_delivers_again_amid_others_count_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = bench.worker(lambda: LIVE, batch=3)
    bench.append([*views("s", 0), b"poison", *views("s", 1, 2, 3)])
    poll = worker._ports.source.poll

    def again(limit: int, timeout_ms: int) -> object:
        return {number: [*found[:4], *found[1:]] for number, found in poll(99, timeout_ms).items()}

    monkeypatch.setattr(worker._ports.source, "poll", again)
    until(lambda: worker.counts.applied == 4, worker.round)
    ended(worker)
    assert worker.counts.read == 5
    assert len(bench.sent(OutputKind.DEAD)) == 1
    assert max(bench.state.position(number).offset for number in range(3)) == 5


def test_another_worker_goes_on_where_one_stopped(bench: Bench) -> None:
    first = bench.worker(lambda: LIVE)
    bench.append(views("s", 0, 1))
    until(lambda: first.counts.applied == 2, first.round)
    ended(first)
    second = bench.worker(lambda: LIVE)
    bench.append(views("s", 2))
    until(lambda: second.counts.applied == 1, second.round)
    ended(second)
    assert second.counts.read == 1
    assert len(bench.bodies()) == 1


def test_time_passes_in_a_partition_where_nothing_comes(bench: Bench) -> None:
    """It passes by a record of the log, so that a replay sees it pass at the same place."""
    now = [1000.0]
    worker = bench.worker(lambda: LIVE, elapsed=lambda: now[0], lateness=0)
    bench.append(views("s", 0))
    until(lambda: worker.counts.applied == 1, worker.round)
    ends = worker._ports.source.ends()
    now[0] += 299
    for _ in range(5):
        worker.round()
    assert worker._ports.source.ends() == ends, "nothing is due yet, so nothing is written"
    now[0] += 2
    until(lambda: worker.counts.ticks == 1, worker.round)
    for _ in range(5):
        worker.round()
    ended(worker)
    (body,) = bench.bodies()
    assert (body["trigger"], body["time"]) == ("waits", NOON + 300_000)
    with contextlib.closing(bench.embedded.event_source("other")) as reader:
        assert sum(reader.ends().values()) == 2


def test_reading_pauses_while_too_much_waits_to_be_sent(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_module, "OUTBOX_FULL", 4)
    bench.outputs.fails = {"send": 10_000}
    worker = bench.worker(lambda: LIVE, batch=3)
    bench.append([value for n in range(30) for value in views(f"s{n}", 0, 1, 2)])
    until(lambda: worker._is_paused, worker.round)
    read = worker.counts.read
    for _ in range(20):
        worker.round()
    assert worker.counts.read == read < 90
    bench.outputs.fails = {}
    until(lambda: worker.counts.read == 90, worker.round)
    ended(worker)
    assert len(bench.sent()) == 30


def test_fires_are_counted_by_minute_for_the_sparklines(bench: Bench) -> None:
    worker = bench.worker(lambda: LIVE)
    bench.append(views("s", 0, 1, 2))
    until(lambda: worker.counts.applied == 3, worker.round)
    ended(worker)
    minute = NOON // 60_000
    fired = {"fired/greeting.third": {minute: 1}, "fired/greeting.offer": {minute: 1}}
    assert bench.activity.read(0) == {"events": {minute: 3}} | fired


def test_the_report_says_how_far_behind_it_is(bench: Bench) -> None:
    worker = bench.worker(lambda: LIVE)
    bench.append(views("s", 0, 1, 2))
    until(lambda: worker.counts.applied == 3, worker.round)
    ended(worker)
    report = worker.report()
    assert (report["applied"], report["lag"], report["outputs_waiting"]) == (3, 0, 0)


def test_stop_ends_it_after_its_batch(bench: Bench) -> None:
    worker = bench.worker(lambda: LIVE)
    thread = threading.Thread(target=worker.run)
    thread.start()
    bench.append(views("s", 0, 1, 2))
    until(lambda: worker.counts.applied == 3, lambda: threading.Event().wait(0.01))
    worker.stop()
    thread.join(20)
    assert not thread.is_alive()
    assert len(bench.sent()) == 1


def test_a_partition_whose_brokers_keep_silent_keeps_no_other_from_being_claimed(tmp_path: Path) -> None:
    """The claim of one ends only when another was claimed."""
    bench = Bench(tmp_path, partitions=3)
    meeting = threading.Barrier(2)
    claim: Any = bench.outputs.claim

    def waiting(partition: int) -> object:
        if partition in {0, 2}:
            meeting.wait(20)
        return claim(partition)

    bench.outputs.claim = waiting  # type: ignore[attr-defined]  # it passes on what it does not have
    worker = bench.worker(lambda: LIVE)
    until(lambda: len(worker._holdings) == 3, worker.round)
    ended(worker)
    assert not meeting.broken
    bench.close()
