"""The decision API over gRPC: the same answers, keys, limits and codes as over HTTP, asked with a real client."""

import asyncio
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from service.api.problems import PROBLEMS
from service.rpc import decisions_pb2 as pb
from service.rpc.methods import SERVICE
from service.rpc.status import CODES
from service.rpc.values import message, plain
from tests.unit.service.api.shop import NOW, Shop
from tests.unit.service.rpc.serving import keyed, limited, reasons, refused, run

PATIENCE_S = 30.0  # the tests' machine may be busy; no test waits that long for what it is about


@pytest.fixture
def shop():
    made = Shop()
    made.full_cart()
    return made


def banner(session="s1", **more):
    return pb.DecideRequest(session_id=session, placements=["banner"], **more)


async def until(holds):
    async with asyncio.timeout(PATIENCE_S):
        while not holds():  # noqa: ASYNC110  what is waited for tells nobody
            await asyncio.sleep(0.01)


def in_flight(shop):
    return shop.services.admission.in_flight


def decide(shop, request, *, key=None, **metadata):
    async def ask(served):
        return await served.stub.Decide(request, metadata=keyed(key or shop.server_key, **metadata), timeout=PATIENCE_S)

    return run(shop, ask)


# ---------------------------------------------------------------- decisions


def test_a_decision_is_the_one_that_http_answers(shop):
    over_http = shop.decide("banner", "nowhere", explain=True, context={"context.page": "cart", "x": 1})
    request = pb.DecideRequest(session_id="s1", placements=["banner", "nowhere"], explain=True)
    request.context["context.page"].text = "cart"
    request.context["x"].integer = 1
    made = decide(shop, request)
    assert (made.session_id, made.time, made.revision, made.bundle) == tuple(
        over_http[name] for name in ("session_id", "time", "revision", "bundle")
    )
    placed, unknown = made.placements
    expected = over_http["placements"][0]
    assert (placed.outcome, placed.valid_until) == (expected["outcome"], expected["valid_until"])
    (offer,), (shown,) = placed.offers, expected["offers"]
    assert (offer.offer, offer.rule, offer.rank) == (shown["offer"], shown["rule"], shown["rank"])
    assert plain(offer.content) == shown["content"]
    assert [plain(each) for each in offer.reasons] == shown["reasons"]
    assert unknown.error.code == "unknown-placement"
    assert [each.field for each in made.warnings] == [each["field"] for each in over_http["warnings"]]
    explained = plain(made.explanation)
    assert isinstance(explained, dict)
    assert explained["rules"] == over_http["rules"]


def test_an_event_that_rides_along_is_in_the_decision_and_in_the_log(shop):
    event = pb.Event(id="e1", type="cart_added", session_id="new", time=NOW - 1_000)
    event.attributes["product_id"].text = "p1"
    event.attributes["price"].number = 248.5
    viewed = pb.Event(id="e2", type="checkout_viewed", session_id="new")
    other = pb.Event(type="cart_added", session_id="another")
    made = decide(shop, banner("new", events=[event, viewed, other]))
    assert [(each.id, each.verdict, each.code) for each in made.events][:2] == [
        ("e1", "accepted", ""),
        ("e2", "accepted", ""),
    ]
    assert (made.events[2].verdict, made.events[2].code) == ("refused", "other-session")
    assert plain(made.placements[0].offers[0].content) == {"title": "Your cart of 248.50 EUR travels free"}
    assert len(shop.log.records) == 2


def test_a_customer_is_named_and_signed_out(shop):
    shop.state.profiles["c1"] = b'{"customer.tier": "gold"}'
    hero = pb.DecideRequest(session_id="s9", placements=["hero"])

    async def ask(served):
        metadata = keyed(shop.server_key)
        hero.customer_id = "c1"
        known = await served.stub.Decide(hero, metadata=metadata)
        hero.signed_out = True
        both = await refused(served.stub.Decide(hero, metadata=metadata))
        hero.ClearField("customer_id")
        return known, both, await served.stub.Decide(hero, metadata=metadata)

    known, both, out = run(shop, ask)
    assert known.placements[0].offers[0].offer == "golden"
    assert (both.code, both.field) == ("invalid-field", "/signed_out")
    assert out.placements[0].offers[0].offer != "golden"


