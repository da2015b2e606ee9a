"""A rebuild brings the state that the workers had, byte for byte, whatever changed and whatever died meanwhile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.event import RawEvent
from engine.ports import NewRecord, OutputKind, Position
from service.loading import Loaded
from service.worker import timers
from tests.unit.service.rebuild.installed import PARTITIONS, Installed, history, rules, without_seen
from tests.unit.service.worker.bench import MINUTE, NOON

EMPTY = {"position": Position(0, 0), "sessions": {}, "seen": {}, "outbox": [], "regimes": []}


@pytest.fixture(params=["sqlite", pytest.param("servers", marks=[pytest.mark.kafka, pytest.mark.redis])])
def shop(request, tmp_path: Path) -> Iterator[Installed]:
    addresses = None
    if request.param == "servers":
        prefix = request.getfixturevalue("kafka_prefix")
        addresses = {
            "kafka.bootstrap": request.getfixturevalue("kafka_cluster").bootstrap,
            "kafka.topic_prefix": prefix,
            "kafka.group": f"{prefix}worker",
            "redis.url": request.getfixturevalue("redis_url"),
        }
    made = Installed(tmp_path, addresses)
    yield made
    made.close()


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[Installed]:
    made = Installed(tmp_path)
    yield made
    made.close()


def evaluated(shop: Installed, events: int = 1_500) -> Loaded:
    """A history with three revisions and another lateness, changed amid it; the last one."""
    records = history(events)
    half, most = len(records) // 2, len(records) - len(records) // 30
    first = shop.publish(rules(3))
    shop.append(records[:half])
    shop.work(lambda: first)
    second = shop.publish(rules(5))
    shop.append(records[half:most])
    shop.work(lambda: second, lateness=20_000, batch=101)
    back = shop.publish(rules(3))
    shop.append(records[most:])
    shop.work(lambda: back)
    return back


def test_what_is_built_is_what_the_workers_had_though_rules_changed_and_it_was_killed(shop: Installed) -> None:
    evaluated(shop)
    before, sent = shop.copies(), len(shop.wiring.outputs().read(OutputKind.TRIGGER, 10_000))
    assert sum(len(each.regimes) for each in before) == 3 * PARTITIONS
    assert sum(len(each.sessions) for each in before) > 20
    shop.kill_amid_rebuild(at_least=200)
    assert without_seen(shop.copies()) == without_seen(before), "what is stored serves until the end"
    told = shop.salience("rebuild", "--json")
    assert "going on with a rebuild that was ended" in told.stderr
    assert [(each["differing"], each["is_assumed"]) for each in msgspec.json.decode(told.stdout)] == [
        (0, False)
    ] * PARTITIONS
    assert without_seen(shop.copies()) == without_seen(before)
    assert not (shop.folder / "rebuild" / "build").exists()
    more = history(30, seed=9)
    shop.append(more)
    live = shop.publish(rules(4))
    shop.work(lambda: live)
    assert len(shop.wiring.outputs().read(OutputKind.TRIGGER, 10_000)) - sent < 30, "nothing is sent again"


def test_the_live_rules_alone_would_build_something_else(embedded: Installed, monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison has power: without what was recorded the state differs."""
    evaluated(embedded)
    monkeypatch.setattr("service.rebuild.plan.merged", lambda stored, sent: [])
    told = msgspec.json.decode(embedded.salience("rebuild", "--json").stdout)
    assert sum(each["differing"] for each in told) > 0
    assert all(each["is_assumed"] for each in told)


def test_a_lost_state_is_built_up_to_what_is_out_with_what_the_outputs_tell(embedded: Installed) -> None:
    last = evaluated(embedded, 600)
    before = embedded.copies()
    for number in range(PARTITIONS):
        embedded.state.replace(msgspec.structs.replace(before[number], **EMPTY))
    embedded.publish(rules(5))
    told = embedded.salience("rebuild")
    assert "it is not recorded what was live when" not in told.stderr
    assert "nothing to compare" in told.stdout
    embedded.work(lambda: last)
    assert without_seen(embedded.copies()) == without_seen(before)


