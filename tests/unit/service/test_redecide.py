"""Decide again: whatever a decision was made of, the log has it, and the same bytes come out of it."""

import dataclasses
import random
import shutil
from typing import Any

import msgspec
import pytest

from engine.bundle import Bundle
from engine.decision import Decision
from models.registry import ModelMetadata, ModelRegistry
from models.scorer import Scorer
from service.api.inputs import Basis, decode_inputs
from service.control import Control
from service.redecide import RedecideError, Redecider
from tests.unit.models.samples import FEATURES, trained
from tests.unit.service.api.shop import FOLDER, NOW, SETTINGS, WITHOUT_MODELS, FakeScorer, Shop, loaded

RULES = FOLDER["shop.yaml"].replace("limits: {per_session: 1}", "limits: {per_session: 2}\n    holdout: 30%")
SOURCES = FOLDER | {"shop.yaml": RULES}


class Proving:
    """A shop, and whoever decides again after it."""

    def __init__(self, tmp_path, settings=SETTINGS, sources=SOURCES):
        scorer = FakeScorer()
        self.shop = Shop(settings, loaded(1, scorer, sources))
        self.shop.scorer = scorer
        self.control = Control(self.shop.tables)
        self.publish(self.shop.rules)
        self.redecider = Redecider(self.shop.decisions, self.control, tmp_path / "models", "salt")

    def publish(self, rules):
        self.control.store(rules.bundle, rules.network.rule_digests)
        self.control.record(rules.revision, 0)
        self.control.flip(rules.revision, 0)
        self.shop.holder.current = rules

    def logged(self):
        return [each for each in self.shop.decisions.entries if each.startswith("d_")]


@pytest.fixture
def proving(tmp_path):
    return Proving(tmp_path)


def prove_all(proving):
    proofs = [proving.redecider.prove(each) for each in proving.logged()]
    assert [proof.before for proof in proofs if not proof.is_same] == []
    return proofs


@pytest.mark.parametrize("seed", range(6))
def test_a_hundred_decisions_of_every_kind_are_made_again_byte_for_byte(tmp_path, seed):
    chance = random.Random(seed)
    settings = msgspec.structs.replace(SETTINGS, holdout_percent=20 if seed % 2 else 0, deadline_ms=1000)
    proving = Proving(tmp_path, settings)
    shop = proving.shop

    before: list[dict[str, Any]] = []

    def visit():
        if before and chance.random() < 0.3:
            return before[-1], {}
        session, customer = f"s{chance.randrange(6)}", chance.choice([None, "c1", "c2"])
        body: dict[str, Any] = {
            "session_id": session,
            "placements": chance.sample(["banner", "hero", "teaser"], chance.randint(1, 3)),
        }
        body["context"] = {"context.page": chance.choice(["cart", "home"])} if chance.random() < 0.7 else {}
        if chance.random() < 0.5:
            body["customer_id"] = customer
        if chance.random() < 0.3:
            added = {"product_id": "p1", "price": chance.randint(1, 400)}
            body["events"] = [
                {"type": "cart_added", "session_id": session, "attributes": added},
                {"type": "checkout_viewed", "session_id": session},
            ]
        if chance.random() < 0.2:
            shop.full_cart_at(shop.now, session, customer)
        if chance.random() < 0.1:
            shop.state.profiles["c1"] = chance.choice(
                [b'{"customer.tier": "gold", "customer.age": 30}', b"{}", b"not json"]
            )
        shop.state.gone = chance.random() < 0.05
        shop.state.limits_gone = chance.random() < 0.1
        shop.scorer.value = chance.choice([None, 0.1, 0.2 + 0.1, 0.9])
        shop.now += chance.choice([0, 0, 1_000, 45_000, 400_000])
        before.append({name: value for name, value in body.items() if name != "events"})
        return body, {"Sec-GPC": "1"} if chance.random() < 0.1 else {}

    async def visits(client):
        for number in range(100):
            if number == 50:
                changed = SOURCES | {"shop.yaml": RULES.replace("at_least: 200", "at_least: 150")}
                proving.publish(loaded(2, shop.scorer, changed))
            body, headers = visit()
            assert (await client.post("/v1/decide", json=body, headers=headers)).status_code == 200
            shop.state.gone = shop.state.limits_gone = False

    shop.run(visits)
    proofs = prove_all(proving)
    assert len(proofs) == 100
    made = [proof.before for proof in proofs]
    outcomes = {placed.outcome for each in made for placed in each.placements}
    assert {"offer", "no_match", "degraded"} <= outcomes, "the seeds are to reach what can happen"
    assert {each.revision for each in made} == {1, 2}
    assert any(each.evaluated_at is not None for each in made)
    assert any(each.degraded for each in made)


