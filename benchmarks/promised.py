"""What is promised of decisions over HTTP, measured: latency at a constant rate, with a model asked too, and 1,000 rules beside 100.

    python -m benchmarks.promised [--rules 100] [--many 1000] [--seconds 8] [--redis URL | --sqlite]

The shop of `benchmarks.decide_http`: two placements, sessions of 20 events, state in a real Redis, each request of another page, so
that each is evaluated anew. `with a score` is the same with a model that every rule asks last: gradient-boosted trees, trained
here, calibrated, in ONNX. Its features are of the session and of the request, so that each request asks about another vector.
What it answers is compared with a direct call of the model before anything is measured.

For each the capacity is measured with 16 connections that wait for their answers. Then requests come at 20, 50 and 80 % of it, at
a constant rate, and latency counts from the moment at which a request was to be sent. One after the other, over loopback, the
load on the same machine. Last, the CPU of the server for a decision by many rules beside one by few, in turns within one run.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from benchmarks.decide_http import (
    EVENTS,
    SESSIONS,
    Server,
    http_request,
    one_answer,
    prepare,
    redis_of,
    ruleset,
    running,
)
from benchmarks.latency import CONNECTIONS, SHARES, capacity_of, percentiles
from benchmarks.open_loop import Loaded, closed_loop, constant_rate
from engine.rete import IS_COMPILED
from models.registry import ModelMetadata, ModelRegistry
from models.scorer import ServedModel
from models.training import Rows, train
from service.clock import wall_ms
from service.settings import load

CAPACITY_CONNECTIONS = 16
TURNS = 12
"""Of each of the two servers whose CPU is compared."""
TURN_S = 0.4
MODEL = "interest"
FEATURES = ("cart.value", "views", "context.depth")
DEPTHS = 30
LIMITS_MS = {"plain": (3, 10, 50), "with a score": (None, 15, None)}
"""p50, p99 and p99.9 that are promised at half of the capacity."""


def trained() -> tuple[bytes, ModelMetadata]:
    """A model of three features, as `salience train` makes them, of made-up sessions; the same each time."""
    draw = np.random.default_rng(1)
    count = 6_000
    cart, views, depth = draw.integers(0, 60_000, count), draw.integers(0, 40, count), draw.integers(0, DEPTHS, count)
    odds = -2.0 + cart / 20_000 + 0.05 * views * (depth > 10) - 0.02 * depth
    labels = draw.random(count) < 1 / (1 + np.exp(-odds))
    features = np.stack([cart, views, depth], axis=1).astype(np.float32)
    made = train(Rows(FEATURES, features, labels, np.arange(count, dtype=np.int64)))
    return made.onnx, ModelMetadata(MODEL, FEATURES, wall_ms(), made.metrics, made.origin)


def scored(sources: Mapping[str, str]) -> dict[str, str]:
    """The same rules, each of which asks a model, too."""
    vocabulary = sources["vocabulary.yaml"].replace(
        "facts:\n",
        f"scores:\n  {MODEL}: {{model: {MODEL}}}\nfacts:\n  context.depth: {{type: number, from: request}}\n",
    )
    vocabulary = vocabulary.replace("features:\n", "features:\n  views: {count: product_viewed}\n")
    last = "        - not: {event: purchase, within: 30 minutes}\n"
    many = sources["many.yaml"].replace(
        last, f"{last}        - {{score: {MODEL}, at_least: 0.1, if_unavailable: skip}}\n"
    )
    assert MODEL in vocabulary
    assert MODEL in many
    return {**sources, "vocabulary.yaml": vocabulary, "many.yaml": many}


@dataclass(frozen=True, slots=True)
class Shop:
    """A server that decides, and what it is asked."""

    name: str
    server: Server
    request: Callable[[int], bytes]


@contextmanager
def serving(
    folder: Path, name: str, rules: int, redis: str, model: tuple[bytes, ModelMetadata] | None
) -> Iterator[Shop]:
    """The decision API with its rules live, its sessions stored, and the model in its registry."""
    folder.mkdir()
    flags = [
        f"data_dir={folder / 'data'}",
        f"models.registry={folder / 'models'}",
        f"redis.url={redis}",
        "log.level=warning",
        "api.deadline_ms=2000",
    ]
    sources = ruleset(rules)
    if model is not None:
        ModelRegistry(folder / "models").add(*model, {})
        sources = scored(sources)
    key = prepare(load(flags=flags, environ={}).settings, sources)

    def request(number: int, *, explain: bool = False) -> bytes:
        context: dict[str, object] = {"context.page": f"page-{number}"}
        if model is not None:
            context["context.depth"] = number % DEPTHS
        asked = {"session_id": f"s{number % SESSIONS}", "placements": ["banner", "hero"], "context": context}
        return http_request("/v1/decide", key, msgspec.json.encode({**asked, "explain": True} if explain else asked))

    with running(
        ["-m", "service.cli", *(f"--set={flag}" for flag in flags), "api", "--port=0"], folder / "api.log"
    ) as server:
        if model is not None:
            served = ServedModel(model[0], FEATURES, "direct")
            for number in range(DEPTHS):
                check(served, number, asyncio.run(one_answer(server, request(number, explain=True))))
        yield Shop(name, server, request)


def check(served: ServedModel, number: int, raw: bytes) -> None:
    """End the run where a decision's score is not what the model says of the features, counted naively."""
    carts = EVENTS // 4
    vector = np.array([[4_000 * carts, EVENTS - carts, number % DEPTHS]], dtype=np.float32)
    wanted = float(served.predict(vector)[0])
    found = dict(msgspec.json.decode(raw)["scores"]).get(MODEL, {}).get("value")
    if found is None or not math.isclose(found, wanted, abs_tol=1e-6):
        raise SystemExit(f"the score of request {number} is {found}, the model says {wanted}")


