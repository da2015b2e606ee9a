from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from engine.activation import FactReader
from engine.values import Value
from models.calibration import Sigmoid
from models.registry import ModelError, ModelMetadata, ModelRegistry
from models.scorer import Scorer
from tests.unit.models.samples import FEATURES, trained


@pytest.fixture
def registry(tmp_path: Path) -> ModelRegistry:
    return ModelRegistry(tmp_path / "models")


def reader(facts: Mapping[str, Value]) -> FactReader:
    return facts.get


def metadata(created: int = 1) -> ModelMetadata:
    return ModelMetadata("intent", FEATURES, created, {"roc_auc": 0.9}, {})


def test_a_stored_version_answers_as_the_trained_model_does(registry: ModelRegistry) -> None:
    version = registry.add(trained().onnx, metadata(), {"card.md": "# Card\n"})
    scorer = Scorer.open(registry, {"purchase": "intent"}, {"intent": version})
    assert not scorer.problems
    answer = scorer.answer("purchase", reader({"cart.value": 25000, "views": 3}))
    assert answer.status == "ok"
    assert answer.model_version == version
    again = scorer.answer("purchase", reader({"cart.value": 25000, "views": 3}))
    assert answer == again
    assert answer.value != scorer.answer("purchase", reader({"cart.value": 0, "views": 3})).value


def test_the_same_content_is_the_same_version_and_the_last_added_is_the_latest(registry: ModelRegistry) -> None:
    first = registry.add(trained(seed=1).onnx, metadata(1), {})
    second = registry.add(trained(seed=2).onnx, metadata(2), {})
    assert first != second
    assert registry.latest("intent") == second
    assert registry.add(trained(seed=1).onnx, metadata(3), {}) == first
    assert registry.latest("intent") == first
    assert [each.version for each in registry.versions("intent")] == [second, first]
    assert registry.names() == ("intent",)


def test_a_changed_file_is_refused_with_its_place(registry: ModelRegistry) -> None:
    version = registry.add(trained().onnx, metadata(), {})
    path = Path(registry.get("intent", version).folder) / "model.onnx"
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    with pytest.raises(ModelError, match=rf"{path} is not what its version"):
        registry.read("intent", version)
    scorer = Scorer.open(registry, {"purchase": "intent"}, {"intent": version})
    assert scorer.answer("purchase", reader({})).status == "missing"
    assert "changed or damaged" in scorer.problems["purchase"]


@pytest.mark.parametrize("raw", [b"", b"not a model", b"\x08\x08" * 50])
def test_what_is_no_model_never_enters_the_registry(registry: ModelRegistry, raw: bytes) -> None:
    with pytest.raises(ModelError, match=r"model\.onnx is not a usable model"):
        registry.add(raw, metadata(), {})
    assert registry.names() == ()
    assert registry.latest("intent") is None


def test_a_model_of_another_width_never_enters_the_registry(registry: ModelRegistry) -> None:
    wide = ModelMetadata("intent", (*FEATURES, "one.more"), 1, {}, {})
    with pytest.raises(ModelError, match="not a usable model"):
        registry.add(trained().onnx, wide, {})


def test_a_missing_version_is_named_with_those_that_are_there(registry: ModelRegistry) -> None:
    version = registry.add(trained().onnx, metadata(), {})
    with pytest.raises(ModelError, match=f"no version ffff.*there: {version[:12]}"):
        registry.read("intent", "f" * 64)


def test_a_name_that_is_a_path_is_refused(registry: ModelRegistry) -> None:
    with pytest.raises(ModelError, match="no model name"):
        registry.add(b"", ModelMetadata("../intent", FEATURES, 1, {}, {}), {})


def test_an_unpinned_model_is_missing_and_named() -> None:
    scorer = Scorer.open(ModelRegistry(Path("/nowhere")), {"purchase": "intent"}, {})
    assert scorer.answer("purchase", reader({})).status == "missing"
    assert "no version of intent is pinned" in scorer.problems["purchase"]


def test_the_exported_sigmoid_holds_at_the_edges() -> None:
    """Raw odds of exactly 0 and 1 have no logit; they must still give a probability."""
    calibrated = Sigmoid(1.3, -0.4).apply(np.array([0.0, 1e-9, 0.5, 1.0], dtype=np.float32))
    assert np.isfinite(calibrated).all()
    assert (np.diff(calibrated) >= 0).all()
