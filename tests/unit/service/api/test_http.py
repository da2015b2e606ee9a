"""What every endpoint has in common: keys, origins, limits, problems, headers."""

import asyncio

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.api.problems import PROBLEMS, TYPE_PREFIX
from service.keys import revoke
from tests.unit.service.api.shop import NOW, ORIGIN, SETTINGS, Shop

DECIDE = {"session_id": "s1", "placements": ["banner"]}


@pytest.fixture
def shop():
    return Shop()


def slug(answer):
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == answer.status_code
    assert body["request_id"] == answer.headers["x-request-id"]
    assert body["type"].startswith(TYPE_PREFIX)
    found = body["type"].removeprefix(TYPE_PREFIX)
    assert PROBLEMS[found].status == answer.status_code
    return found


# ---------------------------------------------------------------- keys


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (None, "key-missing"),
        ("nonsense", "key-unknown"),
        ("sal_secret_x_y", "key-unknown"),
        ("events", "scope-missing"),
    ],
)
def test_who_has_no_key_for_it_is_told_what_is_missing(shop, key, expected):
    assert slug(shop.post("/v1/decide", DECIDE, key)) == expected


def test_a_401_names_the_scheme(shop):
    assert shop.post("/v1/decide", DECIDE, None).headers["www-authenticate"] == "Bearer"


def test_a_revoked_key_is_unknown(shop):
    revoke(shop.tables, shop.server_key.split("_")[2], NOW)
    shop.ring.refresh()
    assert slug(shop.post("/v1/decide", DECIDE)) == "key-unknown"


def test_a_storefront_key_may_stand_in_the_address_and_a_server_key_may_not(shop):
    assert shop.post(f"/v1/decide?key={shop.page_key}", DECIDE, None).status_code == 200
    assert slug(shop.post(f"/v1/decide?key={shop.server_key}", DECIDE, None)) == "key-unknown"


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/openapi.json", "/salience.js"])
def test_what_operators_and_browsers_fetch_needs_no_key(shop, path):
    assert shop.get(path, None).status_code == 200


# ---------------------------------------------------------------- origins


def test_a_page_of_a_listed_origin_may_read_the_answer(shop):
    answer = shop.post("/v1/decide", DECIDE, "page", headers={"Origin": ORIGIN})
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert answer.headers["vary"] == "Origin"


def test_a_page_of_another_origin_is_refused_and_may_not_read_why(shop):
    answer = shop.post("/v1/decide", DECIDE, "page", headers={"Origin": "https://evil.example"})
    assert slug(answer) == "origin-refused"
    assert "access-control-allow-origin" not in answer.headers


def test_a_server_key_in_a_page_is_refused(shop):
    assert slug(shop.post("/v1/decide", DECIDE, headers={"Origin": ORIGIN})) == "origin-refused"


def test_a_page_of_the_very_host_needs_no_listing(shop):
    answer = shop.post("/v1/decide", DECIDE, "page", headers={"Origin": "http://api.test"})
    assert answer.status_code == 200


def test_origins_of_the_settings_count_for_every_storefront_key():
    shop = Shop(msgspec.structs.replace(SETTINGS, cors_origins=("https://b.example",)))
    answer = shop.post("/v1/decide", DECIDE, "page", headers={"Origin": "https://b.example"})
    assert answer.headers["access-control-allow-origin"] == "https://b.example"


@pytest.mark.parametrize(("origin", "status"), [(ORIGIN, 204), ("https://evil.example", 403)])
def test_a_preflight_is_answered_for_listed_origins_only(shop, origin, status):
    asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    answer = shop.run(lambda client: client.options("/v1/decide", headers=asked), key=None)
    assert answer.status_code == status
    if status == 204:
        assert "POST" in answer.headers["access-control-allow-methods"]
        assert "Authorization" in answer.headers["access-control-allow-headers"]
    else:
        assert "access-control-allow-methods" not in answer.headers


def test_a_problem_can_be_read_by_the_page_that_caused_it(shop):
    answer = shop.post("/v1/decide", {}, "page", headers={"Origin": ORIGIN})
    assert slug(answer) == "invalid-field"
    assert answer.headers["access-control-allow-origin"] == ORIGIN


# ---------------------------------------------------------------- limits and paths


def test_a_body_that_declares_too_much_is_refused_unread(shop):
    answer = shop.post("/v1/decide", b"x", headers={"Content-Length": "100001"})
    assert slug(answer) == "body-too-large"
    assert answer.headers["connection"] == "close", "else the next request goes into what the server closes"


def test_a_body_that_grows_too_large_is_refused(shop):
    async def chunks():
        for _ in range(101):
            yield b" " * 1000

    answer = shop.run(lambda client: client.post("/v1/decide", content=chunks()))
    assert slug(answer) == "body-too-large"


@pytest.mark.parametrize(
    ("body", "expected", "field"),
    [
        (b"", "malformed-json", None),
        (b"{", "malformed-json", None),
        (b"\xff", "malformed-json", None),
        (b"[]", "invalid-field", "/"),
        (b'{"session_id": "s1"}', "invalid-field", "/placements"),
        (b'{"session_id": "", "placements": ["banner"]}', "invalid-field", "/session_id"),
        (b'{"session_id": "s1", "placements": ["banner"], "context": ' + b"[" * 5000 + b"]" * 5000 + b"}", "", None),
        (
            b'{"session_id": "s1", "placements": ["banner"], "context": {"a": ' + b"[" * 20_000 + b"]" * 20_000 + b"}}",
            "too-deep",
            None,
        ),
    ],
)
def test_a_body_that_is_wrong_is_a_400_with_its_field(shop, body, expected, field):
    answer = shop.post("/v1/decide", body)
    assert answer.status_code == 400
    assert slug(answer) == expected or not expected
    assert answer.json().get("field") == field or not expected


