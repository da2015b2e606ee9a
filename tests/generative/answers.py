"""What answers from outside a session: the catalogue, and models."""

from __future__ import annotations

import hashlib

from engine.activation import FactReader, ScoreAnswer, ScoreFunction, ScoreStatus
from engine.values import Value
from tests.generative.words import (
    CATALOGUE,
    SAMPLES,
    Catalogue,
)


def catalogue(salt: int) -> Catalogue:
    """Facts of things: the same whenever asked, unknown for some."""

    def look_up(fact: str, key: Value) -> Value | None:
        drawn = hashlib.sha256(f"{salt} {fact} {key}".encode()).digest()
        samples = SAMPLES[CATALOGUE[fact].kind]
        return samples[drawn[1] % len(samples)] if drawn[0] > 60 else None

    return look_up


AT_LIMITS = 1_000
"""From this salt on models answer with what is tested."""
LIMITS = tuple(limit + away for limit in (0.3, 0.5, 0.7) for away in (-0.25, 0, 0.25))
"""The right sides of tests of scores, and where these release."""


def scores(salt: int) -> ScoreFunction:
    """A model that is a pure function of what it reads, fails for some of it, and asks for several facts."""

    def score(name: str, read: FactReader) -> ScoreAnswer:
        seen = [read(fact) for fact in ("customer.orders", "feature.f0", "feature.f1", "feature.c0", "shopper.keen")]
        drawn = hashlib.sha256(f"{salt} {name} {seen!r}".encode()).digest()
        if salt >= AT_LIMITS and drawn[0] >= 50:
            return ScoreAnswer(ScoreStatus.OK, LIMITS[drawn[2] % len(LIMITS)], "v1")
        if drawn[0] < 50:
            return ScoreAnswer((ScoreStatus.MISSING, ScoreStatus.DEADLINE, ScoreStatus.ERROR)[drawn[1] % 3])
        return ScoreAnswer(ScoreStatus.OK, drawn[2] / 255, "v1")

    return score
