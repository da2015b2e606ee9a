"""Bulk decisions: a line each, in order, as the caller reads them, behind everybody who waits in front of a page."""

import asyncio
import contextlib

import msgspec
import pytest

from service.api.app import Application
from service.api.bulk import MOST_LINES, WINDOW
from tests.unit.service.api.shop import SETTINGS, Shop, loaded

NDJSON = {"Content-Type": "application/x-ndjson"}
PATIENT = msgspec.structs.replace(SETTINGS, deadline_ms=20_000)


def line(session, *placements, **more):
    return msgspec.json.encode({"session_id": session, "placements": placements or ("banner",), **more})


def ask(shop, *lines, key="server", **more):
    headers = NDJSON | more.pop("headers", {})
    answer = shop.post("/v1/decide/bulk", b"\n".join(lines), key, headers=headers, **more)
    return answer, [msgspec.json.decode(each) for each in answer.content.splitlines()]


def test_each_line_is_answered_in_order_as_a_request_of_its_own_would_be():
    shop = Shop()
    shop.full_cart("rich")
    answer, lines = ask(shop, line("rich"), b"", line("poor"), line("rich", "hero", customer_id="c1"))
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert [each["line"] for each in lines] == [1, 3, 4]
    shown = [each["answer"]["placements"][0]["offers"][0]["offer"] for each in lines]
    assert shown == ["shipping", "standard", "standard"]
    assert [each["answer"]["session_id"] for each in lines] == ["rich", "poor", "rich"]
    assert len(shop.decisions.entries) == 3, "each is in the decision log"


def test_an_error_of_one_line_does_not_end_the_stream():
    shop = Shop()
    bad = [b"{", b"5", line(""), line("s1", events=[{"type": "purchase", "session_id": "s1"}] * 21)]
    answer, lines = ask(shop, line("s1"), *bad, line("s2"))
    assert answer.status_code == 200
    assert [each["line"] for each in lines] == [1, 2, 3, 4, 5, 6]
    assert ["answer" in each for each in lines] == [True, False, False, False, False, True]
    types = [each["problem"]["type"].rpartition(":")[2] for each in lines[1:5]]
    assert types == ["malformed-json", "invalid-field", "invalid-field", "too-many-events"]
    assert lines[3]["problem"]["field"] == "/session_id"


def test_a_fault_of_ours_in_one_line_is_its_own_problem(monkeypatch, caplog):
    shop = Shop()

    def broken(rules, raws, now, **more):
        if more["session_id"] == "s2":
            raise ZeroDivisionError
        return admit(rules, raws, now, **more)

    from service.api.ingest import admit

    monkeypatch.setattr("service.api.decide.admit", broken)
    _, lines = ask(shop, line("s1"), line("s2"), line("s3"))
    assert [each.get("problem", {}).get("status") for each in lines] == [None, 500, None]
    assert "ZeroDivisionError" in caplog.text


def test_only_server_keys_ask_in_bulk_and_only_so_much():
    shop = Shop()
    answer, _ = ask(shop, line("s1"), key="page", headers={"Origin": "https://shop.example"})
    assert (answer.status_code, answer.json()["type"]) == (403, "urn:salience:problem:scope-missing")
    answer, _ = ask(Shop(msgspec.structs.replace(SETTINGS, max_body_bytes=1 << 20)), *[b"{}"] * (MOST_LINES + 1))
    assert (answer.status_code, answer.json()["type"]) == (413, "urn:salience:problem:too-many-lines")
    answer = shop.post("/v1/decide/bulk", b"{}", headers={"Content-Type": "application/json"})
    assert answer.status_code == 415
    assert "application/x-ndjson" in answer.json()["detail"]


def test_what_a_bulk_request_evaluated_pushes_nothing_of_shoppers_out_of_memory():
    shop = Shop()
    shop.full_cart("s1")
    ask(shop, *(line(f"s{number}") for number in range(20)))
    assert not shop.evaluations._kept
    assert not shop.lately._kept


async def turns(holds, most=100_000):
    """Let the loop turn until it holds."""
    for _ in range(most):
        if holds():
            return
        await asyncio.sleep(0)


def test_lines_wait_while_shoppers_are_served_and_go_on_after(monkeypatch):
    shop = Shop(msgspec.structs.replace(PATIENT, max_in_flight=8), loaded())

    reads, read = [], shop.state.read

    async def all_at_once(client):
        page = {"Authorization": f"Bearer {shop.page_key}"}
        may_end = asyncio.Event()

        async def slow_for_shoppers(session_id, *more):
            reads.append(session_id)
            if session_id == "shopper":
                await may_end.wait()
            return await read(session_id, *more)

        monkeypatch.setattr(shop.state, "read", slow_for_shoppers)
        asked = {"session_id": "shopper", "placements": ["banner"]}
        shopper = asyncio.create_task(client.post("/v1/decide", json=asked, headers=page))
        await turns(lambda: bool(reads))
        body = b"\n".join([line("a"), line("b")])
        bulk = asyncio.create_task(client.post("/v1/decide/bulk", content=body, headers=NDJSON))
        assert shop.services is not None
        admission = shop.services.admission
        await turns(lambda: admission.streams == 1)
        await turns(lambda: len(reads) > 1, most=100)
        waited = list(reads)
        may_end.set()
        assert (await shopper).status_code == 200
        return waited, (await bulk).content.count(b"\n")

    assert shop.run(all_at_once) == (["shopper"], 2)


