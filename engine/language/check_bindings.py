"""Bound names: which a rule binds, of what types their attributes are, and whether a use of one has something to use."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence

from engine.language.bindings import VALUE, names_bound_by, references, spine
from engine.language.check_values import Values
from engine.language.diagnostics import Located, Report
from engine.language.nodes import Scalar
from engine.language.syntax import (
    AggregateTestSyntax,
    ConditionSyntax,
    GroupSyntax,
    NotSyntax,
    SeenSyntax,
    SequenceSyntax,
)
from engine.language.tree import Aggregation, BoundRef, Condition, Vocabulary
from engine.values import Kind, ValueType

_REFERENCE = re.compile(r"\$([A-Za-z][A-Za-z0-9_]*)\.([A-Za-z][A-Za-z0-9_]*)", re.ASCII)
MOST_NAMES = 10
"""Names that one rule binds."""

_EXAMPLE = "write for example $seen.product_id"

Attributes = Mapping[str, ValueType]


class Bindings:
    """The names that may be used at one place, and the uses that were made of them.

    Attributes:
        what: The part of a folder that the names are for: `a rule`, `a segment`.
        used: The names that were used.
    """

    def __init__(self, report: Report, what: str) -> None:
        self.report = report
        self.what = what
        self.used: set[str] = set()
        self._attributes: dict[str, Attributes | None] = {}  # None: reported as broken where it is bound
        self._nodes: dict[str, Scalar] = {}
        self._binders: dict[str, int] = {}
        self._needs: dict[int, dict[int, Located]] = {}
        self._binding: int | None = None
        self._hidden: frozenset[str] = frozenset()

    def bind(self, name: str, node: Scalar, attributes: Attributes | None, binder: int) -> None:
        """Add a name. `binder` is the number of the condition that binds it; the steps of a sequence share one."""
        self._attributes[name] = attributes
        self._nodes[name] = node
        self._binders[name] = binder

    def enter(self, syntax: ConditionSyntax) -> None:
        """What is resolved from now on is part of this condition, whose own names can't be used in it."""
        self.begin(self.number(syntax), [node.text for node in _names(syntax)])

    def number(self, syntax: ConditionSyntax) -> int | None:
        """The number of the condition if it binds names."""
        return next((self._binders[node.text] for node in _names(syntax) if node.text in self._binders), None)

    def __contains__(self, name: str) -> bool:
        return name in self._attributes

    @property
    def all_names(self) -> Collection[str]:
        """The names."""
        return self._attributes.keys()

    @property
    def spelled(self) -> Sequence[str]:
        """All that may be named, as it is written in a hole: `seen.product_id`."""
        return [f"{name}.{attribute}" for name, found in self._attributes.items() for attribute in found or ()]

    def begin(self, binder: int | None, hidden: Sequence[str] = ()) -> None:
        """What is resolved from now on is part of a binder (None: of no one), where some of its names are not bound yet."""
        self._binding = binder
        self._hidden = frozenset(hidden)

    def resolve(self, node: Scalar) -> tuple[BoundRef, ValueType] | None:
        """`$seen.product_id` with its type; None, reported, where nothing binds it."""
        match = _REFERENCE.fullmatch(node.text)
        if match is None:
            message = f"{node.text[:60]} is no attribute of a bound name"
            self.report.error("bad-name", node, message, f"{_EXAMPLE}; if it is text, put quotes around it")
            return None
        return self.find(match[1], match[2], node)

    def find(self, name: str, attribute: str, where: Located) -> tuple[BoundRef, ValueType] | None:
        """An attribute of a bound name with its type; None, reported, where nothing binds it."""
        self.used.add(name)
        if name not in self._attributes:
            self.report.error("unknown-binding", where, self._unknown(name), self._proposal(name))
            return None
        attributes = self._attributes[name]
        if attributes is None:
            return None
        if name in self._hidden:
            message = f"{name} is not bound yet where it is used"
            proposal = "a step can use names of the steps before it; other conditions of the all: can use all names"
            self.report.error("binding-cycle", where, message, proposal)
            return None
        if attribute not in attributes:
            message = f"{name} has no attribute {attribute[:100]}"
            nearest = self.report.propose(attribute, attributes.keys(), "it has")
            self.report.error("unknown-attribute", where, message, nearest)
            return None
        if self._binding is not None and self._binders[name] != self._binding:
            self._needs.setdefault(self._binding, {}).setdefault(self._binders[name], where)
        return BoundRef(name, attribute), attributes[attribute]

    def _unknown(self, name: str) -> str:
        if self.what == "a rule":
            return f"nothing beside this condition binds {name[:100]}"
        return f"{self.what} can't use bound names: it knows nothing of the rules"

    def _proposal(self, name: str) -> str:
        if self.what != "a rule":
            return "put the condition in the rule itself"
        otherwise = f"add as: {name[:100]} to an event of the same all:; if it is text, put quotes around it"
        return self.report.propose(name, self._attributes) or otherwise

    def report_cycles(self) -> None:
        """Binders that need one another can't be evaluated in any order."""
        names: dict[int, str] = {}
        for name, binder in self._binders.items():
            names.setdefault(binder, name)
        done: set[int] = set()
        for start in self._needs:
            way = [start]
            while way:
                following = next((each for each in self._needs.get(way[-1], ()) if each not in done), None)
                if following is None:
                    done.add(way.pop())
                elif following in way:
                    cycle = " -> ".join(names[each] for each in [*way[way.index(following) :], following])
                    message = f"bound names lead back to themselves: {cycle}"
                    self.report.error(
                        "binding-cycle", self._needs[way[-1]][following], message, "let one use the other"
                    )
                    return
                else:
                    way.append(following)

    def report_untied(self, condition: Condition) -> None:
        """Names that nothing ties to one another multiply: 500 events each are 250,000 combinations."""
        if len(self._attributes) < 2:
            return
        groups: list[set[str]] = []
        for part in spine(condition):
            tied = {*names_bound_by(part), *(ref.name for ref in references(part))} & self.used
            if tied:
                for group in [group for group in groups if group & tied]:
                    groups.remove(group)
                    tied |= group
                groups.append(tied)
        if len(groups) > 1:
            order = [name for name in self._nodes if name in self.used]
            first, second = sorted((min(group, key=order.index) for group in groups), key=order.index)[:2]
            message = f"nothing ties {second} to {first}, so that each is combined with every other"
            proposal = "compare an attribute of the one with one of the other, or write two rules"
            self.report.warning("untied-names", self._nodes[second], message, proposal)

    def report_unused(self) -> None:
        """A name that nothing uses makes no difference."""
        for name, node in self._nodes.items():
            if name not in self.used and self._attributes[name] is not None:
                message = f"{name} is bound and never used, so the rule holds once, whatever was bound"
                self.report.warning("without-effect", node, message, f"delete as: {name}, or use it")


