"""Sigmoid calibration (Platt 1999) on data that the model was not trained on, and its export into the ONNX graph.

Isotonic calibration was tried and left: its steps don't survive float32, and the exported model differed by up to 0.026.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper
from sklearn.linear_model import LogisticRegression

from models.scorer import INPUT, OUTPUT

EDGE = np.float32(1e-6)  # 1 - 1e-6 is the last float32 probability whose logit has a relative error below 1 %


class Sigmoid:
    """`calibrated = sigmoid(slope * logit(raw) + offset)`, in float32 as in the exported graph."""

    def __init__(self, slope: float, offset: float) -> None:
        self.slope = np.float32(slope)
        self.offset = np.float32(offset)

    @classmethod
    def fit(cls, raw: NDArray[np.float32], labels: NDArray[np.bool_]) -> Sigmoid:
        """Fit to raw probabilities (n,) and what happened (n,); needs both outcomes among the labels."""
        fitted = LogisticRegression(C=np.inf).fit(_logit(raw).reshape(-1, 1), labels)
        return cls(float(fitted.coef_[0, 0]), float(fitted.intercept_[0]))

    def apply(self, raw: NDArray[np.float32]) -> NDArray[np.float32]:
        """Calibrated probabilities, float32 (n,)."""
        z = self.slope * _logit(raw) + self.offset
        return np.asarray(1 / (1 + np.exp(-z)), dtype=np.float32)


def _logit(raw: NDArray[np.float32]) -> NDArray[np.float32]:
    clipped = np.clip(np.asarray(raw, dtype=np.float32), EDGE, 1 - EDGE)
    return np.asarray(np.log(clipped) - np.log(1 - clipped), dtype=np.float32)


def with_sigmoid(classifier: onnx.ModelProto, sigmoid: Sigmoid, n_features: int) -> bytes:
    """Put the sigmoid behind a converted binary classifier and keep one output, the probability of true.

    Args:
        classifier: As onnxmltools converts it: input `features`, output `probabilities` float32 (n, 2).
        sigmoid: The calibration.
        n_features: Width of the input.

    Returns:
        The serialised model: `features` float32 (n, n_features) to `probability` float32 (n,).
    """
    constants: dict[str, NDArray[Any]] = {
        "one": np.array([1], dtype=np.int64),
        "low": np.array(EDGE, dtype=np.float32),
        "high": np.array(1 - EDGE, dtype=np.float32),
        "unit": np.array(1, dtype=np.float32),
        "slope": np.array(sigmoid.slope, dtype=np.float32),
        "offset": np.array(sigmoid.offset, dtype=np.float32),
        "flat": np.array([-1], dtype=np.int64),
    }
    steps: list[tuple[str, list[str], str, dict[str, Any]]] = [
        ("Gather", ["probabilities", "one"], "column", {"axis": 1}),
        ("Reshape", ["column", "flat"], "raw", {}),
        ("Clip", ["raw", "low", "high"], "clipped", {}),
        ("Log", ["clipped"], "log_true", {}),
        ("Sub", ["unit", "clipped"], "other", {}),
        ("Log", ["other"], "log_false", {}),
        ("Sub", ["log_true", "log_false"], "logit", {}),
        ("Mul", ["logit", "slope"], "scaled", {}),
        ("Add", ["scaled", "offset"], "shifted", {}),
        ("Sigmoid", ["shifted"], OUTPUT, {}),
    ]
    graph = helper.make_graph(
        [*classifier.graph.node, *(helper.make_node(op, i, [o], **attributes) for op, i, o, attributes in steps)],
        "salience",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, [None, n_features])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [None])],
        [*classifier.graph.initializer, *(onnx.numpy_helper.from_array(v, k) for k, v in constants.items())],
    )
    opsets = {each.domain: each.version for each in classifier.opset_import} | {"": 15}
    model = helper.make_model(
        graph,
        producer_name="salience",
        ir_version=8,
        opset_imports=[helper.make_opsetid(domain, version) for domain, version in sorted(opsets.items())],
    )
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))
