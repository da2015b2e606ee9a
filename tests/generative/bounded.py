"""One generated case of a session that keeps few events."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from engine.language.tree import Rule, ScoreTest, Seen, Test
from engine.rete import Network, View
from engine.rete.conditions.truth import subject_of
from engine.values import EpochMs, Value
from tests.generative.answers import catalogue, scores
from tests.generative.compiling import Compiler
from tests.generative.drawing import Advance, Insert, Look, Reload, Restore, SetFacts, Story, draw_bounded_story
from tests.naive.conditions import Leaf, leaves, references
from tests.naive.evaluator import Naive
from tests.naive.history import State, no_catalogue


def run_bounded_case(
    random: Random, keep_events: int, steps: int = 24, *, patterns: frozenset[str] = frozenset()
) -> int:
    """Draw a world and a history, and play it; see `BoundedCase.play`."""
    return BoundedCase(draw_bounded_story(random, keep_events, steps, patterns=patterns)).play()


class BoundedCase:
    """A session in both evaluators, of which the naive one keeps every event.

    Attributes:
        unknown: How many things were unknown for want of what went.
    """

    def __init__(self, story: Story, compiler: Compiler | None = None) -> None:
        self.story = story
        self.compiler = compiler or Compiler()
        self.program = story.program
        self.network = Network(self.compiler.whole(story.program), "0", {})
        self.catalogue = catalogue(story.catalogue) if story.catalogue is not None else no_catalogue
        self.memory, self.score = self.network.open("s"), scores(story.scores)
        self.naive = Naive(story.program, self.catalogue)
        self.unknown = 0

    def play(self) -> int:
        """Every value and every rule is the exact one or unknown, and what holds for a combination does; so through reloads.

        Of the naive evaluator only the history is needed: what acts is not compared.

        Returns:
            How many were unknown for want of what went.
        """
        network, memory, naive = self.network, self.memory, self.naive
        keeps, events = self.program.vocabulary.keep_events, 0
        for number, operation in enumerate(self.story.operations):
            match operation:
                case Insert(event):
                    events += 1
                    network.insert(memory, event, self.score, self.catalogue)
                    naive.happened(event)
                    naive.clock = event.time if naive.clock is None else max(naive.clock, event.time)
                case SetFacts(facts, at):
                    network.set_facts(memory, facts, at, self.score, self.catalogue)
                    naive.facts = {name: value for name, value in {**naive.facts, **facts}.items() if value is not None}
                    naive.found.clear()
                    naive.clock = at if naive.clock is None else max(naive.clock, at)
                case Advance(to):
                    network.advance(memory, to, self.score, self.catalogue)
                    naive.clock = None if naive.clock is None else max(naive.clock, to)
                case Restore():
                    memory = network.restore(network.snapshot(memory))
                case Reload(program, is_known):
                    raw, ancestors = network.snapshot(memory), {network.bundle_hash: network.rule_digests}
                    self.program = program
                    network = Network(self.compiler.whole(program), str(number), ancestors if is_known else {})
                    memory = network.restore(raw)
                    naive.look_at(program)
                case Look(context, at):
                    assert memory.retained is None or memory.retained.count <= keeps
                    self._look(network.view(memory, at, context, self.score, self.catalogue), at, context)
        if events <= keeps:
            assert self.unknown == 0, "all events are kept, and yet something is unknown"
        return self.unknown

    def _look(self, view: View, at: EpochMs, context: Mapping[str, Value]) -> None:
        state, _ = self.naive.look(at, context, self.score)
        for rule in self.program.rules:
            self.unknown += self._unknown_values(rule, view, state)
            if not self.naive.derived_in(rule.when) and not any(map(_asks_a_model, leaves(rule.when))):
                self.unknown += self._is_unknown(rule, view, state)

    def _unknown_values(self, rule: Rule, view: View, state: State) -> int:
        unknown = 0
        for leaf in leaves(rule.when):
            if isinstance(leaf, Test | Seen) and not references(leaf) and getattr(leaf, "bind", None) is None:
                ours = view.value(subject_of(leaf))
                exact: Value | None
                if isinstance(leaf, Seen):
                    exact = self.naive.truth(leaf, state, None)
                else:
                    exact = self.naive.value(leaf.subject, state)
                if ours is None and exact is not None:
                    unknown += 1
                elif not self.naive.derived_in(leaf):
                    assert ours == exact, f"{leaf} is {ours!r}, exactly {exact!r}"
        return unknown

    def _is_unknown(self, rule: Rule, view: View, state: State) -> bool:
        ours, exact = view.truth(rule.when), self.naive.truth(rule.when, state, None)
        if ours is None and exact is not None:
            return True
        assert ours is exact, f"{rule.when} is {ours}, exactly {exact}"
        if ours is True:
            found = {each.bindings for each in view.combinations(rule)}
            assert found <= set(self.naive._standing(rule, state, None)), f"{rule.when} holds for {found}"
        return False


def _asks_a_model(leaf: Leaf) -> bool:
    """A model may see what is unknown."""
    return isinstance(leaf, ScoreTest)