class OfferNames:
    """What the content of an offer may name: what every rule binds that nominates it."""

    def __init__(self, rules: Sequence[tuple[str, Bindings]], report: Report) -> None:
        self._rules = rules
        self._report = report

    def __contains__(self, name: str) -> bool:
        return any(name in bindings for _, bindings in self._rules)

    @property
    def spelled(self) -> Sequence[str]:
        """All that may be named, as it is written in a hole."""
        return list(dict.fromkeys(text for _, bindings in self._rules for text in bindings.spelled))

    def find(self, name: str, attribute: str, where: Located) -> tuple[BoundRef, ValueType] | None:
        """An attribute of a bound name with its type; None, reported, where a rule does not bind it."""
        if not self._rules:
            message = f"the text names {name}.{attribute}, and no rule that binds {name} shows this offer"
            self._report.error("unknown-binding", where, message, f"show it by a rule that binds {name}")
            return None
        answers = []
        for rule, bindings in self._rules:
            if name in bindings:
                answers.append(bindings.find(name, attribute, where))
            else:
                message = (
                    f"the text names {name}.{attribute}, and the rule {rule}, which shows this offer, binds no {name}"
                )
                proposal = f"bind {name} in {rule}, or give that rule another offer"
                self._report.error("unknown-binding", where, message, proposal)
                answers.append(None)
        return answers[0] if all(answer is not None for answer in answers) else None


def bindings_of(syntax: ConditionSyntax, vocabulary: Vocabulary, values: Values) -> Bindings:
    """The names that a rule's condition binds. What binds where nothing can use it is reported."""
    bindings = Bindings(values.report, "a rule")
    on_spine = list(_spine(syntax))
    for number, part in enumerate(on_spine):
        for node, attributes in _bound_by(part, vocabulary):
            _declare(bindings, node, attributes, number, vocabulary, values)
    refuse_binders(syntax, values.report, frozenset(id(part) for part in on_spine), bindings)
    return bindings


