"""Run the shop workload: `python -m benchmarks.shop DIR --rules N [--out FILE]`.

DIR is a folder that `benchmarks/shop/generate.py` wrote. Prints the figures and the digest of the firings under the
exact clock, which `benchmarks/shop/reference.py` must give too.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import statistics
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from benchmarks.shop import translation
from engine.activation import FactReader, ScoreAnswer, ScoreStatus
from engine.event import Event
from engine.rete import Memory, Network

WARM_UP = 0.1
"""Share of the stream that is run before the clock starts."""


class Line(msgspec.Struct):
    """An event of the stream as a program would decode it."""

    seq: int
    ts: int
    sid: str
    type: str
    category: str | None = None
    price: int | None = None
    tier: str | None = None


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one run. Times are CPU microseconds for an event; `floor` is a msgspec decode of the same events."""

    rules: int
    events: int
    firings: int
    digest: str
    compile_s: float
    per_event: float
    median: float
    p99: float
    p999: float
    p999_wall: float
    floor: float
    live_bytes: float
    stored_bytes: float
    snapshot_us: float
    restore_us: float
    text: str


def no_model(name: str, reader: FactReader) -> ScoreAnswer:
    """The workload asks no model."""
    return ScoreAnswer(ScoreStatus.MISSING)


def run(folder: Path, rules: int | None = None, limit: int | None = None) -> Figures:
    """Run the stream through the engine: once for the figures and firings, once more for the memory."""
    program = translation.program(folder, rules)
    began = time.process_time()
    network = Network.build(program)
    compile_s = time.process_time() - began
    raw = translation.lines(folder, limit)
    events = list(translation.events(raw))
    memories: dict[str, Memory] = {}
    firings: list[tuple[int, str, str]] = []
    warm = int(len(events) * WARM_UP)
    _feed(network, memories, events[:warm], firings)
    gc.collect()
    gc.disable()
    floor = _decoding(raw[warm:])
    began = time.process_time()
    _feed(network, memories, events[warm:], firings)
    per_event = (time.process_time() - began) / max(1, len(events) - warm) * 1e6
    gc.enable()
    firings.sort(key=lambda firing: firing[:2])
    text = "".join(f"{at} {session} {rule}\n" for at, session, rule in firings)
    spread = _spread(network, events[: min(len(events), 60_000)])
    stored, snapshot_us, restore_us = _storing(network, memories)
    return Figures(
        len(program.rules),
        len(events),
        len(firings),
        hashlib.sha256(text.encode()).hexdigest(),
        compile_s,
        per_event,
        *spread,
        floor,
        live_bytes(network, raw),
        stored,
        snapshot_us,
        restore_us,
        text,
    )


@dataclass(frozen=True, slots=True)
class Quick:
    """CPU microseconds for an event, and how many rules fired."""

    per_event: float
    firings: int


def quick(folder: Path, rules: int | None = None) -> Quick:
    """The cost of an event alone, over the whole stream after its warm-up."""
    return Quick(*feed(Network.build(translation.program(folder, rules)), folder))


def feed(network: Network, folder: Path, limit: int | None = None) -> tuple[float, int]:
    """CPU microseconds for an event of the folder's stream after its warm-up, and how many rules fired in all."""
    events = list(translation.events(translation.lines(folder, limit)))
    memories: dict[str, Memory] = {}
    firings: list[tuple[int, str, str]] = []
    warm = int(len(events) * WARM_UP)
    _feed(network, memories, events[:warm], firings)
    gc.collect()
    gc.disable()
    began = time.process_time()
    _feed(network, memories, events[warm:], firings)
    spent = time.process_time() - began
    gc.enable()
    return spent / max(1, len(events) - warm) * 1e6, len(firings)


