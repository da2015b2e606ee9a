"""Reports say what the naive evaluator finds: of every test of an ordered kind, at its limits and beyond them."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from engine.event import Event
from engine.language.tree import (
    Aggregate,
    Aggregation,
    Condition,
    FactRef,
    Not,
    Operator,
    Selection,
    Span,
    Test,
)
from engine.rete import Network
from engine.values import Kind, Value
from tests.generative.agreement import told
from tests.generative.answers import scores
from tests.generative.words import NUMBER, ORDERED, SAMPLES, START
from tests.generative.worlds import World, program_of
from tests.naive.evaluator import Naive
from tests.naive.reasons import told_of

WEIGHT = Aggregate(Aggregation.LAST, Selection("view", "weight", ()), Span(), NUMBER)
SUBJECTS: dict[Kind, FactRef | Aggregate] = {
    Kind.INTEGER: FactRef("customer.orders"),
    Kind.MONEY: FactRef("customer.spent"),
    Kind.DURATION: FactRef("customer.patience"),
    Kind.TIMESTAMP: FactRef("customer.since"),
    Kind.NUMBER: WEIGHT,
}


def conditions_of(kind: Kind) -> list[Condition]:
    """Every operator with every sample, and below a `not`."""
    samples: Any = SAMPLES[kind]
    found: list[tuple[Operator, Any]] = []
    if kind is Kind.TIMESTAMP:
        found = [(each, age) for each in (Operator.OLDER_THAN, Operator.WITHIN_LAST) for age in (1_000, 5_000, 90_000)]
        found += [(each, sample) for each in (Operator.BEFORE, Operator.AFTER) for sample in samples]
    else:
        found = [(each, sample) for each in (*ORDERED, Operator.IS, Operator.IS_NOT) for sample in samples]
        found += [(Operator.BETWEEN, (low, high)) for low in samples for high in samples if low < high]
    tests: list[Condition] = [Test(SUBJECTS[kind], operator, operand) for operator, operand in found]
    return [*tests, *(Not(each) for each in tests)]


@pytest.mark.parametrize("kind", SUBJECTS)
def test_what_is_required_and_how_far_it_is(kind: Kind) -> None:
    world = World(Random(1))
    vocabulary = world.vocabulary()
    program = program_of(vocabulary, [world.rule(vocabulary, each) for each in conditions_of(kind)], {})
    values: list[Value | None] = [*SAMPLES[kind], None]
    network = Network.build(program)
    distances: set[str | None] = set()
    for value in values:
        memory, naive = network.open("s"), Naive(program)
        subject = SUBJECTS[kind]
        if isinstance(subject, Aggregate):
            event = Event("1", "view", "s", START, None, {} if value is None else {"weight": value})
            network.insert(memory, event, scores(1))
            naive.insert(event, scores(1))
        else:
            facts = {subject.fact: value}
            network.set_facts(memory, facts, START, scores(1))
            naive.set_facts(facts, START, scores(1))
        view = network.view(memory, START, {}, scores(1))
        state, truth = naive.look(START, {}, scores(1))
        for rule in program.rules:
            expected, _ = told_of(naive, rule, (), state, truth)
            report = view.explain(rule)
            assert told(report.condition, expected) == expected, rule.when
            distances.update(each.distance for each in report.failing)
    assert len(distances) > 8


def test_a_number_at_a_limit_that_is_left_out_needs_more_or_less_than_itself() -> None:
    world = World(Random(1))
    vocabulary = world.vocabulary()
    conditions = [Test(WEIGHT, Operator.ABOVE, 2.5), Test(WEIGHT, Operator.BELOW, 2.5)]
    program = program_of(vocabulary, [world.rule(vocabulary, each) for each in conditions], {})
    network = Network.build(program)
    memory = network.open("s")
    network.insert(memory, Event("1", "view", "s", START, None, {"weight": 2.5}), scores(1))
    view = network.view(memory, START, {}, scores(1))
    assert [view.report(each).distance for each in conditions] == ["more than 2.5", "less than 2.5"]
