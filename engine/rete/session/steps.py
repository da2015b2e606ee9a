"""The steps of a session, in every case: what is due, late, new, computed or joined is looked at, in order of time."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from engine.activation import (
    NOTHING_BOUND,
    Activation,
    Catalogue,
    Combination,
    FactReader,
    ScoreAnswer,
    ScoreFunction,
    ScoreStatus,
    Step,
)
from engine.event import Event
from engine.rete.agenda.agenda import Failures, activate
from engine.rete.agenda.production import Production
from engine.rete.agenda.scoring import Asking
from engine.rete.alpha.aggregates import Changed
from engine.rete.compilation import Compiled
from engine.rete.conditions.truth import ScoreTruth
from engine.rete.memory.joins import Token
from engine.rete.memory.memory import NOTHING_FRESH, Memory
from engine.rete.session.changes import expire, scan, set_facts, take_in
from engine.rete.session.clockwork import clock_moments, next_moment
from engine.rete.session.combinations import combinations, true_tokens
from engine.rete.session.following import Following
from engine.rete.session.reading import Reader
from engine.rete.session.rising import risen_rules
from engine.rete.session.settle import as_failures, settle_computed, settle_derived
from engine.rete.session.straight import NOTHING
from engine.values import EpochMs, Value


def _no_score(name: str, reader: FactReader) -> ScoreAnswer:
    """Where no rule asks for one."""
    return ScoreAnswer(ScoreStatus.MISSING)


class Call:
    """What one call of the network brings about, over all its steps."""

    __slots__ = ("activations", "catalogue", "failures", "score", "scores", "truth")

    def __init__(self, score: ScoreFunction, catalogue: Catalogue | None) -> None:
        self.score = score
        self.catalogue = catalogue
        self.activations: list[Activation] = []
        self.failures: Failures = {}
        self.scores: list[tuple[str, ScoreAnswer]] = []
        self.truth: ScoreTruth | None = None  # of scores, in the step that is made

    def step(self) -> Step:
        """As the caller gets it."""
        if not (self.activations or self.failures or self.scores):
            return NOTHING
        return Step(tuple(self.activations), as_failures(self.failures), tuple(self.scores))


class Steps:
    """Of the sessions of a network. The short way of most events is in `straight`."""

    def __init__(self, compiled: Compiled) -> None:
        self._compiled = compiled

    def insert_plainly(
        self, memory: Memory, event: Event, clock: EpochMs, now: EpochMs, catalogue: Catalogue | None
    ) -> Step:
        """`insert` where nothing is due, late, new or computed: the way of most events, with nothing on it to ask."""
        if event.customer_id is not None:
            memory.customer_id = event.customer_id
        compiled, lazy, values = self._compiled, memory.lazy, memory.values
        before = now - 1 if clock < now else now
        changed: Changed = {}
        failures: Failures = {}
        if lazy and lazy[0][0] <= now:
            expire(compiled, memory, before, {})
            if memory.joins is not None and memory.joins.due:
                self._begin(memory, before, catalogue, failures)
            expire(compiled, memory, now, changed)
        memory.clock = memory.evaluated = now
        take_in(compiled, memory, event, changed, failures)
        joins = memory.joins
        if (joins is not None and (joins.touched or joins.due)) or (
            compiled.readers and not compiled.readers.keys().isdisjoint(changed)
        ):
            Following(compiled, memory, now, catalogue, failures)(changed)
        joins = memory.joins
        if joins is not None and (joins.was or changed):
            risen = risen_rules(compiled, values, now, before, changed, failures, is_first=False)
            call = Call(_no_score, catalogue)
            call.failures = failures
            self._activate(risen, memory, now, call)
            joins.was = {}
            return call.step()
        if changed:
            risen = risen_rules(compiled, values, now, before, changed, failures, is_first=False)
            if risen:
                read = Reader(compiled, memory.values, is_score=False)
                vocabulary = self._compiled.program.vocabulary
                return Step(
                    tuple(
                        [
                            activate(compiled.productions[index], memory, now, read, vocabulary, failures)
                            for index in compiled.in_order(risen)
                        ]
                    ),
                    as_failures(failures),
                )
        return Step((), as_failures(failures)) if failures else NOTHING

    def pass_time(self, memory: Memory, now: EpochMs, call: Call, *, include: bool) -> None:
        """Step through every moment that is due before `now`, or up to it."""
        if memory.joins is not None and memory.joins.unsettled and memory.clock is not None:
            self._settle(memory, memory.clock, call)
        timed = memory.timed
        if not (self._compiled.has_clock_moments or memory.is_asking or (timed and timed[0][0] <= now)):
            return
        while memory.clock is not None:
            moment = next_moment(self._compiled, memory, memory.clock)
            if moment is None or moment > now or (moment == now and not include):
                return
            # The moment at which the caller looks is a step in any case.
            self.step(memory, moment, call, None, None, is_timer=moment < now)

    def step(
        self,
        memory: Memory,
        now: EpochMs,
        call: Call,
        event: Event | None,
        facts: Mapping[str, Value | None] | None,
        *,
        is_timer: bool = False,
    ) -> None:
        """One evaluation: what expires at `now`, the event or the facts, what follows, and the rules that became true."""
        compiled, values, failures = self._compiled, memory.values, call.failures
        clock = memory.clock
        before = now - 1 if clock is None or clock < now else now
        lazy, timed = memory.lazy, memory.timed
        if lazy and lazy[0][0] <= before:
            silent: Changed = {}
            expire(compiled, memory, before, silent)
            settle_computed(compiled, values, silent, failures)
            if memory.joins is not None:
                self._begin(memory, before, call.catalogue, failures)
            self._age_answers(memory, silent)
        if clock is None:
            memory.started = now
        is_free = is_timer and now not in clock_moments(compiled, memory, now - 1)
        memory.clock = now
        changed: Changed = {}
        if (lazy and lazy[0][0] <= now) or (timed and timed[0][0] <= now):
            expire(compiled, memory, now, changed)
        if event is not None:
            take_in(compiled, memory, event, changed, failures)
        if facts is not None:
            set_facts(compiled, memory, facts, changed)
        follow = None
        if compiled.patterns:
            follow = Following(compiled, memory, now, call.catalogue, failures)
        if compiled.is_plain:
            if follow is not None:
                follow(changed)
            if not changed and clock is not None and (memory.joins is None or not memory.joins.was):
                return
        else:
            if compiled.scanned:
                scan(compiled, memory, now, changed, failures)
            settle_computed(compiled, values, changed, failures, follow)
            self._age_answers(memory, changed)
            if (
                is_free
                and all(
                    values.get(index, compiled.defaults[index]) == old or index in compiled.offered
                    for index, old in changed.items()
                )
                and not (
                    memory.joins is not None
                    and any(was and index in compiled.joined_rules for index, was in memory.joins.was.items())
                )
            ):
                return  # something left a window, and it made no difference to any rule
            for clocked in compiled.clocked:
                if clocked.index not in changed and clocked.index in values:
                    changed[clocked.index] = values[clocked.index]
        if compiled.strata or compiled.scored:
            asking = self._asking(memory, now, call)
            call.truth = asking.truth
            settle_derived(
                compiled,
                values,
                changed,
                now,
                lambda rule: rule.holds(values, now, asking),
                failures,
                all_of_them=clock is None,
                follow=follow,
            )
            held = memory.held
            risen = risen_rules(compiled, values, now, before, changed, failures, is_first=clock is None)
            risen |= self._risen_by_scores(memory, now, asking, failures)
            # A rule with scores that holds must be seen to end, too.
            memory.is_asking = asking.is_worth_it or bool(memory.held)
            call.scores.extend(asking.answers.items())
        else:
            held = memory.held
            risen = risen_rules(compiled, values, now, before, changed, failures, is_first=clock is None)
        joins = memory.joins
        if joins is not None and (joins.was or compiled.branching):
            self._activate(risen, memory, now, call, held)
            joins.was = {}
        elif risen:
            self._activate(risen, memory, now, call)

    def _begin(self, memory: Memory, now: EpochMs, catalogue: Catalogue | None, failures: Failures) -> None:
        """Look at what time made false before a step, and at what a reload left open: neither is an edge."""
        joins = memory.joins
        assert joins is not None
        if joins.unsettled:
            joins.touched.update(dict.fromkeys(joins.unsettled))
            joins.unsettled = frozenset()
        Following(self._compiled, memory, now, catalogue, failures)({})
        joins.was = {}

    def _settle(self, memory: Memory, now: EpochMs, call: Call) -> None:
        """What a reload left open, patterns that ask the catalogue, and the facts that rest on them: none is an edge."""
        self._begin(memory, now, call.catalogue, call.failures)
        compiled, values, silent = self._compiled, memory.values, dict[int, Value | None]()
        if compiled.strata:
            asking = self._asking(memory, now, call)
            settle_derived(
                compiled,
                values,
                silent,
                now,
                lambda rule: rule.index in memory.held if rule.asking else rule.holds(values, now, asking),
                call.failures,
                all_of_them=True,
                follow=Following(compiled, memory, now, call.catalogue, call.failures),
            )
            self._age_answers(memory, silent)
            assert memory.joins is not None
            memory.joins.was = {}

    def _activate(
        self, risen: set[int], memory: Memory, now: EpochMs, call: Call, held: frozenset[int] | None = None
    ) -> None:
        """Rules that became true act, in order; and of those that were true, the combinations that became so."""
        compiled, joins = self._compiled, memory.joins
        acting: dict[int, Collection[Token] | None] = dict.fromkeys(risen)
        for pattern, tokens in joins.gained().items() if joins is not None else ():
            for index in compiled.joined_rules.get(pattern, ()):
                if index not in risen and self._still_holds(index, memory, now, call, held or frozenset()):
                    acting[index] = tokens
        for production in compiled.branching if joins is not None else ():
            tokens = self._branched(production, memory, now, call)
            acting.pop(production.index, None)
            if tokens:
                acting[production.index] = tokens
        read = Reader(compiled, memory.values, is_score=False)
        vocabulary, failures = self._compiled.program.vocabulary, call.failures
        for index in compiled.in_order(acting):
            production = compiled.productions[index]
            if not production.patterns:
                call.activations.append(activate(production, memory, now, read, vocabulary, failures))
                continue
            following = Following(compiled, memory, now, call.catalogue, failures)
            for bound in self._combinations(production, memory, following, acting[index], call.truth):
                call.activations.append(activate(production, memory, now, read, vocabulary, failures, bound))

    def _branched(self, production: Production, memory: Memory, now: EpochMs, call: Call) -> list[Token]:
        """The combinations that became true of a rule with several patterns: which were is kept, as for scores."""
        joins, index = memory.joins, production.index
        assert joins is not None
        found: Collection[Token] = ()
        if index in memory.held:
            found = true_tokens(production, joins.states, memory.values, now, call.truth)
        before = joins.told.pop(index, frozenset())
        if found:
            joins.told[index] = frozenset(found)
        if index in memory.new or index in memory.quiet:
            return []
        return [token for token in found if token not in before]

    def _still_holds(self, index: int, memory: Memory, now: EpochMs, call: Call, held: frozenset[int]) -> bool:
        """Whether a rule that did not become true by this step is true, and was before it."""
        production = self._compiled.productions[index]
        if production.asking:
            return index in memory.held and index in held and index not in memory.new and index not in memory.quiet
        try:
            return production.holds_plainly(memory.values, now)
        except Exception as problem:  # noqa: BLE001 - one broken rule never stops the others
            call.failures.setdefault(production.rule.id, f"{type(problem).__name__}: {problem}")
            return False

    def _combinations(
        self,
        production: Production,
        memory: Memory,
        following: Following,
        tokens: Collection[Token] | None,
        score: ScoreTruth | None,
    ) -> list[Combination]:
        """The combinations for which a rule that holds does, or those of them that became true, in order."""
        states = {} if memory.joins is None else memory.joins.states
        return combinations(self._compiled, production, states, memory.values, following.look(), tokens, score)

    def _risen_by_scores(self, memory: Memory, now: EpochMs, asking: Asking, failures: Failures) -> set[int]:
        """The rules with scores that hold now and did not after the step before; which do is kept."""
        held = frozenset(
            production.index
            for production in self._worth_asking(memory)
            if self._holds(production, memory, now, asking, failures)
        )
        risen = set(held - memory.held - memory.new - memory.quiet)
        memory.held = held
        return risen

    def _worth_asking(self, memory: Memory) -> Iterable[Production]:
        """The rules with scores of which what is cheap may hold."""
        compiled = self._compiled
        try:
            return [compiled.productions[index] for index in compiled.index.asking.candidates(memory.values)]
        except Exception:  # noqa: BLE001 - as in `_risen`
            return compiled.scored

    def _holds(self, production: Production, memory: Memory, now: EpochMs, asking: Asking, failures: Failures) -> bool:
        try:
            return production.holds(memory.values, now, asking)
        except Exception as problem:  # noqa: BLE001 - one broken rule never stops the others
            failures.setdefault(production.rule.id, f"{type(problem).__name__}: {problem}")
            return False

    def finish(self, memory: Memory, now: EpochMs, call: Call) -> None:
        """Rules that are new, or whose gate opened since the last call, act if they hold and did not act in this one."""
        compiled, since = self._compiled, memory.evaluated
        memory.evaluated = now
        late = set(memory.new)
        if memory.new or memory.quiet:
            memory.new = memory.quiet = frozenset()
        if since is not None and compiled.gates:
            late.update(each.index for each in compiled.gates.opened(since, now) if each.rule.enabled)
        if not late:
            return
        acted = {(activation.rule, activation.bindings) for activation in call.activations if activation.acts}
        told = {(activation.rule, activation.bindings) for activation in call.activations}
        read = Reader(compiled, memory.values, is_score=False)
        asking = self._asking(memory, now, call)
        for index in compiled.in_order(late):
            production = compiled.productions[index]
            if not production.patterns and (production.rule.id, ()) in acted:
                continue
            if production.asking:
                holds = index in memory.held
            else:
                holds = self._holds(production, memory, now, asking, call.failures)
            if not holds:
                continue
            found = [NOTHING_BOUND]
            if production.patterns:
                following = Following(compiled, memory, now, call.catalogue, call.failures)
                found = self._combinations(production, memory, following, None, asking.truth)
            for bound in found:
                if (production.rule.id, bound.bindings) in acted:
                    continue
                made = activate(production, memory, now, read, self._compiled.program.vocabulary, call.failures, bound)
                if made.acts or (made.rule, made.bindings) not in told:
                    call.activations.append(made)

    def _age_answers(self, memory: Memory, changed: Changed) -> None:
        """Scores must be asked again when something that a model can see has another value."""
        if memory.fresh:
            visible, values, defaults = self._compiled.visible, memory.values, self._compiled.defaults
            if any(index in visible and values.get(index, defaults[index]) != old for index, old in changed.items()):
                memory.fresh = NOTHING_FRESH

    def _asking(self, memory: Memory, now: EpochMs, call: Call) -> Asking:
        compiled = self._compiled
        reader = Reader(compiled, memory.values, is_score=True)
        return Asking(call.score, reader, memory, now, compiled.score_numbers, remembers=True)
