"""What stands for a quantity, a rule or a score test in a snapshot: a hash of its structure.

So a snapshot needs no table of the network that made it, and can't be misread by one in which the same place means something else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

from engine.language.tree import ScoreTest
from engine.rete.alpha.windows import WindowNode
from engine.rete.compilation import Compiled
from engine.rete.conditions.quantity import Origin
from engine.rete.memory.memory import Boxed

_HASH = 8
"""Bytes of a name."""


@final
class Place:
    """Where in this network what a name in a snapshot means stands: the index of a quantity, with its window if it has one."""

    __slots__ = ("index", "window")

    def __init__(self, index: int, window: WindowNode | None) -> None:
        self.index: Boxed = index
        self.window = window


@dataclass(frozen=True, slots=True)
class Difference:
    """What a network has that the one of an earlier bundle had not: rules, and quantities that only these look at."""

    rules: frozenset[int]
    nodes: frozenset[int]


class Names:
    """The structural names of a network's quantities, rules and score tests, and of its bundle and those before it."""

    def __init__(
        self,
        compiled: Compiled,
        bundle_hash: str,
        ancestry: Mapping[str, frozenset[str]],
        former: Names | None = None,
    ) -> None:
        """`former`: of another network; what is the same is taken over."""
        self.bundle = _hash(bundle_hash)
        self.compiled = compiled
        self._ancestry = ancestry
        self._by_name = {_hash(name): name for name in ancestry}
        self._differences: dict[bytes, Difference | None] = {}
        self.ids: list[bytes] = []
        self.places: dict[bytes, Place] = {}
        self.rules: list[bytes] = []
        self.rule_by_name: dict[bytes, int] = {}
        self.sum = 0
        before: Compiled | None = None
        if former is not None and former.compiled.lineage is compiled.lineage:
            before, self.sum = former.compiled, former.sum
            self.ids, self.places = former.ids.copy(), former.places.copy()
            self.rules, self.rule_by_name = former.rules.copy(), former.rule_by_name.copy()
        self._follow_quantities(before)
        self._follow_rules(before)
        self.signature = self.sum.to_bytes(_HASH, "big")
        self.tests = [_hash(_test_text(test)) for test in compiled.score_numbers]
        self.test_by_name = {name: number for number, name in enumerate(self.tests)}
        # Computed from the others, so not stored.
        self.follows = frozenset(each.index for each in (*compiled.computed, *compiled.scanned))
        self.unstored = self.follows.union(compiled.windows, compiled.patterns)
        facts = (compiled.quantities.by_name[name] for name in compiled.program.vocabulary.facts)
        self.derived = tuple(each.index for each in facts if each.origin is Origin.DERIVED)

    def _follow_quantities(self, former: Compiled | None) -> None:
        """Take in the quantities that have no name yet, and leave out those that went.

        The sum of all their ids tells one set of them from another, in whatever order they came and went.
        """
        compiled = self.compiled
        quantities, gone = compiled.quantities.all, compiled.quantities.gone
        if former is not None:
            gone = gone.difference(former.quantities.gone)
        windows = compiled.windows
        for each in quantities[len(self.ids) :]:
            self.ids.append(each.id)
            self.places[each.id] = Place(each.index, windows.get(each.index))
            self.sum += int.from_bytes(each.id, "big")
        for index in gone:
            name = self.ids[index]
            self.sum -= int.from_bytes(name, "big")
            place = self.places.get(name)
            if place is not None and place.index == index:  # else it came again, or went again too
                del self.places[name]

    def _follow_rules(self, former: Compiled | None) -> None:
        """Name the rules that are not what they were; those that are gone stay without a name."""
        productions = self.compiled.productions
        before = () if former is None else former.productions
        changed = [index for index, (each, was) in enumerate(zip(productions, before, strict=False)) if each is not was]
        for index in changed:
            self.rule_by_name.pop(self.rules[index], None)
            self.rules[index] = b""
        self.rules += [b""] * (len(productions) - len(before))
        ranks = self.compiled.ranks
        for index in (*changed, *range(len(before), len(productions))):
            if ranks is None or ranks[index] >= 0:
                name = self.rules[index] = _hash(productions[index].rule.digest)
                self.rule_by_name[name] = index

    def index_of(self, name: bytes) -> int:
        """The index of a quantity; below 0 for what this network does not have."""
        place = self.places.get(name)
        return -1 if place is None else place.index

    def difference(self, bundle: bytes) -> Difference | None:
        """What is new since a bundle; None where that is not among the known ancestors."""
        if bundle not in self._differences:
            name = self._by_name.get(bundle)
            self._differences[bundle] = None if name is None else self._since(self._ancestry[name])
        return self._differences[bundle]

    def _since(self, known: frozenset[str]) -> Difference:
        compiled = self.compiled
        new = frozenset(each.index for each in compiled.acting if each.rule.digest not in known)
        productions, readers = compiled.productions, compiled.index.readers
        return Difference(
            new,
            frozenset(
                index
                for index in (*compiled.nodes, *compiled.patterns)
                if not any(each not in new and index in productions[each].reads for each in readers(index))
            ),
        )


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()[:_HASH]


def _test_text(test: ScoreTest) -> str:
    """What a score test means, its place left aside."""
    parts = (test.score, test.operator.value, test.operand, test.if_unavailable.value, test.release, test.last_known)
    return repr(parts)
