"""The shop workload's rules in the rule language, and its events as the engine takes them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from engine.event import Event
from engine.language import check, render
from engine.language.tree import Program
from engine.values import Value

VOCABULARY = """\
currency: EUR
session: {{timeout: 30 minutes, keep_events: {keep}}}
events:
  product_view: {{category: text}}
  cart_add: {{category: text, price: money}}
  cart_remove: {{category: text, price: money}}
  checkout_view: {{}}
  purchase: {{}}
  identify: {{tier: text}}
  page_view: {{}}
facts: {{}}
features:
  cart.total: {{sum: cart_add.price, minus: cart_remove.price}}
  shopper.tier: {{last: identify.tier}}
placements: {{}}
"""
FILE = 500
"""Rules of one file; the language bounds its size. Later files have a lower priority, so that the order is kept."""
RULE = """\
  - rule: {id}
    priority: {priority}
    when:
      all:
        - {{fact: cart.total, above: {total}}}
        - {{event: checkout_view, within: {checkout}}}
{no_purchase}        - {{fact: shopper.tier, is: {tier}}}
        - {{count: product_view, where: {{category: {category}}}, within: {view}, at_least: {views}}}
    then:
      - trigger: {id}
"""


def sources(folder: Path, rules: int | None = None, keep_events: int = 500) -> dict[str, str]:
    """The first `rules` rules of a folder that the generator wrote, as files of the rule language."""
    document: Mapping[str, Any] = json.loads((folder / "rules.json").read_text(encoding="utf-8"))
    windows = {name: _duration(length) for name, length in document["windows_ms"].items()}
    # A window of no length holds no event, and the language refuses one: without a purchase window the condition always
    # holds, without one of the others no rule ever does.
    purchase = windows["purchase"] if document["windows_ms"]["purchase"] else None
    wanted = document["rules"][:rules] if document["windows_ms"]["checkout"] and document["windows_ms"]["view"] else []
    texts = [
        RULE.format(
            id=rule["id"],
            priority=-(number // FILE),
            total=f"{rule['total_over'] // 100}.{rule['total_over'] % 100:02d}",
            tier=json.dumps(
                rule["tier"], ensure_ascii=False
            ),  # quoted, whatever it is: `no` is none of YAML's truths here
            category=json.dumps(rule["category"], ensure_ascii=False),
            views=rule["min_views"],
            checkout=windows["checkout"],
            view=windows["view"],
            no_purchase=f"        - not: {{event: purchase, within: {purchase}}}\n" if purchase else "",
        )
        for number, rule in enumerate(wanted)
    ]
    files = {"vocabulary.yaml": VOCABULARY.format(keep=keep_events)}
    for number in range(0, len(texts), FILE):
        name = f"shop{number // FILE:03d}"
        files[f"{name}.yaml"] = f"ruleset: {name}\nowner: benchmark\nrules:\n" + "".join(texts[number : number + FILE])
    return files


def program(folder: Path, rules: int | None = None, keep_events: int = 500) -> Program:
    """The checked program. Raises `SystemExit` with all diagnostics where the language refuses it."""
    files = sources(folder, rules, keep_events)
    checked = check(files)
    if checked.program is None:
        raise SystemExit(render(checked.diagnostics, files))
    return checked.program


def _duration(length: int) -> str:
    return f"{length // 1000} seconds" if length % 1000 == 0 else f"{length} ms"


def lines(folder: Path, events: int | None = None) -> list[bytes]:
    """The raw lines of the stream."""
    with (folder / "events.jsonl").open("rb") as stream:
        return [line for line, _ in zip(stream, range(events or 2**62), strict=False)]


def events(raw: list[bytes]) -> Iterator[Event]:
    """The stream as admitted events."""
    kinds: dict[str, str] = {}
    for line in raw:
        read: dict[str, Any] = json.loads(line)
        attributes: dict[str, Value] = {name: read[name] for name in ("category", "price", "tier") if name in read}
        # The admission of events gives all of a type the vocabulary's own name of it.
        yield Event(
            str(read["seq"]), kinds.setdefault(read["type"], read["type"]), read["sid"], read["ts"], None, attributes
        )
