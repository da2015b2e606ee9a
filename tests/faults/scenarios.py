"""One function for each row of the table: it makes faults until its count or its time is used up, then compares."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import redis

from connectors.redis_client import RedisAddress
from connectors.redis_layout import partition_key
from connectors.redis_state import RedisState
from engine.ports import Applied, Output, OutputKind, SessionState, StateBatch
from tests.faults.installation import PARTITIONS, Cluster, Installation, shuffled, wait_for
from tests.faults.oracle import Difference
from tests.faults.worker import STEPS
from tools.redis_cluster import RedisCluster
from tools.redis_server import RedisServer


@dataclass(frozen=True)
class Bounds:
    """How much of a row to do: at most so many faults, and so many seconds for making them."""

    faults: int
    seconds: float


@dataclass(frozen=True)
class Row:
    """What a row of the table says."""

    number: str
    promise: str
    faults: str
    figure: str
    is_kept: bool


Scenario = Callable[[Path, Cluster, int, Bounds], Iterable[Row]]


def killed_workers(folder: Path, cluster: Cluster, seed: int, bounds: Bounds) -> Iterable[Row]:
    """Rows 1, 2, 8 and 9: SIGKILL at every step, while duplicates, disorder and poison come."""
    with Installation(folder, cluster, seed) as installation:
        steps = cycle(shuffled(installation.rng, list(STEPS)))
        for _ in until(bounds):
            installation.kill_at(next(steps))
        found = installation.finish()
    counts = found.counts
    faults = f"{_named(installation)}, {found.events:,} events"
    yield Row("1", "exactly-once state", faults, f"{found.state} of {found.sessions} sessions differ", not found.state)
    outputs = found.total - found.state
    figure = f"of {found.outputs} outputs {found.duplicate} duplicate, {found.missing} missing, "
    yield Row(
        "2", "exactly-once triggers", "the same run",
        figure + f"{found.phantom} phantom; {found.disordered} sessions out of order", not outputs,
    )  # fmt: skip
    yield Row(
        "8", "duplicates and disorder", f"{counts.duplicates} duplicates, {counts.late} too late",
        "all counted, state equal" if not found.total else str(found), not found.total and counts.late > 0,
    )  # fmt: skip
    yield Row(
        "9", "poison is isolated", f"{counts.dead} records that are no events",
        "all dead letters, bytes equal" if not outputs else str(found), not outputs and counts.dead > 0,
    )  # fmt: skip


def lost_tail(folder: Path, cluster: Cluster, seed: int, bounds: Bounds) -> Iterable[Row]:
    """Row 3: Redis emptied; then killed, its newest writes cut off, now and then amid a batch."""
    found, installation = cut(folder, cluster, seed, bounds)
    yield Row("3", "Redis may lose its tail", _named(installation), str(found), not found.total)


def cut(
    folder: Path, cluster: Cluster, seed: int, bounds: Bounds, without: str = ""
) -> tuple[Difference, Installation]:
    """Redis emptied once, then killed and cut while a worker goes on.

    Emptied first: all is built anew after it, and what the cuts did to the state would not be seen.
    """
    with Installation(folder, cluster, seed, without=without) as installation:
        installation.start()
        installation.advance(300)
        installation.flush_redis()
        installation.advance(300)
        for number in until(bounds):
            if number % 4 == 1:
                installation.tear_redis()
            else:
                installation.cut_redis()
            installation.advance(installation.rng.randrange(100, 800))
        return installation.finish(), installation


def clustered(folder: Path, cluster: Cluster, seed: int, bounds: Bounds) -> Iterable[Row]:
    """Row 3 on a Redis Cluster: masters killed whose replicas lack the latest, slots moved, while two workers go on."""
    servers = RedisCluster(folder / "redis-cluster")
    with Installation(folder, cluster, seed, redis_cluster=servers) as installation:
        for _ in range(2):
            installation.start()
        installation.advance(300)
        for number in until(bounds):
            key = partition_key("salience:", installation.rng.randrange(PARTITIONS), "position")
            if number % 3 == 1:
                servers.move(key)
                installation.done["slot moved"] += 1
            else:
                lost = lose_master(servers, key)
                installation.done["master killed"] += 1
                installation.done["master killed ahead of its replica"] += lost
            installation.advance(installation.rng.randrange(100, 800))
            servers.start()
        found = installation.finish()
    is_kept = not found.total and installation.done["master killed ahead of its replica"] > 0
    yield Row("3", "a Redis Cluster, too", _named(installation), str(found), is_kept)


def lose_master(servers: RedisCluster, key: str) -> bool:
    """Kill the master that has a key when its replica has been cut off for a moment; whether something is lost by that."""
    master, replica = servers.master(key), servers.replica(key)
    with redis.Redis(port=master.port, single_connection_client=True) as client:
        client.config_set("requirepass", "new connections only, so not the workers")
        client.client_kill_filter(_type="replica")
        time.sleep(0.5)
        ahead: Any = client.execute_command("ROLE")
    behind = servers.command(replica, "ROLE")
    servers.fail_over(key)
    return bool(ahead[1] > behind[4])


def zombies(folder: Path, cluster: Cluster, seed: int, bounds: Bounds) -> Iterable[Row]:
    """Row 4: a worker stopped past its session, and going on beside its successor."""
    found, installation = stopped(folder, cluster, seed, bounds, [each for each in STEPS if each != "trimmed"])
    yield Row("4", "zombies are fenced", _named(installation), str(found), not found.total)


def stopped(
    folder: Path, cluster: Cluster, seed: int, bounds: Bounds, steps: list[str], without: str = ""
) -> tuple[Difference, Installation]:
    """Workers stopped at a step until another has taken over."""
    with Installation(folder, cluster, seed, without=without) as installation:
        order = cycle(shuffled(installation.rng, steps))
        for _ in until(bounds):
            installation.stop_at(next(order))
        return installation.finish(), installation


def killed_brokers(folder: Path, cluster: Cluster, seed: int, bounds: Bounds) -> Iterable[Row]:
    """Row 5: of three brokers that one is killed which leads or coordinates what the worker needs, in turn."""
    resumed: list[float] = []
    with Installation(folder, cluster, seed, pace=0.2) as installation:
        installation.start()
        installation.start()
        installation.advance(300, 120)
        roles = cycle(shuffled(installation.rng, list(ROLES)))
        for _ in until(bounds):
            role = next(roles)
            broker = ROLES[role](installation, installation.rng.randrange(PARTITIONS))
            killed = time.monotonic()
            cluster.kafka.kill(broker)
            goal = [each + 1 for each in installation.positions()]
            if wait_for(lambda goal=goal: installation.is_out(goal), 60):  # type: ignore[misc]
                resumed.append(time.monotonic() - killed)
            installation.done[f"{role} killed"] += 1
            cluster.kafka.restart(broker)
            installation.advance(200, 60)
        found = installation.finish(240)
    resumed.sort()
    p95 = resumed[len(resumed) * 95 // 100] if resumed else 0.0
    figure = f"{found}; resumed after {statistics.median(resumed or [0]):.1f} s at the median, {p95:.1f} at p95"
    is_kept = not found.total and len(resumed) == installation.done.total() and p95 <= 15
    yield Row("5", "broker failure is safe", _named(installation), figure, is_kept)


ROLES: Mapping[str, Callable[[Installation, int], int]] = {
    "leader of events": lambda at, number: at.leader(at.address.events, number),
    "leader of positions": lambda at, number: at.leader(at.address.positions, number),
    "coordinator of transactions": lambda at, number: at.coordinator(f"{at.address.prefix}outputs-{number}"),
    "coordinator of the group": lambda at, _: at.coordinator(at.group, is_group=True),
}
"""Which broker is killed, for a partition."""


def unknown_commits(folder: Path, cluster: Cluster, seed: int, bounds: Bounds) -> Iterable[Row]:
    """Row 6: the answers to commits dropped, or delayed past the client's patience."""
    assert cluster.proxy is not None
    with Installation(folder, cluster, seed) as installation:
        installation.start()
        installation.advance(100)
        before = cluster.proxy.done
        for _ in until(bounds):
            if installation.rng.random() < 0.8:
                cluster.proxy.drop()
                installation.done["answer dropped"] += 1
            else:
                cluster.proxy.delay(6)
                installation.done["answer delayed"] += 1
            wait_for(lambda: cluster.proxy is not None and not cluster.proxy.armed, 30)
        found = installation.finish()
        befallen = cluster.proxy.done - before
    figure = f"{found}; {befallen} answers befallen"
    yield Row("6", "an unknown commit is safe", _named(installation), figure, not found.total and befallen > 0)


