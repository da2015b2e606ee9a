"""A whole worker whose customers a CRM knows: with it, without it, with a slow one, and with it again."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from engine.event import RawEvent
from engine.ports import NewRecord, OutputKind
from service.control import Control
from service.settings import load
from service.wiring import Wiring
from service.worker.process import WorkerProcess
from tests.unit.connectors.crm_server import CrmServer
from tests.unit.service.small_shop import RULES, sources
from tests.unit.service.worker.bench import until

NOON = 1_700_000_000_000
DEADLINE_MS = 300

GOLD = """\
  - rule: gold
    when:
      all:
        - {event: seen, within: 1 second}
        - {fact: customer.tier, is: gold}
    then: [{trigger: gold, payload: {}}]
  - rule: unknown
    when:
      all:
        - {event: seen, within: 1 second}
        - {fact: customer.tier, exists: false}
    then: [{trigger: unknown, payload: {}}]
tests:
"""


class Shop:
    """A worker of an embedded installation, in a thread, and the CRM that it asks."""

    def __init__(self, folder: Path, crm: CrmServer) -> None:
        flags = [
            f"data_dir={folder}", "kafka.partitions=1", f"crm.url={crm.url}", f"crm.deadline_ms={DEADLINE_MS}",
            "crm.max_age_ms=1", "worker.idle_ms=3600000",
        ]  # fmt: skip
        settings = load(environ={}, flags=flags, folder=folder).settings
        self.crm = crm
        self.wiring = Wiring(settings)
        self.wiring.publisher().publish(sources(greeting=RULES.replace("tests:\n", GOLD)), "anna", "")
        self.process = WorkerProcess(settings, watch=False)
        self._thread = threading.Thread(target=self.process.run)
        self._thread.start()
        self._number = 0

    def visit(self, customer: str) -> tuple[str, float]:
        """A new session of a customer: what the rules know of the tier, and after how many seconds that was out."""
        self._number += 1
        name = f"s{self._number}"
        event = RawEvent("seen", name, f"e{self._number}", NOON + self._number * 1000, customer, {"product": "p"})
        log = self.wiring.event_log()
        began = time.monotonic()
        log.append([NewRecord(name, msgspec.json.encode(event))], lambda _: None)
        log.flush(10_000)
        until(lambda: self._told(name) is not None, lambda: time.sleep(0.01))
        took, told = time.monotonic() - began, self._told(name)
        assert told is not None
        return told, took

    def _told(self, session: str) -> str | None:
        found = [each for each in self.wiring.outputs().read(OutputKind.TRIGGER, 1_000) if each.key == session]
        return msgspec.json.decode(found[0].value)["trigger"] if found else None

    def counts(self) -> dict[str, int]:
        """As the worker's heartbeat last said."""
        reports = Control(self.wiring.tables()).processes(time.time_ns() // 1_000_000)
        return next((dict(each.counts) for each in reports if each.role == "worker"), {})

    def close(self) -> None:
        self.process.stop()
        self._thread.join(30)
        self.wiring.close()


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with CrmServer() as crm:
        crm.customers = {f"c{n}": {"customer.tier": "gold"} for n in range(500)}
        made = Shop(tmp_path, crm)
        yield made
        made.close()


def test_a_crm_that_goes_slows_down_and_comes_back_stops_nothing_and_is_known_of_again(shop: Shop) -> None:
    fresh = (f"c{number}" for number in range(100, 500))  # others: a worker knows for 30 s what it knows of a customer
    assert shop.visit("c0")[0] == "gold"
    assert shop.visit("stranger")[0] == "unknown", "404: it is known that nothing is known"

    shop.crm.fails = 1_000_000
    assert shop.visit("c1")[0] == "unknown"
    assert shop.visit("c0")[0] == "gold", "what it said before counts"
    until(lambda: shop.counts().get("crm_unanswered", 0) >= 1, lambda: time.sleep(0.05))
    asked = len(shop.crm.asked)
    for number in range(2, 8):
        assert shop.visit(f"c{number}")[0] == "unknown"
    assert len(shop.crm.asked) - asked < 6 * 2, "the circuit opens: it is not asked each time, twice over"

    shop.crm.fails = 0
    until(lambda: shop.visit(next(fresh))[0] == "gold", lambda: time.sleep(0.2))

    shop.crm.delay_s = 3 * DEADLINE_MS / 1000
    told, took = shop.visit("c20")
    assert told == "unknown"
    assert took < shop.crm.delay_s + 2, "a batch waits for the deadline, not for the CRM"
    shop.crm.delay_s = 0.0
    until(lambda: shop.visit(next(fresh))[0] == "gold", lambda: time.sleep(0.2))

    counts = shop.counts()
    assert (counts["rewinds"], counts["lost"], counts["dead"]) == (0, 0, 0)


def test_who_was_forgotten_is_unknown_to_the_rules_though_the_crm_knows_them(shop: Shop) -> None:
    assert shop.visit("c0")[0] == "gold"
    shop.wiring.profiles().forget(["c0", "c1"])
    assert shop.visit("c1")[0] == "unknown"
    until(lambda: shop.counts().get("crm_withheld", 0) >= 1, lambda: time.sleep(0.05))
    assert shop.wiring.profiles().get(["c1"]) == {"c1": b"{}"}
