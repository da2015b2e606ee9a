"""A small shop for the network's tests: a vocabulary in the rule language, and short words for what happens in it."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

from engine.activation import Activation, FactReader, ScoreAnswer, ScoreFunction, ScoreStatus, Step
from engine.event import Event
from engine.language import check, render
from engine.language.tree import Program
from engine.rete import Memory, Network, View
from engine.values import EpochMs, Value

SECOND, MINUTE, DAY = 1_000, 60_000, 86_400_000
START = 1_700_000_000_000

VOCABULARY = """
currency: EUR
session: {timeout: 30 minutes, keep_events: KEEP}
events:
  viewed: {category: text, price: money}
  added: {category: text, price: money, quantity: integer, weight: number}
  removed: {price: money}
  checkout: {}
  purchase: {total: money}
facts:
  customer.tier: {choice: [silver, gold], from: profile}
  customer.last_order: {type: timestamp, from: profile}
  context.page: {type: text, from: request}
  product.stock: {type: integer, from: catalogue, by: category}
  shopper.keen: {type: boolean, from: rules}
  shopper.lost: {type: boolean, from: rules}
  shopper.level: {type: integer, from: rules}
features:
  cart.value: {sum: added.price, minus: removed.price, since: purchase}
  views.recent: {count: viewed, within: 10 minutes}
scores:
  intent: {model: intent, within: 20 ms}
placements: {}
"""


def program(rules: str, keep_events: int = 500) -> Program:
    """A checked program of these rules (a YAML list); their triggers are added where they do nothing."""
    lines = textwrap.indent(textwrap.dedent(rules).strip(), "  ")
    sources = {
        "vocabulary.yaml": VOCABULARY.replace("KEEP", str(keep_events)),
        "shop.yaml": f"ruleset: shop\nowner: tests\nrules:\n{lines}\n",
    }
    checked = check(sources)
    assert checked.program is not None, render(checked.diagnostics, sources)
    return checked.program


class Session:
    """A session in a network of some rules; times are milliseconds after `START`."""

    def __init__(self, rules: str | Program, keep_events: int = 500) -> None:
        self.program = program(rules, keep_events) if isinstance(rules, str) else rules
        self.network = Network.build(self.program, "first")
        self.memory: Memory = self.network.open("s")
        self.answers: dict[str, float | ScoreStatus] = {}
        self.asked = 0

    def score(self, name: str, reader: FactReader) -> ScoreAnswer:
        self.asked += 1
        answer = self.answers.get(name, ScoreStatus.MISSING)
        return ScoreAnswer(answer) if isinstance(answer, ScoreStatus) else ScoreAnswer(ScoreStatus.OK, answer, "v1")

    def happens(self, at: int, kind: str, **attributes: Value) -> list[str]:
        """An event; returns what acted as `rule@time`."""
        return told(self.network.insert(self.memory, self.event(at, kind, **attributes), self.scoring))

    def event(self, at: int, kind: str, **attributes: Value) -> Event:
        return Event(str(at), kind, "s", START + at, None, attributes)

    def learns(self, at: int, facts: Mapping[str, Value | None]) -> list[str]:
        return told(self.network.set_facts(self.memory, facts, START + at, self.scoring))

    def waits(self, until: int) -> list[str]:
        return told(self.network.advance(self.memory, START + until, self.scoring))

    def looks(self, at: int, **context: Value) -> View:
        facts = {name.replace("_", "."): value for name, value in context.items()}
        return self.network.view(self.memory, START + at, facts, self.scoring)

    def holds(self, at: int, **context: Value) -> list[str]:
        return [rule.name for rule in self.looks(at, **context).holding()]

    def restored(self, rules: str | None = None, bundle: str = "second", *, known: bool = True) -> None:
        """Store the session and read it again, into the network of other rules where some are given."""
        raw = self.network.snapshot(self.memory)
        if rules is not None:
            ancestry = {self.network.bundle_hash: self.network.rule_digests} if known else {}
            self.program = program(rules)
            self.network = Network.build(self.program, bundle, ancestry)
        self.memory = self.network.restore(raw)

    def due(self) -> EpochMs | None:
        moment = self.network.due(self.memory)
        return None if moment is None else moment - START

    @property
    def scoring(self) -> ScoreFunction:
        return self.score


def told(step: Step) -> list[str]:
    """Activations as `rule@milliseconds`, with what held one back."""
    assert not step.failures, step.failures
    return [_told(each) for each in step.activations]


def _told(each: Activation) -> str:
    text = f"{each.rule.rpartition('.')[2]}@{each.time - START}"
    return text if each.acts else f"{text} ({each.held_back})"