def everything(folder: Path, cluster: Cluster, seed: int, bounds: Bounds) -> Iterable[Row]:
    """All kinds of faults in one run; the first stored sessions that differ are named."""
    assert cluster.proxy is not None
    with Installation(folder, cluster, seed) as installation:
        for _ in until(bounds):
            for step in STEPS:
                installation.kill_at(step)
            installation.stop_at("flushed")
            worker = installation.start()
            installation.advance(100)
            for _ in range(2):
                installation.cut_redis()
                cluster.proxy.drop()
                installation.advance(200)
            installation.tear_redis()
            installation.advance(100)
            worker.kill()
            worker.join()
        found = installation.finish()
    figure = "; ".join([str(found), *(each.partition(":")[0] for each in found.samples)])
    yield Row("1-6", "all of it at once", _named(installation), figure, not found.total)


def power(folder: Path, cluster: Cluster, seed: int, bounds: Bounds) -> Iterable[Row]:
    """Row 7: without a guard the same faults must be seen."""
    few = Bounds(min(bounds.faults, 3), bounds.seconds)
    for guard in ("offset", "suppression"):
        found, _ = cut(folder / guard, cluster, seed, few, without=guard)
        yield Row("7", f"red without {guard}", "Redis cut and emptied", str(found), bool(found.total))
    found, _ = stopped(folder / "fence", cluster, seed, few, ["flushed"], without="fence")
    yield Row("7", "red without fence", "stopped when flushed", str(found), bool(found.total))


