"""Latency at a constant rate, beside peers that answer the same question over HTTP: `make bench ARGS=latency`.

    python -m benchmarks.latency [--rules 100] [--seconds 8] [--redis URL]

The question: which offer does the first of N rules give whose three tests hold on what the request says? Salience answers it
with a session's state read, the decision logged and reasons at hand; zen-engine behind the same gunicorn worker, and Open
Policy Agent's own server, answer it alone; a no-op there decodes and encodes. All are asked the same, and must answer the same.

For each the capacity is measured with 8 connections that wait for their answers. Then requests come at 20, 50 and 80 % of
it, at a constant rate, and latency counts from the moment at which a request was to be sent, so that a stall makes late who
would have asked meanwhile. One after the other, over loopback, the load on the same machine: compare within a run.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.decide_http import Server, http_request, one_answer, running
from benchmarks.open_loop import Loaded, closed_loop, constant_rate, percentile
from benchmarks.peers.zen_peer import document
from service.clock import wall_ms
from service.keys import KeyKind, create
from service.settings import load
from service.wiring import Wiring
from tools import opa
from tools.ports import free_ports

CATEGORIES, PRICES, SIZES = 10, 37, 5
QUESTIONS = 1_000
SHARES = (0.2, 0.5, 0.8)
CONNECTIONS = 64
CAPACITY_CONNECTIONS = 8

VOCABULARY = """
currency: EUR
session: {timeout: 30 minutes}
events:
  seen: {product: text}
facts:
  context.category: {type: text, from: request}
  context.price: {type: number, from: request}
  context.size: {type: number, from: request}
placements:
  spot: {slots: 1, fallback: standard}
"""
POLICY = """package shop

matching contains number if {
  some number, rule in data.rules
  rule.category == input.category
  input.price > rule.price
  input.size >= rule.size
}

offer := sprintf("o%d", [min(matching)]) if count(matching) > 0

offer := "standard" if count(matching) == 0
"""


@dataclass(frozen=True, slots=True)
class Rule:
    """The three tests of a rule; the first that holds wins."""

    category: str
    price: int
    size: int


def rules_of(count: int) -> list[Rule]:
    """Rules of which a few hold for each question."""
    return [Rule(f"c{n % CATEGORIES}", 10 * (n * 7 % PRICES), n * 3 % SIZES) for n in range(count)]


def question(number: int) -> dict[str, Any]:
    """What request number n says."""
    n = number % QUESTIONS
    return {"category": f"c{n % CATEGORIES}", "price": n * 13 % 400, "size": n * 11 % SIZES}


def expected(rules: Sequence[Rule], asked: Mapping[str, Any]) -> str:
    """The answer, found naively."""
    for number, rule in enumerate(rules):
        if rule.category == asked["category"] and asked["price"] > rule.price and asked["size"] >= rule.size:
            return f"o{number}"
    return "standard"


def sources(rules: Sequence[Rule]) -> dict[str, str]:
    """The rules in Salience's language."""
    lines = ["ruleset: first", "owner: bench", "rules:"]
    for number, rule in enumerate(rules):
        lines += [
            f"  - rule: r{number}",
            f"    priority: {len(rules) - number}",
            "    when:",
            "      all:",
            f"        - {{fact: context.category, is: {rule.category}}}",
            f"        - {{fact: context.price, above: {rule.price}}}",
            f"        - {{fact: context.size, at_least: {rule.size}}}",
            f"    then: [{{offer: o{number}, placement: spot}}]",
        ]
    offers = ["offers:", "  standard: {content: {title: As always}}"]
    offers += [f"  o{number}: {{content: {{title: Offer {number}}}}}" for number in range(len(rules))]
    return {"vocabulary.yaml": VOCABULARY, "offers.yaml": "\n".join(offers), "first.yaml": "\n".join(lines)}


def table(rules: Sequence[Rule]) -> str:
    """The rules as a decision table of zen-engine, in which the first that holds wins."""
    columns = ("category", "price", "size")
    rows = [
        {
            "_id": f"r{number}",
            "category": f'"{rule.category}"',
            "price": f"> {rule.price}",
            "size": f">= {rule.size}",
            "offer": f'"o{number}"',
        }
        for number, rule in enumerate(rules)
    ]
    rows.append({"_id": "else", "category": "", "price": "", "size": "", "offer": '"standard"'})
    return document(columns, "offer", "first", rows)


