"""The vocabulary: types of attributes, facts and features; scores and placements."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from engine.language.arithmetic import ArithmeticFaultError, parse_arithmetic
from engine.language.check_aggregates import Aggregates
from engine.language.check_values import Values, is_zone
from engine.language.diagnostics import Report, closest
from engine.language.nodes import Scalar
from engine.language.shape import Here
from engine.language.syntax import (
    AggregateSyntax,
    FactDeclaration,
    FeatureDeclaration,
    TypeSyntax,
    VocabularySyntax,
)
from engine.language.tree import (
    Attribute,
    EventType,
    Expression,
    Fact,
    FactSource,
    Placement,
    ScoreDef,
    Vocabulary,
)
from engine.units import CURRENCIES
from engine.values import Kind, Millis, ValueType

DEFAULT_TIMEOUT: Millis = 30 * 60_000
DEFAULT_KEEP_EVENTS = 500
DEFAULT_DEADLINE: Millis = 20
MOST_KEPT = 10_000
DEEPEST_FEATURE = 16
"""Features that are computed from features that are computed from features."""

_WORDS = {kind.value: kind for kind in Kind if kind not in {Kind.CHOICE, Kind.LIST}}
_SOURCES = {source.value: source for source in FactSource if source is not FactSource.FEATURE}


def values_of(syntax: VocabularySyntax | None, report: Report) -> Values:
    """The reader of literals, with the vocabulary's currency and time zone."""
    currency, zone = "EUR", "UTC"
    if syntax is not None and syntax.currency is not None:
        if syntax.currency.text in CURRENCIES:
            currency = syntax.currency.text
        else:
            proposal = closest(syntax.currency.text, CURRENCIES) or "write for example EUR"
            message = f"there is no currency {syntax.currency.text[:20]}"
            report.error("unknown-currency", syntax.currency, message, proposal)
    if syntax is not None and syntax.timezone is not None and is_zone(syntax.timezone.text):
        zone = syntax.timezone.text
    values = Values(report, currency, CURRENCIES[currency], zone)
    if syntax is not None and syntax.timezone is not None:
        values.zone(syntax.timezone)
    return values


def check_vocabulary(syntax: VocabularySyntax, values: Values, offers: Mapping[str, object]) -> Vocabulary:
    """The checked vocabulary; what can't be checked is reported and left out.

    Args:
        syntax: vocabulary.yaml.
        values: Reads its literals.
        offers: Ids of the declared offers, for the fallbacks.
    """
    return _Checker(syntax, values).check(offers)