def refuse_binders(
    syntax: ConditionSyntax,
    report: Report,
    allowed: frozenset[int] = frozenset(),
    bindings: Bindings | None = None,
    what: str = "a rule",
) -> None:
    """Report every `as` in a condition but those of the parts in `allowed`, by their id."""
    if isinstance(syntax, GroupSyntax):
        for part in syntax.parts:
            refuse_binders(part, report, allowed, bindings, what)
    elif isinstance(syntax, NotSyntax):
        refuse_binders(syntax.part, report, allowed, bindings, what)
    elif id(syntax) not in allowed:
        for node in _names(syntax):
            if what == "a rule":
                message = "below not: and any: nothing is bound: what is bound must be there"
                proposal = f"delete as: {node.text[:60]}, or put the condition directly into the all: of the rule"
            else:
                message = f"{what} says only whether it holds, it binds nothing"
                proposal = f"delete as: {node.text[:60]}, or put the condition in the rule itself"
            report.error("binding-place", node, message, proposal)
            if bindings is not None and node.text not in bindings:
                bindings.bind(node.text, node, None, -1)


def _spine(syntax: ConditionSyntax) -> Iterator[ConditionSyntax]:
    if isinstance(syntax, GroupSyntax) and syntax.is_all:
        for part in syntax.parts:
            yield from _spine(part)
    else:
        yield syntax


def _names(syntax: ConditionSyntax) -> list[Scalar]:
    if isinstance(syntax, SeenSyntax | AggregateTestSyntax):
        return [syntax.bind] if syntax.bind is not None else []
    if isinstance(syntax, SequenceSyntax):
        return [step.bind for step in syntax.steps if step.bind is not None]
    return []


def _bound_by(syntax: ConditionSyntax, vocabulary: Vocabulary) -> Iterator[tuple[Scalar, Attributes | None]]:
    """Each name that a condition binds, with its attributes; None where what is bound is broken, which is reported."""
    if isinstance(syntax, SeenSyntax) and syntax.bind is not None:
        yield syntax.bind, _attributes(syntax.event.text, vocabulary)
    elif isinstance(syntax, SequenceSyntax):
        for step in syntax.steps:
            if step.bind is not None:
                yield step.bind, _attributes(step.event.text, vocabulary)
    elif isinstance(syntax, AggregateTestSyntax) and syntax.bind is not None:
        yield syntax.bind, _keyed(syntax, vocabulary)


def _attributes(event: str, vocabulary: Vocabulary) -> Attributes | None:
    if event not in vocabulary.events:
        return None
    return {name: each.type for name, each in vocabulary.events[event].attributes.items()}


def _keyed(syntax: AggregateTestSyntax, vocabulary: Vocabulary) -> Attributes | None:
    event, _, attribute = syntax.aggregate.target.text.partition(".")
    attributes = _attributes(event, vocabulary)
    per = syntax.per.text if syntax.per is not None else None
    if attributes is None or per is None or per not in attributes:
        return None
    function = syntax.aggregate.function
    if function in {Aggregation.COUNT, Aggregation.DISTINCT}:
        return {per: attributes[per], VALUE: ValueType(Kind.INTEGER)}
    if attribute not in attributes:
        return None
    value_type = attributes[attribute]
    if function is Aggregation.AVERAGE and value_type.kind is Kind.INTEGER:
        value_type = ValueType(Kind.NUMBER)
    return {per: attributes[per], VALUE: value_type}


def _declare(
    bindings: Bindings,
    node: Scalar,
    attributes: Attributes | None,
    binder: int,
    vocabulary: Vocabulary,
    values: Values,
) -> None:
    name = values.name(node, "a bound name")
    if name is None:
        return
    if name in bindings:
        values.report.error("duplicate-name", node, f"{name} is bound twice in this rule", "give one another name")
        return
    if len(bindings.all_names) >= MOST_NAMES:
        values.report.error("too-large", node, f"a rule binds at most {MOST_NAMES} names", "split the rule")
        return
    fact = next((fact for fact in vocabulary.facts if fact.startswith(f"{name}.")), None)
    if fact is not None:
        message = f"{name} begins the name of the fact {fact}, so that a hole in a text could mean both"
        values.report.error("duplicate-name", node, message, "give what is bound another name")
    bindings.bind(name, node, attributes, binder)
