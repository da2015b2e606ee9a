"""Rules, their actions, and offers."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence

from engine.language.bindings import identity
from engine.language.check_bindings import Bindings, OfferNames
from engine.language.check_conditions import Conditions
from engine.language.check_content import check_payload, names_in
from engine.language.check_limits import check_limits, check_schedule
from engine.language.check_values import Values
from engine.language.digest import Digests
from engine.language.nodes import Mapping as MappingNode
from engine.language.nodes import Node
from engine.language.proofs import Proofs
from engine.language.syntax import (
    ActionSyntax,
    AssertActionSyntax,
    OfferActionSyntax,
    OfferSyntax,
    RulesetSyntax,
    RuleSyntax,
)
from engine.language.tree import (
    Action,
    AssertAction,
    Condition,
    FactSource,
    Offer,
    OfferAction,
    Payload,
    Rule,
    TriggerAction,
)
from engine.values import Kind, Value

HIGHEST_PRIORITY = 1_000_000


class Rules:
    """Checks rules one by one, whatever others there are."""

    def __init__(self, conditions: Conditions, offers: Mapping[str, Offer], declared_offers: Collection[str]) -> None:
        self.conditions = conditions
        self.values: Values = conditions.values
        self.report = conditions.report
        self.vocabulary = conditions.vocabulary
        self.offers = offers
        self.declared_offers = declared_offers
        self.digests = Digests(conditions.vocabulary)
        self.proofs = Proofs(conditions.vocabulary, conditions.report)

    def check(self, syntax: RuleSyntax, ruleset: RulesetSyntax, position: int, lines: int) -> Rule | None:
        """A rule; None, reported, where it has no name or a part of its condition does not fit.

        Args:
            syntax: What is written.
            ruleset: The file's own part.
            position: Among the rules of the file.
            lines: Of the file before its text.
        """
        values = self.values
        name = values.name(syntax.name, "a rule")
        priority = 0
        if syntax.priority is not None:
            priority = values.integer(syntax.priority, "priority", -HIGHEST_PRIORITY, HIGHEST_PRIORITY) or 0
        enabled = values.boolean(syntax.enabled, "enabled") if syntax.enabled is not None else True
        schedule = check_schedule(syntax.schedule, values) if syntax.schedule is not None else None
        when: Condition | None = None
        bindings = Bindings(self.report, "a rule")
        if syntax.when is not None:
            when, bindings = self.conditions.check_rule(syntax.when)
        actions = self._actions(syntax.actions, bindings)
        if when is not None:
            bindings.report_unused()
            bindings.report_untied(when)
        timezone = schedule.timezone if schedule is not None else values.timezone
        limits = check_limits(syntax.limits, timezone, values)
        budget = self._budget(syntax, actions)
        holdout = values.percentage(syntax.holdout, "holdout") if syntax.holdout is not None else None
        if name is None or when is None:
            return None
        ruleset_name = ruleset.name.text
        rule = Rule(
            id=f"{ruleset_name}.{name}",
            name=name,
            ruleset=ruleset_name,
            owner=ruleset.owner,
            note=syntax.note,
            priority=priority,
            enabled=enabled is not False,
            schedule=schedule,
            when=when,
            actions=tuple(actions),
            limits=limits,
            budget=budget,
            holdout=holdout or 0.0,
            order=(-priority, position, ruleset.file),
            digest="",
            place=syntax.name.extent.place.below(lines),
            identity=identity(when, self._payloads(actions)) if bindings.all_names else (),
            lines=lines,
        )
        return dataclasses.replace(rule, digest=self.digests.of(rule))

    def _budget(self, syntax: RuleSyntax, actions: Sequence[Action]) -> int | None:
        node: Node | None = syntax.limits.budget if syntax.limits is not None else None
        if node is None:
            return None
        budget = self.values.money(node, "budget", is_amount=True)
        offers = [self.offers.get(action.offer) for action in actions if isinstance(action, OfferAction)]
        if offers and all(offer is not None and offer.cost == 0 for offer in offers):
            message = "budget sums what the offer costs, and no offer of this rule has a cost"
            self.report.warning("without-effect", node, message, "give the offer a cost in offers.yaml")
        return budget

    def _payloads(self, actions: Sequence[Action]) -> Iterator[Payload]:
        """All texts of the actions that may name what the rule binds."""
        for action in actions:
            if isinstance(action, TriggerAction):
                yield action.payload
            elif isinstance(action, OfferAction) and action.offer in self.offers:
                yield self.offers[action.offer].content

    def _actions(self, syntaxes: Sequence[ActionSyntax], bindings: Bindings) -> list[Action]:
        actions: list[Action] = []
        for syntax in syntaxes:
            action = self._action(syntax, bindings)
            if action is None:
                continue
            if action in actions:
                self.report.warning("repeated-value", syntax, "this action is in the list already", "delete it")
            elif isinstance(action, AssertAction) and any(
                isinstance(each, AssertAction) and each.fact == action.fact for each in actions
            ):
                message = f"this rule asserts two values for {action.fact}: only the first would count"
                self.report.error("repeated-value", syntax, message, "keep one of them")
            else:
                actions.append(action)
        return actions

    def _action(self, syntax: ActionSyntax, bindings: Bindings) -> Action | None:
        values = self.values
        if isinstance(syntax, OfferActionSyntax):
            offer = values.known(syntax.offer, self.declared_offers, "unknown-offer", "offer")
            placements = self.vocabulary.placements
            placement = values.known(syntax.placement, placements.keys(), "unknown-placement", "placement")
            return OfferAction(offer, placement) if offer is not None and placement is not None else None
        if isinstance(syntax, AssertActionSyntax):
            return self._assert(syntax)
        name = values.name(syntax.name, "a trigger")
        payload = check_payload(syntax.payload, self.conditions, bindings) if syntax.payload is not None else ()
        return TriggerAction(name, payload) if name is not None else None

    def _assert(self, syntax: AssertActionSyntax) -> AssertAction | None:
        values = self.values
        name = values.known(syntax.fact, self.vocabulary.facts.keys(), "unknown-fact", "fact")
        if name is None:
            return None
        fact = self.vocabulary.facts[name]
        if fact.source is not FactSource.RULES:
            message = f"{name} comes from: {fact.source.value}, so a rule can't assert it"
            self.report.error("not-derived", syntax.fact, message, "declare a fact with from: rules")
            return None
        if syntax.value is None:
            if fact.type.kind is Kind.BOOLEAN:
                return AssertAction(name, value=True)
            message = f"{name} is {fact.type.kind.value}: say which value it has"
            self.report.error("missing-key", syntax.fact, message, "add value:")
            return None
        value: Value | None
        if fact.type.kind is Kind.LIST:
            assert fact.type.item is not None
            value = values.literals(syntax.value, fact.type.item, name)
        else:
            value = values.literal(syntax.value, fact.type, name)
        return AssertAction(name, value) if value is not None else None


Nominating = Mapping[str, Sequence[tuple[str, Bindings]]]
"""By offer, the rules that nominate it by name, each with what it binds."""


def check_offers(syntaxes: Sequence[OfferSyntax], conditions: Conditions, nominating: Nominating) -> dict[str, Offer]:
    """The offers that could be checked, by id. Their texts may name what the rules bind that nominate them."""
    offers: dict[str, Offer] = {}
    for syntax in syntaxes:
        names = OfferNames(nominating.get(syntax.id.text, ()), conditions.report)
        offer = _offer(syntax, conditions, names)
        if offer is not None:
            offers[offer.id] = offer
    return offers


def check_fallbacks(offers: Mapping[str, Offer], conditions: Conditions) -> None:
    """A fallback is shown also when nothing is known of a session, so its content can't name facts."""
    for name in sorted({placement.fallback for placement in conditions.vocabulary.placements.values()}):
        offer = offers.get(name)
        fact = next(names_in(offer.content), None) if offer is not None else None
        if offer is not None and fact is not None:
            message = f"{name} is a fallback, shown also when nothing is known: its content can't name {fact}"
            proposal = "write text without holes, or fall back to another offer"
            conditions.report.error_at("fallback-names-fact", offer.place, message, proposal)


