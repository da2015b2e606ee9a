"""The expected firings of the shop workload, computed from scratch at every step.

Slow on purpose: nothing is kept between two events of a session but its history and the truth of each rule.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Event = dict[str, Any]


@dataclass(frozen=True)
class Windows:
    """Lengths in ms."""

    checkout: int
    purchase: int
    view: int


@dataclass(frozen=True)
class Rule:
    """A rule of the workload; totals in cents."""

    id: str
    tier: str
    total_over: int
    category: str
    min_views: int


def load_rules(path: Path, limit: int | None = None) -> tuple[Windows, list[Rule]]:
    """The windows and the first `limit` rules."""
    document = json.loads(path.read_text(encoding="utf-8"))
    return Windows(**document["windows_ms"]), [Rule(**rule) for rule in document["rules"][:limit]]


def load_events(path: Path, limit: int | None = None) -> list[Event]:
    """The first `limit` events."""
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for _, line in zip(range(limit or 2**62), lines, strict=False)]


def true_rules(rules: Iterable[Rule], windows: Windows, history: list[Event], now: int) -> set[str]:
    """The ids of the rules whose condition holds for one session at the time `now`."""
    tier: str | None = None
    total = 0
    checkout = purchase = False
    views: dict[str, int] = {}
    for event in history:
        kind, age = event["type"], now - event["ts"]
        if kind == "identify":
            tier = event["tier"]
        elif kind == "cart_add":
            total += event["price"]
        elif kind == "cart_remove":
            total -= event["price"]
        elif kind == "checkout_view" and age < windows.checkout:
            checkout = True
        elif kind == "purchase" and age < windows.purchase:
            purchase = True
        elif kind == "product_view" and age < windows.view:
            views[event["category"]] = views.get(event["category"], 0) + 1
    return {
        rule.id
        for rule in rules
        if total > rule.total_over
        and checkout
        and not purchase
        and tier == rule.tier
        and views.get(rule.category, 0) >= rule.min_views
    }


def expiries(windows: Windows, history: list[Event], after: int, before: int) -> list[int]:
    """The times strictly between `after` and `before` at which an event of `history` leaves its window."""
    lengths = {"checkout_view": windows.checkout, "purchase": windows.purchase, "product_view": windows.view}
    times = {event["ts"] + lengths[event["type"]] for event in history if event["type"] in lengths}
    return sorted(time for time in times if after < time < before)


def firings(
    rules: list[Rule], windows: Windows, events: Iterable[Event], *, exact: bool
) -> Iterator[tuple[str, int, str, str]]:
    """Yield (seq or '-', time, session, rule id) for each rule that turns from false to true.

    Between two events of a session, the condition is looked at when something expires if `exact`, else not at all.
    """
    histories: dict[str, list[Event]] = {}
    before: dict[str, set[str]] = {}

    def turned_true(sid: str, now: int) -> Iterator[str]:
        after = true_rules(rules, windows, histories[sid], now)
        yield from (rule.id for rule in rules if rule.id in after - before.get(sid, set()))
        before[sid] = after

    for event in events:
        sid, now = event["sid"], event["ts"]
        history = histories.setdefault(sid, [])
        if exact and history:
            for time in expiries(windows, history, history[-1]["ts"], now):
                yield from (("-", time, sid, rule) for rule in turned_true(sid, time))
        history.append(event)
        yield from ((str(event["seq"]), now, sid, rule) for rule in turned_true(sid, now))


def main() -> None:
    """Run as a program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="folder with events.jsonl and rules.json")
    parser.add_argument("--rules", type=int, help="use only the first N rules")
    parser.add_argument("--events", type=int, help="use only the first N events")
    parser.add_argument(
        "--clock", choices=["exact", "events"], default="exact", help="when conditions are looked at: README.md"
    )
    parser.add_argument("--out", type=Path, help="also write the firings here, one a line")
    options = parser.parse_args()
    windows, rules = load_rules(options.folder / "rules.json", options.rules)
    events = load_events(options.folder / "events.jsonl", options.events)
    exact = options.clock == "exact"
    found = list(firings(rules, windows, events, exact=exact))
    if exact:  # by time, then session; steps of one session keep their order
        found.sort(key=lambda firing: firing[1:3])
    text = "".join(f"{time} {sid} {rule}\n" if exact else f"{seq} {rule}\n" for seq, time, sid, rule in found)
    if options.out:
        options.out.write_text(text, encoding="utf-8")
    digest = hashlib.sha256(text.encode()).hexdigest()
    print(f"rules {len(rules)} events {len(events)} firings {text.count(chr(10))} sha256 {digest}")


if __name__ == "__main__":
    main()
