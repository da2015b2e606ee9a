"""The compiled network: immutable, shared by all sessions and threads. What a session knows is in its `Memory`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from heapq import heappop, heappush

from engine.activation import Activation, ScoreAnswer, ScoreFunction, Step
from engine.event import Event
from engine.language.tree import FactRef, Program
from engine.rete.agenda import activate
from engine.rete.aggregates import Changed
from engine.rete.alpha import Broken, Feed
from engine.rete.compilation import Compiled, compile_program
from engine.rete.memory import Memory
from engine.rete.production import Production
from engine.rete.reading import Reader
from engine.rete.refill import refill, scanned_value
from engine.rete.retained import Retained
from engine.rete.scoring import Asking
from engine.rete.settle import Failures, as_failures, blame, settle_computed, settle_derived
from engine.rete.snapshot import Names, read_snapshot, short_hash, write_snapshot
from engine.rete.view import View
from engine.values import EpochMs, Value


class _Call:
    """What one call of the network brings about, over all its steps."""

    __slots__ = ("activations", "failures", "score", "scores")

    def __init__(self, score: ScoreFunction) -> None:
        self.score = score
        self.activations: list[Activation] = []
        self.failures: Failures = {}
        self.scores: list[tuple[str, ScoreAnswer]] = []

    def step(self) -> Step:
        """As the caller gets it."""
        return Step(tuple(self.activations), as_failures(self.failures), tuple(self.scores))


class Network:
    """A bundle's rules, ready to run. Immutable: any number of threads may use it, each with its own memories.

    Attributes:
        program: What it was built from.
        bundle_hash: Of the bundle; a snapshot carries it.
        rule_digests: What its rules mean; decides which rules are new for a session of another bundle.
    """

    def __init__(self, compiled: Compiled, bundle_hash: str, ancestry: Mapping[str, frozenset[str]]) -> None:
        """Use `build`."""
        self._compiled = compiled
        self._names = Names(compiled)
        self._ancestry = {short_hash(name): digests for name, digests in ancestry.items()}
        self.program = compiled.program
        self.bundle_hash = bundle_hash
        self.rule_digests = frozenset(rule.digest for rule in compiled.program.rules)

    @classmethod
    def build(
        cls, program: Program, bundle_hash: str = "", ancestry: Mapping[str, frozenset[str]] | None = None
    ) -> Network:
        """Compile a checked program.

        Args:
            program: Checked; a rule that can't be compiled all the same never holds and is a failure in each step that
                looks at it.
            bundle_hash: Of the bundle that it is.
            ancestry: The digests of the rules of earlier bundles, by bundle hash: a rule that is not among those of a
                snapshot's bundle is new to its session. For a bundle that is not here, no rule is new.
        """
        return cls(compile_program(program), bundle_hash, dict(ancestry or {}))

    # ------------------------------------------------------------------ sessions

    def open(self, session_id: str, customer_id: str | None = None) -> Memory:
        """The working memory of a new session. Before its first step no rule holds."""
        return Memory(session_id, customer_id)

    def restore(self, snapshot: bytes) -> Memory:
        """Read a snapshot, of this network or of another.

        State is kept by the structure of what it belongs to; what is new is filled from the retained events. Rules
        that are new act at the end of the next call, if they hold then; nothing else fires by the reload.

        Raises:
            SnapshotError: These bytes are no snapshot, or one of a format that this version does not read.
        """
        return read_snapshot(self._compiled, self._names, self.bundle_hash, self._ancestry, snapshot)

    def snapshot(self, memory: Memory) -> bytes:
        """The memory as bytes; the same memory gives the same bytes."""
        return write_snapshot(self._compiled, self._names, self.bundle_hash, memory)

    # ------------------------------------------------------------------ the stream

    def insert(self, memory: Memory, event: Event, score: ScoreFunction) -> Step:
        """Take in an event.

        What is due earlier than it acts first; then it is evaluated together with what expires at its very time. A
        late event is put at its own time and evaluated at the session's clock.

        The caller has dropped duplicates and events that are too late.
        """
        call = _Call(score)
        now = event.time if memory.clock is None else max(memory.clock, event.time)
        self._pass_time(memory, now, call, include=False)
        if event.customer_id is not None:
            memory.customer_id = event.customer_id
        self._step(memory, now, call, event, None)
        self._finish(memory, now, call)
        return call.step()

    def set_facts(self, memory: Memory, facts: Mapping[str, Value | None], now: EpochMs, score: ScoreFunction) -> Step:
        """Set profile facts (None: without a value) at `now`; names that no rule and no feature knows are ignored."""
        call = _Call(score)
        now = now if memory.clock is None else max(memory.clock, now)
        self._pass_time(memory, now, call, include=False)
        self._step(memory, now, call, None, facts)
        self._finish(memory, now, call)
        return call.step()

    def advance(self, memory: Memory, now: EpochMs, score: ScoreFunction) -> Step:
        """Let the clock pass: everything due up to and including `now` acts, in order of its time."""
        call = _Call(score)
        if memory.clock is not None:
            now = max(memory.clock, now)
            self._pass_time(memory, now, call, include=True)
            if now > memory.clock or memory.new:
                self._step(memory, now, call, None, None)
            self._finish(memory, now, call)
        return call.step()

    def due(self, memory: Memory) -> EpochMs | None:
        """The earliest moment at which `advance` could bring an activation; None where only an event can.

        The end of the session is not among them, nor a schedule that opens: what holds then acts when the session is
        next looked at.
        """
        return None if memory.clock is None else self._next_moment(memory, memory.clock)

    def view(self, memory: Memory, now: EpochMs, context: Mapping[str, Value], score: ScoreFunction) -> View:
        """What holds at a request: changes nothing, and may be made of a memory that other views read too."""
        return View(self._compiled, memory, now, context, score)

    # ------------------------------------------------------------------ steps

    def _next_moment(self, memory: Memory, clock: EpochMs) -> EpochMs | None:
        """The earliest moment after `clock` at which time alone can bring about something."""
        compiled = self._compiled
        timed = memory.timed
        while timed:
            moment, index = timed[0]
            following = compiled.windows[index].next_moment(memory) if index in compiled.windows else moment
            if following == moment:
                break
            heappop(timed)  # it was seen again since
            if following is not None and (following, index) not in timed:
                heappush(timed, (following, index))
        moments = [timed[0][0]] if timed else []
        if memory.is_asking:
            moments.extend(moment for moment, _ in memory.lazy)
        moments.extend(self._clock_moments(memory, clock))
        return min((moment for moment in moments if moment > clock), default=None)

    def _clock_moments(self, memory: Memory, clock: EpochMs) -> list[EpochMs]:
        """Moments at which the clock itself changes something: a test against it, a schedule, the age of an answer."""
        compiled = self._compiled
        moments: list[EpochMs] = []
        for clocked in compiled.clocked:
            value = memory.values.get(clocked.index, compiled.defaults[clocked.index])
            if isinstance(value, int):
                moments.append(value)
                for age in clocked.ages:
                    length = age if age >= 0 else memory.values.get(-1 - age, compiled.defaults[-1 - age])
                    if isinstance(length, int):
                        moments.append(value + length)
        if compiled.assert_gates:
            change = compiled.assert_gates.next_change(clock)
            if change is not None:
                moments.append(change)
        if memory.is_asking:
            for name, length in compiled.last_known:
                answer = memory.answers.get(name)
                if answer is not None:
                    moments.append(answer[1] + length)
        return moments

    def _pass_time(self, memory: Memory, now: EpochMs, call: _Call, *, include: bool) -> None:
        """Step through every moment that is due before `now`, or up to it."""
        while memory.clock is not None:
            moment = self._next_moment(memory, memory.clock)
            if moment is None or moment > now or (moment == now and not include):
                return
            self._step(memory, moment, call, None, None, is_timer=True)

    def _step(
        self,
        memory: Memory,
        now: EpochMs,
        call: _Call,
        event: Event | None,
        facts: Mapping[str, Value | None] | None,
        *,
        is_timer: bool = False,
    ) -> None:
        """One evaluation: what expires at `now`, the event or the facts, what follows, and the rules that became true."""
        compiled, values, failures = self._compiled, memory.values, call.failures
        clock = memory.clock
        is_first = clock is None
        before = now - 1 if clock is None or clock < now else now
        if memory.lazy and memory.lazy[0][0] <= before:
            silent: Changed = {}
            self._expire(memory, before, silent)
            settle_computed(compiled, values, silent, failures)
            self._age_answers(memory, silent)
        if clock is None:
            memory.started = now
        is_forced = not is_timer or now in self._clock_moments(memory, now - 1)
        memory.clock = now
        changed: Changed = {}
        self._expire(memory, now, changed)
        if event is not None:
            self._take_in(memory, event, now, changed, failures)
        if facts is not None:
            self._set(memory, facts, changed)
        for quantity in compiled.scanned:
            self._scan(memory, quantity.index, now, changed, failures)
        settle_computed(compiled, values, changed, failures)
        self._age_answers(memory, changed)
        if not is_forced and all(values.get(index, compiled.defaults[index]) == old for index, old in changed.items()):
            return  # something left a window, and it made no difference
        for clocked in compiled.clocked:
            if clocked.index not in changed and clocked.index in values:
                changed[clocked.index] = values[clocked.index]
        asking = Asking(
            call.score, self._reader(memory, is_score=True), memory, now, compiled.score_numbers, remembers=True
        )
        if compiled.strata:
            settle_derived(
                compiled,
                values,
                changed,
                now,
                lambda rule: rule.holds(values, now, asking),
                failures,
                all_of_them=is_first,
            )
        risen = self._risen(memory, now, before, changed, asking, failures, is_first=is_first)
        # A rule with scores that holds must be seen to end, too.
        memory.is_asking = asking.is_worth_it or bool(memory.held)
        call.scores.extend(asking.answers.items())
        if risen:
            read = self._reader(memory, is_score=False)
            for index in sorted(risen):
                call.activations.append(
                    activate(compiled.productions[index], memory, now, read, self.program.vocabulary, failures)
                )

    def _risen(
        self,
        memory: Memory,
        now: EpochMs,
        before: EpochMs,
        changed: Changed,
        asking: Asking,
        failures: Failures,
        *,
        is_first: bool,
    ) -> set[int]:
        """The rules that hold now and did not hold before the step."""
        compiled, values = self._compiled, memory.values
        risen: set[int] = set()
        certain: dict[int, bool] = {}
        try:
            if is_first:
                candidates: Iterable[int] = compiled.index.all.candidates(values)
            else:
                candidates = certain = compiled.index.risen(changed, values, now)
        except Exception:  # noqa: BLE001 - a test raised in an index: look at the rules one by one, to know whose it was
            candidates = range(len(compiled.productions)) if is_first else sorted(compiled.index.candidates(changed))
            certain = {}
        earlier: dict[int, Value | None] | None = None
        for index in candidates:
            if certain.get(index, False):
                risen.add(index)
                continue
            production = compiled.productions[index]
            if production.asking:
                continue
            try:
                if not production.holds(values, now, asking):
                    continue
                if not is_first:
                    if earlier is None:
                        earlier = {**values, **changed}
                    if production.holds(earlier, before, asking):
                        continue
            except Exception as problem:  # noqa: BLE001 - one broken rule never stops the others
                failures.setdefault(production.rule.id, f"{type(problem).__name__}: {problem}")
                continue
            risen.add(index)
        held: set[int] = set()
        if compiled.scored:
            for production in self._worth_asking(memory):
                if self._holds(production, memory, now, asking, failures):
                    held.add(production.index)
            risen |= held - memory.held - memory.new - memory.quiet
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

    def _finish(self, memory: Memory, now: EpochMs, call: _Call) -> None:
        """Rules that are new, or whose gate opened since the last call, act if they hold and did not act in this one."""
        compiled = self._compiled
        late = set(memory.new)
        if memory.evaluated is not None and compiled.gates:
            late.update(each.index for each in compiled.gates.opened(memory.evaluated, now) if each.rule.enabled)
        memory.evaluated = now
        memory.new = memory.quiet = frozenset()
        if not late:
            return
        acted = {activation.rule for activation in call.activations if activation.acts}
        told = {activation.rule for activation in call.activations}
        read = self._reader(memory, is_score=False)
        asking = Asking(call.score, read, memory, now, compiled.score_numbers, remembers=False)
        for index in sorted(late):
            production = compiled.productions[index]
            if production.rule.id in acted:
                continue
            holds = (
                index in memory.held
                if production.asking
                else self._holds(production, memory, now, asking, call.failures)
            )
            if holds:
                made = activate(production, memory, now, read, self.program.vocabulary, call.failures)
                if made.acts or made.rule not in told:
                    call.activations.append(made)

    def _age_answers(self, memory: Memory, changed: Changed) -> None:
        """Scores must be asked again when something that a model can see has another value."""
        if memory.fresh:
            visible, values, defaults = self._compiled.visible, memory.values, self._compiled.defaults
            if any(index in visible and values.get(index, defaults[index]) != old for index, old in changed.items()):
                memory.fresh.clear()

    # ------------------------------------------------------------------ changes

    def _expire(self, memory: Memory, horizon: EpochMs, changed: Changed) -> None:
        """Let go what has left its window by `horizon`."""
        windows = self._compiled.windows
        for heap in (memory.timed, memory.lazy):
            while heap and heap[0][0] <= horizon:
                _, index = heappop(heap)
                node = windows.get(index)
                if node is not None:
                    following = node.expire(memory, changed, horizon)
                    if following is not None and (following, index) not in heap:
                        heappush(heap, (following, index))

    def _set(self, memory: Memory, facts: Mapping[str, Value | None], changed: Changed) -> None:
        settable, values = self._compiled.settable, memory.values
        for name, value in facts.items():
            index = settable.get(name)
            if index is not None:
                old = values.get(index)
                if old != value or type(old) is not type(value):
                    changed.setdefault(index, old)
                    if value is None:
                        del values[index]
                    else:
                        values[index] = value

    def _take_in(self, memory: Memory, event: Event, now: EpochMs, changed: Changed, failures: Failures) -> None:
        """Retain the event and enter it into the quantities that it reaches."""
        kind = self._compiled.alpha.get(event.type)
        shape = kind.shape if kind is not None else (event.type, *event.attributes)
        retained = memory.retained
        if retained is None:
            memory.retained = retained = Retained(event.time)
        is_late = event.time < now
        retained.add(event, shape, self.program.vocabulary.keep_events)
        if memory.last_event is None or event.time > memory.last_event:
            memory.last_event = event.time
        if kind is None or kind.is_dull:
            self._touch_scanned(memory, event)
            return
        broken: Broken = []
        feeds = kind.reached(event.attributes, event.time, broken)
        for index, error in broken:
            blame(self._compiled, index, error, failures)
        if is_late:
            self._enter_late(memory, event, now, feeds, changed)
        else:
            self._enter(memory, event, feeds, changed)
        for node in kind.resets:
            if is_late:
                self._reset_late(memory, event, node.index, changed)
            else:
                node.reset(memory, changed)
        if kind.resets:
            memory.resets[event.type] = max(event.time, memory.resets.get(event.type, event.time))
        self._touch_scanned(memory, event)

    @staticmethod
    def _enter(memory: Memory, event: Event, feeds: list[Feed], changed: Changed) -> None:
        attributes, time = event.attributes, event.time
        for enter, attribute, sign, required, _ in feeds:
            if attribute is None:
                if required is None or attributes.get(required) is not None:
                    enter(memory, changed, time, sign)
            else:
                item = attributes.get(attribute)
                if item is not None:
                    enter(memory, changed, time, item if sign > 0 else -item)  # type: ignore[operator]

    def _enter_late(self, memory: Memory, event: Event, now: EpochMs, feeds: list[Feed], changed: Changed) -> None:
        """As `_enter`, but only what still belongs to the span at the session's clock."""
        quantities = self._compiled.quantities.all
        belonging = []
        for feed in feeds:
            subject = quantities[feed.node.index].subject
            span = getattr(subject, "span", None)
            assert span is not None
            if span.window is not None and event.time + span.window <= now:
                continue
            # An event at the time of the reset arrived after it, and counts.
            if span.since is not None and event.time < memory.resets.get(span.since, event.time):
                continue
            belonging.append(feed)
        self._enter(memory, event, belonging, changed)

    def _reset_late(self, memory: Memory, event: Event, index: int, changed: Changed) -> None:
        """A late `since` event: where it is the latest of its type, the aggregate is made anew from what is retained."""
        if event.time < memory.resets.get(event.type, event.time):
            return
        retained = memory.retained
        assert retained is not None
        node = self._compiled.nodes[index]
        if retained.dropped is not None and retained.dropped > event.time:
            node.forget(memory, changed, retained.dropped)
            return
        refill(memory, self._compiled.quantities.all[index], node, retained.read(), changed)

    def _touch_scanned(self, memory: Memory, event: Event) -> None:
        """Time the moments at which the event leaves the windows that are read from the retained events."""
        for quantity in self._compiled.scanned:
            window = quantity.window
            if window is not None and event.time + window > (memory.clock or 0):
                heappush(memory.timed, (event.time + window, quantity.index))

    def _scan(self, memory: Memory, index: int, now: EpochMs, changed: Changed, failures: Failures) -> None:
        quantity = self._compiled.quantities.all[index]
        assert not isinstance(quantity.subject, FactRef)
        old = memory.values.get(index, quantity.default)
        try:
            new = scanned_value(memory, quantity.subject, now, self._reader(memory, is_score=False))
        except Exception as problem:  # noqa: BLE001 - it is unknown then, and the rules that look at it say why
            new = None
            blame(self._compiled, index, f"{type(problem).__name__}: {problem}", failures)
        if new != old or type(new) is not type(old):
            changed.setdefault(index, old)
            memory.values[index] = new

    def _reader(self, memory: Memory, *, is_score: bool) -> Reader:
        return Reader(self._compiled, memory.values, is_score=is_score)