def _offer(syntax: OfferSyntax, conditions: Conditions, names: OfferNames) -> Offer | None:
    values, report = conditions.values, conditions.report
    name = values.name(syntax.id, "an offer")
    content = check_payload(syntax.content, conditions, names) if syntax.content is not None else None
    if isinstance(syntax.content, MappingNode):
        if not syntax.content.entries:
            report.error("empty", syntax.content, f"the content of {syntax.id.text} is empty", "add for example title:")
    elif syntax.content is not None:
        message = f"the content of {syntax.id.text} is a mapping, for example {{title: Free shipping}}"
        report.error("wrong-shape", syntax.content, message)
    cost = values.money(syntax.cost, "cost", is_amount=True) if syntax.cost is not None else None
    value = values.money(syntax.value, "value", is_amount=True) if syntax.value is not None else None
    propensity = None
    if syntax.propensity is not None:
        scores = conditions.vocabulary.scores
        propensity = values.known(syntax.propensity, scores.keys(), "unknown-score", "score")
    factors: list[float] = []
    for what, node in (("weight", syntax.weight), ("lever", syntax.lever)):
        factor = values.number(node, what) if node is not None else 1.0
        if factor is not None and factor <= 0:
            assert node is not None
            report.error("out-of-range", node, f"{what} must be above 0")
        factors.append(factor or 1.0)
    eligible = conditions.check(syntax.eligible, "an offer's condition") if syntax.eligible is not None else None
    group = values.name(syntax.group, "a group") if syntax.group is not None else None
    limits = check_limits(syntax.limits, values.timezone, values)
    holdout = values.percentage(syntax.holdout, "holdout") if syntax.holdout is not None else None
    if name is None:
        return None
    return Offer(
        id=name,
        note=syntax.note,
        content=content,
        cost=cost or 0,
        value=value,
        propensity=propensity,
        weight=factors[0],
        lever=factors[1],
        eligible=eligible,
        group=group,
        limits=limits,
        holdout=holdout or 0.0,
        place=syntax.id.extent.place,
    )