def test_nothing_of_the_installations_secrets_is_in_the_inputs(proving):
    proving.shop.full_cart()
    proving.shop.decide("banner")
    (raw,) = proving.shop.decisions.made_of.values()
    assert b"salt" not in raw


def change(proving, **changes):
    """Alter what the log says the only decision was made of."""
    (decision_id,) = proving.logged()
    inputs = decode_inputs(proving.shop.decisions.made_of[decision_id])
    assert isinstance(inputs.basis, Basis)
    basis = msgspec.structs.replace(inputs.basis, **changes)
    proving.shop.decisions.made_of[decision_id] = msgspec.msgpack.encode(msgspec.structs.replace(inputs, basis=basis))
    return decision_id


@pytest.mark.parametrize(
    "changes",
    [{"snapshot": None}, {"time": NOW + 400_000}, {"profiling": False}, {"profile": {"customer.tier": "gold"}}, {"holdout": 1.0}],
    ids=lambda each: next(iter(each)),
)  # fmt: skip
def test_every_input_counts(proving, changes):
    proving.shop.full_cart()
    proving.shop.decide("banner", "hero")
    prove_all(proving)
    assert not proving.redecider.prove(change(proving, **changes)).is_same


def test_a_log_that_was_altered_does_not_prove(proving):
    proving.shop.full_cart()
    proving.shop.decide("banner")
    (decision_id,) = proving.logged()
    session, at, raw = proving.shop.decisions.entries[decision_id]
    proving.shop.decisions.entries[decision_id] = (session, at, raw.replace(b"248.00 EUR travels", b"248.00 EUR stays"))
    proof = proving.redecider.prove(decision_id)
    assert not proof.is_same
    assert b"248.00 EUR travels free" in proof.again


def test_a_draft_shows_what_it_would_have_shown(proving):
    proving.shop.full_cart()
    proving.shop.decide("banner", "hero")
    (decision_id,) = proving.logged()
    stricter = SOURCES | {"shop.yaml": RULES.replace("at_least: 200", "at_least: 249")}
    done = proving.redecider.compare(decision_id, stricter)
    assert [placed.outcome for placed in done.before.placements] == ["offer", "no_match"]
    assert [placed.outcome for placed in done.after.placements] == ["no_match", "no_match"]
    assert proving.redecider.compare(decision_id, SOURCES).after.placements == done.before.placements
    assert done.remarks == ()


def test_a_draft_that_nominates_more_takes_its_limits_as_granted_and_says_so(proving):
    proving.shop.decide("hero")
    (decision_id,) = proving.logged()
    greedy = RULES.replace("when: {fact: customer.tier, is: gold}", "when: {not: {event: purchase, within: 1 hour}}")
    greedy = greedy.replace(
        "{offer: golden, placement: hero}]", "{offer: golden, placement: hero}]\n    limits: {total: 5 per day}"
    )
    done = proving.redecider.compare(decision_id, SOURCES | {"shop.yaml": greedy})
    assert done.after.placements[0].offers[0].offer == "golden"
    assert "taken as granted" in done.remarks[0]


def test_a_draft_that_lacks_the_placement_or_an_event_type_says_so(proving):
    shop = proving.shop
    shop.decide("hero", events=[{"type": "purchase", "session_id": "s1"}])
    (decision_id,) = proving.logged()
    smaller = {
        "vocabulary.yaml": "currency: EUR\nevents: {seen: {}}\nplacements: {other: {slots: 1, fallback: standard}}\n",
        "offers.yaml": "offers:\n  standard: {content: {title: Hello}}\n",
    }
    done = proving.redecider.compare(decision_id, smaller)
    assert done.after.placements == ()
    assert any("no placement hero" in each for each in done.remarks)
    assert any("no event purchase" in each for each in done.remarks)


