"""Embedded stores: what they alone promise."""

from __future__ import annotations

from contextlib import closing

import pytest

from connectors.embedded import Embedded
from connectors.sqlite_activity import SqliteActivity
from connectors.sqlite_decisions import SqliteDecisions
from connectors.sqlite_limits import SLACK_MS, SqliteLimits
from connectors.sqlite_outputs import SqliteOutputs
from engine.ports import Cap, Claim, Output, OutputKind

NOW = 1_700_000_000_000
DAY = 86_400_000


def output(number: int) -> Output:
    return Output(f"id{number}", OutputKind.TRIGGER, "s", b"", number)


def test_an_output_sent_again_is_there_once(tmp_path):
    """A file of a release that did not note what is out may get an output again."""
    with closing(SqliteOutputs(tmp_path / "o.db")) as outputs:
        token = outputs.claim(0).token
        outputs.send(0, token, [output(1), output(2)])
        outputs.send(0, token, [output(2), output(3)])
        assert list(outputs.read(OutputKind.TRIGGER, 10)) == [output(3), output(2), output(1)]


def test_outputs_stay_bounded(tmp_path):
    with closing(SqliteOutputs(tmp_path / "o.db", keep=5)) as outputs:
        token = outputs.claim(0).token
        for i in range(20):
            outputs.send(0, token, [output(i)])
        assert [each.offset for each in outputs.read(OutputKind.TRIGGER, 100)] == [19, 18, 17, 16, 15]


def test_decisions_and_counters_are_forgotten(tmp_path):
    with closing(SqliteDecisions(tmp_path / "d.db", keep_ms=DAY)) as decisions:
        decisions.append([("old", "s", NOW, b"old")])
        decisions.append([("new", "s", NOW + DAY + 1, b"new")])
        assert list(decisions.recent(10)) == [b"new"]
    with closing(SqliteActivity(tmp_path / "a.db", keep_minutes=60)) as activity:
        activity.add(100, {"k": 1})
        activity.add(161, {"k": 1})
        assert activity.read(0) == {"k": {161: 1}}


@pytest.mark.parametrize("hold", [None, 1_000])
def test_limits_keep_nothing_of_periods_long_past(tmp_path, hold):
    with closing(SqliteLimits(tmp_path / "l.db")) as limits:
        for i in range(50):
            caps = (
                Cap(f"window{i}", 5, 1, sliding=1_000),
                Cap("window", 100, 1, sliding=1_000),
                Cap("day", 100, 1, bucket=NOW, expires=NOW + 1_000),
            )
            assert limits.take([Claim(f"t{i}", caps)], 1, NOW + i, hold)[0].granted
            limits.confirm(f"t{i}", NOW + i)
        later = NOW + SLACK_MS + 5_000
        limits.take([Claim("last", (Cap("window", 1, 1, sliding=1_000),))], 1, later, None)
        limits.take([], 0, later, None)
        with limits._file.reading() as db:
            counts = [db.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in ("tokens", "takes", "counters")]
        assert counts == [1, 1, 1]
        assert limits.used([Cap("window", 1, 1, sliding=1_000)], later) == [1]


def test_every_port_of_a_folder_opens(tmp_path):
    ports = Embedded(tmp_path / "new" / "folder", partitions=2)
    for name in (
        "event_log",
        "event_source",
        "state",
        "outputs",
        "limits",
        "profiles",
        "decisions",
        "activity",
        "tables",
    ):
        getattr(ports, name)().close()
    assert (tmp_path / "new" / "folder" / "events.db").exists()