def _feed(
    network: Network, memories: dict[str, Memory], events: list[Event], firings: list[tuple[int, str, str]]
) -> None:
    for event in events:
        memory = memories.get(event.session_id)
        if memory is None:
            memory = memories[event.session_id] = network.open(event.session_id)
        step = network.insert(memory, event, no_model)
        if step.activations:
            firings += [(each.time, event.session_id, each.rule.rpartition(".")[2]) for each in step.activations]


def _decoding(raw: list[bytes]) -> float:
    decode: Callable[[bytes], Line] = msgspec.json.Decoder(Line).decode
    began = time.process_time()
    for line in raw:
        decode(line)
    return (time.process_time() - began) / max(1, len(raw)) * 1e6


def _spread(network: Network, events: list[Event]) -> tuple[float, float, float, float]:
    """Median, 99th and 99.9th percentile of single events by CPU time, and the last one by the wall clock.

    The wall clock also holds the turns that other programs of the machine took.
    """
    memories: dict[str, Memory] = {}
    cpu, wall = [], []
    for event in events:
        memory = memories.get(event.session_id)
        if memory is None:
            memory = memories[event.session_id] = network.open(event.session_id)
        began, started = time.perf_counter_ns(), time.thread_time_ns()
        network.insert(memory, event, no_model)
        cpu.append(time.thread_time_ns() - started)
        wall.append(time.perf_counter_ns() - began)
    points = statistics.quantiles(cpu[len(cpu) // 10 :], n=1000)
    last = statistics.quantiles(wall[len(wall) // 10 :], n=1000)[998]
    return points[499] / 1000, points[989] / 1000, points[998] / 1000, last / 1000


def live_bytes(network: Network, raw: list[bytes]) -> float:
    """Bytes that Python holds for a session after the stream, all sessions kept.

    The events are decoded while the allocator is watched, so that what memories keep of them is counted.
    """
    memories: dict[str, Memory] = {}
    _feed(network, memories, list(translation.events(raw[:50])), [])  # what the network fills once is no session's
    memories.clear()
    gc.collect()
    tracemalloc.start()
    for event in translation.events(raw):
        _feed(network, memories, [event], [])
    gc.collect()
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return size / max(1, len(memories))


def _storing(network: Network, memories: dict[str, Memory]) -> tuple[float, float, float]:
    began = time.process_time()
    snapshots = [network.snapshot(memory) for memory in memories.values()]
    middle = time.process_time()
    for snapshot in snapshots:
        network.restore(snapshot)
    end = time.process_time()
    count = len(snapshots)
    return sum(map(len, snapshots)) / count, (middle - began) / count * 1e6, (end - middle) / count * 1e6


def describe(figures: Figures) -> str:
    """The figures as a person reads them."""
    return (
        f"rules {figures.rules} events {figures.events} firings {figures.firings} sha256 {figures.digest}\n"
        f"  {figures.per_event:.2f} us of CPU an event, {figures.per_event / figures.floor:.1f} times a decode of it "
        f"({figures.floor:.2f} us); median {figures.median:.1f}, p99 {figures.p99:.1f}, p99.9 {figures.p999:.1f} us "
        f"({figures.p999_wall:.0f} by the wall clock)\n"
        f"  compiled in {figures.compile_s:.2f} s; a session: {figures.live_bytes:.0f} bytes live, "
        f"{figures.stored_bytes:.0f} stored, snapshot {figures.snapshot_us:.1f} us, restore {figures.restore_us:.1f} us"
    )


def main() -> None:
    """Run as a program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="folder with events.jsonl and rules.json")
    parser.add_argument("--rules", type=int, help="use only the first N rules")
    parser.add_argument("--events", type=int, help="use only the first N events")
    parser.add_argument("--out", type=Path, help="also write the firings here, one a line, as the reference does")
    options = parser.parse_args()
    figures = run(options.folder, options.rules, options.events)
    print(describe(figures))
    if options.out:
        options.out.write_text(figures.text, encoding="utf-8")


if __name__ == "__main__":
    main()
