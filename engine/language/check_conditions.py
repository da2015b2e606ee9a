"""Conditions: syntax to checked trees, with segments resolved."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from engine.language.check_aggregates import ORDER, Aggregates, Tests, is_reference
from engine.language.check_bindings import Bindings, bindings_of, refuse_binders
from engine.language.check_patterns import Patterns
from engine.language.check_values import Values
from engine.language.diagnostics import Report
from engine.language.nodes import Scalar, kind_of, read_part
from engine.language.shape import Here
from engine.language.source import Extent
from engine.language.syntax import (
    AbsenceSyntax,
    AggregateTestSyntax,
    AlikeSyntax,
    AlwaysSyntax,
    ConditionSyntax,
    FactSyntax,
    GroupSyntax,
    NotSyntax,
    ScoreSyntax,
    SeenSyntax,
    SegmentDeclaration,
    SegmentSyntax,
    SequenceSyntax,
    TestSyntax,
)
from engine.language.syntax_conditions import read_condition
from engine.language.tree import (
    All,
    AnyOf,
    Condition,
    Fact,
    FactSource,
    IfUnavailable,
    Not,
    Operand,
    Operator,
    Place,
    ScoreTest,
    Seen,
    Segment,
    Subject,
    Test,
    Vocabulary,
)
from engine.language.tree import Sequence as SequenceCondition
from engine.units import parse_duration
from engine.values import Kind, Millis, ValueType

MOST_PARTS = 2_000
"""Parts of one condition, its segments written out."""
DEEPEST_CONDITION = 32
"""Levels of one condition, its segments written out."""

_PROBABILITY = ValueType(Kind.NUMBER)
_SCORE_OPERATORS = ORDER | {Operator.BETWEEN}
_LAST_KNOWN = re.compile(r"last known for (.+)")
_UPWARD = frozenset({Operator.ABOVE, Operator.AT_LEAST})
_DOWNWARD = frozenset({Operator.BELOW, Operator.AT_MOST})


class Conditions:
    """Checks conditions against a vocabulary."""

    def __init__(self, vocabulary: Vocabulary, values: Values, segments: Sequence[SegmentDeclaration]) -> None:
        self.vocabulary = vocabulary
        self.values = values
        self.report = values.report
        self._bindings = Bindings(values.report, "a segment")
        keys = {name: each.type for event in vocabulary.events.values() for name, each in event.attributes.items()}
        self.tests = Tests(values, vocabulary.facts, self._bindings, keys)
        self.aggregates = Aggregates(vocabulary.events, values, self.tests)
        self._patterns = Patterns(self.aggregates, self.tests)
        self._segments: dict[str, SegmentDeclaration] = {}
        self._resolved: dict[str, Condition | None] = {}
        self._sizes: dict[str, tuple[int, int]] = {}
        self._open: list[str] = []
        self._rules: dict[int, Bindings] = {}
        self._known: dict[int, Condition | None] = {}
        for segment in segments:
            name = values.name(segment.name, "a segment")
            if name is not None:
                self._segments[name] = segment

    def segments(self) -> dict[str, Condition]:
        """Every segment that could be checked."""
        for name in self._segments:
            self._segment(name)
        return {name: condition for name in self._segments if (condition := self._resolved.get(name)) is not None}

    def know(self, segments: Mapping[str, Condition]) -> None:
        """Take segments over that were checked before, of the same declarations under the same vocabulary."""
        for name, condition in segments.items():  # those that others are built on come with them
            self._resolved[name] = condition
        for name, condition in segments.items():
            self._sizes[name] = self._measure(condition)

    def check_rule(self, syntax: ConditionSyntax) -> tuple[Condition | None, Bindings]:
        """The condition of a rule (None, reported, where a part does not fit), and the names that it binds."""
        bindings = self.bindings(syntax)
        with self._seeing(bindings):
            condition = self._sized(syntax)
        bindings.begin(None)
        bindings.report_cycles()
        return condition, bindings

    def bindings(self, syntax: ConditionSyntax) -> Bindings:
        """The names that a rule's condition binds."""
        if id(syntax) not in self._rules:  # of syntax that outlives this check
            self._rules[id(syntax)] = bindings_of(syntax, self.vocabulary, self.values)
        return self._rules[id(syntax)]

    def check(self, syntax: ConditionSyntax, what: str) -> Condition | None:
        """A whole condition of `what`, that binds nothing; None, reported, where a part of it does not fit."""
        refuse_binders(syntax, self.report, what=what)
        with self._seeing(Bindings(self.report, what)):
            return self._sized(syntax)

    @contextlib.contextmanager
    def _seeing(self, bindings: Bindings) -> Iterator[None]:
        """Bound names are looked up here; a segment is checked where it is first used, and sees none."""
        before = self._bindings
        self._bindings = self.tests.bindings = bindings
        try:
            yield
        finally:
            self._bindings = self.tests.bindings = before

    def _sized(self, syntax: ConditionSyntax) -> Condition | None:
        condition = self._check(syntax)
        if condition is None:
            return None
        parts, depth = self._measure(condition)
        if parts > MOST_PARTS or depth > DEEPEST_CONDITION:
            code, much, unit = (
                ("too-large", MOST_PARTS, "parts") if parts > MOST_PARTS else ("too-deep", DEEPEST_CONDITION, "levels")
            )
            message = f"with its segments written out, this condition has more than {much:,} {unit}"
            self.report.error(code, syntax, message, "split the rule")
            return None
        return condition

    def _check(self, syntax: ConditionSyntax) -> Condition | None:
        if isinstance(syntax, GroupSyntax):
            parts = [self._check(part) for part in syntax.parts]
            whole = tuple(part for part in parts if part is not None)
            if len(whole) < len(parts) or not syntax.is_whole:
                return None
            place = syntax.extent.place
            return All(whole, place) if syntax.is_all else AnyOf(whole, place)
        if isinstance(syntax, NotSyntax):
            part = self._check(syntax.part)
            return Not(part, syntax.extent.place) if part is not None else None
        if isinstance(syntax, AlwaysSyntax):
            return All((), syntax.extent.place)
        if isinstance(syntax, AlikeSyntax):
            return self._alike(syntax)
        self._bindings.enter(syntax)
        if isinstance(syntax, FactSyntax):
            return self._fact(syntax)
        if isinstance(syntax, SeenSyntax):
            return self._seen(syntax)
        if isinstance(syntax, AggregateTestSyntax):
            is_keyed = syntax.per is not None or syntax.bind is not None or syntax.take is not None
            return self._patterns.keyed(syntax) if is_keyed else self._aggregate(syntax)
        if isinstance(syntax, SequenceSyntax):
            return self._patterns.sequence(syntax, self._bindings)
        if isinstance(syntax, AbsenceSyntax):
            return self._patterns.absence(syntax)
        if isinstance(syntax, ScoreSyntax):
            return self._score(syntax)
        return self._segment_use(syntax)

    def _alike(self, syntax: AlikeSyntax) -> Condition | None:
        """What is checked already; where there is anything to say of it, it is read and checked at its own place."""
        meant, extent = syntax.meant, syntax.extent
        if id(meant) not in self._known:  # of syntax that outlives this check
            with self.report.apart() as found:
                condition = self._check(meant)
            self._known[id(meant)] = None if found else condition
        known = self._known[id(meant)]
        if known is not None:
            return _placed(known, extent.place)
        nothing = Report()
        node = read_part(extent.source, extent.start, extent.end, nothing)
        own = None if node is None else read_condition(node, nothing)
        return None if own is None else self._check(own)

    def fact(self, node: Scalar) -> Fact | None:
        """A fact or feature of a session: none of the catalogue, which are facts of things."""
        name = self.values.known(node, self.vocabulary.facts.keys(), "unknown-fact", "fact")
        if name is None:
            return None
        fact = self.vocabulary.facts[name]
        if fact.source is FactSource.CATALOGUE:
            message = f"{name} comes from the catalogue: it has a value for each {fact.by}"
            self.report.error("operator-not-here", node, message, "tests write it under catalogue:")
            return None
        return fact

    def _fact(self, syntax: FactSyntax) -> Condition | None:
        found = self.tests.fact(syntax.name, syntax.of)
        if found is None:
            return None
        subject, fact = found
        if not syntax.tests and not syntax.is_whole:
            return None
        if not syntax.tests:
            example = (
                "is: true" if fact.type.kind is Kind.BOOLEAN else "at_least: 10" if fact.type.is_ordered else "is: ..."
            )
            self._no_test(syntax.extent, f"{fact.name} is looked at without a test", example)
            return None
        return self._all(
            syntax.extent,
            syntax.tests,
            lambda test: self.tests.operand(test, fact.type, fact.name),
            lambda test, operand: _test(subject, test, operand, syntax.extent),
        )

    def _aggregate(self, syntax: AggregateTestSyntax) -> Condition | None:
        aggregate = self.aggregates.check(syntax.aggregate)
        function = syntax.aggregate.function.value
        if not syntax.tests and not syntax.is_whole:
            return None
        if not syntax.tests:
            self._no_test(syntax.extent, f"{function} is computed and not tested", "at_least: 3")
            return None
        if aggregate is None:
            return None
        what = f"{function} of {syntax.aggregate.target.text}"
        return self._all(
            syntax.extent,
            syntax.tests,
            lambda test: self.tests.operand(test, aggregate.type, what),
            lambda test, operand: _test(aggregate, test, operand, syntax.extent),
        )

    def _seen(self, syntax: SeenSyntax) -> Condition | None:
        name = syntax.event.text
        event, dot, _ = name.partition(".")
        if dot and event in self.vocabulary.events:
            message = "event names an event, not one of its attributes"
            self.report.error("wrong-shape", syntax.event, message, f"write {{event: {event}, where: ...}}")
            return None
        selection = self.aggregates.selection(syntax.event, name, syntax.where)
        span = self.aggregates.span(syntax.span)
        bind = syntax.bind.text if syntax.bind is not None else None
        return None if selection is None or span is None else Seen(selection, span, bind, syntax.extent.place)

    def _score(self, syntax: ScoreSyntax) -> Condition | None:
        name = self.values.known(syntax.score, self.vocabulary.scores.keys(), "unknown-score", "score")
        unavailable: tuple[IfUnavailable, Millis | None] | None = None
        if syntax.if_unavailable is None:
            message = f"the score {syntax.score.text} does not say what happens when its model does not answer"
            self.report.error("missing-if-unavailable", syntax.score, message, "add if_unavailable: skip")
        else:
            unavailable = self._unavailable(syntax.if_unavailable)
        if not syntax.tests and not syntax.is_whole:
            return None
        if not syntax.tests:
            self._no_test(syntax.extent, f"the score {syntax.score.text} is looked at without a test", "at_least: 0.7")
            return None
        releases = self._releases(syntax)
        if name is None or unavailable is None:
            return None
        answer, last_known = unavailable

        def build(test: TestSyntax, operand: Operand) -> Condition:
            release = releases.get(test.operator)
            place = syntax.extent.place
            return ScoreTest(name, test.operator, operand, answer, release, last_known, place)

        return self._all(syntax.extent, syntax.tests, lambda test: self._threshold(test, name), build)

    def _threshold(self, test: TestSyntax, name: str) -> Operand | None:
        if test.operator not in _SCORE_OPERATORS:
            message = f"{test.operator.value} has no meaning for a score, which is a probability"
            self.report.error("operator-type", test.key, message, "use above, at_least, below, at_most or between")
            return None
        if kind_of(test.operand) == "a mapping" or is_reference(test.operand):
            self.report.error("wrong-shape", test.operand, "a score is compared with a number from 0 to 1")
            return None
        operand = self.tests.operand(test, _PROBABILITY, name)
        bounds = operand if isinstance(operand, tuple) else (operand,)
        if any(isinstance(bound, float) and not 0 <= bound <= 1 for bound in bounds):
            message = f"the score {name} is a probability from 0 to 1"
            self.report.error("out-of-range", test.operand, message, "write for example 0.4")
            return None
        return operand

    def _releases(self, syntax: ScoreSyntax) -> dict[Operator, float]:
        releases: dict[Operator, float] = {}
        for key, node, operators in (
            ("release_below", syntax.release_below, _UPWARD),
            ("release_above", syntax.release_above, _DOWNWARD),
        ):
            if node is None:
                continue
            release = self.values.number(node, key)
            tests = [test for test in syntax.tests if test.operator in operators]
            if not tests:
                words = " or ".join(sorted(operator.value for operator in operators))
                self.report.error(
                    "operator-not-here", node, f"{key} belongs to {words}, which this score does not test"
                )
                continue
            if release is None:
                continue
            threshold = tests[0].operand.value if isinstance(tests[0].operand, Scalar) else None
            if not 0 <= release <= 1:
                self.report.error("out-of-range", node, f"{key} is a probability from 0 to 1")
            elif isinstance(threshold, int | float) and (
                release > threshold if operators is _UPWARD else release < threshold
            ):
                side = "above" if operators is _UPWARD else "below"
                message = f"{key} {release:g} lies {side} the threshold {threshold:g}: it would let go before it holds"
                self.report.error("out-of-range", node, message)
            else:
                releases[tests[0].operator] = release
        return releases

    def _unavailable(self, node: Scalar) -> tuple[IfUnavailable, Millis | None] | None:
        for answer in (IfUnavailable.SKIP, IfUnavailable.ASSUME_TRUE, IfUnavailable.ASSUME_FALSE):
            if node.text == answer.value:
                return answer, None
        match = _LAST_KNOWN.fullmatch(node.text)
        if match is not None:
            length = parse_duration(match[1])
            if length:
                return IfUnavailable.LAST_KNOWN, length
        message = f"{node.text[:60]} is no answer to a model that does not answer"
        self.report.error(
            "wrong-type", node, message, "one of: skip, assume true, assume false, last known for 60 seconds"
        )
        return None

    def _segment_use(self, syntax: SegmentSyntax) -> Condition | None:
        name = self.values.known(syntax.name, self._segments.keys(), "unknown-segment", "segment")
        if name is None:
            return None
        condition = self._segment(name)
        return Segment(name, condition, syntax.extent.place) if condition is not None else None

    def _segment(self, name: str) -> Condition | None:
        if name in self._resolved:
            return self._resolved[name]
        declared = self._segments[name]
        if name in self._open:
            cycle = " -> ".join([*self._open[self._open.index(name) :], name])
            self.report.error("condition-cycle", declared.name, f"the segment {name} leads back to itself: {cycle}")
            return None
        if len(self._open) >= DEEPEST_CONDITION:
            message = f"more than {DEEPEST_CONDITION} segments are built on one another"
            self.report.error("too-deep", declared.name, message)
            return None
        self._open.append(name)
        try:
            condition = self.check(declared.condition, "a segment")
        finally:
            self._open.pop()
        self._resolved[name] = condition
        if condition is not None:
            self._sizes[name] = self._measure(condition)
        return condition

    def _measure(self, condition: Condition) -> tuple[int, int]:
        """Parts and levels, segments written out (each measured once)."""
        if isinstance(condition, All | AnyOf):
            sizes = [self._measure(part) for part in condition.parts]
        elif isinstance(condition, Not):
            sizes = [self._measure(condition.part)]
        elif isinstance(condition, Segment):
            if condition.name not in self._sizes:
                self._sizes[condition.name] = self._measure(condition.condition)
            sizes = [self._sizes[condition.name]]
        elif isinstance(condition, SequenceCondition):
            return 1 + len(condition.steps), 2
        else:
            return 1, 1
        return 1 + sum(size for size, _ in sizes), 1 + max((depth for _, depth in sizes), default=0)

    def _all(
        self,
        extent: Extent,
        tests: Sequence[TestSyntax],
        read: Callable[[TestSyntax], Operand | None],
        build: Callable[[TestSyntax, Operand], Condition],
    ) -> Condition | None:
        """One test as it is, several in one mapping as an `All`."""
        parts: list[Condition] = []
        for test in tests:
            operand = read(test)
            if operand is not None:
                parts.append(build(test, operand))
        if len(parts) < len(tests):
            return None
        return parts[0] if len(parts) == 1 else All(tuple(parts), extent.place)

    def _no_test(self, extent: Extent, message: str, example: str) -> None:
        self.report.error("no-test", Here(extent), message, f"add a test, for example {example}")


def _test(subject: Subject, test: TestSyntax, operand: Operand, extent: Extent) -> Condition:
    return Test(subject, test.operator, operand, extent.place)


def _placed(condition: Condition, place: Place) -> Condition:
    """A condition of one mapping as that of another, which is written alike and begins at `place`."""
    if isinstance(condition, Test):
        return Test(condition.subject, condition.operator, condition.operand, place)
    if isinstance(condition, Seen):
        return Seen(condition.of, condition.span, condition.bind, place)
    if isinstance(condition, All):  # of several tests in one mapping
        return All(tuple([_placed(part, place) for part in condition.parts]), place)
    return replace(condition, place=place)
