"""Caps and budgets under 64 clients while processes and Redis are killed: never more than they allow."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

import msgspec

from benchmarks.decide_http import http_request
from benchmarks.open_loop import HOST, ask, leave
from tests.faults.api.asking import children_of, decide, port_of, ruleset
from tests.faults.scenarios import Bounds, Row
from tests.integration.api.running import Running
from tools.redis_server import RedisServer, RedisServerError

CLIENTS = 64
CUSTOMERS = 150
PER_CUSTOMER = 3
COST = 10
PAUSE_S = 1.5
"""Between two kills: so that something happens between them."""

VOCABULARY = """
currency: EUR
session: {timeout: 30 minutes}
events:
  seen: {product: text}
facts:
  context.page: {choice: [cart, home], from: request}
placements:
  counted: {slots: 1, fallback: plain}
  costly: {slots: 1, fallback: plain}
"""
OFFERS = f"""
offers:
  plain: {{content: {{title: As always}}}}
  gift: {{content: {{title: A gift}}}}
  voucher: {{content: {{title: A voucher}}, cost: {COST}}}
"""
RULES = """
ruleset: limited
owner: tests
rules:
  - rule: counted
    when: {{fact: context.page, is: cart}}
    then: [{{offer: gift, placement: counted}}]
    limits: {{per_customer: {per_customer} per day, total: {total} per day}}
  - rule: costly
    when: {{fact: context.page, is: cart}}
    then: [{{offer: voucher, placement: costly}}]
    limits: {{budget: {budget}}}
"""


class Shown:
    """What clients were told: each token is one act, however often it is shown."""

    def __init__(self) -> None:
        self.tokens: dict[str, set[str]] = defaultdict(set)
        self.of_customer: dict[str, set[str]] = defaultdict(set)
        self.statuses: Counter[int] = Counter()
        self.confirmed: set[str] = set()

    def take(self, customer: str, raw: bytes) -> tuple[str, dict[str, list[str]]]:
        """Note a decision; its id, and the tokens by placement."""
        made = msgspec.json.decode(raw)
        tokens: dict[str, list[str]] = {}
        for placed in made["placements"]:
            for offer in placed["offers"]:
                if (token := offer.get("token")) is not None:
                    tokens.setdefault(placed["placement"], []).append(token)
                    self.tokens[placed["placement"]].add(token)
                    if placed["placement"] == "counted":
                        self.of_customer[customer].add(token)
        return made["decision_id"], tokens


def limits(folder: Path, seed: int, bounds: Bounds) -> Iterable[Row]:
    """64 clients decide and expose; processes of the API get SIGKILL in turn, now and then Redis does."""
    chance = random.Random(seed)
    seconds = max(6.0, min(bounds.seconds, bounds.faults * PAUSE_S))
    total, budget = int(30 * seconds), int(30 * seconds) * COST
    rules = RULES.format(per_customer=PER_CUSTOMER, total=min(total, CUSTOMERS * PER_CUSTOMER * 3 // 4), budget=budget)
    files = {"vocabulary.yaml": VOCABULARY, "offers.yaml": OFFERS, "limited.yaml": rules}
    total = min(total, CUSTOMERS * PER_CUSTOMER * 3 // 4)
    done: Counter[str] = Counter()
    shown = Shown()
    always = {"appendonly": "yes", "appendfsync": "always"}
    with RedisServer(folder / "redis", settings=always) as redis:
        settings = {"redis.url": redis.url, "api.workers": 2, "log.level": "error", "api.deadline_ms": 2_000}
        with Running(folder / "api", settings, ruleset(folder / "rules", files)) as running:
            over = threading.Event()
            clients = threading.Thread(target=lambda: asyncio.run(_all_clients(running, shown, over, seed)))
            clients.start()
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                time.sleep(PAUSE_S)
                if chance.random() < 0.25:
                    redis.kill()
                    _start_again(redis)
                    done["Redis killed"] += 1
                else:
                    processes = children_of(running)
                    if processes:
                        os.kill(chance.choice(processes), signal.SIGKILL)
                        done["process killed"] += 1
            over.set()
            clients.join()
    yield _row(shown, done, total, budget)


def _start_again(redis: RedisServer) -> None:
    for attempt in range(5):
        try:
            redis.start()
        except RedisServerError:
            if attempt == 4:
                raise
        else:
            return


async def _all_clients(running: Running, shown: Shown, over: threading.Event, seed: int) -> None:
    await asyncio.gather(*(_client(running, shown, over, random.Random(f"{seed}/{n}"), n) for n in range(CLIENTS)))


async def _client(running: Running, shown: Shown, over: threading.Event, chance: random.Random, number: int) -> None:
    """Visits of random customers, one after the other; half of what is shown is really seen."""
    port, visits = port_of(running), 0
    while not over.is_set():
        writer: asyncio.StreamWriter | None = None
        try:
            reader, writer = await asyncio.open_connection(HOST, port)
            while not over.is_set():
                visits += 1
                session, customer = f"v{number}-{visits}", f"c{chance.randrange(CUSTOMERS)}"
                for _ in range(2):  # the same act again, perhaps by another process: it takes nothing
                    context = {"context.page": "cart"}
                    asked = decide(
                        running.server_key, session, "counted", "costly", customer_id=customer, context=context
                    )
                    async with asyncio.timeout(5):
                        status, raw = await ask(reader, writer, asked)
                    shown.statuses[status] += 1
                    if status != 200:
                        await asyncio.sleep(0.05)
                        continue
                    decision_id, tokens = shown.take(customer, raw)
                if status == 200 and tokens and chance.random() < 0.5:
                    exposed = {"decision_id": decision_id, "session_id": session, "placements": tokens}
                    request = http_request("/v1/exposures", running.server_key, msgspec.json.encode(exposed))
                    async with asyncio.timeout(5):
                        status, raw = await ask(reader, writer, request)
                    if status == 200:
                        kept = msgspec.json.decode(raw)["confirmed"]
                        shown.confirmed |= {token for token, held in kept.items() if held}
        except (OSError, EOFError, TimeoutError):
            shown.statuses[0] += 1
            await asyncio.sleep(0.05)
        finally:
            await leave(writer)


def _row(shown: Shown, done: Counter[str], total: int, budget: int) -> Row:
    counted, spent = len(shown.tokens["counted"]), len(shown.tokens["costly"]) * COST
    most = max((len(tokens) for tokens in shown.of_customer.values()), default=0)
    oversold = max(0, counted - total) + max(0, spent - budget) // COST + max(0, most - PER_CUSTOMER)
    held = f"{total - counted} and {(budget - spent) // COST} acts held by who died, given back late"
    figure = (
        f"{oversold} oversold: {counted} of {total} acts, {spent:,} of {budget:,} of the budget, {most} of {PER_CUSTOMER} for a customer at most; "
        f"{len(shown.confirmed)} exposed; {held}; {shown.statuses[200]:,} decisions, {shown.statuses[0]} connections lost"
    )
    faults = f"{CLIENTS} clients, " + ", ".join(f"{count} x {name}" for name, count in sorted(done.items()))
    return Row("limits", "caps and budgets are never oversold", faults, figure, not oversold and counted > 0 < spent)
