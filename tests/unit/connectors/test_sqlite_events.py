"""The embedded event log: batching, limits, retention, and who reads it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from connectors import sqlite_events
from connectors.sqlite_events import SqliteEventLog
from connectors.sqlite_source import SqliteEventSource
from engine.ports import LogFullError, NewRecord, PortError, partition_of

ROOT = Path(__file__).parents[3]

HOLDER = """
import sys, time
from pathlib import Path
from connectors.sqlite_source import SqliteEventSource
source = SqliteEventSource(Path(sys.argv[1]), lease_ms=int(sys.argv[2]))
while True:
    source.poll(10, 50)
    if source.assignment():
        print(source.assignment()[0], flush=True)
        break
while True:
    source.poll(10, 50)
    print(source.assignment().get(0), flush=True)
"""


WRITER = """
import sys
from pathlib import Path
from connectors.sqlite_events import SqliteEventLog
from engine.ports import NewRecord
log = SqliteEventLog(Path(sys.argv[1]), 2)
for number in range(10**6):
    log.append([NewRecord(f"k{number % 5}", str(number).encode())], lambda error, n=number: print(n, error, flush=True))
    if number % 50 == 0:
        log.flush(10_000)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.db"


@pytest.fixture
def holder(path):
    """Starts a process that reads the log; all are ended with the test."""
    started: list[subprocess.Popen[str]] = []

    def start(lease_ms: int) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", HOLDER, str(path), str(lease_ms)]
        started.append(subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout
        process.stdout.close()


def stored(path: Path) -> list[tuple[int, bytes]]:
    with closing(SqliteEventSource(path)) as source:
        found: list[tuple[int, bytes]] = []
        while True:
            polled = source.poll(1_000, 0)
            if not polled and source.assignment() and found:
                return found
            found += [(r.offset, r.value) for records in polled.values() for r in records]


def gate(log: SqliteEventLog, monkeypatch) -> threading.Event:
    """Keep the writer waiting until the event is set."""
    event, write = threading.Event(), log._write

    def gated(batch):
        event.wait(10)
        write(batch)

    monkeypatch.setattr(log, "_write", gated)
    return event


def test_a_full_log_takes_nothing_of_the_call(path, monkeypatch):
    with closing(SqliteEventLog(path, capacity=10)) as log:
        released = gate(log, monkeypatch)
        log.append([NewRecord("first", b"")], lambda error: None)
        while log._waiting:  # until the writer has it in hand
            time.sleep(0.001)
        log.append([NewRecord("k", b"1")] * 8, lambda error: None)
        with pytest.raises(LogFullError, match=r"events\.db: 8 records wait"):
            log.append([NewRecord("k", b"2")] * 3, lambda error: None)
        log.append([NewRecord("k", b"3")] * 2, lambda error: None)
        released.set()
        log.flush(10_000)
        log.append([NewRecord("k", b"4")] * 10, lambda error: None)
    assert [value for _, value in stored(path)].count(b"2") == 0


def test_what_waits_is_committed_together(path, monkeypatch):
    batches: list[int] = []
    with closing(SqliteEventLog(path)) as log:
        released, write = gate(log, monkeypatch), log._write

        def counted(batch):
            batches.append(len(batch))
            write(batch)

        monkeypatch.setattr(log, "_write", counted)
        for i in range(100):
            log.append([NewRecord(str(i), b"")], lambda error: None)
        released.set()
        log.flush(10_000)
    assert sum(batches) == 100
    assert len(batches) <= 2


def test_a_failed_commit_is_told_to_all_of_it_and_the_log_goes_on(path, monkeypatch):
    answers: list[PortError | None] = []
    with closing(SqliteEventLog(path)) as log:
        write = log._write
        monkeypatch.setattr(log, "_write", lambda batch: (_ for _ in ()).throw(PortError("the disk is full")))
        log.append([NewRecord("k", b"1")], answers.append)
        log.append([NewRecord("k", b"2")], answers.append)
        log.flush(10_000)
        monkeypatch.setattr(log, "_write", write)
        log.append([NewRecord("k", b"3")], answers.append)
        log.flush(10_000)
    assert [str(answer) for answer in answers] == ["the disk is full", "the disk is full", "None"]
    assert stored(path) == [(0, b"3")]


def test_a_callback_that_raises_stops_nobody(path, caplog):
    answers: list[PortError | None] = []

    def broken(error: PortError | None) -> None:
        raise ValueError

    with closing(SqliteEventLog(path)) as log:
        log.append([NewRecord("k", b"1")], broken)
        log.append([NewRecord("k", b"2")], answers.append)
    assert answers == [None]
    assert "a callback of append failed" in caplog.text


def test_flush_says_when_it_takes_too_long(path, monkeypatch):
    with closing(SqliteEventLog(path)) as log:
        released = gate(log, monkeypatch)
        log.append([NewRecord("k", b"1")], lambda error: None)
        with pytest.raises(PortError, match="not written after 20 ms"):
            log.flush(20)
        released.set()


def test_the_number_of_partitions_is_fixed_by_the_first_opener(path):
    with closing(SqliteEventLog(path, 3)), closing(SqliteEventLog(path, 9)) as second:
        assert second.partitions == 3


def test_old_records_leave_by_number_and_reading_them_is_an_error(path, monkeypatch):
    monkeypatch.setattr(sqlite_events, "RETENTION_EVERY_S", 0)
    with closing(SqliteEventLog(path, 1, retention_records=10)) as log:
        for i in range(5):
            log.append([NewRecord("k", str(i).encode())] * 10, lambda error: None)
            log.flush(10_000)
    assert [offset for offset, _ in stored(path)] == list(range(40, 50)), "from the beginning: wherever it is now"
    with closing(SqliteEventSource(path)) as source:
        source.seek(0, 30)
        source.poll(10, 0)
        with pytest.raises(PortError, match=r"partition 0 has no offset 30; it has 40 to 50\. .* retention too short"):
            source.poll(10, 0)


def test_old_records_leave_by_time(path, monkeypatch):
    monkeypatch.setattr(sqlite_events, "RETENTION_EVERY_S", 0)
    with closing(SqliteEventLog(path, 1, retention_ms=300)) as log:
        log.append([NewRecord("k", b"old")] * 5, lambda error: None)
        log.flush(10_000)
        time.sleep(0.5)
        log.append([NewRecord("k", b"new")], lambda error: None)
    assert stored(path) == [(5, b"new")]


def test_a_long_partition_does_not_starve_the_others(path):
    with closing(SqliteEventLog(path, 4)) as log, closing(SqliteEventSource(path)) as source:
        keys = {partition_of(f"k{i}", 4): f"k{i}" for i in range(20)}
        log.append([NewRecord(keys[0], b"")] * 1_000, lambda error: None)
        log.append([NewRecord(keys[2], b"")] * 10, lambda error: None)
        log.flush(10_000)
        source.poll(0, 0)
        assert {partition: len(records) for partition, records in source.poll(30, 0).items()} == {0: 15, 2: 10}


def test_a_second_process_waits_and_takes_over_when_the_first_is_killed(path, holder):
    first = holder(60_000)
    generation = int(first.stdout.readline())
    with closing(SqliteEventSource(path, lease_ms=60_000)) as source:
        for _ in range(5):
            source.poll(10, 20)
        assert source.assignment() == {}
        first.kill()
        first.wait()
        while not source.assignment():  # long before the lease ends
            source.poll(10, 20)
        assert set(source.assignment().values()) == {generation + 1}


def test_a_process_that_stands_still_loses_the_log_when_its_lease_ends_and_notices(path, holder):
    first = holder(500)
    generation = int(first.stdout.readline())
    os.kill(first.pid, signal.SIGSTOP)
    with closing(SqliteEventSource(path, lease_ms=500)) as source:
        while not source.assignment():
            source.poll(10, 20)
        assert set(source.assignment().values()) == {generation + 1}
        os.kill(first.pid, signal.SIGCONT)
        while first.stdout.readline().strip() != "None":
            source.poll(10, 0)
        for _ in range(10):
            source.poll(10, 20)
        assert set(source.assignment().values()) == {generation + 1}


def test_the_holder_keeps_its_generation_over_a_pause_that_nobody_used(path):
    with closing(SqliteEventSource(path, lease_ms=30)) as source:
        source.poll(1, 0)
        before = source.assignment()
        time.sleep(0.1)
        source.poll(1, 0)
        assert source.assignment() == before


def test_what_was_committed_can_be_shown(path):
    with closing(SqliteEventSource(path, "shown")) as source:
        source.commit({0: 5, 1: 7})
        source.commit({0: 6})
        assert source.committed() == {0: 6, 1: 7}


def test_what_was_acknowledged_is_there_after_a_kill_and_nothing_is_torn(path):
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    acknowledged = []
    for _ in range(2_000):
        number, error = process.stdout.readline().split()
        assert error == "None"
        acknowledged.append(int(number))
    process.kill()
    acknowledged += [int(line.split()[0]) for line in process.stdout.read().splitlines() if line.endswith("None")]
    process.wait()
    process.stdout.close()
    assert acknowledged == list(range(len(acknowledged)))
    with closing(SqliteEventSource(path)) as source:
        found: dict[int, list[tuple[int, int]]] = {}
        while sum(map(len, found.values())) < sum(source.ends().values()):
            for partition, records in source.poll(10_000, 100).items():
                found.setdefault(partition, []).extend((r.offset, int(r.value)) for r in records)
    for pairs in found.values():
        assert [offset for offset, _ in pairs] == list(range(len(pairs)))
        assert [number for _, number in pairs] == sorted(number for _, number in pairs)
    assert {number for pairs in found.values() for _, number in pairs} >= set(acknowledged)
