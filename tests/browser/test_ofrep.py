"""OpenFeature's official JavaScript SDK and OFREP provider, unchanged, in a real Chromium against the running API."""

from __future__ import annotations

import http.server
import json
import shutil
import threading
import time

import pytest

from service.clock import wall_ms
from service.keys import KeyKind, create
from service.wiring import Wiring
from tests.integration.api.running import BIG_CART, UNHURRIED, Running, shop_with
from tools.openfeature import modules

IMPORTS = {
    "@openfeature/core": "/@openfeature/core/dist/esm/index.js",
    "@openfeature/web-sdk": "/@openfeature/web-sdk/dist/esm/index.js",
    "@openfeature/ofrep-core": "/@openfeature/ofrep-core/index.esm.js",
    "@openfeature/ofrep-web-provider": "/@openfeature/ofrep-web-provider/index.esm.js",
}
PAGE = f"""<!doctype html><title>a shop</title>
<script type="importmap">{json.dumps({"imports": IMPORTS})}</script>
<script type="module">
import {{ OpenFeature, ProviderEvents }} from "@openfeature/web-sdk";
import {{ OFREPWebProvider }} from "@openfeature/ofrep-web-provider";
Object.assign(window, {{ OpenFeature, ProviderEvents, OFREPWebProvider }});
</script>"""

START = """async ({ options, context }) => {
  window.events = [];
  for (const name of Object.values(ProviderEvents)) OpenFeature.addHandler(name, () => events.push(name));
  await OpenFeature.setContext(context);
  const started = OpenFeature.setProviderAndWait(new OFREPWebProvider(options));
  const failure = await started.then(() => null, (error) => error.code || String(error));
  return { failure, status: OpenFeature.getClient().providerStatus };
}"""
DETAILS = "([flag, otherwise]) => OpenFeature.getClient().getObjectDetails(flag, otherwise)"
STANDARD = "Delivered in two to three days"


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    rules = shop_with(tmp_path_factory.mktemp("rules"), BIG_CART)
    with Running(tmp_path_factory.mktemp("ofrep"), UNHURRIED, rules) as started:
        yield started


@pytest.fixture(scope="module")
def packages():
    if not modules.fetched() and not shutil.which("npm"):
        pytest.skip("npm is not installed (`make test` installs it as root)")
    return modules.fetch() / "node_modules"


@pytest.fixture(scope="module")
def origin(packages):
    """The origin of a shop's page, which is not the API's."""

    class Pages(http.server.SimpleHTTPRequestHandler):
        def do_GET(self):
            if self.path != "/":
                super().do_GET()
                return
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(PAGE.encode())

        def log_message(self, *_):
            pass

        def __init__(self, *arguments):
            super().__init__(*arguments, directory=str(packages))

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def key(running, origin):
    """A storefront key for the page, which the API knows."""
    with Wiring(running.settings) as wiring:
        _, text = create(wiring.tables(), "ofrep", KeyKind.STOREFRONT, wall_ms(), origins=[origin])
    until = time.monotonic() + 30
    with running.client(text) as client:
        asked = {"context": {"targetingKey": "warm"}}
        while client.post("/ofrep/v1/evaluate/flags", json=asked).status_code == 401:
            assert time.monotonic() < until, "the API never heard of the new key"
            time.sleep(0.05)
    return text


def start(page, origin, running, key, *, context=None, **options):
    page.goto(origin)
    page.wait_for_function("() => window.OFREPWebProvider")
    headers = [["Authorization", f"Bearer {key}"]]
    given = {"baseUrl": running.url, "headers": headers, "timeoutMs": 20_000, "cacheMode": "disabled", **options}
    context = {"targetingKey": "s1"} if context is None else context
    return page.evaluate(START, {"options": given, "context": context})


def answers_to(page):
    """What the page is answered from now on; preflights are the browser's own."""
    answers = []

    def note(response):
        if response.request.method == "POST":
            answers.append(response)

    page.on("response", note)
    return answers


def fill_cart(running, session):
    events = [
        {"type": "cart_added", "attributes": {"product_id": "p1", "category": "bags", "quantity": 10, "price": 150}},
        {"type": "checkout_viewed", "attributes": {"step": "payment"}},
    ]
    sent = [event | {"session_id": session, "id": f"{session}-{number}"} for number, event in enumerate(events)]
    with running.client() as client:
        assert client.post("/v1/events", json={"events": sent}).json()["accepted"] == len(sent)


def test_placements_are_flags_with_content_reason_variant_and_metadata(page, origin, running, key):
    assert start(page, origin, running, key) == {"failure": None, "status": "READY"}
    found = page.evaluate(DETAILS, ["cart_banner", {"title": "the page's own"}])
    assert (found["value"]["title"], found["variant"], found["reason"]) == (STANDARD, "standard_banner", "DEFAULT")
    assert found["flagMetadata"]["outcome"] == "no_match"
    assert found["flagMetadata"]["revision"] == 1
    assert found["flagMetadata"]["decision_id"].startswith("d_")
    with running.client() as client:
        assert client.get(f"/v1/decisions/{found['flagMetadata']['decision_id']}").json()["session_id"] == "s1"


