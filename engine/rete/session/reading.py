"""Reading facts by name from a session's values."""

from __future__ import annotations

from engine.rete.compilation import Compiled
from engine.rete.conditions.truth import Values
from engine.values import Value


class Reader:
    """A `FactReader` over values: a fact or feature by name, None where it is unknown or not declared."""

    __slots__ = ("_by_name", "_is_score", "_values")

    def __init__(self, compiled: Compiled, values: Values, *, is_score: bool) -> None:
        """For a score, what rules conclude is unknown: rules with scores may assert it."""
        self._by_name = compiled.quantities.by_name
        self._values = values
        self._is_score = is_score

    def __call__(self, name: str) -> Value | None:
        """The value of a fact or feature."""
        quantity = self._by_name.get(name)
        if quantity is None or (self._is_score and quantity.is_concluded):
            return None
        return self._values.get(quantity.index, quantity.default)
