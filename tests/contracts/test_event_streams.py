"""What every `EventLog`, `EventSource` and `OutputLog` promises."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import closing

import msgspec
import pytest

from engine.ports import (
    EventLog,
    EventSource,
    FencedError,
    NewRecord,
    Output,
    OutputKind,
    Place,
    PortError,
    Record,
    partition_of,
)
from engine.regime import Regime
from tests.contracts.backends import PARTITIONS, open_streams
from tests.contracts.racing import race

WAIT_MS = 30_000
"""For what comes at once on an idle machine."""


def append(log: EventLog, records: Sequence[NewRecord]) -> None:
    """Append and wait until it is durable."""
    answers: list[PortError | None] = []
    ready = threading.Event()

    def done(error: PortError | None) -> None:
        answers.append(error)
        ready.set()

    log.append(records, done)
    assert ready.wait(WAIT_MS / 1000)
    assert answers == [None]


def join(source: EventSource) -> Mapping[int, int]:
    """Poll until the source holds every partition."""
    deadline = time.monotonic() + WAIT_MS / 1000
    while len(source.assignment()) < PARTITIONS and time.monotonic() < deadline:
        source.poll(100, 200)
    assert set(source.assignment()) == set(range(PARTITIONS))
    return source.assignment()


def collect(source: EventSource, count: int, limit: int = 1_000) -> dict[int, list[Record]]:
    """Poll until `count` records have come; not one more may come."""
    found: dict[int, list[Record]] = {}
    deadline = time.monotonic() + WAIT_MS / 1000
    while sum(map(len, found.values())) < count and time.monotonic() < deadline:
        polled = source.poll(limit, 500)
        assert sum(map(len, polled.values())) <= limit
        for partition, records in polled.items():
            assert records
            found.setdefault(partition, []).extend(records)
    assert sum(map(len, found.values())) == count
    return found


def numbered(count: int, keys: int = 7) -> list[NewRecord]:
    return [NewRecord(f"k{i % keys}", f"{i}".encode()) for i in range(count)]


def append_numbered(backend: str, address: str, count: int, number: int) -> int:
    """Append records of a key of this process's own."""
    with closing(open_streams(backend, address).event_log()) as log:
        for i in range(count):
            log.append([NewRecord(f"p{number}", str(i).encode())], lambda error: None)
    return count