# ---------------------------------------------------------------- the servers


@dataclass(frozen=True, slots=True)
class Peer:
    """A running server: how it is asked, and what it says."""

    name: str
    server: Server
    request: Callable[[int], bytes]
    offer: Callable[[bytes], str]


def serve_bare(name: str, rules: int) -> None:
    """Serve zen-engine or the no-op on the server that Salience has; a child process of the benchmark."""
    from service.api.server import ApiServer  # noqa: PLC0415  not before the fork, as in the API
    from service.listening import listen  # noqa: PLC0415

    def answering() -> Callable[[dict[str, Any]], dict[str, Any]]:
        if name == "no-op":
            return lambda asked: {"offer": "standard", "size": asked["size"]}
        zen: Any = importlib.import_module("zen")  # an extra, without types
        decision = zen.ZenEngine().create_decision(table(rules_of(rules)))
        return lambda asked: dict(decision.evaluate(asked)["result"])

    class BareServer(ApiServer):
        def load(self) -> Any:
            answer = answering()

            class Bare:
                async def leave(self) -> None:
                    """Nothing is served beside HTTP."""

                async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
                    if scope["type"] == "lifespan":
                        while True:
                            message = await receive()
                            await send({"type": message["type"] + ".complete"})
                            if message["type"] == "lifespan.shutdown":
                                return
                    raw = msgspec.json.encode(answer(msgspec.json.decode((await receive())["body"])))
                    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(raw)).encode())]
                    await send({"type": "http.response.start", "status": 200, "headers": headers})
                    await send({"type": "http.response.body", "body": raw})

            return Bare()

    listener = listen("127.0.0.1", 0, "api")
    print(f"decision API on http://127.0.0.1:{listener.getsockname()[1]}", file=sys.stderr, flush=True)
    BareServer(load(flags=["log.level=warning"], environ={}).settings, listener).run()


def _bare(path: str = "/") -> Callable[[int], bytes]:
    requests = [http_request(path, "none", msgspec.json.encode(question(number))) for number in range(QUESTIONS)]
    return lambda number: requests[number % QUESTIONS]


@contextmanager
def salience(folder: Path, rules: Sequence[Rule], redis: str) -> Iterator[Peer]:
    """The decision API with the rules live."""
    flags = [f"data_dir={folder / 'data'}", f"redis.url={redis}", "log.level=warning", "api.deadline_ms=2000"]
    with Wiring(load(flags=flags, environ={}).settings) as wiring:
        wiring.publisher().publish(sources(rules), "bench", "")
        _, key = create(wiring.tables(), "bench", KeyKind.STOREFRONT, wall_ms(), origins=["*"])

    def request(number: int) -> bytes:
        context = {f"context.{name}": value for name, value in question(number).items()}
        body = {"session_id": f"s{number % 500}", "placements": ["spot"], "context": context}
        return http_request("/v1/decide", key, msgspec.json.encode(body))

    def offer(raw: bytes) -> str:
        return str(msgspec.json.decode(raw)["placements"][0]["offers"][0]["offer"])

    command = ["-m", "service.cli", *(f"--set={flag}" for flag in flags), "api", "--port=0"]
    with running(command, folder / "api.log") as server:
        yield Peer("Salience", server, request, offer)


@contextmanager
def bare(folder: Path, name: str, rules: int) -> Iterator[Peer]:
    """zen-engine or the no-op on the same server."""
    command = ["-m", "benchmarks.latency", "--serve", name, "--rules", str(rules)]
    with running(command, folder / f"{name}.log") as server:
        yield Peer(name, server, _bare(), lambda raw: str(msgspec.json.decode(raw)["offer"]))


