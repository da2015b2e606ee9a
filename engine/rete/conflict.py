"""The conflict set by difference: from the quantities that changed to the rules that they can have made true."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from engine.rete.production import Production


class ConflictIndex:
    """From a quantity to the productions that look at it."""

    def __init__(self, productions: Sequence[Production]) -> None:
        self._by_quantity: dict[int, list[int]] = {}
        for production in productions:
            for index in production.reads:
                self._by_quantity.setdefault(index, []).append(production.index)

    def candidates(self, changed: Iterable[int]) -> set[int]:
        """The productions that may have become true by a change of these quantities."""
        found: set[int] = set()
        for index in changed:
            found.update(self._by_quantity.get(index, ()))
        return found
