"""Tests beside the rules: times, events, facts and expectations, checked before they run."""

from __future__ import annotations

import datetime as dt
import itertools
import re
from collections.abc import Collection, Sequence

from engine.language.check_conditions import Conditions
from engine.language.check_values import is_zone
from engine.language.nodes import Broken, Mapping, Node, Scalar
from engine.language.nodes import Sequence as SequenceNode
from engine.language.syntax import ExpectSyntax, RulesetSyntax, RuleTestSyntax, TestEventSyntax
from engine.language.tree import Expectation, FactSource, RuleTest, TestEvent
from engine.raw_values import ValueRefusedError, reader_of
from engine.values import EpochMs, Kind, Value, ValueType

DATE = "2026-06-15"
"""The day of tests that name none: a Monday without a clock change anywhere near."""
LONGEST_TEST_NAME = 200
LONGEST_ID = 200  # as engine.vocabulary, which imports the language

_TIME = re.compile(r"([0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,3})?)?)(?: *\+ *([0-9]{1,3}) *d)?", re.ASCII)


def check_tests(
    ruleset: RulesetSyntax, conditions: Conditions, offers: Collection[str], triggers: Collection[str]
) -> tuple[RuleTest, ...]:
    """The tests of a file that could be checked. `offers` and `triggers` are all there are."""
    assert is_zone(conditions.values.timezone)
    checker = _Checker(conditions, offers, triggers)
    tests: list[RuleTest] = []
    names: set[str] = set()
    for syntax in ruleset.tests:
        name = syntax.name.text[:LONGEST_TEST_NAME]
        conditions.values.declare(name, names, syntax.name, "the test")
        names.add(name)
        tests.append(checker.test(syntax, ruleset.name.text))
    return tuple(tests)


