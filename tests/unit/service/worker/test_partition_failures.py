"""One partition: failures, reloads and what was lost neither lose nor double anything; state and outputs go together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.ports import Output, OutputKind, Place, PortError
from engine.rete import Network
from service.worker.counts import Counts
from service.worker.emission import Emission
from service.worker.partition import Partition, Standing
from service.worker.stores import Stores
from tests.unit.service.small_shop import sources, with_threshold
from tests.unit.service.worker.bench import (
    LIMITED,
    LIVE,
    MINUTE,
    NOON,
    Bench,
    Failing,
    event,
    loaded,
    record,
    records,
    run,
    tick,
    until,
    views,
)

# ---------------------------------------------------------------------------------------------------- failures


@pytest.mark.parametrize("call", ["seen", "load", "due", "apply", "take"])
@pytest.mark.parametrize("after", [False, True])
def test_a_port_that_fails_loses_and_doubles_nothing(tmp_path: Path, call: str, after: bool) -> None:
    """Also where it failed only after it had done what it was asked: the claim says where the state stands."""
    live = loaded(sources(greeting=LIMITED.replace("total: 5", "total: 90")))
    values = [value for n in range(30) for value in views(f"s{n % 7}", n * 10)]
    log = records(values)
    bench, smooth = Bench(tmp_path / "a"), Bench(tmp_path / "b")
    partition, counts = bench.partition(), Counts()
    failing = bench.limits if call == "take" else bench.state
    failing.after = after
    for start in range(0, 30, 5):
        failing.fails = {call: 1}
        while partition.position < start + 5:
            if partition.standing is not Standing.OWNED:
                partition.claim()
            try:
                batch = [each for each in log[: start + 5] if each.offset >= partition.position]
                counts.add(partition.process(batch, bench.equipment(live)))
            except PortError:
                partition.reset()
                partition.claim()
        failing.fails = {}
    run(smooth, values, live=live)
    assert {each.id for each in bench.sent()} == {each.id for each in smooth.sent()}
    sessions = [f"s{n}" for n in range(7)]
    assert bench.state.load(0, sessions) == smooth.state.load(0, sessions)
    bench.close()
    smooth.close()


def test_a_newer_generation_fences_it(bench: Bench) -> None:
    partition = bench.partition(generation=1)
    partition.process(records(views("s", 0)), bench.equipment(LIVE))
    bench.state.claim(0, 2)
    counts = partition.process([record(1, views("s", 1)[0])], bench.equipment(LIVE))
    assert partition.standing is Standing.FENCED
    assert counts.applied == 0
    assert bench.state.claim(0, 2).offset == 1
    assert not partition.claim()


def test_state_that_went_back_rewinds_it(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    partition = bench.partition()
    partition.process(records(views("s", 0)), bench.equipment(LIVE))
    partition.position = 5  # what a store that lost its newest writes looks like
    counts = partition.process([record(5, views("s", 1)[0])], bench.equipment(LIVE))
    assert partition.standing is Standing.UNCLAIMED
    assert counts.rewinds == 1
    partition.claim()
    assert partition.position == 1


def test_a_claim_that_finds_everything_as_it_was_keeps_the_cache(bench: Bench) -> None:
    partition = bench.partition()
    partition.process(records(views("s", 0)), bench.equipment(LIVE))
    partition.generation = 2
    assert partition.claim()
    assert len(partition.cache) == 1
    bench.state.calls.clear()
    partition.process([record(1, views("s", 1)[0])], bench.equipment(LIVE))
    assert "load" not in bench.state.calls


@pytest.mark.interpreted
def test_an_event_on_which_the_engine_fails_is_set_aside(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Network.insert

    def failing(self: Network, memory: Any, each: Any, score: Any, catalogue: Any) -> Any:
        step = honest(self, memory, each, score, catalogue)
        if each.attributes.get("product") == "poison":
            raise ZeroDivisionError("as told")
        return step

    monkeypatch.setattr(Network, "insert", failing)
    values = [*views("s", 0, 1), event("seen", "s", 2, product="poison"), *views("s", 3)]
    counts = run(bench, values)
    assert (counts.read, counts.applied, counts.dead) == (4, 3, 1)
    (body,) = bench.bodies(OutputKind.DEAD)
    assert body["code"] == "evaluation-failed"
    assert [each["time"] for each in bench.bodies()] == [NOON + 3000], "the poison did not count as a view"


@pytest.mark.interpreted
def test_a_session_whose_timer_fails_ends_and_the_others_go_on(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Network.advance

    def failing(self: Network, memory: Any, now: int, score: Any, catalogue: Any) -> Any:
        if memory.session_id == "bad":
            raise ZeroDivisionError("as told")
        return honest(self, memory, now, score, catalogue)

    monkeypatch.setattr(Network, "advance", failing)
    counts = run(bench, [*views("bad", 0), *views("good", 1), tick(400)], batch=2)
    assert counts.lost == 1
    assert [body["session_id"] for body in bench.bodies()] == ["good"]
    assert bench.stored("bad") is None


def test_a_stored_session_that_can_not_be_read_begins_anew(bench: Bench) -> None:
    run(bench, views("s", 0, 1))
    state = bench.stored("s")
    damaged = msgspec.structs.replace(state, snapshot=b"\x00damaged")
    bench.state.apply(_only("s", damaged, 2))
    partition = bench.partition()
    counts = partition.process([record(2, views("s", 2)[0])], bench.equipment(LIVE))
    assert (counts.lost, counts.opened, counts.applied) == (1, 1, 1)
    assert bench.sent() == []


def _only(session: str, state: Any, offset: int) -> Any:
    from engine.ports import StateBatch

    return StateBatch(0, 1, offset, offset, {session: state}, [], [], NOON - MINUTE)


# ---------------------------------------------------------------------------------------------------- reload


def test_a_reload_keeps_the_session_and_fires_nothing_twice(bench: Bench) -> None:
    partition = bench.partition()
    log = records(views("s", 0, 1, 2, 3))
    partition.process(log[:3], bench.equipment(LIVE))
    changed = loaded(with_threshold(5), 2, {LIVE.bundle.hash: LIVE.network.rule_digests})
    counts = partition.process(log[3:], bench.equipment(changed))
    assert len(bench.sent()) == 1
    assert counts.activations == 0
    assert counts.opened == 0
    counts = partition.process([record(4, views("s", 4)[0])], bench.equipment(changed))
    assert counts.fired == {"greeting.offer": 1}, "the fifth view, the first three were seen by the revision before"


def test_a_worker_that_starts_with_a_newer_revision_goes_on_with_the_stored_sessions(bench: Bench) -> None:
    bench.partition().process(records(views("s", 0, 1)), bench.equipment(LIVE))
    changed = loaded(with_threshold(5), 2, {LIVE.bundle.hash: LIVE.network.rule_digests})
    counts = bench.partition().process([record(2, views("s", 2)[0])], bench.equipment(changed))
    assert counts.fired == {"greeting.third": 1}


def test_outputs_of_an_earlier_owner_that_were_not_sent_are_sent(bench: Bench) -> None:
    bench.outputs.fails = {"send": 1_000}
    partition = bench.partition()
    partition.process(records(views("s", 0, 1, 2)), bench.equipment(LIVE))
    assert len(bench.state.outbox(0)) == 1
    assert bench.emission is not None
    bench.emission.close()
    bench.emission = None
    bench.outputs.fails = {}
    bench.partition(generation=2)
    assert len(bench.sent()) == 1


# ------------------------------------------------------------------------------------------------- exactly once


def state_file_lost(bench: Bench) -> None:
    """As after a FLUSHALL: the state is empty, what was sent is not."""
    bench.state.close()
    for path in bench.embedded.folder.glob("state.db*"):
        path.unlink()
    bench.state = Failing(bench.embedded.state())
    bench._opened.append(bench.state)
    assert bench.emission is not None
    bench.emission.close()
    bench.emission = None


@pytest.mark.parametrize("batch", [1, 4, 100])
def test_a_replay_brings_the_state_back_and_sends_nothing_again(bench: Bench, batch: int) -> None:
    values = [value for n in range(20) for value in views(f"s{n % 3}", n * 100)]
    values.insert(7, b"poison")
    run(bench, values)
    sessions = ["s0", "s1", "s2"]
    before, sent = bench.state.load(0, sessions), {kind: bench.sent(kind) for kind in OutputKind}
    state_file_lost(bench)
    run(bench, values, batch=batch)
    assert bench.state.load(0, sessions) == before
    assert {kind: bench.sent(kind) for kind in OutputKind} == sent
    assert not bench.state.outbox(0)


def test_a_replay_sends_what_was_lost_with_the_state_but_never_sent(bench: Bench) -> None:
    """Some timers of one record are out, the others are not: the place tells them apart, the offset could not."""
    values = [*[value for n in range(6) for value in views(f"s{n}", 0)], tick(600)]
    partition = bench.partition()
    partition.process(records(values[:-1]), bench.equipment(LIVE))
    assert bench.emission is not None
    emission = bench.emission
    kept = emission.offer
    emission.offer = lambda partition, outputs, regimes=(), patience=0: kept(partition, outputs[:2])  # type: ignore[method-assign]
    partition.process([record(6, values[-1])], bench.equipment(LIVE))
    assert [each.place for each in bench.sent()] == [Place(6, 0), Place(6, 1)]
    state_file_lost(bench)
    run(bench, values, batch=3)
    assert [each.place for each in bench.sent()] == [Place(6, n) for n in range(6)]
    assert len({each.id for each in bench.sent()}) == 6


def test_a_send_whose_outcome_is_unknown_is_compared_and_not_repeated(bench: Bench) -> None:
    bench.outputs.after = True
    bench.outputs.fails = {"send": 1}
    partition = bench.partition()
    partition.process(records(views("s", 0, 1, 2)), bench.equipment(LIVE))
    assert bench.emission is not None
    until(lambda: bench.emission is not None and bench.emission.has_failed(0), lambda: None)
    assert partition.claim(), "its caches are as good as before"
    partition.process([record(3 + n, value) for n, value in enumerate(views("t", 3, 4, 5))], bench.equipment(LIVE))
    assert [each.key for each in bench.sent()] == ["s", "t"]
    assert [each.ordinal for each in bench.sent()] == [0, 0]


def test_a_claim_trims_what_is_out_already(bench: Bench) -> None:
    """The worker before died between sending and trimming, and nothing more may come to be sent for a long time."""
    partition = bench.partition()
    partition.process(records(views("s", 0, 1, 2)), bench.equipment(LIVE))
    assert len(bench.sent()) == 1
    assert len(bench.state.outbox(0)) == 1
    bench.partition(generation=2)
    assert not bench.state.outbox(0)


def test_a_worker_that_another_has_followed_sends_nothing_more(bench: Bench) -> None:
    """The store and the outputs each refuse it, whichever it asks first."""
    old = bench.partition(generation=1)
    assert bench.emission is not None
    new = Partition(0, 2, Stores(bench.state, bench.limits, Emission(bench.outputs), bench.identities, None), 1 << 20)
    new.claim()
    bench.emission.offer(0, [Output("stale", OutputKind.TRIGGER, "s", b"", 0)])
    until(lambda: bench.emission is not None and bench.emission.has_failed(0), lambda: None)
    assert not old.claim()
    assert old.standing is Standing.FENCED
    assert not bench.outputs.read(OutputKind.TRIGGER, 10)


def test_state_that_is_gone_and_can_not_be_built_anew_stops_the_partition(bench: Bench) -> None:
    run(bench, views("s", 0, 1, 2, 3))
    bench.sent()
    state_file_lost(bench)
    partition = bench.partition()
    with pytest.raises(PortError, match="state of partition 0 is gone, and the event log begins at offset 2"):
        partition.process([record(2, views("s", 2)[0])], bench.equipment(LIVE))
