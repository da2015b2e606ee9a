"""Selections of events, spans, aggregates, and tests: what both features and conditions are made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeGuard

import re2

from engine.language.check_bindings import Bindings
from engine.language.check_values import Values, type_text
from engine.language.nodes import Mapping as MappingNode
from engine.language.nodes import Node, Scalar, Sequence, kind_of
from engine.language.shape import Fields, refuse_unevaluated
from engine.language.syntax import AggregateSyntax, SpanSyntax, TestSyntax, WhereSyntax
from engine.language.tree import (
    Aggregate,
    Aggregation,
    Attribute,
    AttributeTest,
    BoundRef,
    EventType,
    Fact,
    FactRef,
    FactSource,
    Operand,
    Operator,
    Selection,
    Span,
)
from engine.values import NUMERIC, Kind, ValueType

ORDER = frozenset({Operator.ABOVE, Operator.AT_LEAST, Operator.BELOW, Operator.AT_MOST})
EQUALITY = frozenset({Operator.IS, Operator.IS_NOT})
MEMBERSHIP = frozenset({Operator.IS_ONE_OF, Operator.IS_NONE_OF})
TEXTUAL = frozenset({Operator.MATCHES, Operator.STARTS_WITH, Operator.ENDS_WITH})
MOMENTS = frozenset({Operator.BEFORE, Operator.AFTER})
AGES = frozenset({Operator.OLDER_THAN, Operator.WITHIN_LAST})
COMPARABLE = EQUALITY | ORDER | MOMENTS
"""Tests whose right side may be a fact."""
LONGEST_PATTERN = 500

_BOOLEAN = ValueType(Kind.BOOLEAN)
_INTEGER = ValueType(Kind.INTEGER)
_TEXT = ValueType(Kind.TEXT)
_PLAIN = frozenset({Kind.INTEGER, Kind.NUMBER})
_WORDS = frozenset({Kind.TEXT, Kind.CHOICE})


class Tests:
    """Checks operators against types and reads the right sides.

    `facts` may stand on the right (None: they may not), and so may what `bindings` binds. `keys` has the types of
    attributes by which the catalogue is looked up.
    """

    __test__ = False  # not a pytest class

    def __init__(
        self,
        values: Values,
        facts: Mapping[str, Fact] | None,
        bindings: Bindings,
        keys: Mapping[str, ValueType] | None = None,
    ) -> None:
        self.values = values
        self.report = values.report
        self.facts = facts
        self.bindings = bindings
        self._keys = keys or {}

    def operand(self, test: TestSyntax, subject: ValueType, what: str) -> Operand | None:
        """The typed right side of a test on something of type `subject`; None, reported, where it does not fit."""
        if not self._fits(test, subject, what):
            return None
        if is_reference(test.operand):
            return self._bound(test, test.operand, subject, what)
        if isinstance(test.operand, Sequence):
            inside = next((item for item in test.operand.items if is_reference(item)), None)
            if inside is not None:
                message = f"{inside.text[:60]} stands in a list, and only a whole right side can be a bound attribute"
                self.report.error("operator-not-here", inside, message, "write one test for each; quote text")
                return None
        if isinstance(test.operand, MappingNode):
            return self._fact(test, test.operand, subject, what)
        operator = test.operator
        if operator is Operator.EXISTS:
            return self.values.boolean(test.operand, "exists")
        if operator in AGES:
            return self.values.span(test.operand, operator.value)
        if operator in MEMBERSHIP:
            return self.values.literals(test.operand, subject, what)
        if operator is Operator.BETWEEN:
            return self._between(test, subject, what)
        if operator is Operator.MATCHES:
            return self._pattern(test.operand)
        if operator is Operator.CONTAINS and subject.item is not None:
            return self.values.literal(test.operand, subject.item, what)
        if isinstance(test.operand, Sequence) and operator in EQUALITY:
            word = "is_one_of" if operator is Operator.IS else "is_none_of"
            message = f"{operator} compares with one value, this is a list"
            self.report.error("wrong-shape", test.operand, message, f"write {word}: [...]")
            return None
        return self.values.literal(test.operand, subject, what)

    def _fits(self, test: TestSyntax, subject: ValueType, what: str) -> bool:
        operator, kind = test.operator, subject.kind
        proposal = None
        if operator is Operator.EXISTS:
            return True
        if operator in EQUALITY:
            fits, proposal = kind is not Kind.LIST, "use contains"
        elif operator in MEMBERSHIP:
            fits, proposal = kind not in {Kind.LIST, Kind.BOOLEAN}, "use contains:" if kind is Kind.LIST else "use is:"
        elif operator in ORDER:
            fits = subject.is_ordered and kind is not Kind.TIMESTAMP
            if kind is Kind.TIMESTAMP:
                proposal = f"use {'after' if operator in {Operator.ABOVE, Operator.AT_LEAST} else 'before'}"
            elif kind in _WORDS:
                proposal = "use is: or is_one_of:"
        elif operator is Operator.BETWEEN:
            fits = subject.is_ordered
        elif operator in TEXTUAL:
            fits, proposal = kind is Kind.TEXT, "use is: or is_one_of:" if kind is Kind.CHOICE else None
        elif operator is Operator.CONTAINS:
            fits = kind in {Kind.TEXT, Kind.LIST}
        else:
            fits = kind is Kind.TIMESTAMP
            if operator in MOMENTS and kind in NUMERIC:
                proposal = f"use {'below' if operator is Operator.BEFORE else 'above'}"
        if not fits:
            message = f"{operator.value} has no meaning for {what}, which is {type_text(subject)}"
            self.report.error("operator-type", test.key, message, proposal)
        return fits

    def _between(self, test: TestSyntax, subject: ValueType, what: str) -> Operand | None:
        node = test.operand
        if not isinstance(node, Sequence) or len(node.items) != 2:
            message = f"between needs the lower and the upper end, this is {kind_of(node)}"
            if isinstance(node, Sequence):
                message = f"between needs two ends, this list has {len(node.items)}"
            self.report.error("wrong-shape", node, message, "write between: [10, 20]; both ends are included")
            return None
        low, high = (self.values.literal(item, subject, what) for item in node.items)
        if low is None or high is None or isinstance(low, tuple) or isinstance(high, tuple):
            return None
        if low > high:  # type: ignore[operator] # both are of one ordered type
            message = "the lower end of between is above the upper one, so it never holds"
            self.report.error("impossible", node, message, "turn them round")
            return None
        return (low, high)

    def _pattern(self, node: Node) -> str | None:
        pattern = self.values.literal(node, ValueType(Kind.TEXT), "matches")
        if not isinstance(pattern, str):
            return None
        if len(pattern) > LONGEST_PATTERN:
            self.report.error("bad-pattern", node, f"a pattern has at most {LONGEST_PATTERN} characters")
            return None
        try:
            pattern_fault(pattern)
        except re2.error as fault:
            detail = fault.args[0] if fault.args else ""
            detail = detail.decode(errors="replace") if isinstance(detail, bytes) else str(detail)
            message = f"RE2 does not take this pattern: {detail}"
            self.report.error("bad-pattern", node, message, "patterns have no look-around and no back references")
            return None
        return pattern

    def _fact(self, test: TestSyntax, node: MappingNode, subject: ValueType, what: str) -> FactRef | None:
        if node.get("fact") is None and node.entries:
            message = "the right side is a value or {fact: name}"
            self.report.error("wrong-shape", node, message)
            return None
        fields = Fields(node, "the right side", ("fact", "of"), self.report)
        name, of = fields.word("fact", needed=True), fields.node("of")
        if of is not None:
            refuse_unevaluated("of", fields.key("of"), self.report)
        if name is None or ("of" in fields and of is None):
            return None
        if self.facts is None:
            message = "a feature selects events by values: what it counts can't depend on a fact"
            self.report.error("operator-not-here", name, message, "write the condition in the rule, or in a segment")
            return None
        found = self.fact(name, of)
        if found is None:
            return None
        ref, fact = found
        if test.operator not in COMPARABLE:
            message = f"the right side of {test.operator.value} is a value, not a fact"
            self.report.error("operator-not-here", test.key, message)
            return None
        if not is_comparable(subject, fact.type):
            message = f"{what} is {type_text(subject)}, {fact.name} is {type_text(fact.type)}: they can't be compared"
            self.report.error("wrong-type", name, message)
            return None
        return ref

    def fact(self, name: Scalar, of: Node | None) -> tuple[FactRef, Fact] | None:
        """A fact that may be looked at, one of the catalogue with the key that it is looked up by."""
        facts = self.facts or {}
        known = self.values.known(name, facts.keys(), "unknown-fact", "fact")
        if known is None:
            return None
        fact = facts[known]
        if fact.source is not FactSource.CATALOGUE:
            if of is None:
                return FactRef(known), fact
            message = f"of: is for facts of things, which come from the catalogue; {known} is none"
            self.report.error("operator-not-here", of, message, "delete of:")
            return None
        if of is None:
            message = f"{known} comes from the catalogue: say of which {fact.by or 'thing'}"
            self.report.error("missing-key", name, message, f"add of: $seen.{fact.by}, where seen is a bound name")
            return None
        if not is_reference(of):
            message = f"of: takes an attribute of a bound name, this is {kind_of(of)}"
            self.report.error("wrong-shape", of, message, f"write for example of: $seen.{fact.by}")
            return None
        bound = self.bindings.resolve(of)
        if bound is None:
            return None
        key, key_type = bound
        if not self.is_key(fact, key_type):
            message = f"{known} is looked up by {fact.by}, {of.text[1:]} is {type_text(key_type)}"
            self.report.error("wrong-type", of, message, f"use an attribute like {fact.by}")
            return None
        return FactRef(known, key), fact

    def is_key(self, fact: Fact, value_type: ValueType) -> bool:
        """Whether a value of this type can be a key of a fact of the catalogue."""
        return is_comparable(self.key_type(fact), value_type)

    def key_type(self, fact: Fact) -> ValueType:
        """The type of the attribute by which a fact of the catalogue is looked up."""
        return self._keys.get(fact.by or "", _TEXT)

    def _bound(self, test: TestSyntax, node: Scalar, subject: ValueType, what: str) -> BoundRef | None:
        if test.operator not in COMPARABLE:
            message = f"the right side of {test.operator.value} is a value, not a bound attribute"
            self.report.error("operator-not-here", node, message, "put quotes around it if it is text")
            return None
        found = self.bindings.resolve(node)
        if found is None:
            return None
        ref, bound = found
        if not is_comparable(subject, bound):
            message = f"{what} is {type_text(subject)}, {node.text[1:]} is {type_text(bound)}: they can't be compared"
            self.report.error("wrong-type", node, message)
            return None
        return ref


def is_reference(node: Node) -> TypeGuard[Scalar]:
    """Whether a value is written as an attribute of a bound name; quoted, it is text."""
    return isinstance(node, Scalar) and node.is_plain and node.text.startswith("$")


def pattern_fault(pattern: str) -> None:
    """Compile a pattern as the engine will; raises `re2.error`."""
    options = re2.Options()
    options.log_errors = False
    options.max_mem = 1 << 20
    re2.compile(pattern, options)


class Aggregates:
    """Checks selections of events and the functions over them. `tests` are those of conditions; None: of features."""

    def __init__(self, events: Mapping[str, EventType], values: Values, tests: Tests | None = None) -> None:
        self.events = events
        self.values = values
        self.report = values.report
        self.tests = tests or Tests(values, None, Bindings(values.report, "a feature"))

    def check(self, syntax: AggregateSyntax) -> Aggregate | None:
        """An aggregate with its type; None, reported, where it has none."""
        span = self.span(syntax.span)
        of = self._target(syntax, syntax.target, syntax.where)
        minus = None
        if syntax.minus is not None:
            if syntax.function not in {Aggregation.SUM, Aggregation.COUNT}:
                message = f"minus is subtracted from a sum or a count, not from {syntax.function.value}"
                self.report.error("operator-not-here", syntax.minus, message)
                return None
            minus = self._target(syntax, syntax.minus, syntax.where)  # a where is about all that is counted
            if minus is None:
                return None
        if span is None or of is None:
            return None
        selection, attribute = of
        value_type = self._type(syntax, attribute)
        if value_type is None:
            return None
        if minus is not None and minus[1] is not None and attribute is not None and minus[1].type != attribute.type:
            message = f"{syntax.target.text} is {type_text(attribute.type)}, {minus[0].event}.{minus[1].name} is not"
            assert syntax.minus is not None
            self.report.error("wrong-type", syntax.minus, message)
            return None
        return Aggregate(syntax.function, selection, span, value_type, minus[0] if minus is not None else None)

    def _type(self, syntax: AggregateSyntax, attribute: Attribute | None) -> ValueType | None:
        if attribute is None:
            return _INTEGER
        kind = attribute.type.kind
        needs: str | None = None
        if syntax.function in {Aggregation.SUM, Aggregation.AVERAGE} and kind not in NUMERIC:
            needs = "numbers, money or durations"
        elif syntax.function in {Aggregation.MINIMUM, Aggregation.MAXIMUM} and not attribute.type.is_ordered:
            needs = "values with an order"
        elif syntax.function is Aggregation.DISTINCT and kind is Kind.LIST:
            needs = "single values"
        if needs is not None:
            message = f"{syntax.function.value} needs {needs}, {syntax.target.text} is {type_text(attribute.type)}"
            self.report.error("operator-type", syntax.target, message)
            return None
        if syntax.function is Aggregation.DISTINCT:
            return _INTEGER
        if syntax.function is Aggregation.AVERAGE and kind is Kind.INTEGER:
            return ValueType(Kind.NUMBER)
        return attribute.type

    def _target(
        self, syntax: AggregateSyntax, target: Scalar, where: tuple[WhereSyntax, ...]
    ) -> tuple[Selection, Attribute | None] | None:
        event, dot, name = target.text.partition(".")
        if syntax.function is Aggregation.COUNT:
            if dot:
                proposal = f"write {event}, or distinct: {target.text} for how many different ones"
                self.report.error("wrong-shape", target, "count counts events, not values of an attribute", proposal)
                return None
        elif not dot:
            attributes = self.events[event].attributes if event in self.events else {}
            numeric = [name for name, attribute in attributes.items() if attribute.type.kind in NUMERIC]
            is_any = syntax.function in {Aggregation.DISTINCT, Aggregation.FIRST, Aggregation.LAST}
            example = next(iter(attributes if is_any else numeric), "price")
            message = f"{syntax.function.value} needs an attribute of an event"
            self.report.error("wrong-shape", target, message, f"write {event}.{example}")
            return None
        selection = self.selection(target, event, where)
        if selection is None:
            return None
        if not dot:
            return selection, None
        attribute = self.attribute(target, event, name)
        return None if attribute is None else (Selection(event, name, selection.where), attribute)

    def event(self, node: Scalar, name: str) -> EventType | None:
        """A declared event type."""
        if name in self.events:
            return self.events[name]
        self.report.error("unknown-event", node, f"unknown event {name[:100]}", self.report.propose(name, self.events))
        return None

    def attribute(self, node: Scalar, event: str, name: str) -> Attribute | None:
        """A declared attribute of an event that is declared."""
        attributes = self.events[event].attributes
        if name in attributes:
            return attributes[name]
        proposal = self.report.propose(name, attributes, "it has") if attributes else "it has none"
        self.report.error(
            "unknown-attribute", node, f"{event} has no attribute {name[:100] or 'without a name'}", proposal
        )
        return None

    def selection(self, node: Scalar, event: str, where: tuple[WhereSyntax, ...]) -> Selection | None:
        """Events of a type that pass a `where`."""
        if self.event(node, event) is None:
            return None
        tests = self.tests
        read: list[AttributeTest] = []
        is_whole = True
        for each in where:
            attribute = self.attribute(each.attribute, event, each.attribute.text)
            if attribute is None:
                is_whole = False
                continue
            for test in each.tests:
                operand = tests.operand(test, attribute.type, f"{event}.{attribute.name}")
                if operand is None:
                    is_whole = False
                else:
                    read.append(AttributeTest(attribute.name, test.operator, operand))
        if not is_whole:
            return None
        unique = sorted(set(read), key=lambda test: (test.attribute, test.operator.value, repr(test.operand)))
        return Selection(event, None, tuple(unique))

    def span(self, syntax: SpanSyntax) -> Span | None:
        """Which events count."""
        if syntax.within is not None and syntax.since is not None:
            self.report.error("two-spans", syntax.since, "within and since are written together", "keep one of them")
            return None
        if syntax.within is not None:
            window = self.values.span(syntax.within, "within")
            return Span(window=window) if window is not None else None
        if syntax.since is not None:
            if not isinstance(syntax.since, Scalar):
                self.report.error("wrong-shape", syntax.since, f"since is an event, this is {kind_of(syntax.since)}")
                return None
            if self.event(syntax.since, syntax.since.text) is None:
                return None
            return Span(since=syntax.since.text)
        return Span()


def is_comparable(left: ValueType, right: ValueType) -> bool:
    """Whether values of two types can be equal, or one above the other."""
    return left.kind is right.kind or {left.kind, right.kind} <= _PLAIN or {left.kind, right.kind} <= _WORDS
