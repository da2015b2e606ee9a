"""One generated case of a session that keeps few events."""

from __future__ import annotations

from random import Random

from engine.language.tree import Rule, ScoreTest, Seen, Test
from engine.rete import Network, View
from engine.rete.conditions.truth import subject_of
from tests.generative.answers import catalogue, scores
from tests.generative.words import START
from tests.generative.worlds import World
from tests.naive.conditions import Leaf, leaves, references
from tests.naive.evaluator import Naive
from tests.naive.history import State


def run_bounded_case(
    random: Random, keep_events: int, steps: int = 24, *, patterns: frozenset[str] = frozenset()
) -> int:
    """Every value and every rule is the exact one or unknown, and what holds for a combination does; through reloads too.

    Returns:
        How many were unknown for want of what went.
    """
    world = World(random, patterns=patterns)
    program = world.program(keep_events)
    network = Network.build(program, "0")
    things = catalogue(random.randrange(1_000)) if patterns else None
    memory, score = network.open("s"), scores(1)
    naive = Naive(program) if things is None else Naive(program, things)
    now, unknown = START, 0
    for number in range(steps):
        late = world.chance(0.15)
        now += 0 if late else 500 * world.one((0, 0, 1, 1, 2, 4, 10))
        event = world.event(number, now - 500 * random.randrange(1, 12) if late else now)
        network.insert(memory, event, score, things)
        naive.insert(event, score)
        if world.chance(0.1):
            raw = network.snapshot(memory)
            program = world.edited(program)
            network = Network.build(program, str(number + 1), {network.bundle_hash: network.rule_digests})
            memory = network.restore(raw)
            naive.reload(program)
        assert memory.retained is not None
        assert memory.retained.count <= keep_events
        view = network.view(memory, now, {}, score, things)
        state, _ = naive.look(now, {}, score)
        for rule in program.rules:
            unknown += _unknown_values(rule, view, naive, state)
            if not naive.derived_in(rule.when) and not any(map(_asks_a_model, leaves(rule.when))):
                unknown += _is_unknown(rule, view, naive, state)
    if steps <= keep_events:
        assert unknown == 0, "all events are kept, and yet something is unknown"
    return unknown


def _asks_a_model(leaf: Leaf) -> bool:
    """A model may see what is unknown."""
    return isinstance(leaf, ScoreTest)


def _unknown_values(rule: Rule, view: View, naive: Naive, state: State) -> int:
    unknown = 0
    for leaf in leaves(rule.when):
        if isinstance(leaf, Test | Seen) and not references(leaf) and getattr(leaf, "bind", None) is None:
            ours = view.value(subject_of(leaf))
            exact = naive.truth(leaf, state, None) if isinstance(leaf, Seen) else naive.value(leaf.subject, state)
            if ours is None and exact is not None:
                unknown += 1
            elif not naive.derived_in(leaf):
                assert ours == exact, f"{leaf} is {ours!r}, exactly {exact!r}"
    return unknown


def _is_unknown(rule: Rule, view: View, naive: Naive, state: State) -> bool:
    ours, exact = view.truth(rule.when), naive.truth(rule.when, state, None)
    if ours is None and exact is not None:
        return True
    assert ours is exact, f"{rule.when} is {ours}, exactly {exact}"
    if ours is True:
        found = {each.bindings for each in view.combinations(rule)}
        assert found <= set(naive._standing(rule, state, None)), f"{rule.when} holds for {found}"
    return False
