"""A request's look at a session: what holds at its moment, why, why not, and until when."""

from __future__ import annotations

from engine.activation import ConditionReport, RuleReport
from engine.language.tree import Condition, Rule
from engine.rete import horizon
from engine.rete.moment import Moment
from engine.rete.reports import explain
from engine.values import EpochMs


class View(Moment):
    """What holds in a session at one moment of a request, and what there is to say about it."""

    def report(self, condition: Condition) -> ConditionReport:
        """The condition with its truth and actual values, part by part; asks for every score in it."""
        return explain.report(self, condition)

    def explain(self, rule: Rule) -> RuleReport:
        """Why a rule holds or not, and what keeps it from acting."""
        return explain.explain(self, rule)

    def valid_until(self) -> EpochMs | None:
        """The earliest moment at which time alone changes which rules hold or may act; None if it never does.

        It may be too early where a score decides, since its answer may change with any feature, and where more than
        `horizon.MOST_MOMENTS` moments bring no change; it is never too late.
        """
        return horizon.valid_until(self)
