"""A ruleset of a few lines, and the processes around it, for tests of publishing and of the worker."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from connectors.sqlite_tables import SqliteTables
from service.control import Control, ProcessReport
from service.publisher import Publisher
from service.ruleset_holder import RulesetHolder
from service.signing import Signing

VOCABULARY = """\
currency: EUR
session: {timeout: 30 minutes, keep_events: 100}
events:
  seen: {product: text, price: money}
  bought: {total: money}
facts:
  customer.tier: {choice: [silver, gold], from: profile}
features:
  views: {count: seen}
scores:
  intent: {model: intent, within: 20 ms}
placements:
  banner: {slots: 1, fallback: plain}
"""

OFFERS = """\
offers:
  plain: {content: {kind: banner, title: Hello}}
  nice: {content: {kind: banner, title: Nice}}
"""

RULES = """\
ruleset: greeting
owner: growth
rules:
  - rule: third
    when: {fact: views, at_least: 3}
    then:
      - {trigger: third, payload: {views: "{views}"}}
  - rule: waits
    when:
      all:
        - {event: seen, within: 20 minutes}
        - not: {event: seen, within: 5 minutes}
    then:
      - {trigger: waits, payload: {}}
  - rule: offer
    when: {fact: views, at_least: 2}
    then:
      - {offer: nice, placement: banner}
tests:
  - test: the third view is told
    events:
      - {at: 10:00:00, seen: {product: a}}
      - {at: 10:00:01, seen: {product: b}}
      - {at: 10:00:02, seen: {product: c}}
    expect:
      - {at: 10:00:02, trigger: third}
"""


def sources(**changed: str) -> dict[str, str]:
    """The files; `rules=...` and so on replace one."""
    files = {"vocabulary": VOCABULARY, "offers": OFFERS, "greeting": RULES} | changed
    return {f"{name}.yaml": text for name, text in files.items()}


def with_threshold(views: int) -> dict[str, str]:
    """The files with another number of views in the rule `offer`: a change that its tests let through."""
    return sources(greeting=RULES.replace("{fact: views, at_least: 2}", f"{{fact: views, at_least: {views}}}"))


class Registry:
    """Versions of models by name."""

    def __init__(self, **versions: str) -> None:
        self.versions: Mapping[str, str] = versions

    def latest(self, name: str) -> str | None:
        return self.versions.get(name)


class Clock:
    """Time that a test sets."""

    def __init__(self, now: int = 1_000_000) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += round(seconds * 1000)


class Installation:
    """Control tables on disk, a publisher and a clock."""

    def __init__(self, folder: Path, signing: Signing | None = None) -> None:
        self.folder = folder
        self.tables = SqliteTables(folder / "tables.db")
        self.clock = Clock()
        self.control = Control(self.tables)
        self.on_sleep = lambda: None
        self.signing = signing or Signing(folder, shared=False)
        registry = Registry(intent="v1")
        self.publisher = Publisher(self.tables, registry, self.signing, clock=self.clock, sleep=self._sleep)

    def holder(self, role: str = "worker", name: str | None = None) -> RulesetHolder:
        return RulesetHolder(
            self.tables,
            role=role,
            registry=self.folder / "models",
            data_dir=self.folder,
            signing=self.signing,
            name=name or role,
            clock=self.clock,
        )

    def beat(self, name: str, role: str = "worker") -> None:
        self.control.beat(ProcessReport(name, role, self.clock(), self.clock()))

    def close(self) -> None:
        self.tables.close()

    def _sleep(self, seconds: float) -> None:
        self.clock.sleep(seconds)
        self.on_sleep()