def test_what_is_not_there_any_more_is_said(proving):
    shop = proving.shop
    shop.full_cart()
    shop.run(*[lambda client: client.post("/v1/decide", json={"session_id": "s1", "placements": ["banner"]})] * 2)
    first, second = proving.logged()
    assert isinstance(decode_inputs(shop.decisions.made_of[second]).basis, str), (
        "the evaluation of the first still held"
    )
    prove_all(proving)
    first_inputs = shop.decisions.made_of.pop(first)
    with pytest.raises(RedecideError, match=f"evaluation of decision {first}, which is not kept"):
        proving.redecider.prove(second)
    with pytest.raises(RedecideError, match="is not kept"):
        proving.redecider.prove(first)
    shop.decisions.made_of[first] = first_inputs[:-3]
    with pytest.raises(RedecideError, match="can't be read"):
        proving.redecider.prove(first)
    with pytest.raises(RedecideError, match="no decision 'd_nothing'"):
        proving.redecider.prove("d_nothing")
    shop.decisions.entries["x_1"] = ("s1", NOW, b'{"kind": "exposure"}')
    with pytest.raises(RedecideError, match="is no decision"):
        proving.redecider.prove("x_1")
    del shop.tables.written["bundles"]
    shop.decisions.made_of[first] = first_inputs
    with pytest.raises(RedecideError, match=r"its bundle .* is not in the tables"):
        proving.redecider.prove(first)


def test_a_bundle_that_was_altered_in_the_tables_is_not_decided_by(proving):
    proving.shop.decide("hero")
    (decision_id,) = proving.logged()
    bundle = proving.shop.rules.bundle
    altered = Bundle(dict(bundle.sources) | {"offers.yaml": FOLDER["offers.yaml"].replace("Gold", "Lead")})
    proving.shop.tables.put("bundles", bundle.hash, altered.to_bytes())
    with pytest.raises(RedecideError, match="damaged"):
        proving.redecider.prove(decision_id)


def test_a_decision_is_what_it_is_made_of_and_its_answer_to_the_shopper():
    """The log's bytes are those of the decision, with all that the storefront was told in it."""
    shop = Shop()
    shop.full_cart()
    told = shop.decide("banner")
    raw = shop.decisions.get(told["decision_id"])
    assert raw is not None
    decision = msgspec.json.decode(raw, type=Decision)
    assert decision.placements[0].offers[0].content == told["placements"][0]["offers"][0]["content"]


def test_an_answer_that_stood_is_made_again_byte_for_byte(proving):
    proving.shop.remember("s1", ("cart_added", NOW - 60_000, {"product_id": "p1", "price": 9_900}))
    for _ in range(4):
        proving.shop.now += 1_000
        proving.shop.decide("banner", "hero")
    proofs = prove_all(proving)
    assert [proof.is_same for proof in proofs] == [True] * 4
    assert len({proof.before.evaluated_at for proof in proofs[1:]}) == 1


def test_a_context_that_nothing_looks_at_is_another_and_the_decision_is_made_again(tmp_path):
    proving = Proving(tmp_path, sources=WITHOUT_MODELS)
    proving.shop.full_cart()
    for page in ("cart", "home", "home", "home"):
        proving.shop.decide("banner", "hero", context={"context.page": page})
    proofs = prove_all(proving)
    assert [proof.is_same for proof in proofs] == [True] * 4
    assert [proof.before.context for proof in proofs] == [{"context.page": each} for each in ("cart", *["home"] * 3)]
    assert all(proof.before.evaluated_at == NOW for proof in proofs[1:])


def test_the_model_of_then_is_asked_again_and_what_differs_is_said(tmp_path):
    registry = ModelRegistry(tmp_path / "models")
    version = registry.add(trained().onnx, ModelMetadata("intent", FEATURES, 1, {}, {}), {})
    sources = SOURCES | {
        "vocabulary.yaml": FOLDER["vocabulary.yaml"].replace("scores:", "  views: {count: cart_added}\nscores:")
    }
    rules = loaded(sources=sources)
    scorer = Scorer.open(registry, {"intent": "intent"}, {"intent": version})
    bundle = Bundle(sources, {"intent": version})
    revision = msgspec.structs.replace(rules.revision, bundle=bundle.hash)
    proving = Proving(tmp_path, sources=sources)
    proving.publish(dataclasses.replace(rules, scorer=scorer, bundle=bundle, revision=revision))
    proving.shop.full_cart()
    proving.shop.decide("teaser", context={"context.page": "cart"})
    (proof,) = prove_all(proving)
    assert proof.before.models == {"intent": version}
    assert proof.remarks == (), "the model gives the very same number"

    ((_, answer),) = proof.before.scores
    doubted = change(proving, scores={"intent": msgspec.structs.replace(answer, value=0.123)})
    proof = proving.redecider.prove(doubted)
    assert not proof.is_same
    assert proof.remarks == (f"the model of score intent answers {answer.value}, and answered 0.123 then",)
    shutil.rmtree(tmp_path / "models")
    assert "is not here" in proving.redecider.prove(doubted).remarks[0]
