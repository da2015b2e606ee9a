"""Which revision a partition was evaluated with, from which offset on; and that a replay takes it again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from engine.ports import OutputKind
from engine.regime import Regime
from service.loading import Loaded
from service.worker import timers
from service.worker.counts import Counts
from service.worker.equipment import Equipment, PastError
from tests.unit.service.small_shop import RULES, sources, with_threshold
from tests.unit.service.worker.bench import MINUTE, Bench, event, loaded, record, records, tick, views

LIVE = loaded()


def test_what_was_live_at_which_offset_is_recorded_with_the_state(tmp_path: Path) -> None:
    with closing(Bench(tmp_path)) as bench:
        partition = bench.partition()
        partition.process(records([event("seen", "s", 0)]), bench.equipment(LIVE))
        partition.process([record(1, event("seen", "s", 1))], bench.equipment(LIVE))
        other = loaded(with_threshold(9), 2, {LIVE.bundle.hash: LIVE.network.rule_digests})
        partition.process([record(2, event("seen", "s", 2))], bench.equipment(other))
        partition.process([record(3, event("seen", "s", 3))], replace(bench.equipment(other), lateness=5 * MINUTE))
        assert [(each.place, each.revision, each.bundle, each.lateness) for each in bench.state.regimes(0)] == [
            ((0, 0), 1, LIVE.bundle.hash, MINUTE),
            ((2, 0), 2, other.bundle.hash, MINUTE),
            ((3, 0), 2, other.bundle.hash, 5 * MINUTE),
        ]


def third_at(views: int, number: int) -> Loaded:
    """A revision whose rule `third` acts at another number of views."""
    rules = RULES.replace("at_least: 3}", f"at_least: {views}}}").replace(
        "10:00:02, seen: {product: c}}\n",
        "".join(f"10:00:{2 + n:02}, seen: {{product: c}}}}\n      - {{at: " for n in range(views - 3))
        + f"10:00:{views - 1:02}, seen: {{product: c}}}}\n",
    )
    rules = rules.replace("at: 10:00:02, trigger", f"at: 10:00:{views - 1:02}, trigger")
    return loaded(sources(greeting=rules), number, {LIVE.bundle.hash: LIVE.network.rule_digests})


FIRST, SECOND, THIRD = LIVE, third_at(4, 2), third_at(6, 3)


class Replayed:
    """A partition that was evaluated with two revisions, lost its latest writes, and is evaluated again amid a third."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.sessions = [f"s{n}" for n in range(6)]
        # Timers of all sessions come due at the tick; views go on after it.
        early = [value for n in range(20) for value in views(f"s{n % 6}", n)]
        late = [value for n in range(10) for value in views(f"s{n % 6}", 500 + n)]
        self.log = records([*early, tick(460), *late])
        partition = bench.partition()
        partition.process(self.log[:2], bench.equipment(FIRST))
        copy = bench.state.copy(0)
        partition.process(self.log[2:14], bench.equipment(FIRST))
        partition.process(self.log[14:20], bench.equipment(SECOND))
        partition.last_step = 2  # two batches of timers of the tick, then another revision is live again
        partition.process(self.log[20:21], bench.equipment(SECOND))
        partition.last_step = None
        partition.process((), bench.equipment(FIRST))
        partition.process(self.log[21:27], bench.equipment(FIRST))
        partition.process(self.log[27:], bench.equipment(SECOND))
        self.before = self.found()
        self.regimes = bench.state.regimes(0)
        bench.state.replace(copy)

    def found(self) -> object:
        """Sessions, and all that went out."""
        return self.bench.state.load(0, self.sessions), {kind: self.bench.sent(kind) for kind in OutputKind}

    def again(self, batch: int, past: Callable[[Regime], Equipment] | None, live: Loaded = THIRD) -> Counts:
        """Evaluate the log in batches, with what may be had of the past."""
        partition, counts = self.bench.partition(generation=2, past=past), Counts()
        equipment = self.bench.equipment(live)
        while partition.position < len(self.log):
            counts.add(partition.process(self.log[partition.position :][:batch], equipment))
        return counts

    def past(self, regime: Regime) -> Equipment:
        made = {each.bundle.hash: each for each in (FIRST, SECOND)}
        return self.bench.equipment(made[regime.bundle])


@pytest.fixture
def replayed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Replayed]:
    monkeypatch.setattr(timers, "DUE_AT_ONCE", 2)
    with closing(Bench(tmp_path)) as bench:
        yield Replayed(bench)


@pytest.mark.parametrize("batch", [1, 5, 100])
def test_what_a_worker_replays_is_evaluated_with_what_it_was_evaluated_with(replayed: Replayed, batch: int) -> None:
    """The history of the lost batches went out with the outputs; what is live by now is none of their business."""
    assert [each.place for each in replayed.regimes] == [(0, 0), (14, 0), (21, 2), (27, 0)]
    counts = replayed.again(batch, replayed.past)
    assert replayed.found() == replayed.before
    assert replayed.bench.state.regimes(0) == replayed.regimes
    assert not counts.replayed_otherwise


def test_that_makes_a_difference(replayed: Replayed) -> None:
    replayed.again(5, None)
    assert replayed.found() != replayed.before


def test_what_comes_after_the_replay_is_evaluated_with_what_is_live(replayed: Replayed) -> None:
    end = len(replayed.log)
    replayed.log += [record(end + n, value) for n, value in enumerate(views("new", *range(600, 606)))]
    replayed.again(100, replayed.past)
    last = replayed.bench.state.regimes(0)[-1]
    assert (last.offset, last.revision) == (end, 3)
    assert [each.offset for each in replayed.bench.sent() if each.key == "new"] == [end + 5]


def test_a_revision_that_is_gone_stops_nothing_and_is_counted_and_told(
    replayed: Replayed, caplog: pytest.LogCaptureFixture
) -> None:
    def past(regime: Regime) -> Equipment:
        raise PastError(f"revision {regime.revision} is gone")

    counts = replayed.again(100, past)
    assert counts.replayed_otherwise
    assert "replays offset 2 with revision 3 instead: revision 1 is gone" in caplog.text


def test_a_revision_is_told_to_the_outputs_though_nothing_goes_out(tmp_path: Path) -> None:
    """Else a state that is lost before the next trigger would be built with something else."""
    with closing(Bench(tmp_path)) as bench:
        bench.partition().process(records(views("s", 0)), bench.equipment(FIRST))
        assert bench.emission is not None
        assert bench.emission.drain(10_000)
        (regime,) = bench.outputs.claim(0).regimes
        assert (regime.place, regime.bundle) == ((0, 0), FIRST.bundle.hash)
