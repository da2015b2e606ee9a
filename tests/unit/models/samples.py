"""Rows with a known law, and models trained on them."""

from functools import cache

import numpy as np

from models.training import Rows, Trained, train

FEATURES = ("cart.value", "views")


def rows(count: int = 3000, seed: int = 1) -> Rows:
    """Odds grow with the cart and with views; a tenth of the views is unknown."""
    draw = np.random.default_rng(seed)
    cart = draw.uniform(0, 50_000, count).astype(np.float32)
    views = draw.integers(0, 12, count).astype(np.float32)
    odds = 1 / (1 + np.exp(-(cart / 12_000 + views / 4 - 4)))
    views[draw.random(count) < 0.1] = np.nan
    return Rows(FEATURES, np.stack([cart, views], axis=1), draw.random(count) < odds, np.arange(count, dtype=np.int64))


@cache
def trained(seed: int = 1) -> Trained:
    return train(rows(seed=seed), seed=seed, threads=1)
