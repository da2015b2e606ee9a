"""Where the time of a decision goes: `make bench ARGS=budget`.

    python -m benchmarks.budget [--rules 100] [--requests 1500] [--redis URL]

One connection asks and waits, so that no request waits for another; what the server tells in `Server-Timing` about each
answer is taken apart, medians over all unless `--share` says otherwise. What is left of the time that the caller sees is the HTTP server, the kernel and the
caller itself; a no-op on the same server says how much. Waiting for the state store is in `state`; `again` is a question
whose evaluation still holds.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.decide_http import EVENTS, Server, body, http_request, one_answer, prepare, ruleset, running
from benchmarks.open_loop import percentile
from service.settings import load
from tools.redis_server import RedisServer

PARTS = {
    "read": "key, rate, room, body",
    "check": "request and context against the vocabulary",
    "state": "session, grants, profile from the store, decoded; who it is",
    "rules": "evaluation, arbitration, content, reasons",
    "scores": "models",
    "limits": "caps and budgets, grants kept",
    "log": "events that rode along; the log of decisions in memory",
    "write": "the answer in JSON, its tag",
}
_PART = re.compile(rb"(\w+);dur=([0-9.]+)")


@dataclass(slots=True)
class Taken:
    """What requests took, in microseconds, and the CPU of the server for each.

    Attributes:
        share: Which of the ordered times is told: 0.5 is the median.
    """

    share: float
    seen: list[float] = field(default_factory=list)
    parts: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    cpu_us: float = 0.0

    def of(self, part: str) -> float:
        """The time of a part; requests without it count as 0."""
        found = self.parts.get(part, [])
        return percentile([*found, *[0.0] * (len(self.seen) - len(found))], self.share)

    @property
    def seen_by_caller(self) -> float:
        """From the first byte sent to the last one read."""
        return percentile(self.seen, self.share)


async def ask_in_turn(server: Server, requests: Sequence[bytes], share: float) -> Taken:
    """One after the other over one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    taken = Taken(share)
    cpu = server.cpu_ms()
    for request in requests:
        began = time.perf_counter()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]))
        taken.seen.append(1e6 * (time.perf_counter() - began))
        timing = head.lower().partition(b"server-timing:")[2].partition(b"\r\n")[0]
        for part, milliseconds in _PART.findall(timing):
            taken.parts[part.decode()].append(1000 * float(milliseconds))
    taken.cpu_us = 1000 * (server.cpu_ms() - cpu) / len(requests)
    writer.close()
    await writer.wait_closed()
    return taken


def measure(rules: int, count: int, redis: str, share: float) -> dict[str, Taken]:
    """The no-op, a question that is evaluated, and one whose evaluation holds, in turns."""
    with tempfile.TemporaryDirectory(prefix="salience-bench-") as name:
        folder = Path(name)
        flags = [f"data_dir={folder / 'data'}", f"redis.url={redis}", "log.level=warning", "api.deadline_ms=2000"]
        key = prepare(load(flags=flags, environ={}).settings, ruleset(rules))
        again = [http_request("/v1/decide", key, body(number)) for number in range(count)]
        anew = [http_request("/v1/decide", key, body(number, f"page-{number}")) for number in range(count)]
        api = ["-m", "service.cli", *(f"--set={flag}" for flag in flags), "api", "--port=0"]
        with running(api, folder / "api.log") as deciding:
            answer = folder / "answer.json"
            answer.write_bytes(asyncio.run(one_answer(deciding, anew[0])))
            noop = ["-m", "benchmarks.decide_http", "--serve-noop", str(answer), *flags]
            with running(noop, folder / "noop.log") as idle:
                for server in (idle, deciding):
                    asyncio.run(ask_in_turn(server, anew[: count // 4], share))  # warm-up
                return {
                    "no-op": asyncio.run(ask_in_turn(idle, anew, share)),
                    "decide": asyncio.run(ask_in_turn(deciding, anew, share)),
                    "again": asyncio.run(ask_in_turn(deciding, again, share)),
                }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rules", type=int, default=100)
    parser.add_argument("--requests", type=int, default=1_500, help="of each kind, %(default)s by default")
    parser.add_argument("--redis", default="", metavar="URL", help="state there; default: a Redis that is started")
    parser.add_argument(
        "--share",
        type=float,
        default=0.5,
        help="which of the ordered times: 0.5 the median; 0.1 where others use the machine",
    )
    options = parser.parse_args()
    with ExitStack() as stack:
        redis = options.redis
        if not redis:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="salience-redis-"))
            redis = stack.enter_context(RedisServer(folder)).url
        taken = measure(options.rules, options.requests, redis, options.share)
    print(
        f"one request at a time, {options.rules} rules, 2 placements, sessions of {EVENTS} events, state in Redis; microseconds, "
        f"{options.requests:,} requests of each kind, share {options.share:g}; load {os.getloadavg()[0]:.1f}"
    )
    print(f"{'':>8} {'no-op':>7} {'decide':>7} {'again':>7}")
    for part, what in PARTS.items():
        row = " ".join(f"{taken[name].of(part):>7.0f}" for name in taken)
        print(f"{part:>8} {row}  {what}")
    totals = {name: each.of("total") for name, each in taken.items()}
    print(f"{'total':>8} " + " ".join(f"{total:>7.0f}" for total in totals.values()) + "  of the application")
    seen = {name: each.seen_by_caller for name, each in taken.items()}
    rest = " ".join(f"{seen[name] - totals[name]:>7.0f}" for name in taken)
    print(f"{'around':>8} {rest}  HTTP server, kernel, caller")
    print(f"{'seen':>8} " + " ".join(f"{each:>7.0f}" for each in seen.values()) + "  by the caller")
    print(f"{'CPU':>8} " + " ".join(f"{each.cpu_us:>7.0f}" for each in taken.values()) + "  of the server, all threads")


if __name__ == "__main__":
    main()
