"""A candidate, and what is found of them: records that are made for each decision.

They stay in Python where the rest is compiled: msgspec makes its structs in less time than machine code calls the maker of a class.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from engine.activation import Combination, ConditionReport, RuleFailure, RuleReport, ScoreAnswer, ScoreStatus
from engine.decision import Lost, Request
from engine.language.tree import Condition, Offer, Placement, Program, Rule
from engine.offers.caps import NamedCap, Person
from engine.values import EpochMs, Truth, Value


class View(Protocol):
    """What arbitration reads of a session at one moment: `engine.rete.View` has it."""

    @property
    def now(self) -> EpochMs:
        """The later of the request's time and the session's clock."""

    @property
    def failures(self) -> tuple[RuleFailure, ...]:
        """Rules whose evaluation raised."""

    @property
    def scores(self) -> tuple[tuple[str, ScoreAnswer], ...]:
        """What was asked of models, pending answers included."""

    def holding(self) -> tuple[Rule, ...]:
        """Rules whose condition is true, in order of acting, schedule and switch aside."""

    def combinations(self, rule: Rule) -> Sequence[Combination]:
        """The combinations of bound names for which a rule holds, in order of their first event."""

    def fact(self, name: str) -> Value | None:
        """A fact or feature."""

    def truth(self, condition: Condition) -> Truth:
        """Whether a condition holds."""

    def report(self, condition: Condition) -> ConditionReport:
        """A condition with actual values."""

    def explain(self, rule: Rule) -> RuleReport:
        """Why a rule holds or not."""

    def valid_until(self) -> EpochMs | None:
        """The earliest moment at which the truth of a rule, or whether it may act, changes with no new event."""


class Candidate(msgspec.Struct, frozen=True):
    """An offer that a rule nominates and that nothing but a limit or a better one can keep from being shown.

    Attributes:
        rank: `propensity x value x weight x lever`; compared among candidates of one priority.
        token: Of the act: the one of the decision before where the act goes on, else of this decision; empty where it takes nothing.
        bound: What the names in its content are bound to; what it names has a value.
        caps: What the act takes.
    """

    rule: Rule
    offer: Offer
    rank: float
    token: str
    bound: Combination
    caps: tuple[NamedCap, ...]


class Field(msgspec.Struct, frozen=True):
    """The candidates of one placement, best first, and those already out, in order of acting."""

    placement: Placement
    candidates: tuple[Candidate, ...]
    lost: tuple[Lost, ...]


@dataclass(frozen=True, slots=True)
class Considered:
    """What `consider` found: everything of a decision that needs no limit store.

    Attributes:
        fields: By placement, in the order of the request.
        scores: All answers of models that were used, for conditions and for the rank.
        looked_up: Whether the catalogue was asked, so that the answer can change when that does.
    """

    program: Program
    view: View = field(repr=False)
    request: Request
    person: Person
    decision_id: str
    fields: tuple[Field, ...]
    scores: tuple[tuple[str, ScoreAnswer], ...]
    looked_up: bool = False

    @property
    def is_pending(self) -> bool:
        """Whether a model has still to be asked: ask, make the view anew, and consider again."""
        return any(answer.status is ScoreStatus.PENDING for _, answer in self.scores)
