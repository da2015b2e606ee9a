"""From facts to the vectors that models read: the one place, in training and in serving."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from engine.activation import FactReader
from engine.values import Value

Vector = NDArray[np.float32]


def vector(reader: FactReader, names: Sequence[str]) -> Vector:
    """The features `names` of one session, in that order.

    Returns:
        float32 (n_features,). NaN is unknown. A boolean is 0 or 1, money is in minor units, a duration in ms.

    Raises:
        TypeError: A fact holds text or a list: a model reads numbers only (`check_features` tells so beforehand).
    """
    return np.array([_number(reader(name), name) for name in names], dtype=np.float32)


def _number(value: Value | None, name: str) -> float:
    if value is None:
        return float("nan")
    if isinstance(value, str | tuple):
        msg = f"feature {name} is {type(value).__name__}; a model reads numbers, money, booleans and durations"
        raise TypeError(msg)
    return float(value)
