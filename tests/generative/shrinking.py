"""Makes a story smaller as long as something still goes wrong in it: fewer events, rules and conditions."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial

from engine.language.tree import (
    Aggregate,
    All,
    AnyOf,
    Condition,
    Keyed,
    Not,
    Program,
    Rule,
    Seen,
    Segment,
    Selection,
    Sequence,
    Test,
    TriggerAction,
)
from engine.language.tree_rules import AssertAction
from tests.generative.drawing import Reload, Story
from tests.naive.conditions import binders, identity, leaves, names_of, references


def shrink(story: Story, goes_wrong: Callable[[Story], bool], seconds: float = 60) -> Story:
    """The smallest story that is found in this time; each step keeps what goes wrong."""
    end = time.monotonic() + seconds
    found: Story | None = story
    while found is not None and time.monotonic() < end:
        story = found
        found = next((each for each in smaller(story) if time.monotonic() < end and goes_wrong(each)), None)
    return story


def smaller(story: Story) -> Iterator[Story]:
    """Stories with something taken away, those that lack most first."""
    operations = story.operations
    size = len(operations)
    while size:
        for at in range(0, len(operations), size):
            yield replace(story, operations=operations[:at] + operations[at + size :])
        size //= 2
    ids = {rule.id: rule for program in _programs(story) for rule in program.rules}
    for name in ids:
        yield _with(story, partial(_rules, changed={name: None}))
    for name, rule in ids.items():
        for other in _smaller_rules(rule):
            if _is_whole(other, story.program):
                yield _with(story, partial(_rules, changed={name: other}))
    if story.program.offers:
        yield _with(story, lambda program: replace(program, offers={}))
    used = repr([program.rules for program in _programs(story)])
    for name, fact in story.program.vocabulary.facts.items():
        is_feature = fact.aggregate is not None or fact.computed is not None
        if is_feature and repr(name) not in used and not _is_computed_from(story.program, name):
            yield _with(story, partial(_without, gone=name))


def _programs(story: Story) -> list[Program]:
    return [story.program, *(each.program for each in story.operations if isinstance(each, Reload))]


def _with(story: Story, change: Callable[[Program], Program]) -> Story:
    """The same change in every revision."""
    operations = tuple(
        replace(each, program=change(each.program)) if isinstance(each, Reload) else each for each in story.operations
    )
    return replace(story, program=change(story.program), operations=operations)


def _rules(program: Program, changed: Mapping[str, Rule | None]) -> Program:
    rules = [changed.get(rule.id, rule) for rule in program.rules]
    return replace(program, rules=tuple(rule for rule in rules if rule is not None))


def _is_computed_from(program: Program, name: str) -> bool:
    facts = program.vocabulary.facts.values()
    return any(fact.computed is not None and ("name", name) in fact.computed.program for fact in facts)


def _without(program: Program, gone: str) -> Program:
    facts = {name: fact for name, fact in program.vocabulary.facts.items() if name != gone}
    return replace(program, vocabulary=replace(program.vocabulary, facts=facts))


def _smaller_rules(rule: Rule) -> Iterator[Rule]:
    for when in _smaller(rule.when):
        yield replace(rule, when=when)
    if rule.limits:
        yield replace(rule, limits=())
    if rule.schedule is not None:
        yield replace(rule, schedule=None)
    for at, action in enumerate(rule.actions):
        if isinstance(action, AssertAction):
            yield replace(rule, actions=rule.actions[:at] + rule.actions[at + 1 :])
        elif isinstance(action, TriggerAction) and action.payload is not None:
            without = TriggerAction(action.name, None)
            yield replace(rule, actions=(*rule.actions[:at], without, *rule.actions[at + 1 :]))


def _smaller(condition: Condition) -> Iterator[Condition]:
    """The condition with one of its parts gone, or in the place of the whole."""
    if isinstance(condition, Segment):
        yield condition.condition
        for other in _smaller(condition.condition):
            yield replace(condition, condition=other)
    elif isinstance(condition, Not):
        yield condition.part
        for other in _smaller(condition.part):
            yield replace(condition, part=other)
    elif isinstance(condition, All | AnyOf):
        yield from condition.parts
        for at, part in enumerate(condition.parts):
            if len(condition.parts) > 1:
                yield replace(condition, parts=condition.parts[:at] + condition.parts[at + 1 :])
            for other in _smaller(part):
                yield replace(condition, parts=(*condition.parts[:at], other, *condition.parts[at + 1 :]))
    elif isinstance(condition, Seen):
        for of in _wider(condition.of):
            yield replace(condition, of=of)
    elif isinstance(condition, Sequence):
        for at, step in enumerate(condition.steps):
            if len(condition.steps) > 2:
                yield replace(condition, steps=condition.steps[:at] + condition.steps[at + 1 :])
            for of in _wider(step.of):
                wider = replace(step, of=of)
                yield replace(condition, steps=(*condition.steps[:at], wider, *condition.steps[at + 1 :]))
    elif isinstance(condition, Test) and isinstance(condition.subject, Aggregate):
        for of in _wider(condition.subject.of):
            yield replace(condition, subject=replace(condition.subject, of=of))
    elif isinstance(condition, Keyed) and len(condition.tests) > 1:
        for at in range(len(condition.tests)):
            yield replace(condition, tests=condition.tests[:at] + condition.tests[at + 1 :])


def _wider(selection: Selection) -> Iterator[Selection]:
    """It without one of its tests."""
    for at in range(len(selection.where)):
        yield replace(selection, where=selection.where[:at] + selection.where[at + 1 :])


def _is_whole(rule: Rule, program: Program) -> bool:
    """Whether every name that the rule uses is bound in it."""
    bound = {name for binder in binders(rule.when) for name in names_of(binder)}
    used = {each.name for leaf in leaves(rule.when) for each in references(leaf)}
    return used | {each.name for each in identity(rule, program)} <= bound