def test_who_may_not_read_is_told_no_reasons(shop):
    made = decide(shop, banner(), key=shop.page_key)
    assert made.placements[0].offers[0].offer == "shipping"
    assert not made.placements[0].offers[0].reasons


def test_the_deadline_of_the_call_brings_the_fallback_before_the_caller_gives_up():
    shop = limited(deadline_ms=60_000)
    shop.full_cart()
    shop.state.delay_s = 60.0

    async def ask(served):
        return await served.stub.Decide(banner(), metadata=keyed(shop.server_key), timeout=2.0)

    made = run(shop, ask)
    assert made.placements[0].outcome == "degraded"
    assert [each.code for each in made.degraded] == ["state_unavailable"]


def test_a_caller_that_wants_no_profiling_says_so_in_the_metadata(shop):
    assert decide(shop, banner()).placements[0].offers[0].offer == "shipping"
    assert decide(shop, banner(), sec_gpc="1").placements[0].offers[0].offer != "shipping"


# ---------------------------------------------------------------- refusals


def test_every_problem_has_a_code_of_grpc():
    assert {kind.status for kind in PROBLEMS.values()} <= CODES.keys()


@pytest.mark.parametrize(
    ("request_", "key", "status", "code", "field"),
    [
        (banner(), "sal_unknown", "UNAUTHENTICATED", "key-unknown", "Authorization"),
        (banner(), "events", "PERMISSION_DENIED", "scope-missing", None),
        (banner(session=""), "server", "INVALID_ARGUMENT", "invalid-field", "/session_id"),
        (pb.DecideRequest(session_id="s1"), "server", "INVALID_ARGUMENT", "invalid-field", "/placements"),
        (banner(explain=True), "page", "PERMISSION_DENIED", "scope-missing", "/explain"),
        (banner(preview="x"), "server", "PERMISSION_DENIED", "preview-refused", "/preview"),
        (banner(events=[pb.Event()] * 21), "server", "INVALID_ARGUMENT", "too-many-events", "/events"),
    ],
)
def test_what_http_refuses_is_refused_with_the_same_code(shop, request_, key, status, code, field):
    named = {"server": shop.server_key, "page": shop.page_key, "events": shop.events_key}

    async def ask(served):
        metadata = keyed(named.get(key, key), x_request_id="mine-1")
        return await refused(served.stub.Decide(request_, metadata=metadata, timeout=PATIENCE_S))

    found = run(shop, ask)
    assert (found.status.name, found.code, found.field) == (status, code, field)
    assert found.request_id == "mine-1" or code == "key-unknown"


def test_what_is_no_message_is_refused(shop):
    async def ask(served):
        method = served.channel.unary_unary(f"/{SERVICE}/Decide")
        return await refused(method(b"\xff\xff", metadata=keyed(shop.server_key)))

    found = run(shop, ask)
    assert (found.status, found.code) == (grpc.StatusCode.INVALID_ARGUMENT, "malformed-message")


def test_a_key_has_one_rate_and_is_told_when_to_try_again():
    shop = limited(server_requests_per_s=1)

    async def ask(served):
        metadata = keyed(shop.server_key)
        first = served.stub.Decide(banner(), metadata=metadata)
        await first
        return dict(await first.trailing_metadata()), await refused(served.stub.Decide(banner(), metadata=metadata))

    told, found = run(shop, ask)
    assert told["ratelimit-policy"] == '"key";q=1;w=1'
    assert (found.status, found.code) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "rate-limited")
    assert found.retry_after == 1


