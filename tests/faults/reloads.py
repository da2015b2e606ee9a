"""Row 14, the worker's part: revisions are published one after another while four workers evaluate, one is killed."""

from __future__ import annotations

import os
import signal
import statistics
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from engine.ports import OutputKind
from service.control import Control
from tests.faults.installation import PARTITIONS, Cluster, Installation, wait_for
from tests.faults.oracle import read_topic
from tests.faults.scenarios import Bounds, Row, until
from tests.unit.service.small_shop import sources

WORKERS = 4
CONVERGED_S = 1.0
KILLED_AT = 10
"""Before so many reloads were made nobody is killed."""


def reloads(folder: Path, cluster: Cluster, seed: int, bounds: Bounds) -> Iterable[Row]:
    """Revisions that decide alike, so that outputs and state must be those of one of them."""
    took: list[float] = []
    with Installation(folder, cluster, seed) as installation:
        control = Control(installation.wiring.tables())
        publisher = installation.wiring.publisher()
        workers = [installation.start() for _ in range(WORKERS)]
        assert wait_for(lambda: len(_serving(control)) == WORKERS, 60)
        installation.advance(200)
        for number in until(bounds):
            if number == KILLED_AT:
                os.kill(workers[0].pid or 0, signal.SIGKILL)
                installation.start()
                installation.done["worker killed"] += 1
            offers = sources()["offers.yaml"].replace("Hello", f"Hello {number}")
            published = publisher.publish(sources(offers=offers), "anna", "").revision.number
            began = time.monotonic()
            installation.done["reload"] += 1
            if wait_for(lambda published=published: set(_serving(control)) == {published}, 10):  # type: ignore[misc]
                took.append(time.monotonic() - began)
        reports = control.processes(time.time_ns() // 1_000_000)
        errors = sum(each.counts.get("failures", 0) for each in reports)
        found = installation.finish(alike=without_revision)
        triggers = read_topic(installation.address, installation.address.topic(OutputKind.TRIGGER), PARTITIONS)
    mixed = _mixed(triggers)
    revisions = len({_revision(each) for each in triggers})
    took.sort()
    worst = took[-1] if took else 0.0
    figure = (
        f"{found}; {errors} failures of rules, {mixed} records with two revisions or an older one; outputs of {revisions} revisions; "
        f"converged in {statistics.median(took or [0]):.2f} s at the median, {worst:.2f} at most"
    )
    is_kept = not found.total and not errors and not mixed and len(took) == installation.done["reload"]
    faults = ", ".join(f"{count} x {name}" for name, count in sorted(installation.done.items()))
    yield Row("14", "reload is all or nothing", faults, figure, is_kept and worst <= CONVERGED_S)


def without_revision(value: bytes) -> bytes:
    """An output but for the revision that it names."""
    body = msgspec.json.decode(value)
    if isinstance(body, dict):
        body.pop("revision", None)
        body.pop("bundle", None)
    return msgspec.json.encode(body)


def _serving(control: Control) -> Sequence[int]:
    """The revision of each worker that lives."""
    now = time.time_ns() // 1_000_000
    reports = [each for each in control.processes(now) if each.is_live(now)]
    return [each.revision for each in reports if each.role == "worker" and each.revision is not None]


def _revision(trigger: Any) -> int:
    return int(msgspec.json.decode(trigger.value)["revision"])


def _mixed(triggers: Sequence[Any]) -> int:
    """Records whose triggers name two revisions, or one that is older than a record's before."""
    by_partition: dict[int, dict[int, set[int]]] = defaultdict(lambda: defaultdict(set))
    for each in triggers:
        by_partition[each.partition][int(dict(each.headers)["offset"])].add(_revision(each))
    mixed = 0
    for named in by_partition.values():
        newest = 0
        for _, revisions in sorted(named.items()):
            mixed += len(revisions) > 1 or min(revisions) < newest
            newest = max(newest, *revisions)
    return mixed
