"""A small shop whose every store the test holds in its hand: slow, full, gone or well, as the test wants."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec
import numpy as np

from config.schema import ApiSettings
from engine.activation import ScoreAnswer, ScoreStatus
from engine.bundle import Bundle, Revision
from engine.event import Event
from engine.language import check, render
from engine.ports import SessionState, SessionView
from engine.rete import Network
from service.api.accepted import Accepted
from service.api.admission import Admission
from service.api.app import Application
from service.api.batcher import Batcher
from service.api.breaker import Breaker
from service.api.evaluated import Evaluations
from service.api.forced_rules import ForcedRules
from service.api.metrics import Metrics
from service.api.recorder import Recorder
from service.api.rules import LiveRules
from service.api.services import Services
from service.api.stale import Lately
from service.keys import KeyKind, KeyRing, Scope, create
from service.loading import Loaded
from tests.unit.service.api.fakes import Decisions, FakeLog, FakeState, MemoryTables, Profiles

NOW = 1_795_000_000_000
ORIGIN = "https://shop.example"
PREVIEW_SECRET = b"preview secret of the tests"

VOCABULARY = """
currency: EUR
session: {timeout: 30 minutes}
events:
  cart_added: {product_id: text, price: money}
  checkout_viewed: {}
  purchase: {}
facts:
  customer.tier: {choice: [silver, gold], from: profile}
  customer.age: {type: integer, from: profile}
  context.page: {type: text, from: request}
features:
  cart.value: {sum: cart_added.price, since: purchase}
scores:
  intent: {model: intent, within: 50 ms}
placements:
  banner: {slots: 1, fallback: standard}
  hero: {slots: 1, fallback: standard}
  teaser: {slots: 1, fallback: standard}
"""
OFFERS = """
offers:
  standard: {content: {title: As always}}
  shipping: {content: {title: "Your cart of {cart.value} travels free"}}
  golden: {content: {title: Gold}}
  hurry: {content: {title: Now}}
"""
RULES = """
ruleset: shop
owner: growth
rules:
  - rule: free_shipping
    when: {all: [{fact: cart.value, at_least: 200}, {event: checkout_viewed, within: 5 minutes}]}
    then: [{offer: shipping, placement: banner}]
    limits: {per_session: 1}
  - rule: golden
    when: {fact: customer.tier, is: gold}
    then: [{offer: golden, placement: hero}]
  - rule: hurry
    when: {all: [{fact: context.page, is: cart}, {score: intent, below: 0.4, if_unavailable: skip}]}
    then: [{offer: hurry, placement: teaser}]
