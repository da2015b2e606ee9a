"""`salience.js` in a real Chromium, against the running API: from a page of another origin with a strict CSP."""

import http.server
import threading
import time

import httpx
import msgspec
import pytest

from engine.event import RawEvent
from service.api.health import snippet
from service.clock import wall_ms
from service.installation import preview_secret
from service.keys import KeyKind, Scope, create
from service.preview import ImaginedEvent, Preview, name_of, sign
from service.wiring import Wiring
from tests.integration.api.running import ROOT, Running

PAGE = b'<!doctype html><title>a shop</title><script src="/salience.js"></script><p id="banner">empty</p>'

START = """(options) => {
  window.salience = Salience.init(options);
  window.decisions = [];
  salience.onDecision((decision) => decisions.push(decision));
}"""
DECIDE = "(asked) => salience.decide(['cart_banner'], asked)"


class Page(http.server.BaseHTTPRequestHandler):
    """The shop's page and the snippet, with a policy that forbids everything else."""

    api = ""
    tutorial = b""

    def do_GET(self):
        body, kind = (snippet(), "text/javascript") if self.path == "/salience.js" else (PAGE, "text/html")
        if self.path == "/tutorial":
            body = self.tutorial
        self.send_response(200)
        self.send_header("Content-Type", kind)
        if self.path != "/tutorial":
            self.send_header(
                "Content-Security-Policy", f"default-src 'none'; script-src 'self'; connect-src {self.api}"
            )
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    # What these tests are about is not how fast a busy machine writes the log.
    with Running(tmp_path_factory.mktemp("snippet"), {"api.deadline_ms": 20_000}) as started:
        yield started


@pytest.fixture(scope="module")
def shop(running):
    """The origin of a page, and a key for it."""
    handler = type("ShopPage", (Page,), {"api": running.url})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        origin = f"http://127.0.0.1:{server.server_port}"
        with Wiring(running.settings) as wiring:
            scopes = [Scope.EVENTS, Scope.DECIDE, Scope.READ]
            _, key = create(wiring.tables(), "shop", KeyKind.STOREFRONT, wall_ms(), scopes=scopes, origins=[origin])
        until = time.monotonic() + 15
        body = {"session_id": "s", "placements": []}
        while (
            httpx.post(f"{running.url}/v1/decide?key={key}", json=body, headers={"Origin": origin}).status_code == 401
        ):
            assert time.monotonic() < until, "the API never heard of the new key"
            time.sleep(0.05)
        yield origin, key
        server.shutdown()
        thread.join()


def start(page, shop, running, **options):
    origin, key = shop
    page.goto(origin)
    page.evaluate(START, {"endpoint": running.url, "key": key, "timeoutMs": 20_000, **options})


def logged(running):
    """All events in the log."""
    with Wiring(running.settings) as wiring:
        source = wiring.event_source(f"look-{time.monotonic_ns()}")
        found: list[RawEvent] = []
        until = time.monotonic() + 15
        total = sum(source.ends().values())
        while len(found) < total and time.monotonic() < until:
            for records in source.poll(1000, 100).values():
                found += [msgspec.json.decode(record.value, type=RawEvent) for record in records]
        return found


def wait_for_event(page, running, event_id):
    until = time.monotonic() + 15
    while True:
        for event in logged(running):
            if event.id == event_id:
                return event
        assert time.monotonic() < until, f"event {event_id} never came to the log"
        page.wait_for_timeout(100)  # unlike a sleep, it lets Playwright tell what the page does


def test_the_page_of_the_tutorial_shows_tracks_and_falls_back(page, shop, running):
    origin, key = shop
    text = (ROOT / "docs" / "tutorial-storefront.md").read_text("utf-8")
    written = text.partition("```html\n")[2].partition("```")[0]
    Page.tutorial = written.replace("http://127.0.0.1:8081", running.url).replace("sal_public_...", key).encode()
    page.goto(f"{origin}/tutorial")
    page.wait_for_function("() => document.querySelector('#banner').textContent == 'Delivered in two to three days'")
    with page.expect_response("**/v1/decide**") as decided:
        page.click("#add")
    assert [each["verdict"] for each in decided.value.json()["events"]] == ["accepted"]
    page.route("**/v1/**", lambda route: route.abort())
    page.reload()
    page.wait_for_function("() => document.querySelector('#banner').textContent == 'Welcome'")


def test_events_that_ride_along_are_in_the_decision_and_in_the_log_once(page, shop, running):
    start(page, shop, running, customerId="c9")
    requests = []
    page.on("request", lambda request: requests.append((request.method, request.url.split("?")[0])))
    added = {"product_id": "p1", "category": "bags", "quantity": 1, "price": 120}
    event_id = page.evaluate("(added) => salience.track('cart_added', added)", added)
    decision = page.evaluate(DECIDE, {"context": {"context.page": "cart"}, "explain": True})
    assert decision["decision_id"].startswith("d_")
    assert decision["events"] == [{"id": event_id, "verdict": "accepted"}]
    assert "120.00 EUR" in str(decision["rules"])
    assert page.evaluate("() => decisions.length") == 1
    page.wait_for_timeout(1500)
    assert [event.id for event in logged(running)].count(event_id) == 1
    assert wait_for_event(page, running, event_id).customer_id == "c9"
    assert ("OPTIONS", f"{running.url}/v1/decide") not in requests, "no preflight"


def test_events_are_sent_in_batches_without_a_decision(page, shop, running):
    start(page, shop, running, flushMs=50)
    sent = []
    page.on("request", lambda request: sent.append(request.url) if "/v1/events" in request.url else None)
    ids = page.evaluate("() => [1, 2, 3].map(() => salience.track('page_viewed', { page: 'home' }))")
    for event_id in ids:
        wait_for_event(page, running, event_id)
    assert len(sent) == 1


