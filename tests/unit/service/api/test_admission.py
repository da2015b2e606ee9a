"""Rates of keys, and a bound on what is in flight: storefronts go on while bulk is refused."""

import asyncio

import msgspec
import pytest

from engine.values import EpochMs
from service.api.admission import Admission
from service.api.problems import ProblemError
from service.keys import ApiKey, KeyKind
from tests.unit.service.api.shop import SETTINGS, Shop, loaded

ASKED = {"session_id": "s1", "placements": ["banner"]}


def key(kind=KeyKind.STOREFRONT, name="k1"):
    created: EpochMs = 0
    return ApiKey(name, name, kind, frozenset(), (), "", created)


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def admission(clock, **settings):
    return Admission(msgspec.structs.replace(SETTINGS, **settings), clock)


def admitted(admission, each):
    try:
        admission.check_rate(each)
    except ProblemError:
        return False
    return True


def test_a_key_has_its_rate_after_a_full_second_at_once(clock):
    limited = admission(clock, storefront_requests_per_s=10)
    assert [admitted(limited, key()) for _ in range(12)] == [True] * 10 + [False] * 2
    clock.now += 0.5
    assert [admitted(limited, key()) for _ in range(7)] == [True] * 5 + [False] * 2
    clock.now += 60
    assert sum(admitted(limited, key()) for _ in range(50)) == 10, "no more than a second's is saved"


def test_keys_and_kinds_have_rates_of_their_own(clock):
    limited = admission(clock, storefront_requests_per_s=1)
    assert admitted(limited, key(name="a"))
    assert admitted(limited, key(name="b"))
    assert not admitted(limited, key(name="a"))
    assert all(admitted(limited, key(KeyKind.SERVER)) for _ in range(100)), "0 is no limit"


def test_processes_share_a_rate(clock):
    limited = admission(clock, storefront_requests_per_s=10, workers=5)
    assert sum(admitted(limited, key()) for _ in range(10)) == 2
    slow = admission(clock, storefront_requests_per_s=1, workers=4)
    assert [admitted(slow, key()), admitted(slow, key())] == [True, False]
    clock.now += 4
    assert admitted(slow, key())


def test_headers_say_what_is_left_and_when_to_come_again(clock):
    limited = admission(clock, storefront_requests_per_s=2)
    assert dict(limited.check_rate(key())) == {b"ratelimit-policy": b'"key";q=2;w=1', b"ratelimit": b'"key";r=1;t=1'}
    limited.check_rate(key())
    with pytest.raises(ProblemError) as refused:
        limited.check_rate(key())
    assert refused.value.retry_after == 1
    assert dict(refused.value.headers)[b"ratelimit"] == b'"key";r=0;t=1'


def test_a_key_over_its_rate_gets_429_with_the_headers_and_nothing_is_done():
    shop = Shop(msgspec.structs.replace(SETTINGS, server_requests_per_s=1))

    async def ask(client):
        return await client.post("/v1/decide", json=ASKED)

    shop.run(ask)
    first = shop.post("/v1/decide", ASKED)
    assert first.headers["ratelimit"].startswith('"key";r=0')
    refused = shop.run(ask, ask)
    assert refused.status_code == 429
    assert refused.json()["type"] == "urn:salience:problem:rate-limited"
    assert refused.headers["retry-after"] == "1"
    assert refused.headers["ratelimit-policy"] == '"key";q=1;w=1'
    assert shop.state.reads == 3


def test_a_problem_after_admission_also_says_what_is_left():
    shop = Shop(msgspec.structs.replace(SETTINGS, server_requests_per_s=5))
    assert "ratelimit" in shop.post("/v1/decide", b"{").headers
    assert "ratelimit" not in shop.get("/healthz").headers


def test_more_than_fits_is_refused_at_once_and_storefronts_keep_their_part():
    shop = Shop(msgspec.structs.replace(SETTINGS, max_in_flight=4, deadline_ms=20_000), loaded())

    async def two_refused(requests):
        waiting = set(requests)
        while len(waiting) > 2:
            _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)

    async def burst(client):
        shop.state.opened = asyncio.Event()
        page = {"Authorization": f"Bearer {shop.page_key}"}
        bulk = [asyncio.create_task(client.post("/v1/decide", json=ASKED)) for _ in range(4)]
        await two_refused(bulk)
        pages = [asyncio.create_task(client.post("/v1/decide", json=ASKED, headers=page)) for _ in range(4)]
        await two_refused(pages)
        shop.state.opened.set()
        answers = await asyncio.gather(*bulk, *pages)
        health = await client.get("/healthz")
        after = await client.post("/v1/decide", json=ASKED)
        return [each.status_code for each in answers], answers[3], health.status_code, after.status_code

    statuses, refused, health, after = shop.run(burst)
    assert statuses == [200, 200, 503, 503, 200, 200, 503, 503]
    assert refused.json()["type"] == "urn:salience:problem:overloaded"
    assert refused.headers["retry-after"] == "1"
    assert (health, after) == (200, 200)
    assert shop.services is not None
    assert b'salience_api_problems_total{slug="overloaded"} 4.0' in shop.services.metrics.text()