def test_beyond_what_may_be_in_flight_a_call_is_refused_at_once():
    shop = limited(max_in_flight=2, deadline_ms=5_000)
    shop.state.delay_s = 1.0

    async def ask(served):
        page = keyed(shop.page_key)
        under_way = [served.stub.Decide(banner(), metadata=page) for _ in range(2)]
        await until(lambda: in_flight(shop) == 2)
        found = await refused(served.stub.Decide(banner(), metadata=page))
        return found, [await call for call in under_way]

    found, answers = run(shop, ask)
    assert (found.status, found.code, found.retry_after) == (grpc.StatusCode.UNAVAILABLE, "overloaded", 1)
    assert [answer.session_id for answer in answers] == ["s1", "s1"]


def test_a_message_beyond_the_limit_of_a_body_is_refused(shop):
    request = banner()
    request.context["x"].text = "x" * shop.settings.max_body_bytes

    async def ask(served):
        try:
            await served.stub.Decide(request, metadata=keyed(shop.server_key))
        except grpc.aio.AioRpcError as error:
            return error.code()
        return None

    assert run(shop, ask) is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_fault_of_ours_is_an_internal_error_that_tells_nothing(shop, monkeypatch, caplog):
    async def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("the secret")

    monkeypatch.setattr("service.api.decide.decided", fail)

    async def ask(served):
        try:
            await served.stub.Decide(banner(), metadata=keyed(shop.server_key))
        except grpc.aio.AioRpcError as error:
            return reasons(error), error.details()
        return None

    found, sentence = run(shop, ask)
    assert (found.status, found.code) == (grpc.StatusCode.INTERNAL, "internal")
    assert "secret" not in sentence
    assert "the secret" in caplog.text


def test_the_same_call_with_an_idempotency_key_is_answered_as_the_first(shop):
    async def ask(served):
        metadata = keyed(shop.server_key, idempotency_key="k1")
        first = await served.stub.Decide(banner(), metadata=metadata)
        second = served.stub.Decide(banner(), metadata=metadata)
        again = await second
        replayed = dict(await second.trailing_metadata()).get("idempotency-replayed")
        return first, again, replayed, await refused(served.stub.Decide(banner("s2"), metadata=metadata))

    first, again, replayed, other = run(shop, ask)
    assert first.decision_id == again.decision_id
    assert replayed == "true"
    assert (other.status, other.code) == (grpc.StatusCode.FAILED_PRECONDITION, "idempotency-mismatch")


# ---------------------------------------------------------------- events, exposures


def test_events_have_a_verdict_each_and_are_durable(shop):
    sent = pb.SendEventsRequest(
        events=[
            pb.Event(id="e1", type="checkout_viewed", session_id="s5"),
            pb.Event(id="e2", type="never declared", session_id="s5"),
        ]
    )

    async def ask(served):
        return await served.stub.SendEvents(sent, metadata=keyed(shop.events_key))

    answer = run(shop, ask)
    assert (answer.accepted, answer.refused) == (1, 1)
    assert [(each.id, each.verdict) for each in answer.events] == [("e1", "accepted"), ("e2", "refused")]
    assert len(shop.log.records) == 1


def test_an_exposure_confirms_what_was_taken(shop):
    async def ask(served):
        metadata = keyed(shop.page_key)
        made = await served.stub.Decide(banner(), metadata=metadata)
        tokens = [each.token for each in made.placements[0].offers]
        exposed = pb.SendExposureRequest(decision_id=made.decision_id, session_id="s1")
        exposed.placements["banner"].tokens.extend(tokens)
        return tokens, await served.stub.SendExposure(exposed, metadata=metadata)

    tokens, answer = run(shop, ask)
    assert tokens
    assert dict(answer.confirmed) == dict.fromkeys(tokens, True)


# ---------------------------------------------------------------- bulk


