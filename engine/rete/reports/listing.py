"""What a network is made of, for people: its nodes, what leads where, and what is shared.

A node of each kind stands between events and rules: a type of event, a selection (`where`), a quantity, a condition on
it, a rule. Equal ones are one node, however many rules have them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial

from engine.language.selections import selections_in
from engine.language.sentence import sentence, subject_text
from engine.language.tree import (
    Aggregate,
    Condition,
    FactRef,
    Not,
    Seen,
    Selection,
    Span,
    Vocabulary,
)
from engine.rete.agenda.production import Production
from engine.rete.compilation import Compiled
from engine.rete.conditions.literals import Literal
from engine.rete.conditions.quantity import Origin, Quantity, selections
from engine.rete.conditions.subjects import Joined, Presence
from engine.rete.reports.cost import Costs


class NodeKind(StrEnum):
    """What a node is."""

    EVENT = "event"
    SELECTION = "selection"
    QUANTITY = "quantity"
    PATTERN = "pattern"
    CONDITION = "condition"
    SCORE = "score"
    RULE = "rule"


PREFIX = dict(zip(NodeKind, ("e", "s", "q", "p", "c", "m", "r"), strict=True))
"""How the id of a node begins."""


@dataclass(slots=True)
class ListedNode:
    """A node.

    Attributes:
        id: Unique in the listing and stable while the rules are what they are: `e1`, `s1`, `q1` and so on.
        quantity: Its index in the network, for quantities and patterns.
        feeds: Ids of the nodes that it leads to.
        rules: How many rules stand behind it: shared where there are several.
        cost: Of a rule, places that an event touches for it at most, by type of event; see `cost`.
    """

    id: str
    kind: NodeKind
    text: str
    quantity: int | None = None
    feeds: list[str] = field(default_factory=list)
    rules: int = 0
    cost: dict[str, int] = field(default_factory=dict)


def list_network(compiled: Compiled) -> tuple[ListedNode, ...]:
    """All nodes that some rule needs, from events to rules."""
    return _Listing(compiled).all()


class _Listing:
    def __init__(self, compiled: Compiled) -> None:
        self.compiled = compiled
        self.vocabulary: Vocabulary = compiled.program.vocabulary
        self.nodes: dict[tuple[NodeKind, object], ListedNode] = {}
        self.numbers: dict[NodeKind, int] = {}
        self.costs = Costs(compiled)
        for production in compiled.acting:
            self._rule(production)
        self._count()

    def all(self) -> tuple[ListedNode, ...]:
        """Sorted by kind, then in the order in which rules need them."""
        order = list(NodeKind)
        return tuple(sorted(self.nodes.values(), key=lambda node: (order.index(node.kind), int(node.id[1:]))))

    def _node(self, kind: NodeKind, key: object, text: Callable[[], str]) -> tuple[ListedNode, bool]:
        """The node with this key, and whether it is new."""
        found = self.nodes.get((kind, key))
        if found is not None:
            return found, False
        number = self.numbers[kind] = self.numbers.get(kind, 0) + 1
        made = self.nodes[(kind, key)] = ListedNode(f"{PREFIX[kind]}{number}", kind, text())
        return made, True

    def _rule(self, production: Production) -> None:
        rule, _ = self._node(NodeKind.RULE, production.index, lambda: production.rule.id)
        rule.cost = self.costs.of(production)
        for literal in production.literals:
            self._lead(self._condition(literal), rule)
        for test in production.score_tests:
            score, _ = self._node(NodeKind.SCORE, test, partial(sentence, test, self.vocabulary))
            self._lead(score, rule)
        for index in production.patterns:
            self._lead(self._quantity(index), rule)
        for index, _ in production.asserts:
            self._lead(rule, self._quantity(index))

    def _condition(self, literal: Literal) -> ListedNode:
        """A test on a quantity; whether a pattern holds is no test of its own."""
        quantity = self._quantity(literal.index)
        leaf, wanted = literal.leaf, literal.wanted
        if quantity.kind is NodeKind.PATTERN and wanted:
            return quantity
        words = quantity.text if quantity.kind is NodeKind.PATTERN else None
        node, _ = self._node(NodeKind.CONDITION, literal.key, lambda: self._told(leaf, words, wanted=wanted))
        for index in literal.reads:
            self._lead(self._quantity(index), node)
        return node

    def _told(self, leaf: Condition, words: str | None, *, wanted: bool) -> str:
        if words is not None:
            return f"not: {words}"
        return sentence(leaf if wanted else Not(leaf), self.vocabulary)

    def _quantity(self, index: int) -> ListedNode:
        quantity = self.compiled.quantities.all[index]
        kind = NodeKind.PATTERN if quantity.origin is Origin.JOINED else NodeKind.QUANTITY
        node, is_new = self._node(kind, index, lambda: self._quantity_text(quantity))
        if is_new:
            node.quantity = index
            for read in quantity.reads:
                self._lead(self._quantity(read), node)
            for selection in _selections(quantity):
                self._lead(self._selection(selection), node)
            since = quantity.span.since if quantity.span is not None else None
            if since is not None:
                self._lead(self._event(since), node)
        return node

    def _selection(self, selection: Selection) -> ListedNode:
        event = self._event(selection.event)
        if not selection.where:
            return event
        plain = Selection(selection.event, None, selection.where)
        words = sentence(Seen(plain, Span()), self.vocabulary).removesuffix(" happened in this session")
        node, _ = self._node(NodeKind.SELECTION, plain, lambda: words)
        self._lead(event, node)
        return node

    def _event(self, name: str) -> ListedNode:
        return self._node(NodeKind.EVENT, name, lambda: name)[0]

    def _quantity_text(self, quantity: Quantity) -> str:
        subject = quantity.subject
        if isinstance(subject, FactRef):
            return subject.fact
        if isinstance(subject, Presence):
            return sentence(Seen(subject.of, subject.span), self.vocabulary)
        if isinstance(subject, Aggregate):
            text = subject_text(subject, self.vocabulary)
            return f"{quantity.names[0]}: {text}" if quantity.names else text
        return " and ".join(sentence(each, self.vocabulary) for each in (*subject.binders, *subject.rest))

    @staticmethod
    def _lead(before: ListedNode, after: ListedNode) -> None:
        if before is not after and after.id not in before.feeds:
            before.feeds.append(after.id)

    def _count(self) -> None:
        """How many rules stand behind each node."""
        by_id = {node.id: node for node in self.nodes.values()}
        for node in self.nodes.values():
            reached: set[str] = set()
            pending = list(node.feeds)
            while pending:
                each = pending.pop()
                if each not in reached:
                    reached.add(each)
                    pending.extend(by_id[each].feeds)
            node.rules = sum(by_id[each].kind is NodeKind.RULE for each in reached)


def _selections(quantity: Quantity) -> Iterator[Selection]:
    subject = quantity.subject
    if isinstance(subject, Joined):
        for condition in (*subject.binders, *subject.rest):
            yield from selections_in(condition)
    elif not isinstance(subject, FactRef):
        for selection, _ in selections(subject):
            yield selection