class _Checker:
    def __init__(self, syntax: VocabularySyntax, values: Values) -> None:
        self.syntax = syntax
        self.values = values
        self.report = values.report
        self.events: dict[str, EventType] = {}
        self.facts: dict[str, Fact] = {}
        self.features: dict[str, FeatureDeclaration] = {}
        self.open: list[str] = []
        self.failed: set[str] = set()

    def check(self, offers: Mapping[str, object]) -> Vocabulary:
        syntax, values = self.syntax, self.values
        self._events()
        for declared in syntax.facts:
            self._fact(declared)
        for feature in syntax.features:
            name = values.name(feature.name, "a feature", is_dotted=True)
            if name is not None and values.declare(name, {**self.facts, **self.features}, feature.name, "the fact"):
                self.features[name] = feature
        for name in self.features:
            self._feature(name)
        timeout = DEFAULT_TIMEOUT
        if syntax.session_timeout is not None:
            timeout = values.span(syntax.session_timeout, "timeout") or timeout
        keep = None
        if syntax.keep_events is not None:
            keep = values.integer(syntax.keep_events, "keep_events", 1, MOST_KEPT)
        order = [*self.facts]
        declared_order = [fact.name.text for fact in syntax.facts] + [feature.name.text for feature in syntax.features]
        order.sort(key=declared_order.index)
        return Vocabulary(
            values.currency,
            values.minor_units,
            timeout,
            keep or DEFAULT_KEEP_EVENTS,
            self.events,
            {name: self.facts[name] for name in order},
            self._scores(),
            self._placements(offers),
            values.timezone,
        )

    def _events(self) -> None:
        for declared in self.syntax.events:
            name = self.values.name(declared.name, "an event")
            if name is None:
                continue
            if name == "at":  # would be taken for the time in an event of a test
                self.report.error("bad-name", declared.name, "an event can't be named at", "give it another name")
                continue
            attributes: dict[str, Attribute] = {}
            computed: list[tuple[str, TypeSyntax]] = []
            for key, type_syntax in declared.attributes:
                attribute = self.values.name(key, "an attribute")
                if attribute is None:
                    continue
                if type_syntax.expression is not None:
                    computed.append((attribute, type_syntax))
                    continue
                read = self.type(type_syntax)
                if read is not None:
                    attributes[attribute] = Attribute(attribute, read)
            plain = dict(attributes)
            for attribute, type_syntax in computed:
                expression = self._expression(
                    type_syntax, _types_of(plain), plain, f"attribute of {name}", "unknown-attribute"
                )
                if expression is not None:
                    attributes[attribute] = Attribute(attribute, expression.type, expression)
            order = [key.text for key, _ in declared.attributes]
            self.events[name] = EventType(name, {key: attributes[key] for key in sorted(attributes, key=order.index)})

    def type(self, syntax: TypeSyntax) -> ValueType | None:
        """A declared type."""
        if syntax.word is None:
            choices: dict[str, None] = {}
            for choice in syntax.choices:
                if not isinstance(choice.value, str):
                    proposal = f"put quotes around it: '{choice.text}'"
                    self.report.error("wrong-type", choice, f"a choice is text, {choice.text} is not", proposal)
                elif choice.text in choices:
                    self.report.warning("repeated-value", choice, "this choice is in the list already", "delete it")
                choices[choice.text] = None
            return ValueType(Kind.CHOICE, choices=tuple(choices))
        word = syntax.word.text
        if word in _WORDS:
            return ValueType(_WORDS[word])
        if word.startswith("list of ") and word[8:] in _WORDS:
            return ValueType(Kind.LIST, item=ValueType(_WORDS[word[8:]]))
        if word == "choice":
            proposal = "write {choice: [bronze, silver, gold]}"
        elif word == "list" or word.startswith("list of"):
            proposal = "write for example list of text"
        else:
            proposal = closest(word, _WORDS) or f"one of: {', '.join(_WORDS)}, list of text, {{choice: [...]}}"
        self.report.error("unknown-type", syntax.word, f"there is no type {word[:60]}", proposal)
        return None

    def _expression(
        self,
        syntax: TypeSyntax,
        type_of: Callable[[str], ValueType | None],
        known: Mapping[str, object],
        what: str,
        code: str,
    ) -> Expression | None:
        assert syntax.word is not None
        assert syntax.expression is not None
        text = syntax.expression
        try:
            return parse_arithmetic(text.text, Kind(syntax.word.text), type_of, self.values.minor_units)
        except ArithmeticFaultError as fault:
            where = _inside(text, fault.offset, fault.length)
            if fault.name is None:
                self.report.error("bad-arithmetic", where, str(fault))
            elif fault.name not in self.features and fault.name not in self.facts:
                self.report.error(code, where, f"unknown {what} {fault.name}", self.report.propose(fault.name, known))
            elif fault.name in self.facts:
                self.report.error("bad-arithmetic", where, str(fault))
            return None

    def _fact(self, declared: FactDeclaration) -> None:
        name = self.values.name(declared.name, "a fact", is_dotted=True)
        source = self.values.known(declared.source, _SOURCES, "wrong-type", "source of a fact,")
        read = self.type(declared.type) if declared.type is not None else None
        by: str | None = None
        if source == FactSource.CATALOGUE.value:
            if declared.by is None:
                message = "a fact from the catalogue needs by, the attribute that its key comes from"
                self.report.error("missing-key", declared.source, message, "add by: product_id")
            else:
                by = self.values.name(declared.by, "an attribute")
                attributes = {each for event in self.events.values() for each in event.attributes}
                if by is not None and by not in attributes:
                    message = f"no event has an attribute {by}, so nothing says of which thing {declared.name.text} is"
                    proposal = self.report.propose(by, attributes, "known:")
                    self.report.error("unknown-attribute", declared.by, message, proposal)
        elif declared.by is not None:
            self.report.error("unknown-key", declared.by, "by is for facts from the catalogue only", "delete it")
        if name is None or source is None or read is None:
            return
        if self.values.declare(name, self.facts, declared.name, "the fact"):
            self.facts[name] = Fact(name, read, _SOURCES[source], by)

    def _feature(self, name: str) -> Fact | None:
        """Check a feature, those that it is computed from first; None, reported, where it can't be."""
        if name in self.facts:
            return self.facts[name]
        if name in self.failed:
            return None
        declared = self.features[name]
        if name in self.open:
            cycle = " -> ".join([*self.open[self.open.index(name) :], name])
            self.report.error("condition-cycle", declared.name, f"the feature {name} leads back to itself: {cycle}")
            return None
        if len(self.open) >= DEEPEST_FEATURE:
            self.report.error(
                "too-deep", declared.name, f"more than {DEEPEST_FEATURE} features computed from one another"
            )
            return None
        self.open.append(name)
        try:
            if isinstance(declared.definition, AggregateSyntax):
                aggregate = Aggregates(self.events, self.values).check(declared.definition)
                if aggregate is not None:
                    self.facts[name] = Fact(name, aggregate.type, FactSource.FEATURE, aggregate=aggregate)
            else:
                known = {**self.facts, **self.features}
                expression = self._expression(declared.definition, self._fact_type, known, "fact", "unknown-fact")
                if expression is not None:
                    self.facts[name] = Fact(name, expression.type, FactSource.FEATURE, computed=expression)
        finally:
            self.open.pop()
        if name not in self.facts:
            self.failed.add(name)
        return self.facts.get(name)

    def _fact_type(self, name: str) -> ValueType | None:
        fact = self.facts.get(name)
        if fact is None and name in self.features:
            fact = self._feature(name)
        if fact is not None and fact.source is FactSource.CATALOGUE:
            raise ArithmeticFaultError(f"{name} comes from the catalogue, which features do not look up yet", 0)
        return fact.type if fact is not None else None

    def _scores(self) -> dict[str, ScoreDef]:
        scores: dict[str, ScoreDef] = {}
        for declared in self.syntax.scores:
            name = self.values.name(declared.name, "a score")
            model = self.values.model_name(declared.model)
            deadline = None
            if declared.within is not None:
                deadline = self.values.span(declared.within, "within of a score")
            if name is not None and model is not None:
                scores[name] = ScoreDef(name, model, deadline or DEFAULT_DEADLINE)
        return scores

    def _placements(self, offers: Mapping[str, object]) -> dict[str, Placement]:
        placements: dict[str, Placement] = {}
        for declared in self.syntax.placements:
            name = self.values.name(declared.name, "a placement")
            slots = 1
            if declared.slots is not None:
                slots = self.values.integer(declared.slots, "slots", 1, 100) or 1
            deadline = None
            if declared.within is not None:
                deadline = self.values.span(declared.within, "within of a placement")
            fallback = ""
            if declared.fallback is not None:
                fallback = self.values.known(declared.fallback, offers.keys(), "unknown-offer", "offer") or ""
            if name is not None:
                placements[name] = Placement(name, slots, fallback, deadline)
        return placements


def _types_of(attributes: Mapping[str, Attribute]) -> Callable[[str], ValueType | None]:
    return lambda name: attributes[name].type if name in attributes else None


def _inside(text: Scalar, offset: int, length: int) -> Here:
    """A stretch of a scalar, where it is written as it reads (plain and on one line); else all of it."""
    extent = text.extent
    if not text.is_plain or extent.end - extent.start != len(text.text):
        return Here(extent)
    offset = min(offset, max(0, len(text.text) - 1))
    return Here(extent.part(offset, offset + length))
