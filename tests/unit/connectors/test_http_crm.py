"""A CRM behind HTTP: answers in time, retries within a budget, a circuit, and nothing that it sends can hurt."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing

import pytest

from connectors import http_crm
from connectors.http_crm import HttpCrm
from engine.ports import PortError
from service.api.breaker import Breaker, Circuit
from service.crm import AGAIN_MS, CrmFacts
from tests.unit.connectors.crm_server import CrmServer
from tests.unit.service.small_shop import Clock
from tests.unit.service.worker.bench import Bench

PATIENT_MS = 20_000


@pytest.fixture
def server() -> Iterator[CrmServer]:
    with CrmServer() as made:
        made.customers = {"c1": {"customer.tier": "gold"}, "c/2 ü": {"customer.tier": "silver"}}
        yield made


class Time:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def asking(server: CrmServer, deadline_ms: int = PATIENT_MS, token: str = "") -> tuple[HttpCrm, Breaker, Time]:
    time = Time()
    circuit = Breaker("the CRM", time, draw=lambda: 0.0)
    return HttpCrm(server.url, circuit, token=token, deadline_ms=deadline_ms), circuit, time


def test_facts_of_several_customers_are_fetched_at_once(server: CrmServer) -> None:
    crm, _, _ = asking(server, token="secret")
    with closing(crm):
        found = crm.fetch(["c1", "c/2 ü", "unknown"])
        assert {each: json.loads(facts) for each, facts in found.items()} == {**server.customers, "unknown": {}}
        assert crm.fetch([]) == {}
    assert {header for _, header in server.asked} == {"Bearer secret"}


def test_a_failure_is_tried_again_once(server: CrmServer) -> None:
    crm, _, _ = asking(server)
    with closing(crm):
        server.fails = 1
        assert crm.fetch(["c1"])
        assert len(server.asked) == 2
        server.fails = 2
        with pytest.raises(PortError, match="it answers 503"):
            crm.fetch(["c1"])
        assert len(server.asked) == 4


def test_retries_end_with_their_budget(server: CrmServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_crm, "RETRIES_AT_FIRST", 2.0)
    circuit = Breaker("the CRM", Time(), failures=1_000, draw=lambda: 0.0)
    with closing(HttpCrm(server.url, circuit, deadline_ms=PATIENT_MS)) as crm:
        server.fails = 1_000
        for _ in range(20):
            with pytest.raises(PortError):
                crm.fetch(["c1"])
    assert len(server.asked) <= 20 + 2 + 20 * http_crm.RETRY_SHARE + 1


def test_who_has_no_answer_in_time_is_left_out(server: CrmServer) -> None:
    crm, circuit, _ = asking(server, deadline_ms=50)
    with closing(crm):
        server.delay_s = 0.5
        with pytest.raises(PortError, match=r"did not answer in time|timed out"):
            crm.fetch(["c1"])
        assert circuit.circuit is Circuit.CLOSED


def test_an_open_circuit_asks_nobody_until_a_probe_succeeds(server: CrmServer) -> None:
    crm, circuit, time = asking(server)
    with closing(crm):
        server.fails = 100
        for _ in range(3):
            with pytest.raises(PortError):
                crm.fetch(["c1"])
        asked = len(server.asked)
        with pytest.raises(PortError, match="is not asked for a moment"):
            crm.fetch(["c1"])
        assert len(server.asked) == asked
        server.fails = 0
        time.now += 1
        assert crm.fetch(["c1"])
        assert circuit.circuit is Circuit.CLOSED


@pytest.mark.parametrize(
    ("status", "raw", "reason"),
    [
        (302, None, "it answers 302"),
        (200, b"[1]", "something else than a JSON object"),
        (200, b"\xff", "something else than a JSON object"),
        (200, b"{" + b" " * http_crm.LARGEST + b"}", "more than 65536 bytes"),
    ],
)
def test_what_is_no_answer_is_a_failure(server: CrmServer, status: int, raw: bytes | None, reason: str) -> None:
    crm, _, _ = asking(server)
    with closing(crm):
        server.fails, server.status, server.raw = (9 if status != 200 else 0), status, raw
        with pytest.raises(PortError, match=reason):
            crm.fetch(["c1"])


def test_a_crm_that_is_not_there_is_a_sentence() -> None:
    with (
        closing(HttpCrm("http://127.0.0.1:1", Breaker("the CRM", Time()), deadline_ms=PATIENT_MS)) as crm,
        pytest.raises(PortError, match=r"the CRM at 127\.0\.0\.1:1: .*refused"),
    ):
        crm.fetch(["c1"])
    with pytest.raises(PortError, match="must be like https"):
        HttpCrm("file:///etc/passwd", Breaker("the CRM", Time()))


def test_what_it_says_completes_profiles_and_is_asked_for_again_when_it_is_old(server: CrmServer, tmp_path) -> None:
    crm, _, time = asking(server)
    clock = Clock(0)
    with closing(Bench(tmp_path)) as bench, closing(CrmFacts(bench.profiles, crm, age_ms=60_000, clock=clock)) as facts:
        bench.profiles.put({"c1": b'{"customer.age": 40, "customer.tier": "none"}'})
        assert json.loads(facts.get(["c1"])["c1"]) == {"customer.age": 40, "customer.tier": "gold"}
        assert json.loads(facts.get(["nobody"])["nobody"]) == {}
        assert json.loads(bench.profiles.get(["c1"])["c1"])["customer.tier"] == "gold", "decisions find it, too"
        server.customers["c1"] = {"customer.tier": "silver"}
        clock.now += 59_999
        assert b"gold" in facts.get(["c1"])["c1"]
        clock.now += 1
        assert b"silver" in facts.get(["c1"])["c1"]
        assert facts.counts() == {"crm_asked": 3, "crm_unanswered": 0, "crm_withheld": 0}

        server.fails = 100
        clock.now += 60_000
        assert b"silver" in facts.get(["c1"])["c1"], "what is stored counts while it is gone"
        assert facts.get(["c9"]) == {}, "else nothing is known"
        assert "503" in facts.problem
        assert facts.counts()["crm_unanswered"] == 2
        server.fails = 0
        server.customers["c9"] = {"customer.tier": "gold"}
        clock.now += AGAIN_MS
        time.now += 10
        assert b"gold" in facts.get(["c9"])["c9"]
        assert facts.problem == ""


def test_who_was_forgotten_is_not_brought_back_not_even_by_an_answer_that_was_on_its_way(
    server: CrmServer, tmp_path
) -> None:
    crm, _, _ = asking(server)
    clock = Clock(0)
    with closing(Bench(tmp_path)) as bench, closing(CrmFacts(bench.profiles, crm, age_ms=60_000, clock=clock)) as facts:
        fetch = crm.fetch

        def forgotten_meanwhile(customers: Sequence[str]) -> Mapping[str, bytes]:
            answers = fetch(customers)
            bench.profiles.forget(["c1"])
            return answers

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(crm, "fetch", forgotten_meanwhile)
            assert facts.get(["c1"]) == {}
        clock.now += 60_000
        assert facts.get(["c1"]) == {"c1": b"{}"}
        assert bench.profiles.get(["c1"]) == {"c1": b"{}"}
        assert facts.counts()["crm_withheld"] == 2
        facts.put({"c1": b"{}"})
        clock.now += 60_000
        assert b"gold" in facts.get(["c1"])["c1"], "the shop says that they are back"
