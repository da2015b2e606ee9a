"""Decide over HTTP beside a no-op on the same server: latency, requests a second, CPU of the server per request.

    python -m benchmarks.decide_http [--rules 100] [--requests 500] [--rounds 20] [--connections 16] [--redis URL | --sqlite]

State is in a Redis that is started for it, where one is installed.

The no-op is a bare ASGI application on the same gunicorn worker that decodes the same request and encodes the same
answer with the same msgspec types: what is left is what deciding costs. `decide` evaluates each time, as each request is
of another page; `first` does for sessions that the process does not have in memory, whose state has to be taken apart, too;
`again` asks what was evaluated for the session and still holds. They run in many short turns within one run, over loopback,
with the load generator on the same machine, so only the ratios mean something on another one. The CPU figure is the
server process's own and leaves the load generator out. Others on the machine make a turn dearer, never cheaper: beside
the median there is the least of all turns.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from config.schema import Settings
from engine.event import Event
from engine.language import check
from engine.ports import SessionState, StateBatch, partition_of
from engine.rete import IS_COMPILED, Network
from service.clock import wall_ms
from service.keys import KeyKind, create
from service.settings import load
from service.wiring import Wiring
from tools.redis_server import PROGRAMS, RedisServer

SESSIONS = 50
STRANGERS = 4_000
"""Sessions that are asked about in turn, more than the process keeps in memory."""
EVENTS = 20

VOCABULARY = """
currency: EUR
session: {timeout: 30 minutes}
events:
  cart_added: {product_id: text, category: text, price: money}
  product_viewed: {product_id: text, category: text}
  checkout_viewed: {}
  purchase: {}
facts:
  context.page: {type: text, from: request}
features:
  cart.value: {sum: cart_added.price, since: purchase}
placements:
  banner: {slots: 1, fallback: standard}
  hero: {slots: 1, fallback: standard}
