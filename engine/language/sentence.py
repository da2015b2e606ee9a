"""Conditions, rules and values in plain English."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from collections.abc import Sequence as Listed
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from engine.language.tree import (
    Absence,
    Aggregate,
    Aggregation,
    All,
    AnyOf,
    AssertAction,
    AttributeTest,
    BoundRef,
    Condition,
    FactRef,
    IfUnavailable,
    Keyed,
    Limit,
    LimitScope,
    Not,
    OfferAction,
    Operand,
    Operator,
    Program,
    Rule,
    Schedule,
    ScoreTest,
    Seen,
    Segment,
    Selection,
    Sequence,
    SequenceStep,
    Span,
    Subject,
    Test,
    Vocabulary,
)
from engine.units import LATEST, UNITS, duration_text, moment_text, money_text
from engine.values import EpochMs, Kind, Millis, Value, ValueType

MOST_LISTED = 8
"""Values of a list that are written out."""

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_PROBABILITY = ValueType(Kind.NUMBER)
_FUNCTIONS = {
    Aggregation.SUM: "the sum of",
    Aggregation.AVERAGE: "the average",
    Aggregation.MINIMUM: "the lowest",
    Aggregation.MAXIMUM: "the highest",
    Aggregation.DISTINCT: "the number of different",
    Aggregation.FIRST: "the first",
    Aggregation.LAST: "the latest",
}
_COMPARISONS = {
    Operator.IS: "",
    Operator.ABOVE: "above ",
    Operator.AT_LEAST: "at least ",
    Operator.BELOW: "below ",
    Operator.AT_MOST: "at most ",
    Operator.BEFORE: "before ",
    Operator.AFTER: "after ",
}
_VERBS = {
    Operator.MATCHES: ("matches", "match"),
    Operator.STARTS_WITH: ("starts with", "start with"),
    Operator.ENDS_WITH: ("ends with", "end with"),
    Operator.CONTAINS: ("contains", "contain"),
}


def value_text(value: Value | None, value_type: ValueType, vocabulary: Vocabulary) -> str:
    """A value as people write it: `200.00 EUR`, `5 minutes`, `gold`, `no value` for None."""
    if value is None:
        return "no value"
    if isinstance(value, tuple):
        item = value_type.item if value_type.item is not None else value_type
        return ", ".join(value_text(each, item, vocabulary) for each in value) or "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    if value_type.kind is Kind.MONEY:
        return money_text(round(value), vocabulary.minor_units, vocabulary.currency)
    if value_type.kind is Kind.DURATION:
        return duration_text(round(value))
    if value_type.kind is Kind.TIMESTAMP:
        return moment_text(round(value))
    if isinstance(value, int):
        return str(value)
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else f"{value:.6g}"


def sentence(condition: Condition, vocabulary: Vocabulary) -> str:
    """A condition as a sentence without capital and full stop; facts under their own names (`cart.value`)."""
    return _Writer(vocabulary, str).condition(condition)


def subject_text(subject: Subject, vocabulary: Vocabulary) -> str:
    """What a test looks at: `cart.value`, `the number of product_viewed in the last 10 minutes`."""
    return _Writer(vocabulary, str).subject(subject)


def required_text(condition: Test | ScoreTest, vocabulary: Vocabulary) -> str:
    """What a test asks for: `above 200.00 EUR`, `gold or platinum`, `a value`."""
    writer = _Writer(vocabulary, str)
    value_type = subject_type(condition.subject, vocabulary) if isinstance(condition, Test) else _PROBABILITY
    predicate = writer.predicate(condition.operator, condition.operand, value_type, negated=False)
    return predicate.removeprefix("is ").removeprefix("has ")


def subject_type(subject: Subject, vocabulary: Vocabulary) -> ValueType:
    """The type of what a test looks at."""
    return vocabulary.facts[subject.fact].type if isinstance(subject, FactRef) else subject.type


def rule_sentence(rule: Rule, program: Program) -> str:
    """A rule as a marketer would say it.

    `When the cart value is at least 200.00 EUR and checkout_viewed happened in the last 5 minutes, show free_shipping in
    cart_banner; once per session, 3 times per customer and week; 10% held out.`
    """
    writer = _Writer(program.vocabulary, _spoken)
    actions = _listed([writer.action(action) for action in rule.actions], "and")
    is_always = isinstance(rule.when, All) and not rule.when.parts
    text = f"Always {actions}" if is_always else f"When {writer.condition(rule.when)}, {actions}"
    clauses = []
    if rule.schedule is not None:
        clauses.append(schedule_text(rule.schedule))
    if rule.limits:
        clauses.append(", ".join(limit_text(limit) for limit in rule.limits))
    if rule.budget is not None:
        clauses.append(
            f"at most {money_text(rule.budget, program.vocabulary.minor_units, program.vocabulary.currency)} in all"
        )
    if rule.holdout:
        clauses.append(f"{percent_text(rule.holdout)} held out")
    text = "; ".join([text, *(clause for clause in clauses if clause)])
    return f"{'' if rule.enabled else 'Switched off: '}{text}."


def limit_text(limit: Limit) -> str:
    """A limit: `once per session`, `3 times per customer and week`, `5000 times per calendar day in all`."""
    times = "once" if limit.most == 1 else "twice" if limit.most == 2 else f"{limit.most} times"
    period = ""
    if limit.calendar is not None:
        period = f"calendar {limit.calendar.value}"
    elif limit.sliding is not None:
        period = _period(limit.sliding)
    if limit.scope is LimitScope.TOTAL:
        return f"{times} per {period} in all" if period else f"{times} in all"
    return f"{times} per {limit.scope.value}" + (f" and {period}" if period else "")


def schedule_text(schedule: Schedule) -> str:
    """A schedule in its own time zone: `from 2026-11-20 until 2026-12-01, on Saturday and Sunday, 18:00 to 22:00`."""
    parts = []
    if schedule.start is not None:
        parts.append(f"from {_local_text(schedule.start, schedule.timezone)}")
    if schedule.until is not None:
        parts.append(f"until {_local_text(schedule.until, schedule.timezone)}")
    text = " ".join(parts)
    if schedule.days:
        text += f"{', ' if text else ''}on {_listed([_DAYS[day] for day in schedule.days], 'and')}"
    if schedule.between is not None:
        begin, end = (f"{minute // 60:02d}:{minute % 60:02d}" for minute in schedule.between)
        text += f"{', ' if text else ''}from {begin} to {end}"
    return f"{text} ({schedule.timezone})" if text and schedule.timezone != "UTC" else text


def percent_text(share: float) -> str:
    """A share as a percentage: `10%`, `2.5%`."""
    return f"{round(share * 100, 4):g}%"


@dataclass(frozen=True, slots=True)
class _Writer:
    vocabulary: Vocabulary
    fact_name: Callable[[str], str]

    def condition(self, condition: Condition) -> str:
        if isinstance(condition, All):
            if not condition.parts:
                return "always"
            return self._group(condition.parts, "and")
        if isinstance(condition, AnyOf):
            return self._group(condition.parts, "or")
        if isinstance(condition, Not):
            return self._negation(condition.part)
        if isinstance(condition, Test):
            return self._test(condition, negated=False)
        if isinstance(condition, Seen):
            return f"{self._step(condition)} happened{_span(condition.span)}"
        if isinstance(condition, ScoreTest):
            return self._score(condition, negated=False)
        if isinstance(condition, Keyed):
            return self._keyed(condition, negated=False)
        if isinstance(condition, Sequence):
            return f"{self._steps(condition)} happened{_span(condition.span)}"
        if isinstance(condition, Absence):
            return self._absence(condition)
        return f"the shopper is in segment {condition.name}"

    def _group(self, parts: Listed[Condition], word: str) -> str:
        texts = [self.condition(part) for part in parts]
        if len(texts) == 1:
            return texts[0]
        wrapped = [
            f"({text})" if isinstance(part, All | AnyOf) and len(part.parts) > 1 else text
            for part, text in zip(parts, texts, strict=True)
        ]
        return _listed(wrapped, word)

    def _negation(self, part: Condition) -> str:
        if isinstance(part, Seen):
            return f"no {self._selection(part.of)} happened{_span(part.span)}"
        if isinstance(part, Test):
            return self._test(part, negated=True)
        if isinstance(part, ScoreTest):
            return self._score(part, negated=True)
        if isinstance(part, Keyed):
            return self._keyed(part, negated=True)
        if isinstance(part, Segment):
            return f"the shopper is not in segment {part.name}"
        return f"not ({self.condition(part)})"

    def _test(self, test: Test, *, negated: bool) -> str:
        value_type = subject_type(test.subject, self.vocabulary)
        return (
            f"{self.subject(test.subject)} {self.predicate(test.operator, test.operand, value_type, negated=negated)}"
        )

    def _score(self, test: ScoreTest, *, negated: bool) -> str:
        text = f"the score {test.score} {self.predicate(test.operator, test.operand, _PROBABILITY, negated=negated)}"
        if test.release is not None:
            side = "below" if test.operator in {Operator.ABOVE, Operator.AT_LEAST} else "above"
            text += f" (and then until it is {side} {test.release:g})"
        if test.if_unavailable is IfUnavailable.LAST_KNOWN:
            assert test.last_known is not None
            text += f" (if unavailable: the last known for {duration_text(test.last_known)})"
        elif test.if_unavailable is not IfUnavailable.SKIP:
            text += f" (if unavailable: {test.if_unavailable.value})"
        return text

    def subject(self, subject: Subject) -> str:
        if isinstance(subject, FactRef):
            # "the shopper hesitates is true" reads badly; a name does not.
            is_boolean = self.vocabulary.facts[subject.fact].type.kind is Kind.BOOLEAN
            return subject.fact if is_boolean and subject.of is None else self._fact(subject)
        return self._aggregate(subject)

    def _fact(self, fact: FactRef) -> str:
        """A fact; one of the catalogue with what it is looked up for: `product.stock of liked`."""
        if fact.of is None:
            return self.fact_name(fact.fact)
        is_plain = fact.of.attribute == self.vocabulary.facts[fact.fact].by
        key = fact.of.name if is_plain else f"the {fact.of.attribute} of {fact.of.name}"
        return f"{self.fact_name(fact.fact)} of {key}"

    def _aggregate(self, aggregate: Aggregate) -> str:
        where = self._where(aggregate.of)
        if aggregate.function is Aggregation.COUNT:
            text = f"the number of {aggregate.of.event}"
            minus = f" minus that of {aggregate.minus.event}" if aggregate.minus is not None else ""
        else:
            text = f"{_FUNCTIONS[aggregate.function]} {aggregate.of.event}.{aggregate.of.attribute}"
            minus = f" minus {aggregate.minus.event}.{aggregate.minus.attribute}" if aggregate.minus is not None else ""
        return f"{text}{where}{minus}{_span(aggregate.span)}"

    def _step(self, part: Seen | SequenceStep) -> str:
        """An event that may get a name: `product_viewed with category shoes (seen)`."""
        return self._selection(part.of) + (f" ({part.bind})" if part.bind is not None else "")

    def _steps(self, sequence: Sequence) -> str:
        return ", then ".join(self._step(step) for step in sequence.steps)

    def _absence(self, absence: Absence) -> str:
        length = duration_text(absence.duration)
        plural = absence.until is not None or not length.startswith("1 ")
        if absence.until is not None:
            length += f" to {duration_text(absence.until)}"
        without, since = self._selection(absence.of), self._selection(absence.after)
        return f"{length} {'have' if plural else 'has'} passed without {without} since the latest {since}"

    def _keyed(self, keyed: Keyed, *, negated: bool) -> str:
        value_type = keyed.aggregate.type
        predicates = [
            self.predicate(operator, operand, value_type, negated=False).removeprefix("" if index == 0 else "is ")
            for index, (operator, operand) in enumerate(keyed.tests)
        ]
        name = f" ({keyed.bind})" if keyed.bind is not None else ""
        which = f"for {'no' if negated else 'some'} {keyed.per}{name}"
        text = f"{which}, {self._aggregate(keyed.aggregate)} {' and '.join(predicates)}"
        return f"{text} (of several, the one with the highest)" if keyed.take_highest else text

    def _selection(self, selection: Selection) -> str:
        return f"{selection.event}{self._where(selection)}"

    def _where(self, selection: Selection) -> str:
        if not selection.where:
            return ""
        attributes = self.vocabulary.events[selection.event].attributes
        return f" with {_listed([self._attribute(test, attributes[test.attribute].type) for test in selection.where], 'and')}"

    def _attribute(self, test: AttributeTest, value_type: ValueType) -> str:
        operand = test.operand
        if isinstance(operand, BoundRef) and operand.attribute == test.attribute:
            if test.operator is Operator.IS:
                return f"the same {test.attribute} as {operand.name}"
            if test.operator is Operator.IS_NOT:
                return f"another {test.attribute} than {operand.name}"
        predicate = self.predicate(test.operator, operand, value_type, negated=False)
        if isinstance(operand, BoundRef) and operand.attribute == test.attribute:
            predicate = predicate.replace(f"the {operand.attribute} of", "that of")
        return f"{test.attribute} {predicate.removeprefix('is ')}"

    def predicate(self, operator: Operator, operand: Operand, value_type: ValueType, *, negated: bool) -> str:
        """The test as a predicate: `is at least 200.00 EUR`, `does not contain shoes`."""
        if operator is Operator.EXISTS:
            return "has a value" if bool(operand) is not negated else "has no value"
        if operator in _VERBS:
            item = value_type.item or value_type
            plain, base = _VERBS[operator]
            return f"{f'does not {base}' if negated else plain} {self._operand(operand, item)}"
        if operator is Operator.IS_NOT:
            operator, negated = Operator.IS, not negated
        elif operator is Operator.IS_NONE_OF:
            operator, negated = Operator.IS_ONE_OF, not negated
        return f"is {'not ' if negated else ''}{self._complement(operator, operand, value_type)}"

    def _complement(self, operator: Operator, operand: Operand, value_type: ValueType) -> str:
        if operator is Operator.IS_ONE_OF and isinstance(operand, tuple):
            return self._options(operand, value_type)
        if operator is Operator.BETWEEN and isinstance(operand, tuple):
            low, high = (value_text(each, value_type, self.vocabulary) for each in operand)
            return f"between {low} and {high}"
        if operator is Operator.OLDER_THAN:
            return f"older than {self._operand(operand, ValueType(Kind.DURATION))}"
        if operator is Operator.WITHIN_LAST:
            return f"within the last {_window(operand)}" if isinstance(operand, int) else "within"
        return f"{_COMPARISONS[operator]}{self._operand(operand, value_type)}"

    def _operand(self, operand: Operand, value_type: ValueType) -> str:
        if isinstance(operand, FactRef):
            return self._fact(operand)
        if isinstance(operand, BoundRef):
            return f"the {operand.attribute} of {operand.name}"
        text = value_text(operand, value_type, self.vocabulary)
        return (
            f'"{text}"'
            if value_type.kind is Kind.TEXT and not text.replace("_", "").replace("-", "").isalnum()
            else text
        )

    def _options(self, values: tuple[Value, ...], value_type: ValueType) -> str:
        texts = [self._operand(value, value_type) for value in values[:MOST_LISTED]]
        if len(values) > MOST_LISTED:
            texts.append(f"{len(values) - MOST_LISTED} more")
        return _listed(texts, "or")

    def action(self, action: object) -> str:
        if isinstance(action, OfferAction):
            return f"show {action.offer} in {action.placement}"
        if isinstance(action, AssertAction):
            fact = self.vocabulary.facts[action.fact]
            return f"take it that {self.subject(FactRef(action.fact))} is {value_text(action.value, fact.type, self.vocabulary)}"
        return f"send the trigger {getattr(action, 'name', '')}"


def _spoken(name: str) -> str:
    """`cart.value` as one says it: `the cart value`."""
    return f"the {name.replace('.', ' ').replace('_', ' ')}"


def _span(span: Span) -> str:
    if span.window is not None:
        return f" in the last {_window(span.window)}"
    if span.since is not None:
        return f" since the latest {span.since}"
    return " in this session"


def _window(length: Millis) -> str:
    text = duration_text(length)
    return text.removeprefix("1 ") if text.startswith("1 ") and not text.endswith("ms") else text


def _period(length: Millis) -> str:
    """`week` for a week, `3 days` for three days."""
    return next((unit for unit, size in UNITS.items() if size == length and unit != "ms"), duration_text(length))


def _local_text(moment: EpochMs, timezone: str) -> str:
    if moment > LATEST - 86_400_000:  # it may be the year 10,000 there, which no calendar here has
        return moment_text(moment)
    local = dt.datetime.fromtimestamp(moment / 1_000, ZoneInfo(timezone))
    is_midnight = local.hour == local.minute == local.second == 0
    return local.strftime("%Y-%m-%d" if is_midnight else "%Y-%m-%d %H:%M")


def _listed(texts: Listed[str], word: str) -> str:
    if len(texts) <= 1:
        return "".join(texts)
    return f"{', '.join(texts[:-1])} {word} {texts[-1]}"