def lacking(load: Loaded) -> int:
    """Replies that are no answer, or lacked something: a model that was too late, say."""
    return sum(reply.status != 200 or b'"degraded":[{' in reply.body for reply in load.replies)


def at_rates(shop: Shop, seconds: float) -> None:
    """Print the capacity, then latencies at each share of it."""
    capacity, each_us = capacity_of(shop.server, shop.request, seconds, CAPACITY_CONNECTIONS)
    for share in SHARES:
        load = asyncio.run(constant_rate(shop.server.port, shop.request, share * capacity, seconds, CONNECTIONS))
        head = f"{shop.name:>12} {capacity:>9,.0f} {each_us:>7.0f}" if share == SHARES[0] else " " * 30
        promise = ""
        if share == 0.5 and shop.name in LIMITS_MS:
            promise = "  asked: " + ", ".join("-" if each is None else str(each) for each in LIMITS_MS[shop.name])
        print(f"{head} {share:>5.0%} {percentiles(load)} {lacking(load):>8} {load.late_ms:>8.1f}{promise}", flush=True)


def beside(few: Shop, many: Shop) -> None:
    """Print what a decision by many rules costs beside one by few."""
    spent: dict[str, list[float]] = {few.name: [], many.name: []}
    for turn in range(TURNS + 1):
        for shop in (few, many) if turn % 2 else (many, few):
            cpu = shop.server.cpu_ms()
            load = asyncio.run(closed_loop(shop.server.port, shop.request, TURN_S, CAPACITY_CONNECTIONS))
            time.sleep(0.1)  # what is written behind the answers counts
            if turn:  # the first warms up
                spent[shop.name].append(1000 * (shop.server.cpu_ms() - cpu) / len(load.replies))
    least = [min(spent[shop.name]) for shop in (many, few)]
    middle = [statistics.median(spent[shop.name]) for shop in (many, few)]
    print(
        f"CPU of a decision by {many.name} beside {few.name}: {least[0]:.0f} and {least[1]:.0f} us, least of {TURNS} turns: "
        f"{least[0] / least[1]:.2f} times; medians {middle[0] / middle[1]:.2f} times (asked: 1.3 for 1,000 beside 100)"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rules", type=int, default=100)
    parser.add_argument("--many", type=int, default=1_000, help="rules beside those, %(default)s by default")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each constant rate, %(default)s by default")
    parser.add_argument("--redis", default="", metavar="URL", help="state in this Redis (emptied by nobody)")
    parser.add_argument("--sqlite", action="store_true", help="state in SQLite files")
    options = parser.parse_args()
    model = trained()
    with tempfile.TemporaryDirectory(prefix="salience-bench-") as name:
        folder = Path(name)
        print(
            f"latency in ms from the moment of sending at shares of the capacity; {options.rules} rules, 2 placements, sessions of "
            f"{EVENTS} events, state in {'SQLite files' if options.sqlite else 'Redis'}; {'compiled' if IS_COMPILED else 'in Python'}, "
            f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
        )
        print(
            f"{'':>12} {'answers/s':>9} {'CPU us':>7} {'rate':>5} {'p50':>8} {'p99':>8} {'p99.9':>8} {'lacking':>8} {'late':>8}"
        )
        for shop_name, asked in (("plain", None), ("with a score", model)):
            with (
                redis_of(options.redis, options.sqlite) as redis,
                serving(folder / shop_name, shop_name, options.rules, redis, asked) as shop,
            ):
                at_rates(shop, options.seconds)
        with ExitStack() as stack:
            shops = []
            for place, rules in (("few", options.rules), ("many", options.many)):
                redis = stack.enter_context(redis_of(options.redis, options.sqlite))
                shop_name = f"{rules:,} rules"
                shops.append(stack.enter_context(serving(folder / place, shop_name, rules, redis, None)))
            beside(*shops)


if __name__ == "__main__":
    main()
