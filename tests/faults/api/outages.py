"""Rows 11, 13 and 15: Redis cut off or slow, a start with everything gone, bundles that must not serve."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import time
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.open_loop import Reply, constant_rate, percentile
from service.signing import Signing
from tests.faults.api.asking import RedisProxy, decide, port_of
from tests.faults.scenarios import Bounds, Row
from tests.integration.api.running import Process, Running
from tests.unit.service.altered import put_altered
from tests.unit.service.small_shop import Installation, sources
from tools.redis_server import RedisServer

PER_SECOND = 50.0
SLOW_S = 5.0
SLACK_MS = 5.0
START_WITHIN_S = 5.0
ASKED = {"session_id": "s1", "placements": ["cart_banner"]}


def redis_gone(folder: Path, seed: int, bounds: Bounds) -> Iterable[Row]:
    """Row 11: half of the time Redis is cut off, half it answers after 5 s; each session was never read before."""
    seconds = max(1.0, min(bounds.seconds, 60.0) / 2)
    with (
        RedisServer(folder / "redis", settings={"appendonly": "yes"}) as redis,
        closing(RedisProxy(redis.port)) as proxy,
        Running(folder / "api", {"redis.url": proxy.url}) as running,
    ):
        for how in ("cut off", f"answering after {SLOW_S:.0f} s"):
            _until_whole(running)
            if how == "cut off":
                proxy.cut()
            else:
                proxy.delay_s = SLOW_S
            request = _new_sessions(running.server_key, how)
            loaded = asyncio.run(constant_rate(port_of(running), request, PER_SECOND, seconds))
            proxy.mend()
            yield _row_of_outage(how, loaded.replies, running.settings.api.deadline_ms)
        _until_whole(running)


def _new_sessions(key: str, how: str) -> Any:
    return lambda number: decide(key, f"{how} {number}", "cart_banner", "home_hero")


def _row_of_outage(how: str, replies: list[Reply], deadline_ms: int) -> Row:
    answers = [msgspec.json.decode(reply.body) for reply in replies if reply.status == 200]
    named = sum(bool(answer["degraded"]) for answer in answers)
    shown = sum(all(placed["offers"] for placed in answer["placements"]) for answer in answers)
    latencies = [reply.latency_ms for reply in replies]
    p99, worst = percentile(latencies, 0.99), max(latencies)
    figure = (
        f"{len(answers)} with 200, {named} that name what is missing, {shown} with the fallbacks; p50 "
        f"{percentile(latencies, 0.5):.1f} ms, p99 {p99:.1f}, at most {worst:.1f}; deadline {deadline_ms}"
    )
    is_kept = len(answers) == len(replies) == named == shown and p99 <= deadline_ms + SLACK_MS
    return Row("11", "serves when Redis is gone or slow", f"{how}, {len(replies)} requests", figure, is_kept)


def _until_whole(running: Running) -> None:
    """Wait until decisions lack nothing again."""
    until = time.monotonic() + 60
    with running.client() as client:
        while any(
            each["code"] != "model_unavailable" for each in client.post("/v1/decide", json=ASKED).json()["degraded"]
        ):
            assert time.monotonic() < until, "Redis is back, and decisions still lack it"
            time.sleep(0.1)


# ---------------------------------------------------------------- a start with everything gone


def all_gone(folder: Path, seed: int, bounds: Bounds) -> Iterable[Row]:
    """Row 13: Kafka, Redis and the admin UI are gone; the API is started again."""
    until = time.monotonic() + bounds.seconds
    took: list[float] = []
    faults = 0
    for number in range(bounds.faults):
        if number > 1 and time.monotonic() > until:
            break
        made, seconds, *_ = started_alone(folder / str(number), "silent" if number % 2 else "refusing")[0]
        faults += 1
        if made["revision"] == 1 and made["placements"][0]["offers"][0]["offer"] == "standard_banner":
            took.append(seconds)
    worst = max(took, default=0.0)
    figure = f"{len(took)} first decisions of the last good bundle, after {worst:.1f} s at most"
    promise = "static stability"
    what = f"{faults} starts with ports that refuse or say nothing"
    yield Row("13", promise, what, figure, len(took) == faults and worst <= START_WITHIN_S)


Started = tuple[dict[str, Any], float, dict[str, Any], int]
"""The first decision, how long it took to come, what /readyz says, the status of an event."""


def started_alone(folder: Path, how: str) -> tuple[Started, Started]:
    """A start with Kafka and Redis gone, and one before with Redis there.

    Gone is a port that refuses, or one that takes connections and never says a word, as a broken network does.
    """
    with contextlib.ExitStack() as stack:
        kafka = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        address = f"127.0.0.1:{kafka.getsockname()[1]}"
        if how == "refusing":
            kafka.close()
        with RedisServer(folder / "redis", settings={"appendonly": "yes"}) as redis:
            running = Running(folder, {"redis.url": redis.url})
            usual = _first_decision(running)
            redis.kill()
            if how == "silent":
                stack.enter_context(socket.create_server(("127.0.0.1", redis.port)))
            running.api = Process(folder, ["api", "--port=0"], {"redis.url": redis.url, "kafka.bootstrap": address})
            return _first_decision(running), usual


def _first_decision(running: Running) -> Started:
    begun = time.monotonic()
    with running, running.client() as client:
        answer = client.post("/v1/decide", json=ASKED)
        seconds = time.monotonic() - begun
        ready = client.get("/readyz").json()
        viewed = {"type": "page_viewed", "session_id": "s1", "attributes": {"page": "cart"}}
        events = client.post("/v1/events", json=viewed)
    assert answer.status_code == 200
    return answer.json(), seconds, ready, events.status_code


# ---------------------------------------------------------------- bundles


def bad_bundles(folder: Path, seed: int, bounds: Bounds) -> Iterable[Row]:
    """Row 15: what is live in the tables is exchanged for something that nobody vouches for."""
    folder.mkdir(parents=True, exist_ok=True)
    installation = Installation(folder, Signing(folder, shared=True))
    try:
        installation.publisher.publish(sources(), "anna", "")
        found = put_altered(installation, random.Random(seed), bounds.faults)
    finally:
        installation.close()
    figure = f"{found.activated} activated, {found.named} refused by name, {found.kept} times the last good one kept"
    is_kept = not found.activated and found.named == found.kept == bounds.faults and found.right_is_taken
    yield Row("15", "bad bundles never activate", f"{bounds.faults} of {found.kinds} kinds", figure, is_kept)
