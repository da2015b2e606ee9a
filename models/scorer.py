"""Models in service: ONNX Runtime on one thread, a whole batch in one call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from engine.activation import FactReader, ScoreAnswer, ScoreStatus
from models.features import Vector, vector
from models.registry import ModelError, ModelRegistry

INPUT = "features"
OUTPUT = "probability"


class ServedModel:
    """One open version of a model. Safe for several threads; answers depend on the vector alone."""

    def __init__(self, onnx: bytes, features: tuple[str, ...], version: str) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # errors reach us as exceptions
        self.features = features
        self.version = version
        self._session = ort.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
        (taken,), (given,) = self._session.get_inputs(), self._session.get_outputs()
        if (taken.name, taken.shape[1:], given.name) != (INPUT, [len(features)], OUTPUT):
            msg = f"takes {taken.name}{taken.shape} and gives {given.name}, expected {INPUT}[n, {len(features)}] and {OUTPUT}"
            raise ModelError(msg)

    def predict(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Calibrated probabilities, float32 (n,), of a batch float32 (n, n_features); NaN in the batch is unknown."""
        (answer,) = self._session.run([OUTPUT], {INPUT: batch})
        return np.asarray(answer, dtype=np.float32).reshape(-1)


class Scorer:
    """Answers the scores of one bundle by the model versions that it pins."""

    def __init__(self, served: Mapping[str, ServedModel | ModelError]) -> None:
        """Takes, by score name, an open model or why there is none."""
        self._served = served

    @classmethod
    def open(cls, registry: ModelRegistry, scores: Mapping[str, str], pins: Mapping[str, str]) -> Scorer:
        """Open the pinned version of each model.

        A model that can't be opened answers ERROR or MISSING from then on; it never keeps a bundle's rules from
        running, since each rule says what holds without an answer. `problems` names them.

        Args:
            registry: Where the versions are.
            scores: The model of each score (`vocabulary.scores`).
            pins: The version of each model (`bundle.pins`).
        """
        opened: dict[str, ServedModel | ModelError] = {}
        for model in sorted(set(scores.values())):
            try:
                opened[model] = _open(registry, model, pins.get(model))
            except ModelError as error:
                opened[model] = error
            except Exception as error:  # noqa: BLE001  ONNX Runtime raises types of its own; each is named in the status
                opened[model] = ModelError(f"model {model} can't be opened: {error}")
        return cls({score: opened[model] for score, model in scores.items()})

    @property
    def problems(self) -> Mapping[str, str]:
        """Scores without a usable model, with the reason."""
        return {name: str(served) for name, served in self._served.items() if isinstance(served, ModelError)}

    @property
    def versions(self) -> Mapping[str, str]:
        """The model version that answers each score."""
        return {name: served.version for name, served in self._served.items() if isinstance(served, ServedModel)}

    def features(self, score: str) -> tuple[str, ...]:
        """The facts that a score's model reads, in order; empty without a model."""
        served = self._served.get(score)
        return served.features if isinstance(served, ServedModel) else ()

    def answer(self, score: str, reader: FactReader) -> ScoreAnswer:
        """A `ScoreFunction`: ask now, in this thread. Never raises."""
        asked = self.read(score, reader)
        return asked if isinstance(asked, ScoreAnswer) else self.ask(score, [asked])[0]

    def read(self, score: str, reader: FactReader) -> Vector | ScoreAnswer:
        """The vector to ask a score's model with, or the answer where there is nothing to ask."""
        served = self._served.get(score)
        if not isinstance(served, ServedModel):
            return ScoreAnswer(ScoreStatus.MISSING)
        try:
            return vector(reader, served.features)
        except TypeError:
            return ScoreAnswer(ScoreStatus.ERROR, model_version=served.version)

    def ask(self, score: str, vectors: Sequence[Vector]) -> list[ScoreAnswer]:
        """The answers for several sessions in one call of the model, in order. Never raises."""
        served = self._served.get(score)
        if not isinstance(served, ServedModel):
            return [ScoreAnswer(ScoreStatus.MISSING)] * len(vectors)
        try:
            values = served.predict(np.stack(vectors))
        except Exception:  # noqa: BLE001  any failure of the runtime is an answer of status ERROR, counted by the caller
            return [ScoreAnswer(ScoreStatus.ERROR, model_version=served.version)] * len(vectors)
        return [
            ScoreAnswer(ScoreStatus.OK, float(value), served.version)
            if np.isfinite(value)
            else ScoreAnswer(ScoreStatus.ERROR, model_version=served.version)
            for value in values
        ]


def _open(registry: ModelRegistry, model: str, version: str | None) -> ServedModel:
    if version is None:
        raise ModelError(f"no version of {model} is pinned by this revision; train one and publish again")
    metadata, onnx = registry.read(model, version)
    return ServedModel(onnx, metadata.features, version)


class Collector:
    """A `ScoreFunction` that asks nobody: it notes what would be asked, so that all of it can be asked at once.

    Evaluate with it; while `wanted` is not empty, ask for those vectors, `give` the answers, and evaluate again: an
    answer can make a rule reach its next score.
    """

    def __init__(self, scorer: Scorer, known: Mapping[str, ScoreAnswer] | None = None) -> None:
        """Takes the scorer, and answers that nobody is to be asked for."""
        self._scorer = scorer
        self._known: dict[str, ScoreAnswer] = dict(known or {})
        self.wanted: dict[str, Vector] = {}

    def __call__(self, score: str, reader: FactReader) -> ScoreAnswer:
        """The answer where it is known; else note the vector and answer PENDING."""
        known = self._known.get(score)
        if known is not None:
            return known
        asked = self._scorer.read(score, reader)
        if isinstance(asked, ScoreAnswer):
            self._known[score] = asked
            return asked
        self.wanted[score] = asked
        return ScoreAnswer(ScoreStatus.PENDING)

    @property
    def answers(self) -> Mapping[str, ScoreAnswer]:
        """All that is known, by score."""
        return self._known

    def give(self, answers: Mapping[str, ScoreAnswer]) -> None:
        """Answer what is wanted. A wanted score without an answer here met its deadline."""
        late = ScoreAnswer(ScoreStatus.DEADLINE)
        self._known.update({score: answers.get(score, late) for score in self.wanted})
        self.wanted.clear()
