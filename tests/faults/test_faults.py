"""A short run of `make faults`: each kind of fault once or a few times, on real servers, against the engine alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contracts.backends import LIBRARIES
from tests.faults import scenarios
from tests.faults.installation import Cluster, Installation
from tests.faults.scenarios import Bounds
from tests.faults.worker import STEPS

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.timeout(300), pytest.mark.xdist_group("faults")]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory, kafka_required, redis_required) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("faults")) as made:
        yield made


@pytest.mark.parametrize("library", LIBRARIES)
def test_whatever_dies_state_and_outputs_are_those_of_the_engine_alone(tmp_path, cluster, library, monkeypatch):
    """Workers killed at every step, one stopped and followed, Redis crashed amid a batch and again. `make faults` has more."""
    monkeypatch.setattr(cluster, "library", library)
    with Installation(tmp_path, cluster, 1) as installation:
        for step in STEPS:
            installation.kill_at(step)
        installation.stop_at("flushed")
        installation.start()
        installation.advance(200)
        installation.tear_redis()
        found = installation.finish()
        assert installation.done["Redis torn"]
    assert not found.total, "\n".join([str(found), *found.samples])
    assert found.outputs
    assert found.counts.late
    assert found.counts.dead
    assert found.counts.duplicates


def test_a_redis_cluster_may_lose_masters_with_their_latest_writes_and_have_slots_moved(tmp_path, cluster):
    (row,) = scenarios.clustered(tmp_path, cluster, 4, Bounds(3, 30))
    assert row.is_kept, row


@pytest.mark.parametrize("guard", ["offset", "suppression"])
def test_without_a_guard_a_redis_that_lost_its_tail_is_seen(tmp_path, cluster, guard):
    found, _ = scenarios.cut(tmp_path, cluster, 2, Bounds(1, 10), without=guard)
    assert found.total


def test_without_the_fence_a_zombie_is_seen(tmp_path, cluster):
    found, _ = scenarios.stopped(tmp_path, cluster, 3, Bounds(1, 10), ["flushed"], without="fence")
    assert found.total