class _Checker:
    def __init__(self, conditions: Conditions, offers: Collection[str], triggers: Collection[str]) -> None:
        self.conditions = conditions
        self.values = conditions.values
        self.report = conditions.report
        self.vocabulary = conditions.vocabulary
        self.offers = offers
        self.triggers = triggers
        self.date = DATE

    def test(self, syntax: RuleTestSyntax, ruleset: str) -> RuleTest:
        self.date = DATE
        if syntax.date is not None and self.values.moment(syntax.date, "UTC", "date") is not None:
            if re.fullmatch("[0-9-]{10}", syntax.date.text):
                self.date = syntax.date.text
            else:
                self.report.error("bad-date", syntax.date, "date is a day", f"write {syntax.date.text[:10]}")
        events = [(event, each) for each in syntax.events if (event := self._event(each)) is not None]
        expect = [(one, each) for each in syntax.expect if (one := self._expect(each)) is not None]
        self._order([(event.at, each) for event, each in events])
        self._order([(one.at, each) for one, each in expect])
        profiling = self.values.boolean(syntax.profiling, "profiling") if syntax.profiling is not None else None
        customer = syntax.customer.text if syntax.customer is not None else None
        if syntax.customer is not None and len(syntax.customer.text) > LONGEST_ID:
            message = f"an id has at most {LONGEST_ID} characters"
            self.report.error("too-large", syntax.customer, message)
        return RuleTest(
            name=syntax.name.text[:LONGEST_TEST_NAME],
            ruleset=ruleset,
            events=tuple(event for event, _ in events),
            scores=self._scores(syntax.scores),
            later_scores=self._later_scores(syntax.scores),
            facts=self._facts(syntax.facts),
            catalogue=self._catalogue(syntax.catalogue),
            profiling=profiling is not False,
            customer_id=customer,
            expect=tuple(one for one, _ in expect),
            place=syntax.name.extent.place,
        )

    def _order(self, moments: Sequence[tuple[EpochMs, TestEventSyntax | ExpectSyntax]]) -> None:
        for (before, _), (after, syntax) in itertools.pairwise(moments):
            if after < before:
                self.report.error(
                    "test-order", syntax.at, "this lies before the entry above it", "put them in order of time"
                )

    def _moment(self, node: Scalar) -> EpochMs | None:
        match = _TIME.fullmatch(node.text)
        if match is None:
            if re.match("[0-9]{4}-", node.text):
                return self.values.moment(node, self.values.timezone, "at")
            proposal = "write 10:04:00, 10:04:00 +1d or 2026-11-20T10:04:00"
            self.report.error("bad-date", node, f"{node.text[:40]} is no time", proposal)
            return None
        try:
            day = dt.date.fromisoformat(self.date) + dt.timedelta(days=int(match[2] or 0))
        except OverflowError:
            self.report.error("out-of-range", node, "at lies beyond the year 9999")
            return None
        text = f"{day.isoformat()}T{match[1].rjust(len(match[1]) + (match[1].index(':') == 1), '0')}"
        return self.values.moment(Scalar(node.extent, text, is_plain=True), self.values.timezone, "at")

    def _event(self, syntax: TestEventSyntax) -> TestEvent | None:
        at = self._moment(syntax.at)
        event = self.conditions.aggregates.event(syntax.type, syntax.type.text)
        if event is None:
            return None
        attributes: dict[str, object] = {}
        for entry in syntax.attributes.entries if syntax.attributes is not None else ():
            attribute = self.conditions.aggregates.attribute(entry.key, event.name, entry.key.text)
            if attribute is None:
                continue
            if attribute.computed is not None:
                message = f"{event.name}.{attribute.name} is computed from the other attributes"
                self.report.error("operator-not-here", entry.key, message, "delete it")
                continue
            raw = _raw(entry.value)
            if self._fits(entry.value, raw, attribute.type, f"{event.name}.{attribute.name}"):
                attributes[attribute.name] = raw
        return TestEvent(at, event.name, attributes, syntax.extent.place) if at is not None else None

    def _fits(self, node: Node, raw: object, value_type: ValueType, what: str) -> bool:
        if raw is None:
            return True
        try:
            reader_of(value_type, self.vocabulary.currency, self.vocabulary.minor_units)(raw)
        except ValueRefusedError as refused:
            proposal = None
            if value_type.kind is Kind.TEXT and isinstance(node, Scalar):
                proposal = f"put quotes around it: '{node.text[:60]}'"
            elif value_type.kind is Kind.CHOICE and isinstance(node, Scalar):
                proposal = self.report.propose(node.text, value_type.choices)
            code = {"other-currency": "wrong-type", "too-long": "too-large"}.get(refused.code, refused.code)
            self.report.error(code, node, f"{what} {refused}", proposal)
            return False
        return True

    def _scores(self, node: Mapping | None) -> dict[str, float | None]:
        scores: dict[str, float | None] = {}
        for entry in node.entries if node is not None else ():
            name = self.values.known(entry.key, self.vocabulary.scores.keys(), "unknown-score", "score")
            answer = None if isinstance(entry.value, Mapping) else self._answer(entry.value, entry.key.text)
            if name is not None and answer is not None:
                scores[name] = answer[0]
        return scores

    def _later_scores(self, node: Mapping | None) -> dict[str, tuple[tuple[EpochMs, float | None], ...]]:
        """`{churn_risk: {10:00: 0.8, 10:05: unavailable}}`: answers from moments on."""
        scores: dict[str, tuple[tuple[EpochMs, float | None], ...]] = {}
        for entry in node.entries if node is not None else ():
            if not isinstance(entry.value, Mapping):
                continue
            answers: list[tuple[EpochMs, float | None]] = []
            for each in entry.value.entries:
                at, answer = self._moment(each.key), self._answer(each.value, entry.key.text)
                if at is None or answer is None:
                    continue
                if answers and at <= answers[-1][0]:
                    message = "this lies before the answer in front of it"
                    self.report.error("test-order", each.key, message, "put them in order of time")
                answers.append((at, answer[0]))
            if entry.key.text in self.vocabulary.scores:
                scores[entry.key.text] = tuple(answers)
        return scores

    def _answer(self, node: Node, score: str) -> tuple[float | None] | None:
        """What a model answers, None for nothing; None, reported, where it is no probability."""
        if isinstance(node, Scalar) and node.text == "unavailable":
            return (None,)
        value = self.values.number(node, f"the score {score}")
        if value is not None and not 0 <= value <= 1:
            self.report.error("out-of-range", node, "a score is from 0 to 1")
        return (value,) if value is not None else None

    def _facts(self, node: Mapping | None) -> dict[str, Value]:
        facts: dict[str, Value] = {}
        for entry in node.entries if node is not None else ():
            fact = self.conditions.fact(entry.key)
            if fact is None:
                continue
            if fact.source not in {FactSource.PROFILE, FactSource.REQUEST}:
                message = f"{fact.name} is worked out from events and rules: a test can't set it"
                self.report.error("operator-not-here", entry.key, message, "send events that lead to it, or expect it")
                continue
            value = self._value(entry.value, fact.type, fact.name)
            if value is not None:
                facts[fact.name] = value
        return facts

    def _catalogue(self, node: Mapping | None) -> dict[str, dict[Value, Value]]:
        """`{product.stock: {p1: 4}}`: what the catalogue says of each thing."""
        facts = self.vocabulary.facts
        found: dict[str, dict[Value, Value]] = {}
        for entry in node.entries if node is not None else ():
            name = self.values.known(entry.key, facts.keys(), "unknown-fact", "fact")
            if name is None:
                continue
            fact = facts[name]
            if fact.source is not FactSource.CATALOGUE:
                message = f"{name} does not come from the catalogue"
                self.report.error(
                    "operator-not-here", entry.key, message, "tests write it under facts:, or send events"
                )
                continue
            if not isinstance(entry.value, Mapping):
                if not isinstance(entry.value, Broken):
                    message = f"{name} has a value for each {fact.by}"
                    self.report.error("wrong-shape", entry.value, message, f"write {name}: {{p1: ..., p2: ...}}")
                continue
            found[name] = {}
            for each in entry.value.entries:
                key = self.values.literal(each.key, self.conditions.tests.key_type(fact), f"{fact.by} of {name}")
                value = self._value(each.value, fact.type, name)
                if key is not None and value is not None:
                    found[name][key] = value
        return found

    def _value(self, node: Node, value_type: ValueType, name: str) -> Value | None:
        if value_type.item is None:
            return self.values.literal(node, value_type, name)
        if isinstance(node, SequenceNode):
            items = [self.values.literal(item, value_type.item, name) for item in node.items]
            return tuple(item for item in items if item is not None and not isinstance(item, tuple))
        if not isinstance(node, Broken):
            self.report.error("wrong-shape", node, f"{name} is a list", "write [first, second]")
        return None

    def _expect(self, syntax: ExpectSyntax) -> Expectation | None:
        at = self._moment(syntax.at)
        placement = offer = None
        if syntax.placement is not None:
            placements = self.vocabulary.placements
            placement = self.values.known(syntax.placement, placements.keys(), "unknown-placement", "placement")
        if syntax.offer is not None:
            offer = self.values.known(syntax.offer, self.offers, "unknown-offer", "offer")
        trigger = no_trigger = None
        if syntax.trigger is not None:
            trigger = self._trigger(syntax.trigger)
        if syntax.no_trigger is not None:
            no_trigger = self._trigger(syntax.no_trigger)
        facts: dict[str, Value | None] = {}
        for entry in syntax.facts.entries if syntax.facts is not None else ():
            fact = self.conditions.fact(entry.key)
            if fact is None:
                continue
            if isinstance(entry.value, Scalar) and entry.value.text == "unknown":
                facts[fact.name] = None
                continue
            value = self._value(entry.value, fact.type, fact.name)
            if value is not None:
                facts[fact.name] = value
        if at is None:
            return None
        place = syntax.extent.place
        content = {entry.key.text: _raw(entry.value) for entry in syntax.content.entries} if syntax.content else {}
        return Expectation(at, placement, offer, trigger, no_trigger, facts, syntax.because, place, content)

    def _trigger(self, node: Scalar) -> str | None:
        if node.text in self.triggers:
            return node.text
        proposal = self.report.propose(node.text, self.triggers)
        self.report.error("unknown-trigger", node, f"no rule sends the trigger {node.text[:100]}", proposal)
        return None


def _raw(node: Node) -> object:
    """What the same value is in a JSON event."""
    if isinstance(node, Scalar):
        return node.value
    if isinstance(node, SequenceNode):
        return [_raw(item) for item in node.items]
    if isinstance(node, Mapping):
        return {entry.key.text: _raw(entry.value) for entry in node.entries}
    return None
