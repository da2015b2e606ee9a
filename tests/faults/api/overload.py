"""Rows 12 and 14: five times the capacity, and revisions that change under load."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from benchmarks.decide_http import ruleset as many_rules
from benchmarks.open_loop import Loaded, Reply, closed_loop, constant_rate, percentile
from service.control import Control
from service.ruleset_folder import read_sources
from service.wiring import Wiring
from tests.faults.api.asking import children_of, cpu_s, decide, port_of, ruleset
from tests.faults.scenarios import Bounds, Row, until
from tests.integration.api.running import SHOP, Running

RULES = 400
"""With `explain`, a decision costs about 10 ms then: five times the capacity is a rate that a generator on the same machine keeps."""
TIMES = 5
PATIENCE_S = 1.0
"""After so long a shopper's page shows its own fallback."""
CONNECTIONS = 256
GOODPUT = 0.8


def overload(folder: Path, seed: int, bounds: Bounds) -> Iterable[Row]:
    """Row 12: half of the requests are storefronts', half a server's, who must give way."""
    yield _row_of_overload(*overloaded(folder, min(bounds.seconds, 60.0)))


def overloaded(folder: Path, seconds: float) -> tuple[Loaded, Loaded, float, float]:
    """The load at the peak and beyond it, and the CPU that the server used for each."""
    with Running(folder / "api", {"log.level": "warning"}, ruleset(folder / "rules", many_rules(RULES))) as running:
        port, keys = port_of(running), (running.panel_key, running.server_key)
        asyncio.run(closed_loop(port, _explained(keys), 1.0, 8))  # warm-up
        cpu = [cpu_s(running)]
        peak = asyncio.run(closed_loop(port, _explained(keys), max(2.0, seconds / 6), 8))
        cpu.append(cpu_s(running))
        capacity = len(peak.of(200)) / peak.seconds
        load = asyncio.run(
            constant_rate(port, _explained(keys), TIMES * capacity, seconds, CONNECTIONS, patience_s=PATIENCE_S)
        )
        cpu.append(cpu_s(running))
    return peak, load, cpu[1] - cpu[0], cpu[2] - cpu[1]


def _explained(keys: tuple[str, str]) -> Callable[[int], bytes]:
    """Each of another page, so that nothing that was evaluated before holds."""

    def request(number: int) -> bytes:
        context = {"context.page": f"page-{number}"}
        return decide(keys[number % 2], f"s{number % 200}", "banner", context=context, explain=True)

    return request


def _row_of_overload(peak: Loaded, load: Loaded, peak_cpu_s: float, load_cpu_s: float) -> Row:
    """Kept is judged by the server's CPU: whoever else uses the machine takes from the peak or from the goodput by chance."""
    good = [reply for reply in load.of(200) if b'"degraded":[]' in reply.body]
    capacity, goodput = len(peak.of(200)) / peak.seconds, len(good) / load.seconds
    share = len(good) / load_cpu_s / (len(peak.of(200)) / peak_cpu_s)
    by_storefronts = sum(reply.number % 2 == 0 for reply in good)
    usual = percentile([reply.latency_ms for reply in peak.of(200)], 0.99)
    p99 = percentile([reply.latency_ms for reply in good], 0.99)
    refusals = load.of(503)
    told = percentile([reply.latency_ms for reply in refusals], 0.5)
    figure = (
        f"peak {capacity:.0f} a second, goodput {goodput:.0f} ({100 * goodput / capacity:.0f} %; for the same CPU {100 * share:.0f} %), {by_storefronts} of its {len(good)} "
        f"storefronts'; p99 of it {p99:.0f} ms, at the peak {usual:.0f}; {len(refusals)} refused, told after {told:.0f} ms at the median, "
        f"{len(load.of(-1))} gave up after {PATIENCE_S:.0f} s, {len(load.of(0))} lost; generator late by {load.late_ms:.0f} ms at most"
    )
    is_kept = share >= GOODPUT and p99 <= 2 * usual and 2 * by_storefronts > len(good)
    return Row("12", "sheds overload", f"{TIMES} x the capacity for {load.seconds:.0f} s", figure, is_kept)


# ---------------------------------------------------------------- reload


