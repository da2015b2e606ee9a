"""What the checker calls impossible never holds in the naive evaluator, and what it calls always true never fails."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import count
from random import Random
from typing import Any

import pytest

from engine.language.diagnostics import Report
from engine.language.proofs import Proofs
from engine.language.tree import (
    All,
    AnyOf,
    Condition,
    FactRef,
    FactSource,
    IfUnavailable,
    Keyed,
    Not,
    Operator,
    Place,
    ScoreTest,
    Seen,
    Segment,
    Test,
    Vocabulary,
)
from engine.values import Value
from tests.generative.answers import catalogue, scores
from tests.generative.drawing import Advance, Insert, Look, SetFacts, draw_story
from tests.generative.worlds import World
from tests.naive.evaluator import Naive

LIMITS = (Operator.ABOVE, Operator.AT_LEAST, Operator.BELOW, Operator.AT_MOST, Operator.IS, Operator.IS_NOT)


class Crowded(World):
    """Conditions that stand close together, so that much of them can be proved."""

    def close(self, vocabulary: Vocabulary) -> Condition:
        """Several tests on one subject or two, in any nesting."""
        leaves = [self.leaf(vocabulary), self.given(vocabulary)]
        parts = [self.like(self.one((*leaves, leaves[1])), vocabulary) for _ in range(2 + self.random.randrange(3))]
        whole: Condition = (All if self.chance(0.6) else AnyOf)(tuple(parts))
        if self.chance(0.3):
            whole = All((whole, self.like(self.one(leaves), vocabulary)))
        return Segment("s", whole) if self.chance(0.1) else whole

    def given(self, vocabulary: Vocabulary) -> Condition:
        """A test on a fact of the profile, whose values the test below can set."""
        names = [name for name, fact in vocabulary.facts.items() if fact.source is FactSource.PROFILE]
        name = self.one(names)
        kind = vocabulary.facts[name].type
        return Test(FactRef(name), *self.test(kind))

    def like(self, leaf: Condition, vocabulary: Vocabulary) -> Condition:
        """The same leaf, or one much like it."""
        made = leaf
        if isinstance(leaf, Test) and leaf.operator in LIMITS and self.chance(0.8):
            operand = leaf.operand
            if isinstance(operand, int | float) and not isinstance(operand, bool):
                operator = self.one(LIMITS)
                step = self.one((-1, 0, 0, 1)) * (1 if isinstance(operand, int) else 0.1)
                made = replace(leaf, operator=operator, operand=operand + step)
                if self.chance(0.15):
                    made = replace(leaf, operator=Operator.BETWEEN, operand=(operand + min(step, 0), operand + 1))
        elif (
            isinstance(leaf, Test)
            and leaf.operator in {Operator.IS, Operator.IS_NOT, Operator.IS_ONE_OF}
            and self.chance(0.5)
        ):
            kind = Operator.IS_NOT if leaf.operator is Operator.IS else Operator.IS
            made = leaf if leaf.operator is Operator.IS_ONE_OF else replace(leaf, operator=kind)
        elif isinstance(leaf, Seen) and leaf.span.window is not None and self.chance(0.5):
            made = replace(leaf, span=replace(leaf.span, window=leaf.span.window * self.one((1, 2))))
        if isinstance(made, Test) and isinstance(made.subject, FactRef) and self.chance(0.1):
            made = replace(made, operator=Operator.EXISTS, operand=self.chance(0.5))
        return Not(made) if self.chance(0.3) else made


def numbered(condition: Condition, numbers: Iterator[int]) -> Condition:
    """The same with a place of its own for each part."""
    place = Place("f", next(numbers), 1)
    made: Condition
    if isinstance(condition, All | AnyOf):
        made = replace(condition, parts=tuple(numbered(part, numbers) for part in condition.parts), place=place)
    elif isinstance(condition, Not):
        made = replace(condition, part=numbered(condition.part, numbers), place=place)
    elif isinstance(condition, Segment):
        made = replace(condition, condition=numbered(condition.condition, numbers), place=place)
    else:
        made = replace(condition, place=place)
    return made


def around(condition: Condition, place: Place) -> list[Condition]:
    """The part at a place, with all that it is a part of, from the whole inwards."""
    inner: list[Condition] = []
    if isinstance(condition, All | AnyOf):
        inner = [each for part in condition.parts for each in around(part, place)]
    elif isinstance(condition, Not):
        inner = around(condition.part, place)
    elif isinstance(condition, Segment):
        inner = around(condition.condition, place)
    return [condition, *inner] if inner or condition.place == place else []


ALONE = ("there is no such value", "nothing differs from itself", "that holds for every value")


def meant(condition: Condition, place: Place, message: str) -> Condition:
    """What a proof is about: a part alone, or the largest `all`, the `any`, in which it stands beside the others."""
    *outer, found = around(condition, place)
    if isinstance(found, AnyOf) or any(words in message for words in ALONE):
        return found
    for each in reversed(outer):
        if not isinstance(each, All | Segment):
            return each if isinstance(each, AnyOf) and "one of them always holds" in message else found
        found = each
    return found


def claims(condition: Condition, vocabulary: Vocabulary) -> list[tuple[str, Condition, str]]:
    report = Report()
    Proofs(vocabulary, report).visit(condition)
    return [(found.code, meant(condition, found.place, found.message), found.message) for found in report.diagnostics()]


def is_known(condition: Condition) -> bool:
    """Whether the naive evaluator says its truth by itself, without a score that may be anything."""
    if isinstance(condition, All | AnyOf):
        return all(is_known(part) for part in condition.parts)
    if isinstance(condition, Not):
        return is_known(condition.part)
    if isinstance(condition, Segment):
        return is_known(condition.condition)
    return not isinstance(condition, Keyed | ScoreTest) or (
        isinstance(condition, ScoreTest)
        and condition.if_unavailable is IfUnavailable.SKIP
        and condition.release is None
    )


@pytest.mark.parametrize("seed", range(60))
def test_what_is_proved_is_so(seed: int) -> None:
    random = Random(seed)
    story = draw_story(random, plain=seed % 3 == 0, steps=14)
    vocabulary, score = story.program.vocabulary, scores(story.scores)
    world = Crowded(random, plain=seed % 3 == 0)
    proved = []
    for _ in range(60):
        condition = numbered(world.close(vocabulary), count(1))
        if is_known(condition):
            proved += claims(condition, vocabulary)
    things = catalogue(story.catalogue) if story.catalogue is not None else catalogue(0)
    naive = Naive(story.program, things)
    for operation in story.operations:
        context = {}
        match operation:
            case Insert():
                naive.insert(operation.event, score)
            case SetFacts():
                naive.set_facts(operation.facts, operation.at, score)
            case Advance():
                naive.advance(operation.to, score)
            case Look():
                context = dict(operation.context)
        upheld(naive, proved, context, score)
    given = {name for name, fact in vocabulary.facts.items() if fact.source is FactSource.PROFILE}
    for claim in proved:
        for name, value in close_to(claim[1], given):
            naive.set_facts({name: value}, naive.clock or 0, score)
            upheld(naive, [claim], {}, score)


def upheld(naive: Naive, proved: list[tuple[str, Condition, str]], context: Mapping[str, Value], score: Any) -> None:
    """No proof is refuted by how things stand."""
    state, truth = naive.look(naive.clock or 0, context, score)
    for code, condition, message in proved:
        found = naive.truth(condition, state, truth)
        assert found is not (code == "impossible"), (message, condition)


def close_to(condition: Condition, given: set[str]) -> Iterator[tuple[str, Value]]:
    """Values at which the tests of a condition on facts of the profile turn."""
    if isinstance(condition, All | AnyOf):
        for part in condition.parts:
            yield from close_to(part, given)
    elif isinstance(condition, Not):
        yield from close_to(condition.part, given)
    elif isinstance(condition, Segment):
        yield from close_to(condition.condition, given)
    elif isinstance(condition, Test) and isinstance(condition.subject, FactRef) and condition.subject.fact in given:
        operands = condition.operand if isinstance(condition.operand, tuple) else (condition.operand,)
        if condition.operator not in {*LIMITS, Operator.BETWEEN, Operator.IS_ONE_OF, Operator.IS_NONE_OF}:
            return
        for operand in operands:
            if isinstance(operand, int | float) and not isinstance(operand, bool):
                near = (-1, 0, 1) if isinstance(operand, int) else (-0.1, -0.05, 0.0, 0.05, 0.1)
                yield from ((condition.subject.fact, operand + step) for step in near)
            elif isinstance(operand, str | bool):
                yield (condition.subject.fact, operand)


def test_much_is_proved() -> None:
    """Else the test above would say nothing."""
    found: dict[str, int] = {}
    for seed in range(20):
        story = draw_story(Random(seed), steps=1)
        world = Crowded(Random(seed))
        for _ in range(60):
            for code, _, _ in claims(
                numbered(world.close(story.program.vocabulary), count(1)), story.program.vocabulary
            ):
                found[code] = found.get(code, 0) + 1
    assert found["impossible"] > 100
    assert found["always-true"] > 20
