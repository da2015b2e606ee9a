"""What a session costs: `python -m benchmarks.sessions [--rules 1000] [--million 1000000]`.

Live bytes are what Python's allocator holds for memories and events that were decoded while it was watched, all
sessions kept, at 20 and 200 events of the shop workload. Then the bytes and times of snapshots, and what a million of
them take in one process.
"""

from __future__ import annotations

import argparse
import gc
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from benchmarks.shop import __main__ as shop
from benchmarks.shop import generate, translation
from benchmarks.shop.beside import DEFAULT
from benchmarks.three import no_model
from engine.rete import Memory, Network

SESSIONS = 300
ROUNDS = 5


def fed(network: Network, raw: list[bytes]) -> dict[str, Memory]:
    """The memories after the stream."""
    memories: dict[str, Memory] = {}
    for event in translation.events(raw):
        memory = memories.get(event.session_id)
        if memory is None:
            memory = memories[event.session_id] = network.open(event.session_id)
        network.insert(memory, event, no_model)
    return memories


def resident() -> int:
    """Bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def storing(network: Network, memories: list[Memory]) -> tuple[float, float, float]:
    """Bytes of a snapshot, and CPU microseconds to write and to restore one."""
    for memory in memories:
        network.restore(network.snapshot(memory))
    gc.collect()
    began = time.process_time()
    for _ in range(ROUNDS):
        snapshots = [network.snapshot(memory) for memory in memories]
    middle = time.process_time()
    for _ in range(ROUNDS):
        for snapshot in snapshots:
            network.restore(snapshot)
    end = time.process_time()
    count = len(memories) * ROUNDS
    return sum(map(len, snapshots)) / len(snapshots), (middle - began) / count * 1e6, (end - middle) / count * 1e6


def many(network: Network, memories: list[Memory], count: int) -> None:
    """Print what so many snapshots take in one process; each is written anew."""
    gc.collect()
    before = resident()
    began = time.process_time()
    snapshots = [network.snapshot(memories[number % len(memories)]) for number in range(count)]
    spent = time.process_time() - began
    grown = resident() - before
    began = time.process_time()
    for snapshot in snapshots:
        network.restore(snapshot)
    restored = time.process_time() - began
    print(
        f"  {count} snapshots in one process: {sum(map(len, snapshots)) / 1e6:.0f} MB of bytes, the process grew by "
        f"{grown / 1e6:.0f} MB; {spent:.1f} s of CPU to write, {restored:.1f} s to restore"
    )


def main() -> None:
    """Run as a program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rules", type=int, default=1_000)
    parser.add_argument("--million", type=int, default=1_000_000, help="how many snapshots to keep at once")
    options = parser.parse_args()
    print(f"sessions of the shop workload, {options.rules} rules")
    twenty: tuple[Network, list[Memory]] | None = None
    for events in (20, 200):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            parameters = replace(DEFAULT, sessions=SESSIONS, events=events * SESSIONS, rules=options.rules)
            generate.write(parameters, folder)
            network = Network.build(translation.program(folder))
            raw = translation.lines(folder)
        held = shop.live_bytes(network, raw)
        memories = list(fed(network, raw).values())
        size, write_us, restore_us = storing(network, memories)
        print(
            f"  {events:4d} events: {held:7.0f} bytes live, {size:6.0f} stored ({(size - 300) / events:.1f} a kept event "
            f"beyond 300); snapshot {write_us:.1f} us, restore {restore_us:.1f} us",
            flush=True,
        )
        twenty = twenty or (network, memories)
    if twenty and options.million:
        many(*twenty, options.million)


if __name__ == "__main__":
    main()
