"""Training: XGBoost on rows in order of time, calibrated, exported to ONNX, and refused unless both agree."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnxmltools
import sklearn
import xgboost as xgb
from numpy.typing import NDArray
from onnxmltools.convert.common.data_types import FloatTensorType
from sklearn.metrics import average_precision_score, log_loss, roc_auc_score
from sklearn.model_selection import StratifiedKFold

from models.calibration import Sigmoid, with_sigmoid
from models.scorer import INPUT, ServedModel

MAX_DIFFERENCE = 1e-5
"""The largest difference, in probability, between XGBoost and ONNX that is let through on the hold-out."""

PARAMETERS: Mapping[str, Any] = {
    "objective": "binary:logistic",
    "eval_metric": "logloss",
    "eta": 0.05,
    "max_depth": 4,
    "min_child_weight": 5,
    "subsample": 0.8,
    "colsample_bytree": 0.8,
    "lambda": 2.0,
}
ROUNDS = 600
PATIENCE = 30


class TrainingError(Exception):
    """The data can't be trained on, or the result was refused; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Rows:
    """A table to train on, in order of time.

    Attributes:
        names: Features, in the order of the columns.
        features: float32 (n, n_features), NaN = unknown.
        labels: bool (n,).
        times: int64 (n,), epoch ms; equal times stay in one part of a split.
    """

    names: tuple[str, ...]
    features: NDArray[np.float32]
    labels: NDArray[np.bool_]
    times: NDArray[np.int64]

    def take(self, mask: NDArray[np.bool_]) -> Rows:
        """The rows where the mask (n,) is true."""
        return Rows(self.names, self.features[mask], self.labels[mask], self.times[mask])


@dataclass(frozen=True, slots=True)
class Trained:
    """A model that passed: its ONNX bytes, its figures on the hold-out, and what its card shows."""

    onnx: bytes
    metrics: dict[str, float]
    curve: tuple[tuple[float, float, int], ...]
    importance: tuple[tuple[str, float], ...]
    origin: dict[str, object] = field(default_factory=dict)


def split_by_time(rows: Rows, parts: tuple[float, ...] = (0.7, 0.15, 0.15)) -> tuple[Rows, ...]:
    """Cut at moments, so that every row of a part is earlier than every row of the next.

    Args:
        rows: In any order.
        parts: Shares of the rows, summing to 1; near, since rows of one moment are kept together.

    Raises:
        TrainingError: A part would have fewer than 50 rows or only one outcome.
    """
    edges = np.quantile(rows.times, np.cumsum(parts)[:-1], method="lower")
    bounds = [rows.times.min() - 1, *edges, rows.times.max()]
    cut = tuple(rows.take((rows.times > a) & (rows.times <= b)) for a, b in itertools.pairwise(bounds))
    for number, part in enumerate(cut, 1):
        true = int(part.labels.sum())
        if len(part.labels) < 50 or true in {0, len(part.labels)}:
            raise TrainingError(
                f"part {number} of the split by time has {len(part.labels)} rows, {true} of them true; each part needs "
                "at least 50 rows and both outcomes: train on a longer history"
            )
    return cut


