"""ETags, what caches may keep, and requests that are sent twice."""

import asyncio

import msgspec
import pytest

from engine.offers import conclude
from tests.unit.service.api.shop import FOLDER, NOW, SETTINGS, Shop, loaded, spot

PUBLIC = FOLDER | {
    "shop.yaml": FOLDER["shop.yaml"]
    + """
  - rule: cart_page
    when: {fact: context.page, is: cart}
    schedule: {until: 2026-11-18T12:00, timezone: UTC}
    then: [{offer: hurry, placement: footer}]
""",
    "vocabulary.yaml": FOLDER["vocabulary.yaml"] + "  footer: {slots: 1, fallback: standard}\n",
}
ASKED = {"session_id": "s1", "placements": ["banner", "hero"]}


@pytest.fixture
def shop():
    return Shop()


@pytest.fixture
def public_shop():
    return Shop(current=loaded(sources=PUBLIC))


def decide(shop, tag=None, **more):
    headers = {} if tag is None else {"If-None-Match": tag}
    return shop.post("/v1/decide", ASKED | more, headers=headers)


def test_a_decision_that_shows_the_same_is_not_sent_again(shop):
    shop.full_cart()
    first = decide(shop)
    tag = first.headers["etag"]
    assert tag.startswith('W/"')
    shop.now += 5_000
    again = decide(shop, tag)
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert again.headers["cache-control"] == "no-store"
    assert decide(shop, f'"other", {tag}').status_code == 304
    assert decide(shop, '"other"').status_code == 200


def test_what_shows_something_else_is_sent(shop):
    shop.full_cart()
    tag = decide(shop).headers["etag"]
    shop.now = NOW + 4 * 60_000
    answer = decide(shop, tag)
    assert (answer.status_code, spot(answer.json(), "banner")["outcome"]) == (200, "no_match")
    shop.now = NOW
    shop.state.grants.clear()
    shop.state.limits = type(shop.state.limits)()
    assert decide(shop, tag).status_code == 200, "a new act has a token that the caller must know"


def test_a_new_revision_and_what_is_missing_are_sent(shop):
    tag = decide(shop).headers["etag"]
    shop.holder.current = loaded(2, shop.scorer)
    assert decide(shop, tag).status_code == 200
    shop.state.gone = True
    assert decide(shop, tag).status_code == 200


def test_verdicts_and_explanations_are_always_sent(shop):
    tag = decide(shop).headers["etag"]
    event = {"type": "checkout_viewed", "session_id": "s1"}
    assert decide(shop, "*", events=[event]).status_code == 200
    assert decide(shop, "*", explain=True).status_code == 200
    assert decide(shop, "*").status_code == 304
    assert tag


def test_a_public_placement_may_be_kept_until_it_changes(public_shop):
    public_shop.now = 1_795_003_200_000 - 90_000  # the schedule ends 2026-11-18T12:00
    path = "/v1/placements/footer?context.page=cart"
    answer = public_shop.get(path, key="page")
    assert answer.json()["offers"] == [{"offer": "hurry", "content": {"title": "Now"}, "rule": "shop.cart_page"}]
    assert answer.headers["cache-control"] == "public, max-age=60"
    public_shop.now += 80_000
    assert public_shop.get(path).headers["cache-control"] == "public, max-age=10"
    tag = answer.headers["etag"]
    assert not tag.startswith("W/")
    assert public_shop.get(path, headers={"If-None-Match": tag}).status_code == 304
    assert public_shop.get("/v1/placements/footer", headers={"If-None-Match": tag}).json()["outcome"] == "no_match"
    public_shop.now += 10_000
    assert public_shop.get(path, headers={"If-None-Match": tag}).json()["outcome"] == "suppressed"
    assert public_shop.decisions.entries == {}


@pytest.mark.parametrize("placement", ["banner", "hero", "teaser"])
def test_what_hangs_on_the_shopper_a_limit_or_a_model_is_not_public(public_shop, placement):
    answer = public_shop.get(f"/v1/placements/{placement}")
    assert (answer.status_code, answer.json()["type"]) == (404, "urn:salience:problem:not-public")
    assert "public" not in answer.headers["cache-control"]


def test_with_a_global_holdout_nothing_is_public():
    shop = Shop(msgspec.structs.replace(SETTINGS, holdout_percent=5), loaded(sources=PUBLIC))
    assert shop.get("/v1/placements/footer").status_code == 404


def test_a_placement_that_does_not_exist_and_a_fact_that_does_not_fit_are_problems(public_shop):
    assert public_shop.get("/v1/placements/nowhere").status_code == 404
    assert public_shop.get("/v1/placements/footer?context.nonsense=1").status_code == 400
    assert public_shop.get("/v1/placements/footer", key="events").status_code == 403


def both(shop, path, *bodies, key="k1"):
    """The answers to bodies sent one after the other to one process with one Idempotency-Key."""
    answers = []

    async def send(client, body):
        answer = await client.post(
            path,
            content=msgspec.json.encode(body),
            headers={"Idempotency-Key": key, "Content-Type": "application/json"},
        )
        answers.append(answer)
        return answer

    shop.run(*((lambda client, body=body: send(client, body)) for body in bodies))
    return answers


def test_the_same_request_sent_again_gets_the_first_answer(shop):
    shop.full_cart()
    asked = ASKED | {"events": [{"type": "checkout_viewed", "session_id": "s1"}]}
    first, again = both(shop, "/v1/decide", asked, asked)
    assert again.content == first.content
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert len(shop.log.records) == 1


def test_another_request_with_the_key_is_refused(shop):
    event = {"type": "checkout_viewed", "session_id": "s1"}
    _, other = both(shop, "/v1/events", event, event | {"session_id": "s2"})
    assert (other.status_code, other.json()["field"]) == (422, "Idempotency-Key")
    assert len(shop.log.records) == 1


def test_a_problem_is_not_kept(shop):
    shop.log.fails = True
    event = {"type": "checkout_viewed", "session_id": "s1"}

    async def heal(_client):
        shop.log.fails = False

    async def send(client):
        return await client.post("/v1/events", json=event, headers={"Idempotency-Key": "k"})

    assert shop.run(send).status_code == 503
    assert shop.run(send, heal, send).status_code == 202


def test_a_repeat_waits_for_the_first_one(shop):
    shop.state.delay_s = 0.02

    async def twice(client):
        sent = (client.post("/v1/decide", json=ASKED, headers={"Idempotency-Key": "k"}) for _ in range(3))
        return await asyncio.gather(*sent)

    first, *others = shop.run(twice)
    assert {each.content for each in others} == {first.content}
    assert shop.state.reads == 1


def test_a_key_that_is_empty_or_long_is_refused(shop):
    for key in ("", "k" * 201):
        (answer,) = both(shop, "/v1/decide", ASKED, key=key)
        assert answer.status_code == 400


def test_nothing_is_concluded_twice(shop, monkeypatch):
    """The decision that 304 stands for is made of the evaluation that was kept."""
    made = []

    def counted(*args, **named):
        made.append(1)
        return conclude(*args, **named)

    monkeypatch.setattr("service.api.deciding.conclude", counted)
    tag = decide(shop).headers["etag"]
    assert decide(shop, tag).status_code == 304
    assert made == [1]
