"""What is looked for in each rule at every moment, looked for once for a program."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any

from engine.language.tree import (
    Aggregate,
    AssertAction,
    Condition,
    Keyed,
    Program,
    Rule,
    ScoreTest,
    Seen,
    Sequence,
    Span,
    Test,
)
from tests.naive.conditions import (
    Leaf,
    alternatives,
    binders,
    by_age,
    by_names,
    facts_in,
    has_scores,
    identity,
    keys_by_age,
    leaves,
    of_aggregate,
    once,
    passing_things,
    references,
    score_tests,
    selections,
    used_in,
)

Wanted = list[tuple[Any, bool]]


class Parts:
    """A rule, taken apart.

    Attributes:
        open_binders: Its binders, then those without one or more of those by keys: what their tests wait for may bind nothing.
        used: The bound attributes that it looks at, sends or shows.
        identity: What tells its activations apart, by the name of the binding.
        facts: Those that its leaves look at.
        is_passing: Whether its truth does not follow from events, facts and names alone.
        scores: All score tests in it; `has_scores` says whether one can have a say.
        cheap: Alternatives with which it holds, those without a score.
        asking: The others, each with its scores and the rest.
        by_age: Whether it has a test against the clock; `keys_by_age` on the values of keys.
        asserts: Whether it asserts something.
        apart: Leaves that bound names have no part in, without tests of facts; those too that stand beside ones of names.
        together: Conditions that bound names hold together, scores left out.
    """

    def __init__(self, rule: Rule, program: Program) -> None:
        self.rule = rule
        self.binders = binders(rule.when)
        kept = [each for each in self.binders if not isinstance(each, Keyed)]
        keyed = [each for each in self.binders if isinstance(each, Keyed)]
        self.open_binders = [
            tuple(each for each in self.binders if each in kept or each in some)
            for count in range(len(keyed), -1, -1)
            for some in combinations(keyed, count)
            if kept or some
        ]
        self.used = frozenset(used_in(rule, program))
        self.identity = [(f"{each.name}.{each.attribute}", each) for each in identity(rule, program)]
        self.facts = facts_in(rule.when)
        self.is_passing = bool(passing_things(rule.when))
        self.scores = score_tests(rule.when)
        self.has_scores = has_scores(rule)
        self.cheap: list[Wanted] = []
        self.asking: list[tuple[Wanted, Wanted]] = []
        for each in alternatives(rule.when) if self.has_scores else ():
            scores = [(leaf, wanted) for leaf, wanted in each if isinstance(leaf, ScoreTest)]
            rest = [(leaf, wanted) for leaf, wanted in each if not isinstance(leaf, ScoreTest)]
            if scores:
                self.asking.append((scores, rest))
            else:
                self.cheap.append(rest)
        self.by_age = bool(by_age(rule.when))
        self.keys_by_age = bool(keys_by_age(rule.when))
        self.asserts = any(isinstance(action, AssertAction) for action in rule.actions)
        apart, together = by_names(rule, program)
        self.apart: list[Leaf] = [
            leaf
            for part in apart
            for leaf in leaves(part)
            if not isinstance(leaf, Test) or isinstance(leaf.subject, Aggregate)
        ]
        self.apart += [
            leaf
            for part in together
            for leaf in leaves(part)
            if leaf not in self.binders
            and not references(leaf)
            and (not isinstance(leaf, Test) or isinstance(leaf.subject, Aggregate))
        ]
        self.has_names = bool(together)
        self.together: list[Condition] = [part for part in together if not score_tests(part)]


@once
def parts_of(program: Program) -> Iterator[Parts]:
    """Of its rules, in order of acting."""
    return (Parts(rule, program) for rule in program.rules)


@once
def looked_through(program: Program) -> Iterator[tuple[Span, set[str]]]:
    """Every span that a feature or a rule looks at, with the types of event in it."""
    for fact in program.vocabulary.facts.values():
        if fact.aggregate is not None:
            yield fact.aggregate.span, {each.event for each in of_aggregate(fact.aggregate)}
    for rule in program.rules:
        for leaf in leaves(rule.when):
            types = {each.event for each in selections(leaf)}
            if isinstance(leaf, Seen | Sequence):
                yield leaf.span, types
            elif isinstance(leaf, Keyed):
                yield leaf.aggregate.span, types
            elif isinstance(leaf, Test) and isinstance(leaf.subject, Aggregate):
                yield leaf.subject.span, types
