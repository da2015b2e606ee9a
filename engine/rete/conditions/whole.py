"""A condition that is too large to be multiplied out, evaluated as a tree with the outcome of its normal form.

The normal form asks, alternative by alternative, the scores of those whose other literals hold. The tree finds the
first alternative that is not out of the question in one walk, and with it the score that has to be asked next; so it
asks the same scores in the same order, without making the alternatives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from engine.language.tree import All, AnyOf, Condition, Not, ScoreTest, Seen, Segment, Test
from engine.rete.conditions.literals import Literal
from engine.rete.conditions.truth import ScoreTruth, Values
from engine.values import EpochMs, Truth

Known: TypeAlias = Mapping[ScoreTest, Truth]
Outcome: TypeAlias = bool | ScoreTest
"""Whether it holds; or the score that decides first, of those that are not known."""
Decide: TypeAlias = Callable[[Values, EpochMs, Known], Outcome]
ReadLeaf: TypeAlias = Callable[[Test | Seen, bool], list[list[Literal]]]
"""A leaf that must be true, or false, as alternatives of literals that hold together."""


@dataclass(slots=True, eq=False)
class Whole:
    """A condition as one function; one of `literals` rises before it does."""

    decide: Decide
    reads: tuple[int, ...]
    scores: tuple[ScoreTest, ...]
    literals: tuple[Literal, ...]
    _silent: Known = field(default_factory=dict)

    def __post_init__(self) -> None:
        """No score answers."""
        self._silent = dict.fromkeys(self.scores)

    def may_hold(self, values: Values, now: EpochMs) -> bool:
        """Whether it holds for some answers of its scores."""
        return self.decide(values, now, {}) is not False

    def holds(self, values: Values, now: EpochMs, score: ScoreTruth | None = None) -> bool:
        """Whether it holds; scores are asked only where they decide, and none without `score`."""
        if self.decide(values, now, self._silent) is True:
            return True
        if score is None:
            return False
        known: dict[ScoreTest, Truth] = {}
        outcome = self.decide(values, now, known)
        while isinstance(outcome, ScoreTest):
            known[outcome] = score(outcome)
            outcome = self.decide(values, now, known)
        return outcome


def decided(condition: Condition, wanted: bool, read: ReadLeaf) -> Decide:
    """The function of a condition in its network form, which must be true or, without `wanted`, known to be false."""
    if isinstance(condition, Segment):
        return decided(condition.condition, wanted, read)
    if isinstance(condition, Not):
        return decided(condition.part, not wanted, read)
    if isinstance(condition, All | AnyOf):
        parts = [decided(part, wanted, read) for part in condition.parts]
        return _first_of(parts) if isinstance(condition, AnyOf) is wanted else _all_of(parts)
    if isinstance(condition, ScoreTest):
        return _answered(condition, wanted)
    assert isinstance(condition, Test | Seen)  # the network form has no others
    return _told(read(condition, wanted))


def _first_of(parts: list[Decide]) -> Decide:
    def first_of(values: Values, now: EpochMs, known: Known) -> Outcome:
        for part in parts:
            outcome = part(values, now, known)
            if outcome is not False:
                return outcome
        return False

    return first_of


def _all_of(parts: list[Decide]) -> Decide:
    def all_of(values: Values, now: EpochMs, known: Known) -> Outcome:
        result: Outcome = True
        for part in parts:
            outcome = part(values, now, known)
            if outcome is False:
                return False
            if result is True:
                result = outcome
        return result

    return all_of


def _answered(test: ScoreTest, wanted: bool) -> Decide:
    def answered(values: Values, now: EpochMs, known: Known) -> Outcome:
        return known[test] is wanted if test in known else test

    return answered


def _told(alternatives: list[list[Literal]]) -> Decide:
    def told(values: Values, now: EpochMs, known: Known) -> Outcome:
        return any(all(each.holds(values, now) for each in literals) for literals in alternatives)

    return told
