"""Conditions that never or always hold, each with its proof in words. Certain: interval and set reasoning, no guess."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from engine.language.diagnostics import Report
from engine.language.domains import Domain, complement
from engine.language.sentence import required_text, sentence, subject_text, subject_type
from engine.language.tree import (
    Aggregate,
    Aggregation,
    All,
    AnyOf,
    BoundRef,
    Condition,
    FactRef,
    IfUnavailable,
    Keyed,
    Not,
    Operator,
    Place,
    ScoreTest,
    Seen,
    Segment,
    Subject,
    Test,
    Vocabulary,
)
from engine.values import Kind, ValueType

_PROBABILITY = Domain(ValueType(Kind.NUMBER), low=0.0, high=1.0)
_FROM = frozenset({Operator.ABOVE, Operator.AT_LEAST})
_UP_TO = frozenset({Operator.BELOW, Operator.AT_MOST})
_WRITTEN_OUT = 40
"""Parts of a segment that are looked at together with what is beside it."""
_NATURAL = frozenset({Aggregation.COUNT, Aggregation.DISTINCT})


def contradiction(condition: All, vocabulary: Vocabulary) -> str | None:
    """Why the parts of an `all` can't hold together, in words; None where that is not certain."""
    report = Report()
    Proofs(vocabulary, report).together(condition)
    return next((found.message for found in report.diagnostics() if found.code == "impossible"), None)


@dataclass(frozen=True, slots=True)
class _Literal:
    """A test as a part of an `all`, with a `not` before it carried into the operator."""

    domain: Domain
    operator: Operator
    operand: object
    text: str
    place: Place


class Proofs:
    """Reports what can never be and what always is. What many conditions have is looked at once."""

    def __init__(self, vocabulary: Vocabulary, report: Report) -> None:
        self.vocabulary = vocabulary
        self.report = report
        self._open: set[Condition] = set()  # tests that may hold and may fail

    def visit(self, condition: Condition) -> None:
        """All parts of a condition but what is inside its segments, which are looked at once, where they are declared."""
        if isinstance(condition, All):
            self.together(condition)
            for part in condition.parts:
                self.visit(part)
        elif isinstance(condition, AnyOf):
            self._any(condition)
            for part in condition.parts:
                self.visit(part)
        elif isinstance(condition, Not):
            self.visit(condition.part)
        elif isinstance(condition, Test | ScoreTest):
            if condition not in self._open and not self._single(condition):
                self._open.add(condition)
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

    def _single(self, test: Test | ScoreTest) -> bool:
        """Whether something can be said of a test alone."""
        domain = self._domain(test)
        if isinstance(test, Test) and test.operand == test.subject:
            if test.operator in {Operator.IS_NOT, Operator.ABOVE, Operator.BELOW, Operator.BEFORE, Operator.AFTER}:
                message = f"{sentence(test, self.vocabulary)}: nothing differs from itself"
                self.report.warning_at("impossible", test.place, message)
            else:
                message = f"{sentence(test, self.vocabulary)}: that holds for every value"
                self.report.warning_at("always-true", test.place, message)
            return True
        if domain is None:
            return False
        narrowed = domain.narrowed(test.operator, test.operand)
        if narrowed is None or (isinstance(test, ScoreTest) and test.if_unavailable is IfUnavailable.ASSUME_TRUE):
            return False
        if narrowed.is_empty:
            message = f"{sentence(test, self.vocabulary)}: there is no such value"
            self.report.warning_at("impossible", test.place, message)
            return True
        if narrowed == domain and test.operator not in {Operator.IS_NOT, Operator.IS_NONE_OF}:
            message = f"{sentence(test, self.vocabulary)}: that holds for every value that it can have"
            self.report.warning_at("always-true", test.place, message, "delete this condition")
            return True
        return False

    def _domain(self, test: Test | ScoreTest) -> Domain | None:
        if isinstance(test, ScoreTest):
            return None if test.release is not None else _PROBABILITY
        value_type = subject_type(test.subject, self.vocabulary)
        if value_type.kind is Kind.LIST or (value_type.kind is Kind.TEXT and test.operator is Operator.CONTAINS):
            return None
        return Domain.of(value_type, is_natural=_is_natural(test.subject, self.vocabulary))

    def together(self, condition: All) -> None:
        """The parts of an `all`, each with the others."""
        parts = list(flattened(condition))
        self._contradicting_parts(parts)
        by_subject: dict[object, list[Condition]] = {}
        for part in parts:
            test = part.part if isinstance(part, Not) else part
            if isinstance(test, Test | ScoreTest):
                by_subject.setdefault(test.subject if isinstance(test, Test) else test.score, []).append(part)
        for several in by_subject.values():
            if len(several) > 1:
                literals = [literal for part in several if (literal := self._literal(part)) is not None]
                if literals:
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
        return _Literal(domain, operator, operand, sentence(part, self.vocabulary), part.place)

    def _contradicting_parts(self, parts: Sequence[Condition]) -> None:
        """`X` beside `not X`, and an event seen lately beside the same event not seen for longer."""
        negated = [part for part in parts if isinstance(part, Not)]
        whole = set(parts) if len(negated) > 2 else parts
        for part in negated:
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


def flattened(condition: Condition) -> Iterator[Condition]:
    """The parts of an `all`, with those of an `all` or a segment inside it (of a very large one, only the first)."""
    if isinstance(condition, All):
        for part in condition.parts:
            yield from flattened(part)
    elif isinstance(condition, Segment):
        yield condition
        yield from itertools.islice(flattened(condition.condition), _WRITTEN_OUT)
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
