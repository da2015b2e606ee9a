"""A model must be asked in service with the very numbers that it was trained on."""

from functools import cache
from importlib.resources import files
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from engine.language import check
from engine.language.tree import FactSource, Program
from engine.rete import Network
from engine.vocabulary import Admission, read_facts
from models.dataset import ModelSpec, Session, build_rows, check_features, no_score, read_spec, session_vectors
from models.features import vector
from models.scorer import Scorer, ServedModel
from models.shoppers import history
from models.training import Rows, TrainingError, train
from service.ruleset_folder import read_sources
from service.shop.catalogue import products
from service.training import default_spec

NOW = 1_760_000_000_000


@cache
def program() -> Program:
    checked = check(read_sources(Path(str(files("rulesets").joinpath("shop")))))
    assert checked.program
    return checked.program


@cache
def network() -> Network:
    return Network.build(program())


def sessions(count: int) -> list[Session]:
    admission = Admission(program().vocabulary)
    found = []
    for who, events in islice(history(11, count, products(), NOW), count):
        profile, _ = read_facts(program().vocabulary, FactSource.PROFILE, who.profile if events[0].customer_id else {})
        found.append(Session([admission.admit(event, NOW) for event in events], profile))
    return found


def test_serving_reads_row_by_row_what_training_read() -> None:
    """Serving stores the session after each event, restores it, and reads through a request's view."""
    spec = read_spec(default_spec())
    served = Scorer({"purchase_intent": _model(spec)})
    compared = 0
    for session in sessions(60):
        first = session.events[0]
        memory = network().open(first.session_id, first.customer_id)
        network().set_facts(memory, session.profile, first.time, no_score)
        stored = network().snapshot(memory)
        for event, trained in session_vectors(network(), spec.features, session):
            memory = network().restore(stored)
            network().insert(memory, event, no_score)
            stored = network().snapshot(memory)
            view = network().view(network().restore(stored), event.time, {"context.device": "phone"}, no_score)
            asked = served.read("purchase_intent", view.fact)
            assert isinstance(asked, np.ndarray)
            assert asked.tobytes() == trained.tobytes()
            compared += 1
    assert compared > 300


def test_the_rows_are_those_of_the_spec_with_the_outcome_that_followed() -> None:
    spec = ModelSpec("m", "shop", read_spec(default_spec()).predicts, ("cart_added",), ("cart.value", "views.products"))
    chosen = [each for each in sessions(300) if any(event.type == "purchase" for event in each.events)][:3]
    rows = build_rows(network(), spec, chosen)
    labels, values = [], []
    for session in chosen:
        bought = [event.time for event in session.events if event.type == "purchase"]
        worth = 0
        for event in session.events:
            if event.type in {"cart_added", "cart_removed"}:
                amount = event.attributes["amount"]
                assert isinstance(amount, int)
                worth += amount if event.type == "cart_added" else -amount
            if event.type == "cart_added":
                labels.append(any(event.time < time <= event.time + 1_800_000 for time in bought))
                values.append(worth)
    assert rows.labels.tolist() == labels
    assert rows.features[:, 0].tolist() == values
    assert rows.names == spec.features


def test_what_nobody_knows_is_nan_and_truths_are_numbers() -> None:
    facts = {"a": True, "b": 12, "c": None}
    read = vector(lambda name: facts[name], ("a", "b", "c"))
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, np.array([1, 12, np.nan], dtype=np.float32))
    with pytest.raises(TypeError, match="feature t is str"):
        vector(lambda _name: "text", ("t",))


def test_a_spec_that_does_not_fit_its_ruleset_is_refused_with_all_that_is_wrong() -> None:
    spec = ModelSpec("m", "shop", read_spec(default_spec()).predicts, ("wink",), ("cart.valeu", "customer.first_name"))
    with pytest.raises(TrainingError) as refused:
        check_features(spec, program().vocabulary)
    for part in ("cart.valeu: not in the vocabulary", "customer.first_name: text can not", "event wink: not in the"):
        assert part in str(refused.value)


@pytest.mark.parametrize("text", ["model: [", "model: m\nfeature: [a]\n", "model: m\nruleset: shop\nfeatures: 3\n"])
def test_a_file_that_is_no_spec_is_refused_with_its_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "m.yaml"
    path.write_text(text)
    with pytest.raises(TrainingError, match=r"m\.yaml is no model spec"):
        read_spec(path)


@cache
def _model(spec: ModelSpec) -> ServedModel:
    draw = np.random.default_rng(1)
    features = draw.normal(size=(1000, len(spec.features))).astype(np.float32)
    labels = draw.random(1000) < 0.4
    return ServedModel(
        train(Rows(spec.features, features, labels, np.arange(1000)), threads=1).onnx, spec.features, "v"
    )