def test_a_stream_is_answered_in_its_order_and_a_bad_request_spoils_no_other(shop):
    async def ask(served):
        async def requests():
            for number in range(40):
                yield banner(f"b{number}") if number != 7 else pb.DecideRequest(session_id="b7")

        call = served.stub.DecideBulk(requests(), metadata=keyed(shop.server_key))
        return [answer async for answer in call]

    answers = run(shop, ask)
    assert [answer.line for answer in answers] == list(range(1, 41))
    assert [answer.answer.session_id for answer in answers] == [f"b{n}" if n != 7 else "" for n in range(40)]
    assert (answers[7].problem.code, answers[7].problem.field) == ("invalid-field", "/placements")


def test_an_answer_comes_before_the_next_request_is_sent_and_who_leaves_holds_no_place(shop):
    async def ask(served):
        call = served.stub.DecideBulk(metadata=keyed(shop.server_key))
        for number in range(1, 4):
            await call.write(banner(f"b{number}"))
            answer = await call.read()
            assert (answer.line, answer.answer.session_id) == (number, f"b{number}")
        assert shop.services.admission.streams == 1
        call.cancel()
        await until(lambda: shop.services.admission.streams == 0)
        return True

    assert run(shop, ask)


def test_a_stream_is_for_server_keys(shop):
    async def ask(served):
        call = served.stub.DecideBulk(metadata=keyed(shop.page_key))
        return await refused(call.read())

    assert run(shop, ask).code == "scope-missing"


# ---------------------------------------------------------------- the server


def test_health_says_whether_rules_are_live():
    async def ask(served):
        check: Any = health_pb2_grpc.HealthStub(served.channel)  # whose methods the stubs leave out
        found = {}
        for name in ("", SERVICE):
            found[name] = (await check.Check(health_pb2.HealthCheckRequest(service=name))).status
        return found

    serving, not_serving = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
    assert run(Shop(), ask) == {"": serving, SERVICE: serving}
    assert run(Shop(ruled=False), ask) == {"": serving, SERVICE: not_serving}


def test_at_its_end_a_server_answers_what_is_in_flight_and_takes_no_more():
    shop = limited(deadline_ms=5_000)
    shop.full_cart()
    shop.state.delay_s = 0.5

    async def ask(served):
        metadata = keyed(shop.server_key)
        under_way = asyncio.ensure_future(served.stub.Decide(banner(), metadata=metadata))
        await until(lambda: in_flight(shop) == 1)
        leaving = asyncio.create_task(served.application.leave())
        await asyncio.sleep(0.1)
        with pytest.raises(grpc.aio.AioRpcError) as late:
            await served.stub.Decide(banner(), metadata=metadata)
        made = await under_way
        await leaving
        return made, late.value.code()

    made, late = run(shop, ask)
    assert made.placements[0].offers[0].offer == "shipping"
    assert late is grpc.StatusCode.UNAVAILABLE


def test_under_load_every_call_that_was_begun_is_answered_at_the_end(shop):
    async def ask(served):
        answered, ends = [], []

        async def ask_on():
            while True:
                try:
                    made = await served.stub.Decide(banner(), metadata=keyed(shop.server_key))
                except grpc.aio.AioRpcError as error:
                    ends.append(error.code())
                    return
                answered.append(made.decision_id)

        asking = [asyncio.create_task(ask_on()) for _ in range(8)]
        await until(lambda: len(answered) >= 50)
        await served.application.leave()
        await asyncio.gather(*asking)
        return answered, ends

    answered, ends = run(shop, ask)
    assert set(ends) <= {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
    assert sorted(answered) == sorted(shop.decisions.entries)


@pytest.mark.parametrize(
    "value", [None, True, 0, -(1 << 63), (1 << 53) + 1, 0.5, "", "ü", [], {}, [None, [1]], {"a": {"b": [{}]}}]
)
def test_a_value_comes_back_as_it_was(value):
    again = plain(pb.Value.FromString(message(value).SerializeToString()))
    assert again == value
    assert type(again) is type(value)