@contextmanager
def open_policy_agent(folder: Path, program: str, rules: Sequence[Rule]) -> Iterator[Peer]:
    """OPA's own server, with the rules as data."""
    (folder / "policy.rego").write_text(POLICY)
    data = {"rules": [{"category": each.category, "price": each.price, "size": each.size} for each in rules]}
    (folder / "data.json").write_text(json.dumps(data))
    (port,) = free_ports(1)
    command = [program, "run", "--server", f"--addr=127.0.0.1:{port}", "--log-level=error", "--disable-telemetry"]
    files = [str(folder / "policy.rego"), str(folder / "data.json")]
    with (folder / "opa.log").open("wb") as log:
        child = subprocess.Popen([*command, *files], stdout=log, stderr=log)
    try:
        requests = [
            http_request("/v1/data/shop/offer", "none", msgspec.json.encode({"input": question(number)}))
            for number in range(QUESTIONS)
        ]
        server = Server(port, child.pid)
        until = time.monotonic() + 30
        while True:
            with contextlib.suppress(OSError):
                asyncio.run(one_answer(server, requests[0]))
                break
            if time.monotonic() > until:
                raise SystemExit((folder / "opa.log").read_text())
            time.sleep(0.1)
        yield Peer(
            "OPA",
            server,
            lambda number: requests[number % QUESTIONS],
            lambda raw: str(msgspec.json.decode(raw)["result"]),
        )
    finally:
        child.terminate()
        child.wait(10)


# ---------------------------------------------------------------- measuring


def check(peer: Peer, rules: Sequence[Rule]) -> None:
    """End the run where a server answers something else than the naive reading of the rules."""
    for number in range(0, QUESTIONS, 37):
        found = peer.offer(asyncio.run(one_answer(peer.server, peer.request(number))))
        wanted = expected(rules, question(number))
        if found != wanted:
            raise SystemExit(f"{peer.name} answers {found} to {question(number)}, the rules say {wanted}")


def capacity_of(
    server: Server, request: Callable[[int], bytes], seconds: float, connections: int
) -> tuple[float, float]:
    """Answers a second to so many connections that wait for them, and microseconds of CPU of the server for each reply."""
    asyncio.run(closed_loop(server.port, request, 1.0, connections))  # warm-up
    cpu = server.cpu_ms()
    full = asyncio.run(closed_loop(server.port, request, max(2.0, seconds / 2), connections))
    return len(full.of(200)) / full.seconds, 1000 * (server.cpu_ms() - cpu) / len(full.replies)


def percentiles(load: Loaded) -> str:
    """p50, p99 and p99.9 in ms from the moment of sending, as columns."""
    latencies = [reply.latency_ms for reply in load.replies]
    return " ".join(f"{percentile(latencies, part):>8.2f}" for part in (0.5, 0.99, 0.999))


def measure(peer: Peer, seconds: float) -> list[str]:
    """Capacity, then latency at each share of it; the lines of the table."""
    capacity, each_us = capacity_of(peer.server, peer.request, seconds, CAPACITY_CONNECTIONS)
    lines = []
    for share in SHARES:
        load = asyncio.run(constant_rate(peer.server.port, peer.request, share * capacity, seconds, CONNECTIONS))
        missed = len(load.replies) - len(load.of(200))
        head = f"{peer.name:>10} {capacity:>9,.0f} {each_us:>7.0f}" if share == SHARES[0] else " " * 28
        lines.append(f"{head} {share:>5.0%} {percentiles(load)} {missed:>7} {load.late_ms:>8.1f}")
    return lines


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rules", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=8.0, help="of each constant rate, %(default)s by default")
    parser.add_argument("--redis", default="", metavar="URL", help="state in this Redis instead of SQLite")
    parser.add_argument("--serve", choices=["zen-engine", "no-op"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve_bare(options.serve, options.rules)
        return
    rules = rules_of(options.rules)
    with tempfile.TemporaryDirectory(prefix="salience-bench-") as name:
        folder = Path(name)
        peers: list[contextlib.AbstractContextManager[Peer]] = [
            bare(folder, "no-op", options.rules),
            salience(folder, rules, options.redis),
        ]
        if importlib.util.find_spec("zen") is not None:
            peers.append(bare(folder, "zen-engine", options.rules))
        else:
            print("zen-engine is not installed, it is left out")
        program = opa.find()
        if program is not None:
            peers.append(open_policy_agent(folder, program, rules))
        else:
            print("OPA is not there (`python -m tools.opa` builds it with Go), it is left out")
        print(
            f"latency in ms from the moment of sending at shares of each one's capacity; {options.rules} rules, "
            f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
        )
        print(
            f"{'':>10} {'answers/s':>9} {'CPU us':>7} {'rate':>5} {'p50':>8} {'p99':>8} {'p99.9':>8} {'missed':>7} {'late':>8}"
        )
        for opening in peers:
            with opening as peer:
                if peer.name != "no-op":
                    check(peer, rules)
                print("\n".join(measure(peer, options.seconds)), flush=True)


if __name__ == "__main__":
    main()
