"""Whatever the order in which events arrive, facts are set and taken away, the session ends with the combinations that the ordered history has."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from random import Random

import pytest

from engine.event import Event
from engine.language.tree import (
    All,
    AssertAction,
    AttributeTest,
    BoundRef,
    Condition,
    FactRef,
    Not,
    Operator,
    Program,
    Rule,
    Seen,
    Selection,
    Span,
    Test,
    Vocabulary,
)
from engine.rete import Network
from engine.values import Value
from tests.generative.answers import scores
from tests.generative.words import EVENTS, PATTERNS, SAMPLES, START
from tests.generative.worlds import World, program_of
from tests.naive.evaluator import Bindings, Naive

SPANS = (Span(), Span(), Span(window=10_000), Span(window=4_000), Span(since="pay"))
Happening = Event | dict[str, Value | None]


def joined(random: Random) -> Condition:
    """One to three bound events, each tied to one before it, one that must not be there, and now and then a fact."""
    parts: list[Condition] = []
    names = ("a", "b", "c")[: random.randrange(1, 4)]
    for at, name in enumerate(names):
        where = () if at == 0 else (_tie(random, names[random.randrange(at)]),)
        parts.append(Seen(Selection(random.choice(("view", "cart")), None, where), random.choice(SPANS), name))
    event = random.choice(("view", "cart"))
    operators = (Operator.IS, Operator.ABOVE, Operator.BELOW)
    least = AttributeTest("price", random.choice(operators), BoundRef(random.choice(names), "price"))
    parts.append(Not(Seen(Selection(event, None, (_tie(random, random.choice(names)), least)), random.choice(SPANS))))
    if random.random() < 0.4:
        parts.append(Test(FactRef("customer.spent"), Operator.AT_LEAST, BoundRef(random.choice(names), "price")))
    random.shuffle(parts)
    return All(tuple(parts))


def _tie(random: Random, name: str) -> AttributeTest:
    attribute = random.choice(("colour", "colour", "price"))
    return AttributeTest(attribute, Operator.IS, BoundRef(name, attribute))


def things(world: World) -> list[Happening]:
    """Events of different times, a fact, and now and then one that is taken away."""
    found: list[Happening] = []
    for number in range(5):
        kind = world.one(("view", "view", "cart", "cart", "pay"))
        attributes = {
            name: world.one(SAMPLES[each.kind][:2]) for name, each in EVENTS[kind].items() if world.chance(0.9)
        }
        found.append(Event(str(number), kind, "s", START + 1_000 * number, None, attributes))
    if world.chance(0.7):
        found.append({"customer.spent": world.one((100, 150))})
    if world.chance(0.5):
        found.append({"customer.spent": None})
    return found


def in_order(program: Program, happenings: list[Happening], end: int) -> list[tuple[str, Bindings]]:
    naive = Naive(program)
    for each in happenings:
        if isinstance(each, Event):
            naive.insert(each, scores(1))
        else:
            naive.set_facts(each, end, scores(1))
    naive.advance(end, scores(1))
    return naive.holding(end, {}, scores(1))


def through(program: Program, happenings: list[Happening], end: int, random: Random) -> list[tuple[str, Bindings]]:
    network = Network.build(program)
    memory = network.open("s")
    for each in happenings:
        if isinstance(each, Event):
            network.insert(memory, each, scores(1))
        else:
            network.set_facts(memory, each, START, scores(1))
        if random.random() < 0.2:
            memory = network.restore(network.snapshot(memory))
    network.advance(memory, end, scores(1))
    view = network.view(memory, end, {}, scores(1))
    return [(rule.id, each.bindings) for rule in view.holding() for each in view.combinations(rule)]


def chain(world: World, vocabulary: Vocabulary) -> list[Rule]:
    """Joined rules of which each looks at what the one before asserts, or at its opposite."""

    def rule(when: Condition, asserted: str) -> Rule:
        made = world.rule(vocabulary, when)
        return replace(made, actions=(made.actions[0], AssertAction(asserted, True)), schedule=None, enabled=True)

    rules = [rule(joined(world.random), "shopper.keen")]
    for before, after in (("shopper.keen", "shopper.lost"), ("shopper.lost", "shopper.rich")):
        follows: Condition = Test(FactRef(before), Operator.IS, True)
        if world.chance(0.5):
            follows = Not(follows)
        parts = (follows, joined(world.random)) if world.chance(0.6) else (follows,)
        rules.append(rule(All(parts), after))
    world.random.shuffle(rules)
    return rules


def compare(seed: int, program: Program, world: World, random: Random) -> None:
    happenings = things(world)
    end = START + 5_000 + 500 * random.randrange(12)
    events = [each for each in happenings if isinstance(each, Event)]
    every = list(permutations(happenings))
    for order in random.sample(every, 30):
        # Of facts the order matters: what is set last stays, or is taken away.
        facts: list[Happening] = [each for each in order if not isinstance(each, Event)]
        expected = in_order(program, [*events, *facts], end)
        assert through(program, list(order), end, random) == expected, [
            seed,
            *(each.id if isinstance(each, Event) else each for each in order),
        ]


@pytest.mark.parametrize("seed", range(60))
def test_arrival_in_any_order_gives_the_combinations_of_the_ordered_history(seed: int) -> None:
    random = Random(seed)
    world = World(random, patterns=PATTERNS)
    vocabulary = world.vocabulary()
    rules: list[Rule] = [world.rule(vocabulary, joined(random)) for _ in range(2)]
    program = program_of(vocabulary, rules, {})
    compare(seed, program, world, random)


@pytest.mark.parametrize("seed", range(40))
def test_rules_that_follow_from_one_another_hold_whatever_the_order(seed: int) -> None:
    """Joined, negated and chained over derived facts; asserted and withdrawn in any order."""
    random = Random(seed)
    world = World(random, patterns=PATTERNS)
    vocabulary = world.vocabulary()
    compare(seed, program_of(vocabulary, chain(world, vocabulary), {}), world, random)


def test_there_is_something_to_tell_apart() -> None:
    """The worlds above have combinations that hold, and such that are kept from it."""
    held = 0
    for seed in range(60):
        random = Random(seed)
        world = World(random, patterns=PATTERNS)
        vocabulary = world.vocabulary()
        program = program_of(vocabulary, [world.rule(vocabulary, joined(random)) for _ in range(2)], {})
        held += bool(in_order(program, things(world), START + 5_000))
    assert 15 < held < 55