def test_lines_take_from_the_rate_of_the_key_by_waiting():
    shop = Shop(msgspec.structs.replace(PATIENT, server_requests_per_s=20))

    async def timed(client):
        begun = asyncio.get_running_loop().time()
        answer = await client.post("/v1/decide/bulk", content=b"\n".join([line("a")] * 25), headers=NDJSON)
        return answer.content.count(b"\n"), asyncio.get_running_loop().time() - begun

    lines, seconds = shop.run(timed)
    assert lines == 25, "none is refused"
    assert seconds > 0.25, "26 of a rate of 20 with 20 saved take 0.3 s"


class Caller:
    """A caller who reads one part of the answer whenever the test lets it, and may leave."""

    def __init__(self, body):
        self.body = body
        self.read = 0
        self.may_read = asyncio.Semaphore(0)
        self.left = asyncio.Event()

    async def receive(self):
        if self.body is not None:
            body, self.body = self.body, None
            return {"type": "http.request", "body": body}
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message):
        if message["type"] == "http.response.body" and message["body"]:
            await self.may_read.acquire()
            self.read += 1


@contextlib.asynccontextmanager
async def calling(shop, lines):
    application = Application(shop.open)
    await application.start()
    caller = Caller(b"\n".join(line(f"s{number}") for number in range(lines)))
    headers = [(b"authorization", f"Bearer {shop.server_key}".encode()), (b"content-type", b"application/x-ndjson")]
    scope = {"type": "http", "method": "POST", "path": "/v1/decide/bulk", "query_string": b"", "http_version": "1.1"}
    call = asyncio.create_task(application(scope | {"headers": headers}, caller.receive, caller.send))
    try:
        yield caller, call
    finally:
        call.cancel()
        await application.stop()


async def settled(read, most=200_000):
    """What it reads once that has been the same for a thousand turns of the loop."""
    last, same = None, 0
    for _ in range(most):
        await asyncio.sleep(0)
        now = read()
        last, same = (now, same + 1) if now == last else (now, 0)
        if now and same == 1_000:
            return now
    return last


def test_it_works_no_further_ahead_than_a_window_of_what_was_read():
    shop = Shop(PATIENT)

    async def reading():
        async with calling(shop, 100) as (caller, call):
            ahead = await settled(lambda: shop.state.reads)
            for _ in range(30):
                caller.may_read.release()
            further = await settled(lambda: shop.state.reads if caller.read == 30 else 0)
            for _ in range(70):
                caller.may_read.release()
            await call
            return ahead, further, caller.read

    assert asyncio.run(reading()) == (WINDOW, 30 + WINDOW, 100)


def test_a_caller_that_leaves_ends_the_work():
    shop = Shop(PATIENT)

    async def leaving():
        async with calling(shop, 100) as (caller, call):
            await settled(lambda: shop.state.reads)
            caller.left.set()
            caller.may_read.release()
            await asyncio.wait_for(call, 5)
            assert shop.services is not None
            return shop.state.reads, shop.services.admission.streams, shop.services.admission._lines

    reads, streams, lines = asyncio.run(leaving())
    assert reads <= WINDOW + 1
    assert (streams, lines) == (0, 0)


def test_a_caller_that_stops_reading_is_cut_off(monkeypatch):
    monkeypatch.setattr("service.api.app.READ_WITHIN_S", 0.05)
    shop = Shop(PATIENT)

    async def stopping():
        async with calling(shop, 100) as (caller, call):
            await asyncio.wait_for(call, 5)
            assert shop.services is not None
            return caller.read, shop.services.admission.streams

    assert asyncio.run(stopping()) == (0, 0)


@pytest.mark.parametrize("streams", [7, 8])
def test_so_many_are_answered_at_once_and_the_next_is_refused(streams):
    shop = Shop(PATIENT)

    async def one_more(client):
        assert shop.services is not None
        shop.services.admission.streams = streams
        return await client.post("/v1/decide/bulk", content=line("s1"), headers=NDJSON)

    answer = shop.run(one_more)
    assert answer.status_code == (200 if streams == 7 else 503)
    assert streams == 7 or answer.headers["retry-after"] == "1"
