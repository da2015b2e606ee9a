"""Write the shop workload: a seeded event stream (JSON lines) and a rule file (JSON)."""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Event = dict[str, Any]

TYPES = (
    ("product_view", 0.55),
    ("cart_add", 0.15),
    ("checkout_view", 0.12),
    ("page_view", 0.06),
    ("cart_remove", 0.06),
    ("purchase", 0.03),
    ("identify", 0.03),
)


@dataclass(frozen=True)
class Params:
    """What a stream depends on: the seed, and how many of what."""

    seed: int
    sessions: int
    events: int
    rules: int
    categories: int
    tiers: tuple[str, ...]
    max_price: int
    price_step: int
    max_total: int
    max_views: int
    checkout_s: int
    purchase_s: int
    view_s: int
    epoch_ms: int


class Draws:
    """Random draws built on `Random.random` alone, whose sequence is stable across Python versions."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed).random

    def chance(self, p: float) -> bool:
        """True with probability `p`."""
        return self._random() < p

    def between(self, low: int, high: int) -> int:
        """An integer from low to high, both included."""
        return low + int(self._random() * (high - low + 1))

    def event_type(self) -> str:
        """One of `TYPES`, by weight."""
        u = self._random()
        for name, weight in TYPES:
            u -= weight
            if u < 0:
                return name
        return TYPES[-1][0]

    def gap_s(self, p: Params) -> int:
        """Seconds to the session's next event; whole seconds, so that window edges are hit exactly."""
        u = self._random()
        if u < 0.02:
            return 0
        if u < 0.04:
            return (p.checkout_s, p.view_s, p.purchase_s)[self.between(0, 2)]
        if u < 0.85:
            return self.between(1, 30)
        if u < 0.97:
            return self.between(31, 2 * p.checkout_s)
        return self.between(p.view_s, 2 * p.purchase_s)


def session_events(p: Params, index: int, count: int, draws: Draws) -> Iterator[Event]:
    """The events of one session, in order."""
    sid = f"s{index:05d}"
    favourites = [draws.between(0, p.categories - 1) for _ in range(3)]
    cart: list[tuple[str, int]] = []
    now_s = draws.between(0, 3600)
    for n in range(count):
        if n:
            now_s += draws.gap_s(p)
        kind = "identify" if n == 0 and draws.chance(0.8) else draws.event_type()
        if kind == "cart_remove" and not cart:
            kind = "page_view"
        event: Event = {"ts": p.epoch_ms + 1000 * now_s, "sid": sid, "type": kind}
        if kind == "identify":
            event["tier"] = p.tiers[draws.between(0, len(p.tiers) - 1)]
        elif kind in ("product_view", "cart_add"):
            favourite = draws.chance(0.7)
            number = favourites[draws.between(0, 2)] if favourite else draws.between(0, p.categories - 1)
            event["category"] = f"c{number}"
            if kind == "cart_add":
                price = p.price_step * draws.between(-(-100 // p.price_step), p.max_price // p.price_step)
                event["price"] = price
                cart.append((f"c{number}", price))
        elif kind == "cart_remove":
            event["category"], event["price"] = cart.pop(draws.between(0, len(cart) - 1))
        yield event


def events(p: Params) -> list[Event]:
    """The whole stream, numbered, in order of time."""
    draws = Draws(p.seed)
    base, extra = divmod(p.events, p.sessions)
    stream = [event for index in range(p.sessions) for event in session_events(p, index, base + (index < extra), draws)]
    stream.sort(key=lambda event: event["ts"])  # stable: equal times keep session and event order
    return [{"seq": seq, **event} for seq, event in enumerate(stream)]


def rules(p: Params) -> list[dict[str, Any]]:
    """The rules; for N of them, take the first N."""
    draws = Draws(p.seed + 1)
    return [
        {
            "id": f"r{n}",
            "tier": p.tiers[draws.between(0, len(p.tiers) - 1)],
            "total_over": 1000 * draws.between(1, p.max_total // 1000),
            "category": f"c{draws.between(0, p.categories - 1)}",
            "min_views": draws.between(1, p.max_views),
        }
        for n in range(p.rules)
    ]


def write(p: Params, out: Path) -> None:
    """Write `events.jsonl` and `rules.json` into a folder."""
    out.mkdir(parents=True, exist_ok=True)
    with (out / "events.jsonl").open("w", encoding="utf-8") as lines:
        for event in events(p):
            lines.write(json.dumps(event, separators=(",", ":")) + "\n")
    windows = {"checkout": 1000 * p.checkout_s, "purchase": 1000 * p.purchase_s, "view": 1000 * p.view_s}
    document = {"windows_ms": windows, "rules": rules(p)}
    (out / "rules.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Run as a program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="folder for events.jsonl and rules.json")
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--sessions", type=int, default=1000)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--rules", type=int, default=1000)
    parser.add_argument("--categories", type=int, default=20)
    parser.add_argument("--tiers", default="guest,silver,gold,platinum")
    parser.add_argument("--max-price", type=int, default=12_000, help="in cents")
    parser.add_argument("--price-step", type=int, default=1, help="prices are multiples of it, in cents")
    parser.add_argument("--max-total", type=int, default=150_000, help="highest cart threshold, in cents")
    parser.add_argument("--max-views", type=int, default=5)
    parser.add_argument("--checkout-s", type=int, default=300)
    parser.add_argument("--purchase-s", type=int, default=1800)
    parser.add_argument("--view-s", type=int, default=600)
    parser.add_argument("--epoch-ms", type=int, default=1_700_000_000_000)
    options = vars(parser.parse_args())
    out: Path = options.pop("out")
    options["tiers"] = tuple(str(options["tiers"]).split(","))
    write(Params(**options), out)


if __name__ == "__main__":
    main()