def test_another_media_type_is_415(shop):
    assert (
        slug(shop.post("/v1/decide", b"a=b", headers={"Content-Type": "application/x-www-form-urlencoded"}))
        == "media-type"
    )
    assert slug(shop.post("/v1/decide", b"", headers={"Content-Encoding": "gzip"})) == "media-type"
    beacon = {"Content-Type": "text/plain;charset=UTF-8"}
    assert shop.post("/v1/decide", DECIDE, headers=beacon).status_code == 200


def test_a_path_that_does_not_exist_and_a_method_that_does_not_fit(shop):
    assert slug(shop.get("/v2/decide")) == "not-found"
    answer = shop.get("/v1/decide")
    assert slug(answer) == "method-not-allowed"
    assert answer.headers["allow"] == "POST, OPTIONS"


def test_an_id_in_a_path_may_hold_any_character(shop):
    body = {"facts": {"customer.tier": "gold"}}
    answer = shop.run(lambda client: client.put("/v1/customers/a%2Fb%20%C3%A9", json=body))
    assert answer.json()["customer_id"] == "a/b é"


# ---------------------------------------------------------------- headers


def test_answers_carry_the_request_id_where_the_time_went_and_are_not_stored(shop):
    answer = shop.post("/v1/decide", DECIDE, headers={"X-Request-Id": "abc-1"})
    assert answer.headers["x-request-id"] == "abc-1"
    assert answer.headers["cache-control"] == "no-store"
    assert {part.split(";")[0] for part in answer.headers["server-timing"].split(", ")} >= {"state", "rules", "total"}


@pytest.mark.parametrize("given", ["a b", "x" * 65, "a\tb", "<script>"])
def test_a_request_id_that_could_do_harm_in_a_log_is_replaced(shop, given):
    answer = shop.post("/v1/decide", DECIDE, headers={"X-Request-Id": given})
    assert answer.headers["x-request-id"] != given


@pytest.mark.parametrize("path", ["/salience.js", "/openapi.json"])
def test_what_does_not_change_is_not_sent_twice(shop, path):
    first = shop.get(path)
    again = shop.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert "max-age" in first.headers["cache-control"]
    assert shop.get(path, headers={"If-None-Match": '"other"'}).status_code == 200


def test_a_fault_of_ours_shows_no_trace(shop, caplog, monkeypatch):
    def broken(*_args):
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(shop.decisions, "get", broken)
    answer = shop.get("/v1/decisions/d_1")
    assert slug(answer) == "internal"
    assert "secret" not in answer.text
    assert "secret" in caplog.text


# ---------------------------------------------------------------- whatever comes


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)
known = st.sampled_from(
    ["s1", "banner", "hero", "teaser", "cart_added", "checkout_viewed", "context.page", "x", "gold"]
)
events = st.fixed_dictionaries(
    {},
    optional={
        "type": known | json_values,
        "session_id": known | json_values,
        "id": json_values,
        "time": st.integers() | json_values,
        "attributes": st.dictionaries(st.sampled_from(["price", "product_id", "x"]), json_values) | json_values,
    },
)
decisions = st.fixed_dictionaries(
    {},
    optional={
        "session_id": known | json_values,
        "placements": st.lists(known) | json_values,
        "context": st.dictionaries(st.sampled_from(["context.page", "x"]), json_values) | json_values,
        "customer_id": known | json_values,
        "events": st.lists(events, max_size=3) | json_values,
        "explain": st.booleans() | json_values,
        "deadline_ms": st.integers() | json_values,
        "sent_at": st.integers() | json_values,
    },
)
bodies = st.one_of(
    decisions.map(msgspec.json.encode),
    events.map(msgspec.json.encode),
    st.fixed_dictionaries({"events": st.lists(events, max_size=5)}, optional={"sent_at": st.integers()}).map(
        msgspec.json.encode
    ),
    st.fixed_dictionaries({"facts": json_values}).map(msgspec.json.encode),
    json_values.map(msgspec.json.encode),
    st.binary(max_size=60),
)


@given(st.lists(bodies, min_size=1, max_size=8))
def test_no_body_is_answered_with_an_error_of_ours(sent):
    shop = Shop(msgspec.structs.replace(SETTINGS, deadline_ms=2_000))
    shop.full_cart()

    async def all_of_them():
        async with shop.client() as client:
            headers = {"Content-Type": "application/json"}
            for body in sent:
                for method, path in (
                    ("POST", "/v1/decide"),
                    ("POST", "/v1/events"),
                    ("POST", "/v1/exposures"),
                    ("PUT", "/v1/customers/c1"),
                ):
                    answer = await client.request(method, path, content=body, headers=headers)
                    assert answer.status_code < 500, (path, body, answer.text)
                    if answer.status_code == 200 and path == "/v1/decide":
                        codes = [each["code"] for each in answer.json()["degraded"]]
                        assert "internal_error" not in codes, body

    asyncio.run(all_of_them())