def test_a_page_that_is_left_sends_what_it_has(page, shop, running):
    start(page, shop, running, flushMs=60000)
    event_id = page.evaluate("() => salience.track('page_viewed', { page: 'home' })")
    page.goto("about:blank")
    wait_for_event(page, running, event_id)


def test_a_session_lasts_over_pages_and_ends_after_its_timeout(page, shop, running):
    start(page, shop, running)
    first = page.evaluate("() => salience.sessionId")
    start(page, shop, running)
    assert page.evaluate("() => salience.sessionId") == first
    page.evaluate(
        "() => localStorage.setItem('salience.session', JSON.stringify({ id: 'old', last: Date.now() - 1800001 }))"
    )
    assert page.evaluate("() => salience.sessionId") not in {first, "old"}
    start(page, shop, running, sessionId="ours")
    assert page.evaluate("() => salience.sessionId") == "ours"


def test_an_exposure_is_reported_once_for_what_stays_the_same(page, shop, running):
    start(page, shop, running)
    sent = []
    page.on("request", lambda request: sent.append(request) if "/v1/exposures" in request.url else None)
    for _ in range(3):
        page.evaluate("async () => salience.expose(await salience.decide(['cart_banner']))")
    page.wait_for_timeout(300)
    assert len(sent) == 1
    assert sent[0].response().status == 200
    assert sent[0].post_data_json["placements"] == {"cart_banner": []}


FALLBACKS = {"cart_banner": [{"offer": "page", "content": {"title": "Welcome"}}]}


def test_when_the_service_is_gone_the_page_shows_its_own_and_keeps_the_events(page, shop, running, tmp_path):
    origin, key = shop
    page.goto(origin)
    # A port of the policy that nobody listens on any more, until the service is back.
    gone = {"endpoint": running.url, "key": key, "fallbacks": FALLBACKS, "flushMs": 50, "timeoutMs": 400}
    page.route("**/v1/**", lambda route: route.abort())
    page.evaluate(START, gone)
    event_id = page.evaluate("() => salience.track('page_viewed', { page: 'home' })")
    decision = page.evaluate(DECIDE, {})
    assert decision["decision_id"] is None
    assert decision["placements"] == [
        {"placement": "cart_banner", "outcome": "degraded", "offers": FALLBACKS["cart_banner"]}
    ]
    assert decision["degraded"][0]["code"] == "service_unreachable"
    page.unroute("**/v1/**")
    page.goto(origin)  # the next page
    page.evaluate(START, gone)
    wait_for_event(page, running, event_id)


def test_a_service_that_hangs_costs_the_timeout(page, shop, running):
    start(page, shop, running, fallbacks=FALLBACKS, timeoutMs=200)
    page.route("**/v1/decide**", lambda route: None)
    decision = page.evaluate(DECIDE, {})
    assert decision["placements"][0]["offers"] == FALLBACKS["cart_banner"]
    assert "200 ms" in decision["degraded"][0]["detail"]
    page.unroute("**/v1/decide**")


def test_a_key_that_is_refused_tells_the_developer_in_the_console(page, shop, running):
    lines = []
    page.on("console", lambda message: lines.append(message.text))
    origin, _ = shop
    page.goto(origin)
    page.evaluate(START, {"endpoint": running.url, "key": running.page_key, "fallbacks": FALLBACKS})
    decision = page.evaluate(DECIDE, {})
    assert decision["placements"][0]["offers"] == FALLBACKS["cart_banner"]
    assert any("may not use the key" in line for line in lines)


def test_the_queue_is_bounded_while_the_service_is_away(page, shop, running):
    start(page, shop, running, maxQueue=10, flushMs=60000)
    page.route("**/v1/**", lambda route: route.abort())
    page.evaluate("() => { for (let n = 0; n < 30; n++) salience.track('page_viewed', { page: 'home' }); }")
    assert page.evaluate("() => JSON.parse(localStorage.getItem('salience.queue')).length") == 10
    page.evaluate("() => localStorage.clear()")


def test_a_preview_in_the_address_is_asked_for_and_never_exposed(page, shop, running):
    origin, key = shop
    with Wiring(running.settings) as wiring:
        secret = preview_secret(wiring.tables())
    added = {"product_id": "p1", "category": "bags", "quantity": 1, "price": 300}
    happened = (
        ImaginedEvent("cart_added", added, 60_000),
        ImaginedEvent("checkout_viewed", {"step": "payment"}, 1_000),
    )
    asked = Preview(name_of(secret), wall_ms() + 600_000, events=happened, scores={"purchase_intent": 0.2})
    token = sign(asked, secret)
    sent = []
    page.on("request", lambda request: sent.append(request.url) if "/v1/exposures" in request.url else None)
    page.goto(f"{origin}/?salience_preview={token}")
    page.evaluate(START, {"endpoint": running.url, "key": key, "timeoutMs": 20_000})
    event_id = page.evaluate("() => salience.track('page_viewed', { page: 'cart' })")
    decision = page.evaluate(DECIDE, {"context": {"context.page": "cart"}})
    assert decision["preview"]["forced"] == ["score purchase_intent", "event cart_added", "event checkout_viewed"]
    assert decision["placements"][0]["offers"][0]["offer"] == "free_shipping"
    page.evaluate("() => salience.expose(decisions[0])")
    wait_for_event(page, running, event_id)  # what the page tracks is sent by itself, as a preview keeps nothing
    assert sent == []
