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
    AssertAction,
    CalendarUnit,
    Condition,
    FactRef,
    FactSource,
    Limit,
    LimitScope,
    Offer,
    Program,
    Rule,
    Schedule,
    Template,
    TriggerAction,
    Vocabulary,
)
from engine.values import Kind, Value
from tests.generative.drawn_conditions import Conditions
from tests.generative.words import (
    EVENTS,
    FACTS,
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

    def derived(self, when: Condition) -> str | None:
        """A derived fact that the rule may assert: without `wild`, one that its condition can't feed back to."""
        order = ["shopper.keen", "shopper.lost", "shopper.rich", "shopper.level"]
        if self.wild or self.chance(0.15):
            return str(self.one(order)) if self.wild else None
        text = repr(when)
        looked_at = [at for at, name in enumerate(order) if name in text]
        if "feature.c" in text:
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


def program_of(vocabulary: Vocabulary, rules: list[Rule], offers: Any) -> Program:
    """Rules in order of acting."""
    ordered = [replace(rule, order=(-rule.priority, rule.order[1], "")) for rule in rules]
    return Program(vocabulary, offers, {}, tuple(sorted(ordered, key=lambda rule: rule.order)), ())