def test_where_the_log_no_longer_has_its_beginning_that_is_said_and_sessions_since_are_as_they_were(
    shop: Installed,
) -> None:
    """Also by the run that goes on with one that was ended."""
    evaluated(shop)
    before = shop.copies()
    begins = [copy.position.offset // 2 for copy in before]
    shop.forget(begins)
    shop.kill_amid_rebuild(at_least=sum(begins) + 50)
    told = shop.salience("rebuild", "--json")
    assert told.exception is None
    assert [each["begins"] for each in msgspec.json.decode(told.stdout)] == begins
    after = shop.copies()
    assert [each.position for each in after] == [each.position for each in before]
    # Ids of sessions end with the number of their 500 events: the latest began well after the middle.
    latest = [{id_: each.sessions[id_] for id_ in each.sessions if id_.endswith("-2")} for each in before]
    assert sum(map(len, latest)) > 10
    assert [{id_: each.sessions.get(id_) for id_ in kept} for each, kept in zip(after, latest, strict=True)] == latest


def test_a_beginning_that_is_gone_is_told_with_what_to_do(embedded: Installed) -> None:
    evaluated(embedded, 300)
    embedded.forget([20, 0, 30])
    told = " ".join(embedded.salience("rebuild").stderr.split())
    assert "no longer begins at offset 0 (partition 0 at offset 20, 2 at offset 30)" in told
    assert "salience snapshot load" in told


def test_a_log_that_begins_behind_the_state_is_refused(embedded: Installed) -> None:
    """Nothing of it could be evaluated again: the stored state stays as it is."""
    live = embedded.publish(rules())
    embedded.append(history(300))
    embedded.work(lambda: live)
    before = embedded.copies()
    embedded.append(history(300, seed=2))
    embedded.forget([each.position.offset + 5 for each in before])
    assert "has no records from offset 0 to" in str(embedded.salience("rebuild").exception)
    assert embedded.copies() == before


def test_what_waits_to_be_sent_waits_after_it(embedded: Installed, monkeypatch: pytest.MonkeyPatch) -> None:
    live = embedded.publish(rules())
    embedded.append(history(300))
    with monkeypatch.context() as patched:
        patched.setattr("service.worker.emission.Emission.offer", lambda *_: None)
        embedded.work(lambda: live)
    before = embedded.copies()
    assert sum(len(each.outbox) for each in before) > 20
    embedded.salience("rebuild")
    assert without_seen(embedded.copies()) == without_seen(before)


def test_rules_that_changed_amid_the_timers_of_one_record_are_each_taken_in_their_place(
    embedded: Installed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A quiet night's sessions end at one record, in steps; a worker dies amid them and the next has another revision."""
    monkeypatch.setattr(timers, "DUE_AT_ONCE", 3)
    first, second = embedded.publish(rules(3)), embedded.publish(rules(5))
    embedded.append(history(120))
    embedded.work(lambda: first)
    morning = [
        NewRecord(f"m{n}", msgspec.json.encode(RawEvent("seen", f"m{n}", f"m{n}", NOON + 600 * MINUTE, None, {})))
        for n in range(9)
    ]
    embedded.append(morning)
    steps: Counter[int] = Counter()
    apply = type(embedded.state).apply

    def dying(self: object, batch: Any) -> object:
        steps[batch.partition] += batch.next_offset == batch.expected_offset
        if max(steps.values()) == 2:
            raise SystemExit  # of all partitions, which are worked on beside one another
        return apply(self, batch)  # type: ignore[arg-type]  # it is of the class whose method this stands for

    with monkeypatch.context() as patched:
        patched.setattr(type(embedded.state), "apply", dying)
        with pytest.raises(SystemExit):
            embedded.work(lambda: first)
    embedded.work(lambda: second)
    before = embedded.copies()
    assert any(each.step for copy in before for each in copy.regimes)
    told = msgspec.json.decode(embedded.salience("rebuild", "--json").stdout)
    assert [each["differing"] for each in told] == [0] * len(told)
    assert without_seen(embedded.copies()) == without_seen(before)


def test_it_is_refused_while_workers_run_unless_told(embedded: Installed) -> None:
    from service.clock import wall_ms
    from service.control import Control, ProcessReport

    evaluated(embedded, 100)
    Control(embedded.wiring.tables()).beat(ProcessReport("worker-x", "worker", wall_ms() + 5_000, 0))
    assert "worker-x at work: stop the workers first" in str(embedded.salience("rebuild").exception)
    assert embedded.salience("rebuild", "--while-workers-run").exception is None


def test_a_comparison_names_what_differs_and_changes_nothing(embedded: Installed) -> None:
    evaluated(embedded, 300)
    assert embedded.salience("rebuild", "--compare").return_value == 0
    copies = embedded.copies()
    number, session = next((copy.partition, id_) for copy in copies for id_ in copy.sessions)
    tampered = msgspec.structs.replace(copies[number].sessions[session], time=5)
    embedded.state.replace(
        msgspec.structs.replace(copies[number], sessions={**copies[number].sessions, session: tampered})
    )
    told = embedded.salience("rebuild", "--compare", "--json")
    assert told.return_value == 1
    assert [each["examples"] for each in msgspec.json.decode(told.stdout) if each["differing"]] == [[session]]
    assert embedded.state.load(number, [session])[session].time == 5


def test_a_bundle_that_is_gone_is_named(embedded: Installed) -> None:
    evaluated(embedded, 100)
    first = embedded.copies()[0].regimes[0].bundle
    embedded.wiring.tables().put("bundles", first, None)
    assert (
        f"revision 1 (bundle {first[:12]}), which was live at offset 0, can't be loaded any more: its bundle is not in the tables"
        in str(embedded.salience("rebuild").exception)
    )


def test_operators_see_what_was_live_at_which_offset(embedded: Installed) -> None:
    evaluated(embedded, 100)
    told = msgspec.json.decode(embedded.salience("state", "history", "--json").stdout)
    assert [[each["revision"] for each in partition] for partition in told] == [[1, 2, 3]] * PARTITIONS
    assert [each["lateness"] for each in told[0]] == [60_000, 20_000, 60_000]
    text = embedded.salience("state", "history").stdout
    assert told[1][1]["bundle"][:12] in text
    assert "20 seconds" in text


def test_nothing_is_built_where_nothing_was_evaluated(embedded: Installed) -> None:
    assert "nothing was ever evaluated" in embedded.salience("rebuild").stderr
