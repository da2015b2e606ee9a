"""What can be proved about a checked program: conditions that never or always hold, rules that never win.

Warnings only, and only where they are certain; each says its proof in words.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from engine.language.bindings import holes
from engine.language.derived import unsettled
from engine.language.diagnostics import Report
from engine.language.domains import Domain, complement
from engine.language.sentence import required_text, sentence, subject_text, subject_type
from engine.language.tree import (
    Aggregate,
    Aggregation,
    All,
    AnyOf,
    AssertAction,
    BoundRef,
    Condition,
    FactRef,
    FactSource,
    IfUnavailable,
    Keyed,
    Not,
    OfferAction,
    Operator,
    Place,
    Program,
    Rule,
    ScoreTest,
    Seen,
    Segment,
    Subject,
    Test,
    TriggerAction,
    Vocabulary,
)
from engine.values import Kind, ValueType

_PROBABILITY = Domain(ValueType(Kind.NUMBER), low=0.0, high=1.0)
_FROM = frozenset({Operator.ABOVE, Operator.AT_LEAST})
_UP_TO = frozenset({Operator.BELOW, Operator.AT_MOST})
_WRITTEN_OUT = 40
"""Parts of a segment that are looked at together with what is beside it."""
_NATURAL = frozenset({Aggregation.COUNT, Aggregation.DISTINCT})


def analyse(program: Program, report: Report) -> None:
    """Report cycles (errors) and everything else that is certain (warnings)."""
    for cycle in unsettled(program.rules, program.vocabulary):
        message = (
            f"derived facts lead back to themselves without one answer: {' -> '.join(cycle.facts)}; {cycle.because}"
        )
        report.error_at("negation-cycle", cycle.rule.place, message, "take one of the conditions out")
    for condition in _conditions(program):
        _Proofs(program.vocabulary, report).visit(condition)
    _unused_offers(program, report)
    _unused_segments(program, report)
    _fallbacks(program, report)
    _derived_facts(program, report)
    _same_rules(program, report)
    _shadowed_rules(program, report)


def _conditions(program: Program) -> Iterator[Condition]:
    yield from program.segments.values()
    for offer in program.offers.values():
        if offer.eligible is not None:
            yield offer.eligible
    for rule in program.rules:
        yield rule.when


# ------------------------------------------------------------------ conditions that never or always hold


@dataclass(frozen=True, slots=True)
class _Literal:
    """A test as a part of an `all`, with a `not` before it carried into the operator."""

    key: object
    domain: Domain
    operator: Operator
    operand: object
    text: str
    place: Place


class _Proofs:
    def __init__(self, vocabulary: Vocabulary, report: Report) -> None:
        self.vocabulary = vocabulary
        self.report = report

    def visit(self, condition: Condition) -> None:
        """All parts of a condition but what is inside its segments, which are looked at once, where they are declared."""
        if isinstance(condition, All):
            self._all(condition)
            for part in condition.parts:
                self.visit(part)
        elif isinstance(condition, AnyOf):
            self._any(condition)
            for part in condition.parts:
                self.visit(part)
        elif isinstance(condition, Not):
            self.visit(condition.part)
        elif isinstance(condition, Test | ScoreTest):
            self._single(condition)
        elif isinstance(condition, Keyed):
            self._keyed(condition)

    def _keyed(self, keyed: Keyed) -> None:
        """A key has one event at least, so that a count of it is never 0."""
        function = keyed.aggregate.function
        least = 1 if function is Aggregation.COUNT else 0
        domain = Domain.of(keyed.aggregate.type, is_natural=function in _NATURAL, least=least)
        for operator, operand in keyed.tests:
            narrowed = domain.narrowed(operator, operand)
            domain = narrowed if narrowed is not None else domain
        if domain.is_empty:
            message = f"{sentence(keyed, self.vocabulary)}: no value is all of that"
            self.report.warning_at("impossible", keyed.place, message)

    def _single(self, test: Test | ScoreTest) -> None:
        domain = self._domain(test)
        if isinstance(test, Test) and test.operand == test.subject:
            if test.operator in {Operator.IS_NOT, Operator.ABOVE, Operator.BELOW, Operator.BEFORE, Operator.AFTER}:
                message = f"{sentence(test, self.vocabulary)}: nothing differs from itself"
                self.report.warning_at("impossible", test.place, message)
            else:
                message = f"{sentence(test, self.vocabulary)}: that holds for every value"
                self.report.warning_at("always-true", test.place, message)
            return
        if domain is None:
            return
        narrowed = domain.narrowed(test.operator, test.operand)
        if narrowed is None or (isinstance(test, ScoreTest) and test.if_unavailable is IfUnavailable.ASSUME_TRUE):
            return
        if narrowed.is_empty:
            message = f"{sentence(test, self.vocabulary)}: there is no such value"
            self.report.warning_at("impossible", test.place, message)
        elif narrowed == domain and test.operator not in {Operator.IS_NOT, Operator.IS_NONE_OF}:
            message = f"{sentence(test, self.vocabulary)}: that holds for every value that it can have"
            self.report.warning_at("always-true", test.place, message, "delete this condition")

    def _domain(self, test: Test | ScoreTest) -> Domain | None:
        if isinstance(test, ScoreTest):
            return None if test.release is not None else _PROBABILITY
        value_type = subject_type(test.subject, self.vocabulary)
        if value_type.kind is Kind.LIST or (value_type.kind is Kind.TEXT and test.operator is Operator.CONTAINS):
            return None
        return Domain.of(value_type, is_natural=_is_natural(test.subject, self.vocabulary))

    def _all(self, condition: All) -> None:
        parts = list(_flattened(condition))
        self._contradicting_parts(parts)
        by_subject: dict[object, list[_Literal]] = {}
        for part in parts:
            literal = self._literal(part)
            if literal is not None:
                by_subject.setdefault(literal.key, []).append(literal)
        for literals in by_subject.values():
            self._contradiction(literals)

    def _contradiction(self, literals: Sequence[_Literal]) -> None:
        absent = next((each for each in literals if each.operator is Operator.EXISTS and each.operand is False), None)
        present = next((each for each in literals if each is not absent), None)
        if absent is not None and present is not None and present.operand is not False:
            message = f"{absent.text} and {present.text}: the second needs a value"
            self.report.warning_at("impossible", max(absent.place, present.place, key=_position), message)
            return
        domain = literals[0].domain
        seen: list[_Literal] = []
        for literal in literals:
            narrowed = domain.narrowed(literal.operator, literal.operand)  # type: ignore[arg-type] # of a test's operand
            if narrowed is None:
                continue
            seen.append(literal)
            alone = literal.domain.narrowed(literal.operator, literal.operand)  # type: ignore[arg-type] # as above
            if narrowed.is_empty and not domain.is_empty and alone is not None and not alone.is_empty:
                message = f"{' and '.join(each.text for each in seen)}: no value is all of that"
                self.report.warning_at("impossible", literal.place, message, "make them fit, or use any:")
                return
            domain = narrowed

    def _literal(self, part: Condition) -> _Literal | None:
        negated = isinstance(part, Not)
        test = part.part if isinstance(part, Not) else part
        if not isinstance(test, Test | ScoreTest):
            return None
        domain = self._domain(test)
        if domain is None or (isinstance(test, ScoreTest) and test.if_unavailable is not IfUnavailable.SKIP):
            return None
        operator: Operator | None = test.operator
        operand: object = test.operand
        if negated and operator is Operator.EXISTS:
            operand = not operand
        elif negated:
            operator = complement(test.operator)
        if operator is None:
            return None
        key = test.subject if isinstance(test, Test) else test.score
        return _Literal(key, domain, operator, operand, sentence(part, self.vocabulary), part.place)

    def _contradicting_parts(self, parts: Sequence[Condition]) -> None:
        """`X` beside `not X`, and an event seen lately beside the same event not seen for longer."""
        whole = set(parts)
        for part in parts:
            if not isinstance(part, Not):
                continue
            if part.part in whole:
                message = f"{sentence(part.part, self.vocabulary)}, and also not: both can't be"
                self.report.warning_at("impossible", part.place, message)
            elif isinstance(part.part, Seen):
                for seen in parts:
                    if isinstance(seen, Seen) and _follows(seen, part.part):
                        texts = f"{sentence(seen, self.vocabulary)} and {sentence(part, self.vocabulary)}"
                        self.report.warning_at("impossible", part.place, f"{texts}: the first makes the second false")
                        break

    def _any(self, condition: AnyOf) -> None:
        whole = set(condition.parts)
        for part in condition.parts:
            if isinstance(part, Not) and isinstance(part.part, Seen) and part.part in whole:
                message = f"{sentence(part.part, self.vocabulary)}, or not: one of them always holds"
                self.report.warning_at("always-true", part.place, message, "delete this group")
        lowest: dict[Subject, Test] = {}
        highest: dict[Subject, Test] = {}
        for part in condition.parts:
            if isinstance(part, Test) and _bound(part) is not None:
                if part.operator in _FROM:
                    lowest[part.subject] = min(lowest.get(part.subject, part), part, key=_start)
                elif part.operator in _UP_TO:
                    highest[part.subject] = max(highest.get(part.subject, part), part, key=_end)
        for subject, first in lowest.items():
            second = highest.get(subject)
            if second is not None and _covers(first, second):
                words = f"{required_text(first, self.vocabulary)} or {required_text(second, self.vocabulary)}"
                message = f"{subject_text(subject, self.vocabulary)} is {words}: one of them holds for every value"
                self.report.warning_at("always-true", condition.place, message, "use exists: true")


def _flattened(condition: Condition) -> Iterator[Condition]:
    """The parts of an `all`, with those of an `all` or a segment inside it (of a very large one, only the first)."""
    if isinstance(condition, All):
        for part in condition.parts:
            yield from _flattened(part)
    elif isinstance(condition, Segment):
        yield condition
        yield from itertools.islice(_flattened(condition.condition), _WRITTEN_OUT)
    else:
        yield condition


def _is_natural(subject: Subject, vocabulary: Vocabulary) -> bool:
    aggregate: Aggregate | None
    aggregate = vocabulary.facts[subject.fact].aggregate if isinstance(subject, FactRef) else subject
    return aggregate is not None and aggregate.function in _NATURAL and aggregate.minus is None


def _follows(seen: Seen, other: Seen) -> bool:
    """Whether an event that makes `seen` true makes `other` true, too."""
    if seen.of.event != other.of.event or not set(other.of.where) <= set(seen.of.where):
        return False
    if seen.span == other.span or (other.span.window is None and other.span.since is None):
        return True
    return seen.span.window is not None and other.span.window is not None and seen.span.window <= other.span.window


def _bound(test: Test) -> float | None:
    """The one number with which a test compares."""
    return None if isinstance(test.operand, str | bool | tuple | FactRef | BoundRef) else test.operand


def _start(test: Test) -> tuple[float, bool]:
    return _bound(test) or 0.0, test.operator is Operator.ABOVE


def _end(test: Test) -> tuple[float, bool]:
    return _bound(test) or 0.0, test.operator is Operator.AT_MOST


def _covers(first: Test, second: Test) -> bool:
    """Whether every value is from where `first` begins on, or up to where `second` ends."""
    low, low_open = _start(first)
    high, high_closed = _end(second)
    return high > low or (high == low and (high_closed or not low_open))


def _position(place: Place) -> tuple[str, int, int]:
    return place.file, place.line, place.column


# ------------------------------------------------------------------ offers, derived facts, rules


def _unused_offers(program: Program, report: Report) -> None:
    used = {placement.fallback for placement in program.vocabulary.placements.values()}
    for rule in program.rules:
        used.update(action.offer for action in rule.actions if isinstance(action, OfferAction))
    for offer in program.offers.values():
        if offer.id not in used:
            message = f"no rule shows {offer.id}, and no placement falls back to it"
            report.warning_at("unused-offer", offer.place, message, "delete it, or write a rule for it")


def _unused_segments(program: Program, report: Report) -> None:
    """A segment that only unused segments name is as unused as they are."""
    used: set[str] = set()
    pending: list[Condition] = [rule.when for rule in program.rules]
    pending += [offer.eligible for offer in program.offers.values() if offer.eligible is not None]
    while pending:
        condition = pending.pop()
        if isinstance(condition, All | AnyOf):
            pending += condition.parts
        elif isinstance(condition, Not):
            pending.append(condition.part)
        elif isinstance(condition, Segment) and condition.name not in used:
            used.add(condition.name)
            pending.append(condition.condition)
    for name, condition in program.segments.items():
        if name not in used:
            message = f"no rule and no offer is about the segment {name}, nor a segment that one of them is about"
            report.warning_at("unused-segment", condition.place, message, "delete it, or use it in a rule")


def _fallbacks(program: Program, report: Report) -> None:
    nominated = {action.offer for rule in program.rules for action in rule.actions if isinstance(action, OfferAction)}
    for name in sorted({placement.fallback for placement in program.vocabulary.placements.values()}):
        offer = program.offers.get(name)
        if offer is None or name in nominated:
            continue
        bounds = {
            "eligible": offer.eligible is not None,
            "limits": bool(offer.limits),
            "holdout": offer.holdout > 0,
            "group": offer.group is not None,
        }
        for key in (key for key, is_there in bounds.items() if is_there):
            message = f"{name} is shown as a fallback only, and a fallback is always shown: {key} changes nothing"
            report.warning_at("without-effect", offer.place, message, f"delete {key}:")


def _derived_facts(program: Program, report: Report) -> None:
    facts = program.vocabulary.facts
    asserted = {action.fact for rule in program.rules for action in rule.actions if isinstance(action, AssertAction)}
    for condition in _conditions(program):
        for test in _tests(condition):
            for name in _facts_of(test):
                if facts[name].source is FactSource.RULES and name not in asserted:
                    always = "is always false" if facts[name].type.kind is Kind.BOOLEAN else "never has a value"
                    message = f"no rule asserts {name}, so it {always}"
                    report.warning_at("never-asserted", test.place, message, f"add a rule with assert: {name}")
    for rule in program.rules:
        triggers = [action for action in rule.actions if isinstance(action, TriggerAction)]
        waiting = [
            part.subject.fact
            for part in _flattened(rule.when)
            if isinstance(part, Test)
            and isinstance(part.subject, FactRef)
            and facts[part.subject.fact].source is FactSource.REQUEST
            and not (part.operator is Operator.EXISTS and part.operand is False)
        ]
        if triggers and waiting:
            message = (
                f"the trigger {triggers[0].name} is sent by the stream, where {waiting[0]} has no value: "
                "only a request gives it one, so the trigger is never sent"
            )
            report.warning_at("not-in-stream", rule.place, message, "look at an event instead")
        for trigger in triggers:
            named = {hole.fact for hole in holes(trigger.payload) if isinstance(hole, FactRef)}
            for name in sorted(name for name in named if facts[name].source is FactSource.REQUEST):
                message = (
                    f"the trigger {trigger.name} is sent by the stream, where {name} has no value to fill its hole"
                )
                report.warning_at("not-in-stream", rule.place, message, "take it out of the payload")


def _facts_of(test: Test | Keyed) -> Iterator[str]:
    if isinstance(test, Keyed):
        yield from (operand.fact for _, operand in test.tests if isinstance(operand, FactRef))
    else:
        yield from (each.fact for each in (test.subject, test.operand) if isinstance(each, FactRef))


def _tests(condition: Condition) -> Iterator[Test | Keyed]:
    if isinstance(condition, All | AnyOf):
        for part in condition.parts:
            yield from _tests(part)
    elif isinstance(condition, Not):
        yield from _tests(condition.part)
    elif isinstance(condition, Test | Keyed):
        yield condition


def _same_rules(program: Program, report: Report) -> None:
    first: dict[object, Rule] = {}
    for rule in program.rules:
        if not rule.enabled:
            continue
        key = (rule.when, repr(rule.actions), rule.schedule)
        earlier = first.setdefault(key, rule)
        if earlier is not rule:
            message = f"{rule.id} has the same condition and the same actions as {earlier.id}"
            report.warning_at("same-rule", rule.place, message, "delete one of them")


def _shadowed_rules(program: Program, report: Report) -> None:
    nominated: dict[str, set[str]] = {}
    common: Counter[Condition] = Counter()
    for rule in program.rules:
        common.update(set(_own_parts(rule.when)))
        for action in rule.actions:
            if isinstance(action, OfferAction):
                nominated.setdefault(action.offer, set()).add(action.placement)
    # By placement, then by the rarest part: what could shadow a rule is found through the parts that it has itself.
    takers: dict[str, dict[Condition | None, list[tuple[Rule, frozenset[Condition]]]]] = {}
    for rule in program.rules:
        if not rule.enabled:
            continue
        placements = [action.placement for action in rule.actions if isinstance(action, OfferAction)]
        if placements and len(placements) == len(rule.actions):
            parts = frozenset(_flattened(rule.when))
            winners = [_winner(rule, parts, takers.get(placement, {})) for placement in placements]
            if all(winners):
                winner = winners[0]
                assert winner is not None
                message = (
                    f"{rule.id} never wins: whenever it holds, {winner.id} holds too, has a higher priority, "
                    f"and takes the only slot of {placements[0]}"
                )
                report.warning_at("shadowed-rule", rule.place, message, "raise its priority, or narrow the other rule")
        own = frozenset(_own_parts(rule.when))
        rarest = min(own, key=lambda part: common[part], default=None)
        for placement in placements:
            if _always_takes(rule, placement, program, nominated):
                takers.setdefault(placement, {}).setdefault(rarest, []).append((rule, own))


def _winner(
    rule: Rule,
    parts: frozenset[Condition],
    takers: Mapping[Condition | None, Sequence[tuple[Rule, frozenset[Condition]]]],
) -> Rule | None:
    for part in (None, *parts):
        for taker, own in takers.get(part, ()):
            if taker.priority > rule.priority and own <= parts:
                return taker
    return None


def _own_parts(condition: Condition) -> Iterator[Condition]:
    """The parts of an `all`, segments left whole: all of them together mean the condition."""
    if isinstance(condition, All):
        for part in condition.parts:
            yield from _own_parts(part)
    else:
        yield condition


def _always_takes(rule: Rule, placement: str, program: Program, nominated: Mapping[str, set[str]]) -> bool:
    """Whether a rule that holds certainly gets the only slot, unless a rule of higher priority has it."""
    if program.vocabulary.placements[placement].slots != 1:
        return False
    if rule.limits or rule.budget is not None or rule.holdout or rule.schedule is not None:
        return False
    offers = [
        action.offer for action in rule.actions if isinstance(action, OfferAction) and action.placement == placement
    ]
    offer = program.offers.get(offers[0])
    return (
        offer is not None
        and offer.eligible is None
        and not offer.limits
        and not offer.holdout
        and offer.group is None
        and nominated[offer.id] == {placement}  # shown elsewhere, it could be left out here as a duplicate
    )
