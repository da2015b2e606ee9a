"""Recordings become records: the same from every format, with deterministic ids, in time, under backpressure."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from pyarrow import parquet

from engine.ports import LogFullError, NewRecord, PortError
from service.replay import feed as feed_module
from service.replay.events import RowReader
from service.replay.feed import Feed, FeedReport
from service.replay.mapping import RecordingMapping, read_mapping
from service.replay.rows import RecordingError, open_recording

MAPPING = """\
columns: {time: at, type: kind, session_id: session, customer_id: user}
types: {v: seen}
attributes: {product: product, price: price, quantity: {column: qty, as: integer, default: 1}}
"""
CSV = """\
at,kind,session,user,product,price,qty
2019-10-01 00:00:00 UTC,v,s1,7,p1,35.79,2
2019-10-01 00:00:01 UTC,v,s2,,"p,2",,
2019-10-01 00:00:01 UTC,v,s2,,"p,2",,
2019-10-01 00:00:02 UTC,other,s1,7,p1,1,3
"""


class ListLog:
    """An event log in a list, full or broken when a test says so."""

    partitions = 4

    def __init__(self) -> None:
        self.records: list[NewRecord] = []
        self.full = 0
        self.error: PortError | None = None
        self.waiting: list[Callable[[PortError | None], None]] = []

    def append(self, records: Sequence[NewRecord], done: Callable[[PortError | None], None]) -> None:
        if self.full:
            self.full -= 1
            raise LogFullError("full, as told")
        self.records.extend(records)
        self.waiting.append(done)
        if len(self.waiting) > 2:
            self._finish()

    def flush(self, timeout_ms: int) -> None:
        self._finish()

    def _finish(self) -> None:
        for done in self.waiting:
            done(self.error)
        self.waiting.clear()

    def close(self) -> None:
        pass


def mapping(text: str = MAPPING) -> RecordingMapping:
    found, diagnostics = read_mapping("m.yaml", text)
    assert found is not None, diagnostics
    return found


def run(
    path: Path, text: str = MAPPING, log: ListLog | None = None, shift: int = 0, **options: Any
) -> tuple[FeedReport, list[Any]]:
    to = log or ListLog()
    recording = open_recording(path)
    read = mapping(text)
    columns = list(read.columns())
    report = Feed(to, RowReader(read, columns, shift), **options).run(recording.rows(columns))
    return report, [msgspec.json.decode(each.value) for each in to.records]


def saved(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_a_csv_becomes_events(tmp_path: Path) -> None:
    report, events = run(saved(tmp_path, "r.csv", CSV))
    assert (report.rows, report.appended, report.incomplete) == (4, 4, 0)
    assert events[0] == {
        "type": "seen",
        "session_id": "s1",
        "id": events[0]["id"],
        "time": 1_569_888_000_000,
        "customer_id": "7",
        "attributes": {"product": "p1", "price": "35.79", "quantity": 2},
    }
    assert events[1]["attributes"] == {"product": "p,2", "quantity": 1}
    assert events[3]["type"] == "other", "an unknown type is the worker's to name"


def test_equal_rows_are_one_event_and_a_second_run_gives_the_same_ids(tmp_path: Path) -> None:
    path = saved(tmp_path, "r.csv", CSV)
    _, events = run(path)
    ids = [each["id"] for each in events]
    assert ids[1] == ids[2]
    assert len(set(ids)) == 3
    assert [each["id"] for each in run(path)[1]] == ids


def test_a_shifted_recording_is_another(tmp_path: Path) -> None:
    path = saved(tmp_path, "r.csv", CSV)
    _, plain = run(path)
    _, shifted = run(path, shift=1000)
    assert {each["time"] - other["time"] for each, other in zip(shifted, plain, strict=True)} == {1000}
    assert not {each["id"] for each in shifted} & {each["id"] for each in plain}


def test_the_same_rows_as_json_lines_and_parquet(tmp_path: Path) -> None:
    rows = [
        {"at": "2019-10-01T00:00:00Z", "kind": "v", "session": "s1", "user": "7", "product": "p1", "price": 35.79, "qty": 2},
        {"at": "2019-10-01T00:00:01Z", "kind": "v", "session": "s2", "user": None, "product": "p2", "price": None, "qty": None},
    ]  # fmt: skip
    lines = saved(tmp_path, "r.jsonl", "\n\n".join(msgspec.json.encode(each).decode() for each in rows))
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "r.parquet")
    (tmp_path / "r.jsonl.gz").write_bytes(gzip.compress(lines.read_bytes()))
    _, from_lines = run(lines)
    _, from_parquet = run(tmp_path / "r.parquet")
    _, from_gzip = run(tmp_path / "r.jsonl.gz")
    for events in (from_lines, from_parquet, from_gzip):
        for each in events:
            del each["id"]
    assert from_lines == from_parquet == from_gzip
    assert from_lines[0]["attributes"] == {"product": "p1", "price": 35.79, "quantity": 2}


def test_a_moment_of_parquet_is_a_time(tmp_path: Path) -> None:
    table = pa.table({"at": pa.array([1_569_888_000_000], pa.timestamp("ms")), "kind": ["v"], "session": ["s"], "user": ["u"],
                      "product": ["p"], "price": [1.5], "qty": [1]})  # fmt: skip
    parquet.write_table(table, tmp_path / "r.parquet")
    assert run(tmp_path / "r.parquet")[1][0]["time"] == 1_569_888_000_000


@pytest.mark.parametrize(
    ("form", "written", "expected"),
    [
        ("seconds", "1569888000.5", 1_569_888_000_500),
        ("milliseconds", "1569888000001", 1_569_888_000_001),
        ("'%d.%m.%Y %H:%M'", "01.10.2019 00:00", 1_569_888_000_000),
        ("iso", "2019-10-01T02:00:00+02:00", 1_569_888_000_000),
    ],
)
def test_formats_of_time(tmp_path: Path, form: str, written: str, expected: int) -> None:
    text = MAPPING.replace("time: at", f"time: {{column: at, format: {form}}}")
    path = saved(tmp_path, "r.csv", f"at,kind,session,user,product,price,qty\n{written},v,s,u,p,1,1\n")
    assert run(path, text)[1][0]["time"] == expected


def test_rows_that_are_no_events_go_to_the_worker_and_are_reported(tmp_path: Path) -> None:
    """Without a session, without a time: the log keeps them, the worker makes dead letters of them."""
    path = saved(
        tmp_path, "r.csv", CSV + ",v,s1,,p,1,1\nyesterday,v,s1,,p,1,1\n2019-10-01 00:00:02 UTC,v,,,p,1,1\n2019-10-01\n"
    )
    report, events = run(path)
    assert (report.rows, report.appended, report.incomplete) == (8, 8, 4)
    assert [each["time"] for each in events[4:6]] == ["", "yesterday"]
    assert events[6]["session_id"] == ""


def test_a_line_that_is_no_json_goes_to_the_worker_as_it_is(tmp_path: Path) -> None:
    path = saved(tmp_path, "r.jsonl", '{"at": "2019-10-01", "kind": "v", "session": "s"}\n{"at": torn\n[]\n')
    log = ListLog()
    recording = open_recording(path)
    columns = list(mapping().columns())
    report = Feed(log, RowReader(mapping(), columns)).run(recording.rows(columns))
    assert (report.rows, report.appended, report.incomplete) == (3, 3, 2)
    assert [each.value for each in log.records[1:]] == [b'{"at": torn', b"[]"]


def test_rows_that_the_mapping_skips_are_counted_by_rule(tmp_path: Path) -> None:
    report, events = run(
        saved(tmp_path, "r.csv", CSV), MAPPING + "skip: [{column: user, is: ''}, {column: kind, is: other}]\n"
    )
    assert report.skipped == {"user is empty": 2, "kind is other": 1}
    assert len(events) == report.appended == 1


def test_ids_of_columns_are_kept_as_they_are(tmp_path: Path) -> None:
    text = MAPPING.replace("customer_id: user", "customer_id: user, id: product")
    assert run(saved(tmp_path, "r.csv", CSV), text)[1][0]["id"] == "p1"


# ---------------------------------------------------------------------------------------------------- files


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("r.csv", "", "is empty"),
        ("r.xls", "x", "recordings end in"),
        ("r.jsonl.gz", "it is not", "after row 0"),
        ("r.parquet", "PAR1 it is not", "can't be read as Parquet"),
        ("r.csv", 'at,kind,session,user,product,price,qty\n"open', "after row 0"),
    ],
)
def test_a_file_that_can_not_be_read_is_named(tmp_path: Path, name: str, text: str, words: str) -> None:
    with pytest.raises(RecordingError, match=words):
        run(saved(tmp_path, name, text))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="there is no file"):
        open_recording(tmp_path / "r.csv")


# ---------------------------------------------------------------------------------------------------- pace, pressure


def many(folder: Path, rows: int) -> Path:
    lines = [f"2019-10-01 00:00:{n % 60:02} UTC,v,s{n % 9},,p{n},1,1" for n in range(rows)]
    return saved(folder, "many.csv", "at,kind,session,user,product,price,qty\n" + "\n".join(lines))


def test_a_full_log_is_waited_for_and_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "WAIT_S", 0.0)
    monkeypatch.setattr(feed_module, "BATCH", 10)
    log = ListLog()
    log.full = 3
    report, events = run(many(tmp_path, 95), log=log)
    assert (report.appended, report.waited) == (95, 3)
    assert [each["attributes"]["product"] for each in events] == [f"p{n}" for n in range(95)]


def test_a_log_that_fails_is_told(tmp_path: Path) -> None:
    log = ListLog()
    log.error = PortError("the disk is full")
    with pytest.raises(PortError, match="the disk is full"):
        run(many(tmp_path, 5), log=log)


def test_at_its_own_pace_events_come_as_they_came(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At twice the pace, an event of 60 s later comes 30 s later."""
    now = [100.0]
    waits: list[float] = []
    stop = threading.Event()

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        now[0] += seconds
        return False

    monkeypatch.setattr("service.replay.feed.time.monotonic", lambda: now[0])
    monkeypatch.setattr(stop, "wait", wait)
    text = "at,kind,session,user,product,price,qty\n" + "".join(
        f"2019-10-01 00:0{minute}:00 UTC,v,s,,p,1,1\n" for minute in (0, 1, 1, 3)
    )
    report, events = run(saved(tmp_path, "r.csv", text), speed=2.0, stop=stop)
    assert sum(waits) == pytest.approx(90)
    assert len(events) == report.rows == 4


def test_it_can_be_stopped(tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    report, events = run(many(tmp_path, 50), stop=stop)
    assert (report.rows, events) == (0, [])