"""


def ruleset(rules: int) -> dict[str, str]:
    """Rules of the shape that shops have: a threshold, a recent event, something that did not happen."""
    lines = ["ruleset: many", "owner: bench", "rules:"]
    for number in range(rules):
        placement = "banner" if number % 2 else "hero"
        lines += [
            f"  - rule: r{number}",
            f"    priority: {number % 10}",
            "    when:",
            "      all:",
            f"        - {{fact: cart.value, at_least: {150 + 10 * number}}}",
            f"        - {{count: product_viewed, where: {{category: c{number % 7}}}, within: {5 + number % 20} minutes, at_least: 2}}",
            "        - not: {event: purchase, within: 30 minutes}",
            f"    then: [{{offer: o{number % 20}, placement: {placement}}}]",
        ]
    offers = ["offers:", "  standard: {content: {title: As always}}"]
    offers += [
        f'  o{n}: {{content: {{title: "Offer {n} for a cart of {{cart.value}}", code: C{n}, on: "{{context.page}}"}}}}'
        for n in range(20)
    ]
    return {"vocabulary.yaml": VOCABULARY, "offers.yaml": "\n".join(offers), "many.yaml": "\n".join(lines)}


def body(number: int, page: str = "cart", sessions: int = SESSIONS) -> bytes:
    """A request as a storefront sends it; of another page, which offers name, what was evaluated does not hold."""
    asked = {
        "session_id": f"s{number % sessions}",
        "placements": ["banner", "hero"],
        "context": {"context.page": page},
    }
    return msgspec.json.encode(asked)


def prepare(settings: Settings, sources: Mapping[str, str]) -> str:
    """Publish rules, store sessions of `EVENTS` events each as the stream would; the key to ask with."""
    checked = check(sources)
    assert checked.program is not None, checked.diagnostics[:3]
    now = wall_ms()
    with Wiring(settings) as wiring:
        published = wiring.publisher().publish(sources, "bench", "")
        network = Network.build(checked.program, published.revision.bundle)
        stored: dict[int, dict[str, SessionState]] = {}
        for session in range(SESSIONS):
            session_id = f"s{session}"
            memory = network.open(session_id)
            for step in range(EVENTS):
                at = now - (EVENTS - step) * 5_000
                if step % 4 == 3:
                    event = Event(
                        f"{session}-{step}", "cart_added", session_id, at, None, {"category": "c1", "price": 4_000}
                    )
                else:
                    event = Event(
                        f"{session}-{step}", "product_viewed", session_id, at, None, {"category": f"c{step % 7}"}
                    )
                network.insert(memory, event, _no_score)
            for number in range(session, STRANGERS, SESSIONS):
                memory.session_id = f"s{number}"
                state = SessionState(network.snapshot(memory), now, None)
                partition = partition_of(memory.session_id, settings.kafka.partitions)
                stored.setdefault(partition, {})[memory.session_id] = state
        store = wiring.state()
        for partition, sessions in stored.items():
            store.claim(partition, 1)
            store.apply(StateBatch(partition, 1, 0, 1, sessions, (), (), now))
        _, key = create(wiring.tables(), "bench", KeyKind.SERVER, now)
    return key


def _no_score(name: str, reader: Any) -> Any:
    raise AssertionError("these rules ask no model")


# ---------------------------------------------------------------- the servers


def serve_noop(flags: Sequence[str], answer: Path) -> None:
    """Serve the no-op on the same server with the same settings; a child process of the benchmark."""
    from service.api.schema import DecideAnswer, RawDecideRequest  # noqa: PLC0415  not before the fork, as in the API
    from service.api.server import ApiServer  # noqa: PLC0415
    from service.listening import listen  # noqa: PLC0415

    settings = load(flags=flags, environ={}).settings
    decoder = msgspec.json.Decoder(RawDecideRequest)
    constant = msgspec.json.decode(answer.read_bytes(), type=DecideAnswer)

    async def noop(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            while True:
                message = await receive()
                await send({"type": message["type"] + ".complete"})
                if message["type"] == "lifespan.shutdown":
                    return
        decoder.decode((await receive())["body"])
        raw = msgspec.json.encode(constant)
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(raw)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": raw})

    class NoopServer(ApiServer):
        def load(self) -> Any:
            return noop

    listener = listen("127.0.0.1", 0, "api")
    print(f"decision API on http://127.0.0.1:{listener.getsockname()[1]}", file=sys.stderr, flush=True)
    NoopServer(settings, listener).run()


@dataclass(frozen=True)
class Server:
    """A running server: its port, and the process that answers."""

    port: int
    process: int

    def cpu_ms(self) -> float:
        """CPU that the process has used with all its threads, in ms."""
        return 1000 * time.clock_gettime(~self.process << 3 | 2)  # Linux: CPUCLOCK_SCHED of a process


@contextmanager
def running(command: Sequence[str], log: Path) -> Iterator[Server]:
    """A server that says its address on stderr, until the block ends."""
    with log.open("wb") as output:
        child = subprocess.Popen([sys.executable, *command], stdout=output, stderr=output)
    try:
        until = time.monotonic() + 60
        while b"http://127.0.0.1:" not in (said := log.read_bytes()):
            if child.poll() is not None or time.monotonic() > until:
                raise SystemExit(said.decode())
            time.sleep(0.05)
        port = int(said.split(b"http://127.0.0.1:")[1].split()[0])
        while not (workers := Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split()):
            time.sleep(0.05)
        yield Server(port, int(workers[0]))
    finally:
        child.send_signal(signal.SIGTERM)
        child.wait(30)


# ---------------------------------------------------------------- the load


@dataclass(frozen=True)
class Measured:
    """One round: latencies in ms, the round's seconds, the server's CPU, answers that lacked something."""

    latencies: list[float]
    seconds: float
    cpu_ms: float
    degraded: int = 0

    @property
    def per_second(self) -> float:
        """Requests answered in a second."""
        return len(self.latencies) / self.seconds

    @property
    def cpu_us(self) -> float:
        """CPU of the server per request, in microseconds."""
        return 1000 * self.cpu_ms / len(self.latencies)

    def percentile(self, share: float) -> float:
        """A latency in ms that this share of the requests did not exceed."""
        return sorted(self.latencies)[min(int(share * len(self.latencies)), len(self.latencies) - 1)]


async def load_with(server: Server, requests: Sequence[bytes], connections: int) -> Measured:
    """Send all requests, over some connections that each wait for their answer before they send the next."""
    waiting = iter(requests)
    latencies: list[float] = []
    degraded = 0

    async def one_connection() -> None:
        nonlocal degraded
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        for request in waiting:
            began = time.perf_counter()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200"), head
            length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
            degraded += b'"degraded":[{' in await reader.readexactly(length)
            latencies.append(1000 * (time.perf_counter() - began))
        writer.close()

    cpu, began = server.cpu_ms(), time.perf_counter()
    await asyncio.gather(*(one_connection() for _ in range(connections)))
    return Measured(latencies, time.perf_counter() - began, server.cpu_ms() - cpu, degraded)


def http_request(path: str, key: str, raw: bytes) -> bytes:
    """A request as bytes."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(raw)}\r\n\r\n"
    )
    return head.encode() + raw