"""
FOLDER = {"vocabulary.yaml": VOCABULARY, "offers.yaml": OFFERS, "shop.yaml": RULES}
WITHOUT_MODELS = FOLDER | {
    "vocabulary.yaml": VOCABULARY.replace("scores:\n  intent: {model: intent, within: 50 ms}\n", ""),
    "shop.yaml": RULES.split("  - rule: hurry", maxsplit=1)[0],
}
"""Nothing in it looks at the page."""


def loaded(number: int = 1, scorer: Any = None, sources: Mapping[str, str] = FOLDER) -> Loaded:
    """The shop as a process serves it."""
    checked = check(sources)
    assert checked.program is not None, render(checked.diagnostics, sources)
    bundle = Bundle(sources)
    network = Network.build(checked.program, bundle.hash)
    revision = Revision(number, bundle.hash, "test", NOW, "")
    served: Any = scorer or FakeScorer()
    return Loaded(revision, bundle, checked.program, network, served)


class FakeScorer:
    """A model whose answer the test sets."""

    def __init__(self) -> None:
        self.value: float | None = 0.2
        self.delay_s = 0.0
        self.batches: list[int] = []

    def read(self, score: str, reader: Callable[[str], Any]) -> Any:
        return np.asarray([reader("cart.value") or 0], dtype=np.float32)

    def ask(self, score: str, vectors: Sequence[Any]) -> list[ScoreAnswer]:
        self.batches.append(len(vectors))
        time.sleep(self.delay_s)
        if self.value is None:
            return [ScoreAnswer(ScoreStatus.ERROR)] * len(vectors)
        return [ScoreAnswer(ScoreStatus.OK, self.value, "v1")] * len(vectors)


class Holder:
    """What is live."""

    def __init__(self, current: Loaded | None) -> None:
        self.current = current
        self.problem = ""


SETTINGS = ApiSettings(
    host="127.0.0.1",
    port=0,
    workers=1,
    deadline_ms=200,
    cors_origins=(),
    max_body_bytes=100_000,
    max_batch_events=20,
    holdout_percent=0,
    max_in_flight=300,
    storefront_requests_per_s=0,
    server_requests_per_s=0,
    tls_certificate="",
    tls_key="",
    http2_cleartext=False,
    grpc_port=None,
)


class Shop:
    """The API over stores in memory, and clients with each kind of key."""

    def __init__(self, settings: ApiSettings = SETTINGS, current: Loaded | None = None, *, ruled: bool = True) -> None:
        self.settings = settings
        self.scorer = FakeScorer()
        self.asks_crm = False
        self.holder = Holder((current or loaded(scorer=self.scorer)) if ruled else None)
        self.log = FakeLog()
        self.state = FakeState()
        self.decisions = Decisions()
        self.tables = MemoryTables()
        self.ring = KeyRing(self.tables)
        _, self.server_key = create(self.tables, "server", KeyKind.SERVER, NOW)
        _, self.page_key = create(self.tables, "page", KeyKind.STOREFRONT, NOW, origins=[ORIGIN])
        _, self.events_key = create(self.tables, "events", KeyKind.SERVER, NOW, scopes=[Scope.EVENTS])
        self.ring.refresh()
        self.now = NOW
        self.lately: Lately[SessionView] = Lately()
        self.accepted = Accepted()
        self.evaluations = Evaluations()
        self.services: Services | None = None
        self.profile_log: Callable[[], Any] | None = None

    @property
    def rules(self) -> Loaded:
        assert self.holder.current is not None
        return self.holder.current

    def remember(self, session_id: str, *events: tuple[str, int, dict[str, Any]], customer: str | None = None) -> None:
        """Let the stream have seen events: (type, time, attributes)."""
        network = self.rules.network
        memory = network.open(session_id, customer)
        for number, (kind, at, attributes) in enumerate(events):
            network.insert(
                memory, Event(f"{session_id}-{number}", kind, session_id, at, customer, attributes), no_score
            )
        assert memory.clock is not None
        self.state.sessions[session_id] = SessionState(network.snapshot(memory), memory.clock, None, customer)

    def full_cart(self, session_id: str = "s1", customer: str | None = None) -> None:
        """A session for which free shipping holds for four minutes from `NOW`."""
        self.full_cart_at(NOW, session_id, customer)

    def full_cart_at(self, now: int, session_id: str = "s1", customer: str | None = None) -> None:
        """The same from another moment."""
        self.remember(
            session_id,
            ("cart_added", now - 120_000, {"product_id": "p1", "price": 24_800}),
            ("checkout_viewed", now - 60_000, {}),
            customer=customer,
        )

    async def open(self) -> tuple[Services, Callable[[], Any]]:
        metrics = Metrics()
        recorder = Recorder(self.decisions, self.decisions, metrics)  # type: ignore[arg-type]
        recorder.start()
        slow = ThreadPoolExecutor(2)
        clock = time.monotonic
        batcher = Batcher(Breaker("the models", clock))
        self.services = Services(
            settings=self.settings,
            admission=Admission(self.settings, clock),
            clock=lambda: self.now,
            rules=LiveRules(self.holder),
            events=self.log,
            state=self.state,
            decisions=self.decisions,
            profiles=Profiles(self.state),  # type: ignore[arg-type]
            keys=self.ring,
            recorder=recorder,
            batcher=batcher,
            state_breaker=Breaker("the state store", clock),
            limits_breaker=Breaker("the limit store", clock),
            log_breaker=Breaker("the event log", clock),
            lately=self.lately,
            accepted=self.accepted,
            evaluations=self.evaluations,
            metrics=metrics,
            slow=slow,
            salt="salt",
            preview_secret=PREVIEW_SECRET,
            forced_rules=ForcedRules(),
            score_ms=self.settings.deadline_ms // 4,
            asks_crm=self.asks_crm,
            profile_log=self.profile_log,
        )

        async def close() -> None:
            await recorder.stop()
            await batcher.close()
            slow.shutdown()

        return self.services, close

    @asynccontextmanager
    async def client(self, key: str | None = "server") -> AsyncIterator[httpx.AsyncClient]:
        """A client of the running application; `key` is server, page, events, the text of a key or None."""
        application = Application(self.open)
        await application.start()
        named = {"server": self.server_key, "page": self.page_key, "events": self.events_key}
        headers = {} if key is None else {"Authorization": f"Bearer {named.get(key, key)}"}
        try:
            async with httpx.AsyncClient(
                transport=httpx.ASGITransport(application, raise_app_exceptions=True),
                base_url="http://api.test",
                headers=headers,
            ) as client:
                yield client
        finally:
            await application.stop()

    def run(self, *calls: Callable[[httpx.AsyncClient], Any], key: str | None = "server") -> Any:
        """Make the calls one after the other; the last one's answer."""

        async def all_of_them() -> Any:
            answer = None
            async with self.client(key) as client:
                for call in calls:
                    answer = await call(client)
            return answer

        return asyncio.run(all_of_them())

    def post(self, path: str, body: object, key: str | None = "server", **more: Any) -> httpx.Response:
        """One POST of a JSON body (bytes as they are)."""
        content = body if isinstance(body, bytes) else msgspec.json.encode(body)
        headers = {"Content-Type": "application/json"} | more.pop("headers", {})
        answer = self.run(lambda client: client.post(path, content=content, headers=headers, **more), key=key)
        assert isinstance(answer, httpx.Response)
        return answer

    def get(self, path: str, key: str | None = "server", **more: Any) -> httpx.Response:
        """One GET."""
        answer = self.run(lambda client: client.get(path, **more), key=key)
        assert isinstance(answer, httpx.Response)
        return answer

    def decide(self, *placements: str, key: str | None = "server", session: str = "s1", **more: Any) -> dict[str, Any]:
        """A decision that must be answered with 200."""
        answer = self.post("/v1/decide", {"session_id": session, "placements": placements, **more}, key)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())


def no_score(name: str, reader: Any) -> ScoreAnswer:
    """No model in the stream of these tests."""
    return ScoreAnswer(ScoreStatus.MISSING)


def spot(answer: Mapping[str, Any], placement: str) -> dict[str, Any]:
    """The item of one placement."""
    (found,) = (each for each in answer["placements"] if each["placement"] == placement)
    return dict(found)
