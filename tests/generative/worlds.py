"""Random vocabularies, rules and histories, drawn from any `random.Random`.

Times are multiples of half a second and windows whole seconds, so that exact window edges, equal times and late events
are common. Hypothesis gives a Random that it can shrink; `fuzz.py` gives plain ones, which is much faster.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

from engine.event import Event
from engine.language.tree import (
    NOWHERE,
    Action,
    Aggregate,
    All,
    AnyOf,
    AssertAction,
    CalendarUnit,
    Condition,
    FactRef,
    FactSource,
    Limit,
    LimitScope,
    Not,
    Offer,
    Operator,
    Program,
    Rule,
    Schedule,
    Template,
    Test,
    TriggerAction,
    Vocabulary,
)
from engine.values import Kind, Value
from tests.generative.drawn_conditions import Conditions
from tests.generative.words import (
    EVENTS,
    FACTS,
    ORDERED,
    SAMPLES,
    START,
    WINDOWS,
    Scope,
)


class World(Conditions):
    """Draws rules, what they may become, and what happens."""

    def message(self, scope: Scope) -> Template:
        """Text with holes for what is bound."""
        ref, _ = self.one(scope)
        if ref.attribute == "colour" and "of" in self.patterns and self.chance(0.3):
            name = f"product.stock of {ref.name}.colour"
            return Template(f"{{{name}}}", ("", name, ""), (FactRef("product.stock", ref),))
        name = f"{ref.name}.{ref.attribute}"
        return Template(f"{{{name}}}", ("", name, ""), (ref,))

    # ---------------------------------------------------------------- rules

    def rule(self, vocabulary: Vocabulary, condition: Condition | None = None) -> Rule:
        self.numbers += 1
        number = self.numbers
        scope: Scope = ()
        if condition is None and "as" in self.patterns and self.chance(0.6):
            when, scope = self.joined(vocabulary)
        else:
            when = condition if condition is not None else self.condition(vocabulary, 3)
        hole = Template("{customer.orders}!", ("", "customer.orders", "!"), (FactRef("customer.orders"),))
        actions: list[Action] = [TriggerAction(f"t{number}", hole)]
        if scope and self.chance(0.7):
            actions = [TriggerAction(f"t{number}", self.message(scope))]
        if self.chance(0.3) and not self.plain:
            fact = self.derived(when)
            if fact is not None:
                value = self.one((1, 2, 3)) if fact == "shopper.level" else self.chance(0.9)
                actions.append(AssertAction(fact, value))
        return Rule(
            f"set.r{number}",
            f"r{number}",
            "set",
            "",
            "",
            self.random.randrange(3),
            self.chance(0.93),
            self.schedule() if self.chance(0.15) and not self.plain else None,
            when,
            tuple(actions),
            tuple(self.limit() for _ in range(1)) if self.chance(0.2) else (),
            None,
            0.0,
            (0, number, ""),
            hashlib.sha256(f"{number} {when!r} {actions!r}".encode()).hexdigest(),
            NOWHERE,
        )

    def near(self, vocabulary: Vocabulary, rule: Rule) -> list[Rule]:
        """Rules that are like another but for the right side of one of its tests; none where it has no such test."""
        found = []
        for _ in range(1 + self.random.randrange(3)):
            other = self._with_another_limit(vocabulary, rule.when)
            if other is not None and not any(isinstance(action, AssertAction) for action in rule.actions):
                new = self.rule(vocabulary, other)
                found.append(replace(new, actions=(*rule.actions[:1], *new.actions[1:]), limits=rule.limits))
        return found

    def _with_another_limit(self, vocabulary: Vocabulary, condition: Condition) -> Condition | None:
        match condition:
            case All(parts) | AnyOf(parts):
                for at, part in enumerate(parts):
                    other = self._with_another_limit(vocabulary, part)
                    if other is not None:
                        return replace(condition, parts=(*parts[:at], other, *parts[at + 1 :]))
            case Not(part):
                other = self._with_another_limit(vocabulary, part)
                return None if other is None else Not(other)
            case Test(subject, operator, operand) if operator in ORDERED and isinstance(operand, int | float):
                kind = subject.type if isinstance(subject, Aggregate) else vocabulary.facts[subject.fact].type
                return Test(subject, operator, self.one(SAMPLES[kind.kind]))
        return None

    def circle(self, vocabulary: Vocabulary) -> list[Rule]:
        """Two rules that each look at what the other asserts, and may look at an event too; or that differ in a value."""

        def begin() -> Condition:
            drawn = (self.leaf(vocabulary) for _ in range(9))
            return next((leaf for leaf in drawn if not _is_derived(leaf)), All(()))

        if self.chance(0.4):
            values = self.random.sample((1, 2, 3), 2)
            return [self._asserting(vocabulary, begin(), "shopper.level", value) for value in values]
        first = begin()
        keen, lost = (Test(FactRef(f"shopper.{name}"), Operator.IS, True) for name in ("keen", "lost"))
        also = All((keen, first)) if self.chance(0.2) else keen
        return [
            self._asserting(vocabulary, AnyOf((lost, first)), "shopper.keen", True),
            self._asserting(vocabulary, also, "shopper.lost", True),
        ]

    def _asserting(self, vocabulary: Vocabulary, when: Condition, fact: str, value: Value) -> Rule:
        rule = self.rule(vocabulary, when)
        actions = (rule.actions[0], AssertAction(fact, value))
        return replace(rule, actions=actions, digest=hashlib.sha256(f"{rule.digest} {actions}".encode()).hexdigest())

    def derived(self, when: Condition) -> str | None:
        """A derived fact that the rule may assert: without `wild`, one that its condition can't feed back to."""
        order = ["shopper.keen", "shopper.lost", "shopper.rich", "shopper.level"]
        if self.wild or self.chance(0.15):
            return str(self.one(order)) if self.wild else None
        text = repr(when)
        looked_at = [at for at, name in enumerate(order) if name in text]
        if COMPUTED in text:
            looked_at.append(3)  # a computed feature may look at the level
        allowed = order[max(looked_at, default=-1) + 1 :]
        return str(self.one(allowed)) if allowed else None

    def schedule(self) -> Schedule:
        if self.chance(0.4):
            midnight_minute = 22 * 60 + 13
            begin = midnight_minute + self.random.randrange(2)
            return Schedule(timezone="UTC", between=(begin, begin + 1), days=self.one(((), (1,), (0, 1))))
        begin = START + 500 * self.random.randrange(40)
        return Schedule(begin, begin + 500 * self.random.randrange(1, 30) if self.chance(0.7) else None)

    def limit(self) -> Limit:
        draw = self.random.random()
        if draw < 0.4:
            return Limit(LimitScope.SESSION, 1 + self.random.randrange(2))
        if draw < 0.8:
            return Limit(LimitScope.SESSION, 1, sliding=self.one(WINDOWS))
        return Limit(LimitScope.SESSION, 1, calendar=self.one(tuple(CalendarUnit)), timezone="Europe/Berlin")

    def program(self, keep_events: int = 500) -> Program:
        vocabulary = self.vocabulary(keep_events)
        rules = [self.rule(vocabulary) for _ in range(1 + self.random.randrange(6))]
        if self.is_close and self.chance(0.35):
            rules += self.near(vocabulary, self.one(rules))
        if self.is_close and not self.plain and self.chance(0.2):
            rules += self.circle(vocabulary)
        return program_of(vocabulary, rules, {"o": self.offer(vocabulary)} if self.chance(0.3) else {})

    def offer(self, vocabulary: Vocabulary) -> Offer:
        return Offer("o", "", None, 0, None, None, 1.0, 1.0, self.condition(vocabulary, 1), None, (), 0.0, NOWHERE)

    def edited(self, program: Program) -> Program:
        """Another revision: some rules gone, some new, the features redrawn now and then."""
        vocabulary = program.vocabulary
        kept = [rule for rule in program.rules if self.chance(0.7)]
        new = [self.rule(vocabulary) for _ in range(self.random.randrange(3))]
        rules = kept + new
        self.random.shuffle(rules)
        return program_of(vocabulary, rules or [self.rule(vocabulary)], program.offers)

    def touched(self, program: Program) -> Program:
        """Another revision, in which one rule is gone, new, elsewhere in the order of acting, or another than it was."""
        rules = list(program.rules)
        at = self.random.randrange(len(rules))
        what = self.random.randrange(4)
        if what == 0 and len(rules) > 1:
            rules.pop(at)
        elif what == 1:
            rules[at] = replace(rules[at], order=(0, self.random.randrange(-1_000, 1_000), ""))
        else:
            new = self.rule(program.vocabulary)
            if what == 2:
                rules[at] = replace(new, id=rules[at].id, order=rules[at].order)
            else:
                rules.append(replace(new, order=(0, self.random.randrange(-1_000, 1_000), "")))
        return program_of(program.vocabulary, rules, program.offers)

    # ---------------------------------------------------------------- history

    def event(self, number: int, time: int) -> Event:
        kind = self.one(("view", "view", "view", "cart", "cart", "pay", "unheard"))
        attributes = {
            name: self.one(SAMPLES[each.kind]) for name, each in EVENTS.get(kind, {}).items() if self.chance(0.8)
        }
        return Event(str(number), kind, "s", time, "c" if self.chance(0.1) else None, attributes)

    def facts(self) -> dict[str, Value | None]:
        names = [name for name, (_, source) in FACTS.items() if source is FactSource.PROFILE]
        return {
            name: self.one(SAMPLES[FACTS[name][0].kind]) if self.chance(0.85) else None
            for name in names
            if self.chance(0.3)
        }

    def context(self) -> dict[str, Value]:
        return {"context.page": self.one(SAMPLES[Kind.CHOICE])} if self.chance(0.6) else {}


COMPUTED = "feature.c"
"""What the names of features begin with that may look at what rules assert."""


def _is_derived(condition: Condition) -> bool:
    """Whether it may look at what rules assert."""
    return "shopper." in repr(condition) or COMPUTED in repr(condition)


def program_of(vocabulary: Vocabulary, rules: list[Rule], offers: Any) -> Program:
    """Rules in order of acting."""
    ordered = [replace(rule, order=(-rule.priority, rule.order[1], "")) for rule in rules]
    return Program(vocabulary, offers, {}, tuple(sorted(ordered, key=lambda rule: rule.order)), ())
