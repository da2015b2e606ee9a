"""Which revision a partition was evaluated with, from which offset on."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

from tests.unit.service.small_shop import with_threshold
from tests.unit.service.worker.bench import MINUTE, Bench, event, loaded, record, records

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