def test_records_arrive_in_the_partition_of_their_key_in_order(opened_stream):
    log, source = opened_stream("event_log"), opened_stream("event_source")
    assert log.partitions == PARTITIONS
    before = time.time_ns() // 1_000_000
    records = numbered(500)
    append(log, records)
    join(source)
    found = collect(source, 500)
    for partition, arrived in found.items():
        expected = [record for record in records if partition_of(record.key, PARTITIONS) == partition]
        assert [(r.key, r.value) for r in arrived] == [(r.key, r.value) for r in expected]
        assert [r.offset for r in arrived] == list(range(len(expected)))
        assert {r.partition for r in arrived} == {partition}
        assert all(before - 1_000 <= r.time <= time.time_ns() // 1_000_000 + 1_000 for r in arrived)
    assert source.ends() == {p: len(found.get(p, [])) for p in range(PARTITIONS)}


def test_bytes_and_keys_come_back_as_they_were(opened_stream):
    log, source = opened_stream("event_log"), opened_stream("event_source")
    append(log, [NewRecord("schlüssel/☃", b"\x00\xff\n"), NewRecord("", b"")])
    join(source)
    found = [(r.key, r.value) for records in collect(source, 2).values() for r in records]
    assert set(found) == {("schlüssel/☃", b"\x00\xff\n"), ("", b"")}


def test_appending_nothing_is_done_at_once(opened_stream):
    answers: list[PortError | None] = []
    opened_stream("event_log").append([], answers.append)
    assert answers == [None]


def test_each_append_is_answered_once_and_flush_waits_for_all(opened_stream):
    log = opened_stream("event_log")
    answers: list[PortError | None] = []
    for record in numbered(300):
        log.append([record], answers.append)
    log.flush(WAIT_MS)
    assert answers == [None] * 300


def test_closing_flushes(streams, opened_stream):
    answers: list[PortError | None] = []
    with closing(streams.event_log()) as log:
        log.append(numbered(50), answers.append)
    assert answers == [None]
    source = opened_stream("event_source")
    join(source)
    collect(source, 50)


def test_a_closed_log_takes_nothing(streams):
    log = streams.event_log()
    log.close()
    with pytest.raises(PortError):
        log.append(numbered(1), lambda error: None)


def test_appends_of_several_threads_keep_the_order_of_each_key(opened_stream):
    log, source = opened_stream("event_log"), opened_stream("event_source")

    def work(number: int) -> None:
        for i in range(100):
            log.append([NewRecord(f"thread{number}", str(i).encode())], lambda error: None)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.flush(WAIT_MS)
    join(source)
    by_key: dict[str, list[int]] = {}
    for records in collect(source, 600).values():
        for record in records:
            by_key.setdefault(record.key, []).append(int(record.value))
    assert by_key == {f"thread{number}": list(range(100)) for number in range(6)}


def test_several_processes_append_to_one_log(stream_address, opened_stream):
    source = opened_stream("event_source")
    assert sum(race(append_numbered, *stream_address, 150)) == 450
    join(source)
    by_key: dict[str, list[int]] = {}
    for records in collect(source, 450).values():
        for record in records:
            by_key.setdefault(record.key, []).append(int(record.value))
    assert by_key == {f"p{number}": list(range(150)) for number in range(3)}


def test_a_poll_takes_at_most_its_limit_and_loses_nothing(opened_stream):
    log, source = opened_stream("event_log"), opened_stream("event_source")
    append(log, numbered(100))
    join(source)
    for records in collect(source, 100, limit=9).values():
        assert [r.offset for r in records] == list(range(len(records)))


def test_a_poll_waits_for_records_and_returns_nothing_when_none_come(opened_stream):
    log, source = opened_stream("event_log"), opened_stream("event_source")
    join(source)
    assert source.poll(10, 50) == {}
    timer = threading.Timer(0.2, log.append, args=(numbered(1), lambda error: None))
    timer.start()
    assert sum(map(len, source.poll(10, WAIT_MS).values())) == 1
    timer.join()


def test_the_poll_that_changes_the_assignment_brings_no_records(opened_stream):
    """So that its caller can look where each partition stands, and seek, before the first record comes."""
    log, source = opened_stream("event_log"), opened_stream("event_source")
    append(log, numbered(20))
    deadline = time.monotonic() + WAIT_MS / 1000
    while not source.assignment() and time.monotonic() < deadline:
        assert source.poll(100, 500) == {}
    partition = max(source.ends().items(), key=lambda item: item[1])[0]
    source.seek(partition, 2)
    assert collect(source, 18)[partition][0].offset == 2


def test_a_source_starts_at_the_beginning_whatever_the_group_committed(streams, opened_stream):
    append(opened_stream("event_log"), numbered(40))
    with closing(streams.event_source()) as source:
        join(source)
        found = collect(source, 40)
        source.commit({partition: records[-1].offset + 1 for partition, records in found.items()})
    again = opened_stream("event_source")
    join(again)
    collect(again, 40)


def test_seek_moves_back_and_forth(opened_stream):
    log, source = opened_stream("event_log"), opened_stream("event_source")
    append(log, numbered(60, keys=1))
    partition = partition_of("k0", PARTITIONS)
    join(source)
    collect(source, 60)
    source.seek(partition, 55)
    assert [r.offset for r in collect(source, 5)[partition]] == [55, 56, 57, 58, 59]
    source.seek(partition, 0)
    assert len(collect(source, 60)[partition]) == 60
    source.seek(partition, 60)
    assert source.poll(10, 100) == {}


def test_an_offset_that_the_log_does_not_have_is_an_error(opened_stream):
    """Of a log that lost its end, or was replaced, nothing must be skipped or read twice in silence."""
    log, source = opened_stream("event_log"), opened_stream("event_source")
    append(log, numbered(10, keys=1))
    join(source)
    collect(source, 10)
    partition = partition_of("k0", PARTITIONS)
    source.seek(partition, 500)
    with pytest.raises(PortError, match=f"partition {partition} has no offset 500"):
        collect(source, 1)


def test_a_paused_partition_delivers_nothing_until_it_is_resumed(opened_stream):
    log, source = opened_stream("event_log"), opened_stream("event_source")
    join(source)
    paused = partition_of("k0", PARTITIONS)
    source.pause([paused])
    append(log, numbered(70))
    count = sum(partition_of(f"k{i % 7}", PARTITIONS) != paused for i in range(70))
    assert paused not in collect(source, count)
    assert source.poll(10, 100) == {}
    source.resume([paused])
    assert set(collect(source, 70 - count)) == {paused}


def test_a_partition_paused_amid_its_records_goes_on_where_it_is_sought(opened_stream):
    log, source = opened_stream("event_log"), opened_stream("event_source")
    append(log, numbered(280))
    join(source)
    paused = partition_of("k0", PARTITIONS)
    count = source.ends()[paused]
    others = 0
    deadline = time.monotonic() + WAIT_MS / 1000
    while paused not in (polled := source.poll(5, 500)):
        others += sum(map(len, polled.values()))
        assert time.monotonic() < deadline
    others += sum(len(records) for partition, records in polled.items() if partition != paused)
    source.pause([paused])
    while others < 280 - count:
        polled = source.poll(50, 500)
        assert paused not in polled
        others += sum(map(len, polled.values()))
        assert time.monotonic() < deadline
    assert source.poll(50, 100) == {}
    source.seek(paused, 3)
    source.resume([paused])
    assert len(collect(source, count - 3)[paused]) == count - 3


def test_ends_are_known_without_an_assignment(opened_stream):
    log, source = opened_stream("event_log"), opened_stream("event_source")
    assert source.ends() == dict.fromkeys(range(PARTITIONS), 0)
    append(log, numbered(12, keys=1))
    assert source.ends()[partition_of("k0", PARTITIONS)] == 12


def test_the_generation_grows_with_the_next_holder(streams, opened_stream):
    with closing(streams.event_source()) as source:
        first = set(join(source).values())
    second = set(join(opened_stream("event_source")).values())
    assert len(first) == 1
    assert len(second) == 1
    assert max(first) < min(second)


def test_groups_read_apart(opened_stream):
    append(opened_stream("event_log"), numbered(30))
    for group in ("one", "two"):
        source = opened_stream("event_source", group)
        join(source)
        collect(source, 30)


def output(number: int, kind: OutputKind = OutputKind.TRIGGER) -> Output:
    return Output(f"id{number}", kind, f"s{number % 3}", f'{{"n":{number}}}'.encode(), number)


def test_what_was_sent_is_settled_soon_and_not_by_a_turn_that_is_over(opened_stream):
    outputs = opened_stream("outputs")
    token = outputs.claim(0).token
    outputs.send(0, token, [output(0)])
    deadline = time.monotonic() + WAIT_MS / 1000
    while not outputs.settle(0, token):
        assert time.monotonic() < deadline
    assert [each.id for each in outputs.read(OutputKind.TRIGGER, 10)] == ["id0"]
    outputs.claim(0)
    with pytest.raises(FencedError):
        outputs.settle(0, token)


def test_outputs_are_read_newest_first_by_kind(opened_stream):
    outputs = opened_stream("outputs")
    triggers = [msgspec.structs.replace(output(n), key="s") for n in range(20)]
    token = outputs.claim(0).token
    outputs.send(0, token, triggers[:12])
    outputs.send(0, token, [output(100, OutputKind.DEAD), *triggers[12:], output(101, OutputKind.LATE)])
    outputs.send(0, token, [])
    again = opened_stream("outputs")
    assert list(again.read(OutputKind.TRIGGER, 100)) == triggers[::-1]
    assert list(again.read(OutputKind.TRIGGER, 3)) == triggers[:-4:-1]
    assert list(again.read(OutputKind.DEAD, 5)) == [output(100, OutputKind.DEAD)]
    assert list(again.read(OutputKind.LATE, 5)) == [output(101, OutputKind.LATE)]


def test_outputs_of_each_key_keep_their_order(opened_stream):
    outputs = opened_stream("outputs")
    triggers = [output(n) for n in range(30)]
    outputs.send(0, outputs.claim(0).token, triggers)
    found = outputs.read(OutputKind.TRIGGER, 100)
    for key in ("s0", "s1", "s2"):
        assert [each for each in found if each.key == key] == [each for each in triggers[::-1] if each.key == key]


def test_a_claim_says_what_is_out_of_its_own_partition(opened_stream):
    first = opened_stream("outputs")
    turn = first.claim(1)
    assert turn.out == Place(0, 0)
    first.send(1, turn.token, [output(4), msgspec.structs.replace(output(4), id="second", ordinal=1)])
    first.send(1, turn.token, [output(7)])
    again = opened_stream("outputs")
    assert again.claim(1).out == Place(7, 1)
    assert again.claim(2).out == Place(0, 0)


def test_the_next_claim_ends_every_earlier_turn(opened_stream):
    """A worker that was stopped for a while and goes on sends nothing more, be it in this process or another."""
    zombie, owner = opened_stream("outputs"), opened_stream("outputs")
    old = zombie.claim(0).token
    zombie.send(0, old, [output(1)])
    turn = owner.claim(0)
    with pytest.raises(FencedError):
        zombie.send(0, old, [output(2)])
    owner.send(0, turn.token, [output(3)])
    assert owner.claim(0).out == Place(3, 1)
    with pytest.raises(FencedError):
        owner.send(0, turn.token, [output(4)])
    assert [each.id for each in owner.read(OutputKind.TRIGGER, 10)] == ["id3", "id1"]


def test_no_outputs_read_as_none(opened_stream):
    assert list(opened_stream("outputs").read(OutputKind.DEAD, 5)) == []


def test_the_next_turn_hears_what_outputs_were_evaluated_with(opened_stream):
    """Also where nothing goes out with it, and where later outputs bring no news."""
    first, second = (Regime(offset, 0, number, "b", {"intent": "v1"}, 5) for number, offset in enumerate((0, 7)))
    outputs = opened_stream("outputs")
    turn = outputs.claim(1)
    assert list(turn.regimes) == []
    outputs.send(1, turn.token, [], [first])
    turn = opened_stream("outputs").claim(1)
    assert (turn.out, list(turn.regimes)) == (Place(0, 0), [first])
    outputs = opened_stream("outputs")
    token = outputs.claim(1).token
    outputs.send(1, token, [output(7)], [first, second])
    outputs.send(1, token, [output(8)])
    turn = opened_stream("outputs").claim(1)
    assert (turn.out, list(turn.regimes)) == (Place(8, 1), [first, second])