WORKERS = 4
PER_SECOND = 60.0
CONVERGED_S = 1.0
SLOWER_MS = 5.0


def reloads_under_load(folder: Path, seed: int, bounds: Bounds) -> Iterable[Row]:
    """Row 14, the API's part: each revision says its number, one process is killed midway."""
    sources = read_sources(SHOP)
    settings = {"api.workers": WORKERS, "api.deadline_ms": 2_000, "log.level": "warning"}
    with Running(folder / "api", settings) as running, Wiring(running.settings) as wiring:
        control, publisher = Control(wiring.tables()), wiring.publisher()
        bundles = {1: (running_bundle(control), "two to three days")}
        took: list[float] = []
        quiet = _asking(running, max(2.0, bounds.seconds / 5))
        begun = time.monotonic()
        asking = threading.Event()
        replies: list[Reply] = []
        thread = threading.Thread(target=_ask_on, args=(running, asking, replies))
        thread.start()
        killed_at, dead = 0.0, 0
        for number in until(bounds):
            if number == min(bounds.faults, 8) // 2 and not dead:
                dead, killed_at = children_of(running)[0], time.monotonic() - begun
                os.kill(dead, signal.SIGKILL)
            days = f"{number + 2} days"
            offers = sources["offers.yaml"].replace("two to three days", days)
            published = publisher.publish({**sources, "offers.yaml": offers}, "test", "").revision
            bundles[published.number] = (published.bundle, days)
            flipped = time.monotonic()
            while set(_serving(control, dead)) != {published.number} and time.monotonic() < flipped + 30:
                time.sleep(0.01)
            took.append(time.monotonic() - flipped)
        asking.set()
        thread.join()
    yield _row_of_reloads(quiet.replies, replies, bundles, took, killed_at)


def running_bundle(control: Control) -> str:
    """What is live."""
    live, _ = control.live()
    assert live is not None
    return live.bundle


def _asking(running: Running, seconds: float) -> Loaded:
    request = _of_all_sessions(running.server_key)
    return asyncio.run(constant_rate(port_of(running), request, PER_SECOND, seconds, 16))


def _ask_on(running: Running, enough: threading.Event, replies: list[Reply]) -> None:
    while not enough.is_set():
        replies += _asking(running, 2.0).replies


def _of_all_sessions(key: str) -> Callable[[int], bytes]:
    return lambda number: decide(key, f"s{number % 50}", "cart_banner")


def _serving(control: Control, dead: int) -> list[int]:
    reports = control.processes(time.time_ns() // 1_000_000)
    alive = [each for each in reports if each.role == "api" and not each.name.endswith(f"-{dead}")]
    return [each.revision for each in alive if each.revision is not None]


def _row_of_reloads(
    quiet: list[Reply], replies: list[Reply], bundles: dict[int, tuple[str, str]], took: list[float], killed_at: float
) -> Row:
    statuses = Counter(reply.status for reply in replies)
    mixed = 0
    revisions = set()
    for reply in replies:
        if reply.status == 200:
            made = msgspec.json.decode(reply.body)
            bundle, days = bundles[made["revision"]]
            revisions.add(made["revision"])
            title = str(made["placements"][0]["offers"][0]["content"]["title"])
            mixed += made["bundle"] != bundle or not title.endswith(days)
    lost = statuses.pop(0, 0)
    errors = sum(count for status, count in statuses.items() if status != 200)
    before, during = (percentile([each.latency_ms for each in some], 0.99) for some in (quiet, replies))
    took.sort()
    worst = took[-1] if took else 0.0
    figure = (
        f"{len(replies)} requests, {errors} errors, {mixed} answers of two revisions, of {len(revisions)} revisions; {lost} connections lost with the "
        f"killed process; all served after {took[len(took) // 2]:.2f} s at the median, {worst:.2f} at most; p99 {during:.1f} ms, before {before:.1f}"
    )
    is_kept = not errors and not mixed and worst <= CONVERGED_S and during <= before + SLOWER_MS
    faults = f"{len(took)} reloads on {WORKERS} processes" + (", one killed" if killed_at else "")
    return Row("14", "reload is all or nothing (API)", faults, figure, is_kept)
