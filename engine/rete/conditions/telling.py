"""Reports of a thousand rules in one go: what is always said once for a network, what rules share once for a view.

Only for conditions in which nothing is bound; `explain` tells the others combination by combination.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import NamedTuple

from engine.activation import ConditionReport
from engine.language.sentence import required_text, sentence, subject_text, subject_type
from engine.language.tree import All, AnyOf, BoundRef, Condition, FactRef, Not, Segment, Test, Vocabulary
from engine.rete.conditions import operators
from engine.rete.conditions.quantity import Quantity
from engine.values import Truth, Value, ValueType

MOST_PLANS = 50_000
"""Different conditions that a network keeps: of 10,000 rules with four parts each."""

_KINDS = {All: "all", AnyOf: "any", Not: "not", Segment: "segment"}


class Fixed(NamedTuple):
    """What a report on a test always says: the names of both sides, and the type of the left one."""

    subject: str
    required: str
    type: ValueType


class Plan:
    """How a condition is told.

    Attributes:
        slot: Its place in what a view has told.
        kind: As in its report; empty for a leaf.
        parts: Of `all`, `any`, `not` and `segment`.
        fixed: Of a test.
        is_steady: Whether it is a test whose report follows from the value alone: not from another fact, nor from the clock.
    """

    __slots__ = ("condition", "fixed", "is_steady", "kind", "parts", "slot", "text")

    def __init__(self, condition: Condition, slot: int, vocabulary: Vocabulary, parts: tuple[Plan, ...]) -> None:
        self.condition = condition
        self.slot = slot
        self.text = sentence(condition, vocabulary)
        self.kind = _KINDS.get(type(condition), "")
        self.parts = parts
        self.fixed = fixed(condition, vocabulary) if isinstance(condition, Test) else None
        self.is_steady = (
            isinstance(condition, Test)
            and not isinstance(condition.operand, FactRef | BoundRef)
            and condition.operator not in operators.CLOCKED
        )


def fixed(test: Test, vocabulary: Vocabulary, required: Test | None = None) -> Fixed:
    """What is always said of a test; `required` is what its right side reads for what is bound."""
    return Fixed(
        subject_text(test.subject, vocabulary),
        required_text(required or test, vocabulary),
        subject_type(test.subject, vocabulary),
    )


class Plans:
    """The plans of a network; equal conditions share one.

    Attributes:
        quantities: What leaves look at, by their slots, as reports have needed them; None where no node has it.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.quantities: dict[int, Quantity | None] = {}
        self._steady: dict[tuple[int, Value, bool], ConditionReport] = {}
        self._vocabulary = vocabulary
        self._slots = count()
        self._by_condition: dict[Condition, Plan] = {}
        self._by_id: dict[int, Plan] = {}

    def for_another(self) -> Plans:
        """Plans for a network of the same vocabulary: conditions that were told there are not made into words again."""
        made = Plans(self._vocabulary)
        made._slots, made._by_condition = self._slots, self._by_condition
        return made

    def steady(self, plan: Plan, value: Value, *, wanted: bool) -> ConditionReport | None:
        """The report on a steady test that was made for this value before."""
        return self._steady.get((plan.slot, value, wanted))

    def keep(self, plan: Plan, value: Value, report: ConditionReport, *, wanted: bool) -> None:
        """Keep the report on a steady test: sessions have the same values again and again."""
        if len(self._steady) >= MOST_PLANS:
            self._steady.clear()
        self._steady[plan.slot, value, wanted] = report

    def of_rule(self, condition: Condition) -> Plan:
        """The plan of a rule's own condition, which lives as long as the network."""
        found = self._by_id.get(id(condition))
        if found is None:
            found = self._by_id[id(condition)] = self._of(condition)
        return found

    def _of(self, condition: Condition) -> Plan:
        found = self._by_condition.get(condition)
        if found is None:
            parts: tuple[Condition, ...] = ()
            if isinstance(condition, All | AnyOf):
                parts = condition.parts
            elif isinstance(condition, Not):
                parts = (condition.part,)
            elif isinstance(condition, Segment):
                parts = (condition.condition,)
            plans = tuple(self._of(part) for part in parts)
            found = Plan(condition, next(self._slots), self._vocabulary, plans)
            if len(self._by_condition) < MOST_PLANS:
                self._by_condition[condition] = found
        return found


class Told(NamedTuple):
    """A report, how many leaves must at least turn for it to be what is wanted, and the leaves that keep it from that."""

    report: ConditionReport
    needs: int
    failing: tuple[ConditionReport, ...]


Telling = dict[int, Told]
"""What a view has told, by slot: of what must be true, or of what must be false."""


def tell(
    plan: Plan, told: tuple[Telling, Telling], leaf: Callable[[Plan, bool], ConditionReport], *, wanted: bool
) -> Told:
    """A condition that must be `wanted`, with all that it is made of.

    Args:
        plan: Of the condition.
        told: What the view has told of conditions that must be false, and of those that must be true.
        leaf: Reports on a leaf that must have this truth.
        wanted: The truth that would help the rule.
    """
    own = told[wanted]
    found = own.get(plan.slot)
    if found is None:
        if plan.kind == "":
            report = leaf(plan, wanted)
            found = Told(report, 0, ()) if report.truth is wanted else Told(report, 1, (report,))
        elif plan.kind == "not":
            part = tell(plan.parts[0], told, leaf, wanted=not wanted)
            truth = part.report.truth
            report = ConditionReport(plan.text, None if truth is None else not truth, "not", parts=(part.report,))
            found = Told(report, part.needs, part.failing)
        elif plan.kind == "segment":
            part = tell(plan.parts[0], told, leaf, wanted=wanted)
            assert isinstance(plan.condition, Segment)
            name = plan.condition.name
            report = ConditionReport(plan.text, part.report.truth, "segment", name, parts=(part.report,))
            found = Told(report, part.needs, part.failing)
        else:
            found = _junction(
                plan,
                [own.get(each.slot) or tell(each, told, leaf, wanted=wanted) for each in plan.parts],
                wanted=wanted,
            )
        own[plan.slot] = found
    return found


def _junction(plan: Plan, parts: list[Told], *, wanted: bool) -> Told:
    decides = plan.kind == "any"
    truth: Truth = not decides
    reports: list[ConditionReport] = []
    needs: list[int] = []
    failing: tuple[ConditionReport, ...] = ()
    for report, need, leaves in parts:
        reports.append(report)
        needs.append(need)
        failing += leaves
        if report.truth is decides:
            truth = decides
        elif report.truth is None and truth is not decides:
            truth = None
    told = ConditionReport(plan.text, truth, plan.kind, parts=tuple(reports))
    if truth is wanted:
        return Told(told, 0, ())
    # Where one part is enough, the nearest counts.
    return Told(told, min(needs, default=1_000_000) if decides is wanted else sum(needs), failing)