async def one_answer(server: Server, request: bytes) -> bytes:
    """The body of one answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
    raw = await reader.readexactly(length)
    writer.close()
    return raw


def measure(rules: int, requests: int, turns: int, connections: int, redis: str) -> dict[str, list[Measured]]:
    """All rounds of both servers, in turns."""
    with tempfile.TemporaryDirectory(prefix="salience-bench-") as name:
        folder = Path(name)
        flags = [f"data_dir={folder / 'data'}", f"redis.url={redis}", "log.level=warning", "api.deadline_ms=2000"]
        key = prepare(load(flags=flags, environ={}).settings, ruleset(rules))
        again = [http_request("/v1/decide", key, body(number)) for number in range(requests)]
        asked = [http_request("/v1/decide", key, body(number, f"page-{number}")) for number in range(requests)]
        first = [http_request("/v1/decide", key, body(number, "first", STRANGERS)) for number in range(STRANGERS)]
        given = [f"--set={flag}" for flag in flags]
        api = ["-m", "service.cli", *given, "api", "--port=0"]
        with running(api, folder / "api.log") as deciding:
            answer = folder / "answer.json"
            answer.write_bytes(asyncio.run(one_answer(deciding, asked[0])))
            noop = ["-m", "benchmarks.decide_http", "--serve-noop", str(answer), *flags]
            with running(noop, folder / "noop.log") as idle:
                rounds: dict[str, list[Measured]] = {"no-op": [], "decide": [], "first": [], "again": []}
                for server in (idle, deciding):
                    asyncio.run(load_with(server, asked, connections))  # warm-up
                for turn in range(turns):
                    begin = turn * requests
                    strangers = [first[number % STRANGERS] for number in range(begin, begin + requests)]
                    rounds["no-op"].append(asyncio.run(load_with(idle, asked, connections)))
                    rounds["decide"].append(asyncio.run(load_with(deciding, asked, connections)))
                    rounds["first"].append(asyncio.run(load_with(deciding, strangers, connections)))
                    # The first evaluates, the second is the first that is given again.
                    asyncio.run(load_with(deciding, again[: 2 * SESSIONS], connections))
                    rounds["again"].append(asyncio.run(load_with(deciding, again, connections)))
    return rounds


@contextmanager
def redis_of(url: str, sqlite: bool) -> Iterator[str]:
    """The address of the Redis to measure with, one of its own where none is named; empty for SQLite files."""
    if url or sqlite or not any(map(shutil.which, PROGRAMS)):
        yield url
        return
    with tempfile.TemporaryDirectory(prefix="salience-bench-") as name, RedisServer(Path(name)) as server:
        yield server.url


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rules", type=int, default=100)
    parser.add_argument("--requests", type=int, default=500, help="per round, %(default)s by default")
    parser.add_argument("--rounds", type=int, default=20, help="of each kind in turn, %(default)s by default")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--redis", default="", metavar="URL", help="state in this Redis (emptied by nobody)")
    parser.add_argument("--sqlite", action="store_true", help="state in SQLite files")
    parser.add_argument("--serve-noop", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve_noop:
        serve_noop(options.serve_noop[1:], Path(options.serve_noop[0]))
        return
    with redis_of(options.redis, options.sqlite) as redis:
        rounds = measure(options.rules, options.requests, options.rounds, options.connections, redis)
    state = "Redis" if redis else "SQLite files"
    print(
        f"decide over HTTP: {options.rules} rules, 2 placements, sessions of {EVENTS} events, state in {state}; "
        f"{options.connections} connections, {options.rounds} rounds of {options.requests:,} requests, medians and the "
        f"least; {'compiled' if IS_COMPILED else 'in Python'}, load {os.getloadavg()[0]:.1f}"
    )
    print(f"{'':>8} {'requests/s':>11} {'p50 ms':>8} {'p99 ms':>8} {'CPU us':>8} {'least':>8}")
    figures: dict[str, tuple[float, ...]] = {}
    for name, all_of_them in rounds.items():
        # On a machine that is too busy to answer in time fallbacks are measured, which cost less.
        measured = [each for each in all_of_them if not each.degraded] or all_of_them
        if len(measured) < len(all_of_them) or measured[0].degraded:
            print(
                f"{name}: {len([each for each in all_of_them if each.degraded])} rounds had answers that lacked something"
            )
        figures[name] = (
            statistics.median(each.per_second for each in measured),
            statistics.median(each.percentile(0.50) for each in measured),
            statistics.median(each.percentile(0.99) for each in measured),
            statistics.median(each.cpu_us for each in measured),
            min(each.cpu_us for each in measured),
        )
        per_second, half, most, cpu, least = figures[name]
        print(f"{name:>8} {per_second:>11,.0f} {half:>8.2f} {most:>8.2f} {cpu:>8.0f} {least:>8.0f}")
    for name in ("decide", "first", "again"):
        ratios = [decide / noop for decide, noop in zip(figures[name], figures["no-op"], strict=True)]
        print(f"{name + ' x':>8} {ratios[0]:>11.2f} " + " ".join(f"{ratio:>8.2f}" for ratio in ratios[1:]))


if __name__ == "__main__":
    main()
