"""One generated case: the same history through the network and through the naive evaluator."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

from engine.activation import ConditionReport, RuleReport, Step
from engine.event import Event
from engine.language.tree import FactRef, FactSource, Program, Rule, ScoreTest, Test
from engine.rete import Memory, Network, View
from engine.rete.conditions.truth import subject_of
from engine.rete.session.stored import unframed
from engine.schedule import is_open
from engine.values import EpochMs, Value
from tests.generative.answers import catalogue, scores
from tests.generative.compiling import Compiler
from tests.generative.drawing import Advance, Insert, Look, Reload, Restore, SetFacts, Story, draw_story
from tests.generative.words import START
from tests.naive.conditions import Leaf, references
from tests.naive.evaluator import Act, Bindings, Naive, leaves
from tests.naive.history import State, no_catalogue
from tests.naive.reasons import failing, is_near_miss, reason, told_of
from tests.naive.told import Reason


def run_case(
    random: Random,
    *,
    wild: bool = False,
    plain: bool = False,
    steps: int = 14,
    patterns: frozenset[str] = frozenset(),
    reports_every: int = 1,
) -> None:
    """Draw a world and a history; raises AssertionError where the two evaluators differ."""
    Case(draw_story(random, wild=wild, plain=plain, steps=steps, patterns=patterns), reports_every).play()


class Case:
    """A session in both evaluators.

    Attributes:
        reports_every: Of so many looks one compares the reports too, which cost most.
        compiler: Compiles programs, or knows what they were compiled to.
        amended: How many reloads brought a network that is the former one amended.
        went_on: In how many of these the session went on as it is.
    """

    def __init__(self, story: Story, reports_every: int = 1, compiler: Compiler | None = None) -> None:
        self.story = story
        self.compiler = compiler or Compiler()
        self.reports_every = reports_every
        self.program = story.program
        self.bundle = self.amended = self.went_on = 0
        self.ancestry: dict[str, frozenset[str]] = {}
        self.network = self._build(self.program)
        self.memory: Memory = self.network.open("s")
        self.score = scores(story.scores)
        self.catalogue = catalogue(story.catalogue) if story.catalogue is not None else no_catalogue
        self.naive = Naive(self.program, self.catalogue)
        self.now: EpochMs = START
        self.looks = 0
        self.log: list[str] = []

    def play(self) -> None:
        """Let everything happen in both, and compare."""
        for operation in self.story.operations:
            match operation:
                case Insert():
                    self._insert(operation.event)
                case SetFacts():
                    self._facts(operation)
                case Advance():
                    self._advance(operation.to)
                case Restore():
                    self._restore()
                case Reload():
                    self._reload(operation)
                case Look():
                    self._look(operation)

    # ---------------------------------------------------------------- operations

    def _insert(self, event: Event) -> None:
        self.now = max(self.now, event.time)
        self.log.append(f"insert {event}")
        before = self._due()
        acts = self.naive.insert(event, self.score)
        self._same(acts, self.network.insert(self.memory, event, self.score, self.catalogue))
        self._not_before(before, acts)

    def _facts(self, what: SetFacts) -> None:
        self.now = what.at
        self.log.append(f"facts {what.facts} at {self.now}")
        acts = self.naive.set_facts(what.facts, self.now, self.score)
        self._same(acts, self.network.set_facts(self.memory, what.facts, self.now, self.score, self.catalogue))

    def _advance(self, to: EpochMs) -> None:
        self.now = to
        self.log.append(f"advance to {self.now}")
        before = self._due()
        acts = self.naive.advance(self.now, self.score)
        self._same(acts, self.network.advance(self.memory, self.now, self.score, self.catalogue))
        self._not_before(before, acts)

    def _restore(self) -> None:
        self.log.append("restore")
        raw = self.network.snapshot(self.memory)
        self.memory = self.network.restore(raw)
        assert self.network.snapshot(self.memory) == raw, self._story("a restored session has another snapshot")

    def _reload(self, what: Reload) -> None:
        former = self.network
        raw = former.snapshot(self.memory)
        known, program = what.is_known, what.program
        self.log.append(f"reload to {[rule.id for rule in program.rules]}{'' if known else ' of unknown ancestry'}")
        if known:
            self.ancestry[str(self.bundle)] = self.network.rule_digests
        else:
            self.ancestry.pop(str(self.bundle), None)
        self.bundle += 1
        self.program = program
        fresh = self.network = self._build(program)
        compiled = self.compiler.amended(program, former._compiled)
        if compiled is not None:
            self.amended += 1
            self.network = Network(compiled, str(self.bundle), dict(self.ancestry), former._names)
        memory, self.memory = self.memory, self.network.take_over(self.memory, former)
        self.went_on += self.memory is memory
        # In any order of its parts: what rules assert is settled anew where a session is read.
        ours, theirs = (
            _stored(each) for each in (self.network.snapshot(self.memory), fresh.snapshot(fresh.restore(raw)))
        )
        assert ours == theirs, self._story(f"a session was taken over as {ours}, written and read as {theirs}")
        self.naive.reload(program, is_ancestor=known)

    def _build(self, program: Program) -> Network:
        return Network(self.compiler.whole(program), str(self.bundle), dict(self.ancestry))

    # ---------------------------------------------------------------- comparisons

    def _due(self) -> EpochMs | None:
        return self.network.due(self.memory)

    def _not_before(self, due: EpochMs | None, acts: list[Act]) -> None:
        """What acts by time alone acts no earlier than `due` said."""
        for act in acts:
            if act.time < self.now and (self.naive.clock or 0) > act.time:
                assert due is not None, self._story(f"{act} was not due")
                assert due <= act.time, self._story(f"{act} came before {due}")

    def _same(self, expected: list[Act], step: Step) -> None:
        acts = [
            Act(
                each.rule,
                each.time,
                each.acts,
                each.held_back,
                each.bindings,
                tuple((message.name, repr(message.payload)) for message in each.triggers),
            )
            for each in step.activations
        ]
        assert acts == expected, self._story(f"network {acts}\n    naive {expected}")
        if not self.story.wild:
            # One that gives no answer may be asked once more, at a moment at which something expires all the same.
            ours, theirs = (
                [each for each in asked if each[1].value is not None] for asked in (step.scores, self.naive.asked)
            )
            assert sorted(ours, key=repr) == sorted(theirs, key=repr), self._story(f"answered {ours}, naive {theirs}")
        if not self.naive.unsettled and not self.story.wild:
            failed = {failure.rule for failure in step.failures}
            assert failed == self.naive.failed, self._story(f"failed {step.failures}, naive {self.naive.failed}")

    def _look(self, look: Look) -> None:
        """A request: what holds, every leaf, and until when."""
        context, now = dict(look.context), look.at
        self.looks += 1
        view = self.network.view(self.memory, now, context, self.score, self.catalogue)
        state, truth = self.naive.look(now, context, self.score)
        expected = self.naive.holding_in(state, truth)
        found = [(rule.id, each.bindings) for rule in view.holding() for each in view.combinations(rule)]
        assert found == expected, self._story(f"at {now} with {context}: view {found}, naive {expected}")
        for rule in self.program.rules:
            ours, theirs = view.truth(rule.when), self.naive.truth(rule.when, state, truth)
            assert ours is theirs, self._story(f"truth of {rule.id} at {now}: view {ours}, naive {theirs}")
            if self.looks % self.reports_every == 0:
                self._same_reasons(rule, view.explain(rule), state, truth)
            for leaf in leaves(rule.when):
                if isinstance(leaf, Test) and not references(leaf):
                    mine, other = view.value(subject_of(leaf)), self.naive.value(leaf.subject, state)
                    assert mine == other, self._story(f"{leaf.subject} at {now}: view {mine!r}, naive {other!r}")
                    assert type(mine) is type(other), self._story(f"{leaf.subject}: {mine!r} and {other!r}")
        self._same_of_offers(view, state, truth)
        until = view.valid_until()
        self._stays(now, context, expected, until)
        if until is not None:
            self._changes(max(now, self.naive.clock or now), context, until)

    def _same_of_offers(self, view: View, state: State, score: Any) -> None:
        """Conditions that no rule need have, now and then their reports too; and what is concluded, fact by fact."""
        reports = self.looks % self.reports_every == 0
        for offer in self.program.offers.values():
            condition = offer.eligible
            if condition is not None:
                ours, theirs = view.truth(condition), self.naive.truth(condition, state, score)
                assert ours is theirs, self._story(f"{offer.id} is eligible: {ours}, naive {theirs}")
                if reports:
                    tree = reason(self.naive, condition, state, score)
                    mine = told(view.report(condition), tree)
                    assert mine == tree, self._story(f"report of {offer.id}: {mine}\n    naive {tree}")
        for name, fact in self.program.vocabulary.facts.items():
            if fact.source in {FactSource.RULES, FactSource.FEATURE}:
                found, known = view.fact(name), self.naive.value(FactRef(name), state)
                assert found == known, self._story(f"{name} is {found!r}, naive {known!r}")

    def _same_reasons(self, rule: Rule, report: RuleReport, state: State, score: Any) -> None:
        """A report tells the right combination, and of it what the naive evaluator finds."""
        where = f"report of {rule.id} at {state.now}"
        held_back = "schedule" if not is_open(rule.schedule, state.now) else None
        held_back = held_back if rule.enabled else "switched off"
        assert report.held_back == (held_back if report.truth is True else None), self._story(where)
        assert report.truth is self.naive.truth(rule.when, state, score), self._story(where)
        tree, is_to_be_told = told_of(self.naive, rule, report.bindings, state, score)
        assert is_to_be_told, self._story(f"{where} tells of {report.bindings}")
        ours = told(report.condition, tree)
        assert ours == tree, self._story(f"{where}: {ours}\n    naive {tree}")
        if tree.has_open() or tree.truth is not report.truth:
            assert bool(report.failing) is (report.truth is not True), self._story(f"failing of {where}")
            return
        failing_truths = [each.truth for each in report.failing]
        expected = sorted((each.truth for each in failing(tree)), key=lambda truth: truth is None)
        assert failing_truths == expected, self._story(f"failing of {where}: {failing_truths}, naive {expected}")
        near = is_near_miss(tree)
        assert report.near_miss is near, self._story(f"near miss of {where}: {report.near_miss}")

    def _changes(self, now: EpochMs, context: dict[str, Value], until: EpochMs) -> None:
        """What was valid until a moment is something else at it.

        Not so where a score has a say, whose answer may change with anything, nor after very many moments.
        """
        if any(isinstance(leaf, ScoreTest) for leaf in self._leaves()):
            return
        if len(self.naive.candidates(now, until)) > 40 and len(self.naive.moments(now, until)) > 40:
            return
        before, after = self._answer(now, context), self._answer(until, context)
        assert before != after, self._story(f"valid from {now} until {until}, and nothing changes then: {after}")

    def _leaves(self) -> Iterator[Leaf]:
        for rule in self.program.rules:
            yield from leaves(rule.when)
        for offer in self.program.offers.values():
            if offer.eligible is not None:
                yield from leaves(offer.eligible)

    def _answer(self, moment: EpochMs, context: dict[str, Value]) -> object:
        """What holds at a moment with what the messages would say, which of it may act, what is eligible."""
        state, truth = self.naive.look(moment, context, self.score)
        holding = self.naive.holding_in(state, truth)
        return (
            holding,
            [
                is_open(rule.schedule, moment)
                for rule in self.program.rules
                if any(rule.id == each for each, _ in holding)
            ],
            [
                self.naive.truth(offer.eligible, state, truth)
                for offer in self.program.offers.values()
                if offer.eligible is not None
            ],
        )

    def _stays(
        self, now: EpochMs, context: dict[str, Value], holding: list[tuple[str, Bindings]], until: EpochMs | None
    ) -> None:
        now = max(now, self.naive.clock or now)
        end = now + 40_000 if until is None else min(until, now + 40_000)
        for moment in (*self.naive.candidates(now, end), end - 1):
            if moment > now:
                later = self.naive.holding(moment, context, self.score)
                assert later == holding, self._story(
                    f"valid from {now} until {until}, but at {moment} {later} hold, not {holding}"
                )

    def _story(self, difference: str) -> str:
        rules = "\n".join(
            f"{rule.id} {'' if rule.enabled else 'off '}{rule.schedule or ''} when {rule.when}\n    then {rule.actions[1:]} {rule.limits}"
            for rule in self.program.rules
        )
        features = "\n".join(
            f"{name}: {fact.aggregate or fact.computed}"
            for name, fact in self.program.vocabulary.facts.items()
            if fact.aggregate or fact.computed
        )
        return "\n".join(["", features, rules, *self.log, difference])


def _stored(raw: bytes) -> list[Any]:
    """What a snapshot says, in whatever order of its entries and states."""
    parts = unframed(raw)
    for place in (8, 9):
        if place < len(parts):
            parts[place] = dict(zip(parts[place][::2], parts[place][1::2], strict=True))
    return parts


def told(report: ConditionReport, like: Reason, *, is_whole: bool = True) -> Reason:
    """A report as the naive evaluator says it; without what is said of leaves that are open to it.

    The whole may be otherwise than the combination that is told of it.
    """
    if like.is_open:
        return like
    parts = tuple(told(part, other, is_whole=False) for part, other in zip(report.parts, like.parts, strict=True))
    truth = like.truth if is_whole or like.has_open() else report.truth
    missing = like.missing if report.kind in {"seen", "sequence", "absence"} else report.missing
    return Reason(report.kind, truth, report.actual, missing, parts, report.required, report.distance, report.events)