def test_what_is_no_placement_and_what_has_another_type_is_the_pages_own(page, origin, running, key):
    start(page, origin, running, key)
    unknown = page.evaluate(DETAILS, ["nowhere", {"title": "own"}])
    assert (unknown["value"], unknown["errorCode"]) == ({"title": "own"}, "FLAG_NOT_FOUND")
    text = page.evaluate("() => OpenFeature.getClient().getStringDetails('cart_banner', 'own')")
    assert (text["value"], text["errorCode"]) == ("own", "TYPE_MISMATCH")


def test_polling_is_304_until_an_event_changes_what_is_shown(page, origin, running, key):
    answers = answers_to(page)
    start(page, origin, running, key, context={"targetingKey": "polled"}, pollInterval=100)
    page.wait_for_timeout(1_000)
    first, *others = [answer.status for answer in answers]
    assert first == 200
    assert set(others) == {304}
    fill_cart(running, "polled")
    page.wait_for_function("() => events.includes('PROVIDER_CONFIGURATION_CHANGED')")
    found = page.evaluate(DETAILS, ["cart_banner", {}])
    assert (found["variant"], found["reason"]) == ("free_shipping", "TARGETING_MATCH")
    assert found["value"]["text"] == "Your cart of 1500.00 EUR travels free of charge if you order today."
    assert {answer.status for answer in answers} == {200, 304}


def test_another_session_is_another_decision_and_request_facts_count(page, origin, running, key):
    fill_cart(running, "full")
    start(page, origin, running, key, context={"targetingKey": "empty"})
    assert page.evaluate(DETAILS, ["cart_banner", {}])["variant"] == "standard_banner"
    page.evaluate(
        "() => OpenFeature.setContext({ targetingKey: 'full', customer_id: 'c1', context: { page: 'cart' } })"
    )
    found = page.evaluate(DETAILS, ["cart_banner", {}])
    assert (found["variant"], found["reason"]) == ("free_shipping", "TARGETING_MATCH")
    with running.client() as client:
        decision = client.get(f"/v1/decisions/{found['flagMetadata']['decision_id']}").json()
    assert (decision["session_id"], decision["customer_id"]) == ("full", "c1")
    assert decision["context"] == {"context.page": "cart"}


@pytest.mark.parametrize(
    ("named", "context", "status", "code", "provider"),
    [
        ("sal_nobody", {"targetingKey": "s1"}, 401, None, "FATAL"),
        ("", {"targetingKey": "s1"}, 401, None, "FATAL"),
        (None, {}, 400, "TARGETING_KEY_MISSING", "ERROR"),
        (None, {"targetingKey": "x" * 201}, 400, "INVALID_CONTEXT", "ERROR"),
    ],
)
def test_the_provider_knows_what_to_do_about_a_refusal(
    page, origin, running, key, named, context, status, code, provider
):
    answers = answers_to(page)
    found = start(page, origin, running, key if named is None else named, context=context)
    assert [answer.status for answer in answers] == [status]
    assert code is None or answers[0].json()["errorCode"] == code  # the provider reads no body of a 401
    assert found["failure"]
    assert found["status"] == provider
    assert page.evaluate(DETAILS, ["cart_banner", {"title": "own"}])["value"] == {"title": "own"}


def test_what_was_shown_is_shown_on_from_the_cache_while_the_api_is_away(page, origin, running, key):
    options = {"context": {"targetingKey": "cached"}, "cacheMode": "network-first"}
    assert start(page, origin, running, key, **options)["failure"] is None
    page.route("**/ofrep/**", lambda route: route.abort())
    assert start(page, origin, running, key, **options)["failure"] is None
    found = page.evaluate(DETAILS, ["cart_banner", {}])
    assert (found["value"]["title"], found["reason"]) == (STANDARD, "CACHED")


def test_a_key_beyond_its_rate_makes_the_provider_wait_as_long_as_it_is_told(page, origin, tmp_path):
    with Running(tmp_path, {**UNHURRIED, "api.storefront_requests_per_s": 1}) as limited:
        answers = answers_to(page)
        assert start(page, origin, limited, limited.panel_key, pollInterval=50)["failure"] is None
        page.wait_for_function("() => events.includes('PROVIDER_STALE')")
        page.wait_for_timeout(2_000)
        # It polls each 50 ms but for the seconds that Retry-After tells, which the page may read: CORS exposes it.
        assert {answer.status for answer in answers} >= {200, 429}
        assert len(answers) <= 8