def cheap_writes(folder: Path, _cluster: Cluster, _seed: int, bounds: Bounds) -> Iterable[Row]:
    """Row 10: APPLY of 50 events of 50 sessions with one output, appendfsync everysec."""
    count = min(bounds.faults * 100, 4_000)
    took: list[float] = []
    with RedisServer(folder / "redis", settings={"appendonly": "yes", "appendfsync": "everysec"}) as server:
        state = RedisState(RedisAddress(server.url), 1)
        state.claim(0, 1)
        for number in range(count):
            offset = number * 50
            sessions = {f"s{(offset + n) % 5_000}": SessionState(bytes(200), offset, offset, None) for n in range(50)}
            seen = [f"e{offset + n}" for n in range(50)]
            outputs = [Output(f"o{offset}", OutputKind.TRIGGER, "s", bytes(200), offset)]
            batch = StateBatch(0, 1, offset, offset + 50, sessions, seen, outputs, offset)
            began = time.perf_counter()
            answer = state.apply(batch)
            took.append(time.perf_counter() - began)
            assert answer is Applied.APPLIED
            if number % 20 == 0:
                state.trim(0, offset)
        state.close()
    took.sort()
    p50, p99 = took[len(took) // 2] * 1000, took[len(took) * 99 // 100] * 1000
    figure = f"p50 {p50:.2f} ms, p99 {p99:.2f} ms, {50 * len(took) / sum(took):,.0f} events/s"
    yield Row("10", "cheap commits", f"{count} writes of 50 events", figure, p99 <= 1.0)


def until(bounds: Bounds) -> Iterable[int]:
    """Numbers from 0, as many as there are to be faults, while there is time."""
    deadline = time.monotonic() + bounds.seconds
    for number in range(bounds.faults):
        if number and time.monotonic() > deadline:
            return
        yield number


def _named(installation: Installation) -> str:
    return ", ".join(f"{count} x {name}" for name, count in sorted(installation.done.items()))