def train(rows: Rows, *, seed: int = 1, threads: int = 2) -> Trained:
    """Train on the oldest 70 %, calibrate on the next 15 %, judge on the newest 15 %.

    The part for calibration also stops the boosting early; the hold-out is looked at once, at the end.

    Raises:
        TrainingError: Too little data, or ONNX and XGBoost differ by more than `MAX_DIFFERENCE` on the hold-out.
    """
    learn, tune, hold = split_by_time(rows)
    booster = _boost(learn, tune, seed, threads)
    sigmoid = Sigmoid.fit(_raw(booster, tune), tune.labels)
    converted = onnxmltools.convert_xgboost(
        booster, initial_types=[(INPUT, FloatTensorType([None, len(rows.names)]))], target_opset=15
    )
    onnx = with_sigmoid(converted, sigmoid, len(rows.names))
    expected = sigmoid.apply(_raw(booster, hold))
    answers = ServedModel(onnx, rows.names, "trained").predict(hold.features)
    difference = float(np.abs(answers - expected).max())
    if not difference <= MAX_DIFFERENCE:
        raise TrainingError(
            f"refused: ONNX and XGBoost differ by {difference:.2g} on the hold-out, at most {MAX_DIFFERENCE:g} is let through"
        )
    base = float(np.concatenate([learn.labels, tune.labels]).mean())
    gain = booster.get_score(importance_type="total_gain")
    total = sum(_number(each) for each in gain.values()) or 1.0
    return Trained(
        onnx=onnx,
        metrics={
            **judge(hold.labels, answers),
            "log_loss_of_base_rate": float(log_loss(hold.labels, np.full(len(hold.labels), base))),
            "log_loss_uncalibrated": float(log_loss(hold.labels, _raw(booster, hold))),
            "onnx_difference": difference,
            "rows": float(len(rows.labels)),
            "rows_hold_out": float(len(hold.labels)),
            "share_true": float(rows.labels.mean()),
        },
        curve=calibration_curve(hold.labels, answers),
        importance=tuple(
            sorted(
                ((rows.names[int(key[1:])], _number(each) / total) for key, each in gain.items()),
                key=lambda pair: -pair[1],
            )
        ),
        origin={
            "seed": seed,
            "parameters": dict(PARAMETERS),
            "trees": booster.num_boosted_rounds(),
            "split": {
                name: [int(part.times.min()), int(part.times.max()), len(part.labels)]
                for name, part in (("train", learn), ("calibrate", tune), ("hold-out", hold))
            },
            "calibration": {"slope": float(sigmoid.slope), "offset": float(sigmoid.offset)},
            "libraries": {"xgboost": xgb.__version__, "scikit-learn": sklearn.__version__},
        },
    )


def cross_validate(rows: Rows, folds: int, *, seed: int = 1, threads: int = 2) -> dict[str, float]:
    """Stratified folds without regard to time, for tables that have none. Returns the mean and spread of the figures."""
    splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
    figures = []
    for learned, held in splitter.split(rows.features, rows.labels):
        mask = np.zeros(len(rows.labels), dtype=np.bool_)
        mask[learned] = True
        stop = np.random.default_rng(seed).random(len(learned)) < 0.15  # early stopping never sees the held fold
        booster = _boost(_pick(rows, learned[~stop]), _pick(rows, learned[stop]), seed, threads)
        figures.append(judge(rows.labels[held], _raw(booster, _pick(rows, held))))
    return {
        **{name: float(np.mean([each[name] for each in figures])) for name in figures[0]},
        "roc_auc_spread": float(np.std([each["roc_auc"] for each in figures])),
    }


def judge(labels: NDArray[np.bool_], answers: NDArray[np.float32]) -> dict[str, float]:
    """ROC AUC, average precision, log loss and Brier score of answers in [0, 1]."""
    return {
        "roc_auc": float(roc_auc_score(labels, answers)),
        "average_precision": float(average_precision_score(labels, answers)),
        "log_loss": float(log_loss(labels, answers)),
        "brier": float(np.mean((answers - labels) ** 2)),
    }


def calibration_curve(
    labels: NDArray[np.bool_], answers: NDArray[np.float32], bins: int = 10
) -> tuple[tuple[float, float, int], ...]:
    """(mean answer, share true, rows) of groups of equal size, from low answers to high; empty groups left out."""
    order = np.argsort(answers, kind="stable")
    groups = (group for group in np.array_split(order, bins) if len(group))
    return tuple((float(answers[g].mean()), float(labels[g].mean()), len(g)) for g in groups)


def _boost(learn: Rows, tune: Rows, seed: int, threads: int) -> xgb.Booster:
    booster = xgb.train(
        {**PARAMETERS, "seed": seed, "nthread": threads},
        xgb.DMatrix(learn.features, label=learn.labels),
        ROUNDS,
        evals=[(xgb.DMatrix(tune.features, label=tune.labels), "tune")],
        early_stopping_rounds=PATIENCE,
        verbose_eval=False,
    )
    # Trees after the best round are cut off, so that every reader of the model sees the same ones.
    return booster[: booster.best_iteration + 1]


def _raw(booster: xgb.Booster, rows: Rows) -> NDArray[np.float32]:
    return np.asarray(booster.predict(xgb.DMatrix(rows.features)), dtype=np.float32)


def _pick(rows: Rows, index: NDArray[np.int64]) -> Rows:
    return Rows(rows.names, rows.features[index], rows.labels[index], rows.times[index])


def _number(gain: float | list[float]) -> float:
    return float(np.sum(gain))
