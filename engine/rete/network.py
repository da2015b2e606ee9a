"""The compiled network: immutable, shared by all sessions and threads. What a session knows is in its `Memory`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from engine.activation import (
    Catalogue,
    ScoreFunction,
    Step,
)
from engine.event import Event
from engine.language.tree import Program
from engine.rete.amendment import amended
from engine.rete.compilation import Compiled, compile_program
from engine.rete.memory.memory import Boxed, Memory
from engine.rete.reports.cost import Costs
from engine.rete.reports.listing import ListedNode, list_network
from engine.rete.reports.metering import Meter
from engine.rete.session.clockwork import next_moment
from engine.rete.session.names import Names
from engine.rete.session.snapshot import read_snapshot, write_snapshot
from engine.rete.session.steps import Call, Steps
from engine.rete.session.straight import insert_straight
from engine.rete.session.takeover import Successor
from engine.rete.view import View
from engine.values import EpochMs, Value


class Network:
    """A bundle's rules, ready to run. Immutable: any number of threads may use it, each with its own memories.

    Attributes:
        program: What it was built from.
        bundle_hash: Of the bundle; a snapshot carries it.
        rule_digests: What its rules mean; decides which rules are new for a session of another bundle.
    """

    def __init__(
        self,
        compiled: Compiled,
        bundle_hash: str,
        ancestry: Mapping[str, frozenset[str]],
        names: Names | None = None,
    ) -> None:
        """Use `build`."""
        self._compiled = compiled
        self._steps = Steps(compiled)
        self._names = Names(compiled, bundle_hash, ancestry, names)
        self._successor = Successor(compiled, self._names)
        self._is_plain = compiled.is_plain and not compiled.gates and not compiled.assert_gates
        self._has_patterns = bool(compiled.patterns)
        self._alpha = compiled.alpha
        self._costs: Mapping[str, Mapping[str, int]] | None = None  # until somebody asks
        self.program = compiled.program
        self.bundle_hash = bundle_hash
        self.rule_digests = frozenset([rule.digest for rule in compiled.program.rules])

    @classmethod
    def build(
        cls,
        program: Program,
        bundle_hash: str = "",
        ancestry: Mapping[str, frozenset[str]] | None = None,
        previous: Network | None = None,
    ) -> Network:
        """Compile a checked program.

        Args:
            program: Checked; a rule that can't be compiled all the same never holds and is a failure in each step that
                looks at it.
            bundle_hash: Of the bundle that it is.
            ancestry: The digests of the rules of earlier bundles, by bundle hash: a rule that is not among those of a
                snapshot's bundle is new to its session. For a bundle that is not here, no rule is new.
            previous: Of a program much like this one; makes no difference but to the time, and to that of `take_over`.
        """
        former = None if previous is None else previous._successor  # noqa: SLF001 - its own kind
        compiled = None if former is None else amended(program, former.compiled)
        names = None if former is None else former.names
        return cls(compiled or compile_program(program), bundle_hash, dict(ancestry or {}), names)

    def looks_at(self, fact: str) -> bool:
        """Whether any rule, or anything that a rule could look at, is made of this fact or feature."""
        compiled = self._compiled
        quantity = compiled.quantities.by_name.get(fact)
        if quantity is None:
            return False
        index, gone = quantity.index, compiled.quantities.gone
        return any(index in compiled.productions[each].reads for each in compiled.index.readers(index)) or any(
            index in each.reads and each.index not in gone for each in compiled.quantities.all
        )

    def nodes(self) -> tuple[ListedNode, ...]:
        """What it is made of, for people."""
        return list_network(self._compiled)

    def costs(self) -> Mapping[str, Mapping[str, int]]:
        """What an event may cost each rule, estimated, see `reports.cost`: places by the type of the event, by rule id."""
        if self._costs is None:
            costs = Costs(self._compiled)
            self._costs = {each.rule.id: costs.of(each) for each in self._compiled.acting}
        return self._costs

    def metered(self, clock: Callable[[], int]) -> Meter:
        """Meter all sessions of this network from now on, with a clock of nanoseconds; use one of its own for it."""
        return Meter(self._compiled, clock)

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
        return read_snapshot(self._compiled, self._names, snapshot)

    def take_over(self, memory: Memory, former: Network) -> Memory:
        """The memory of a session of another network as one of this: as if written there and restored here.

        It goes on as it is where what the networks differ in does not touch it; the caller gives it away in any case.

        Raises:
            SnapshotError: The other network keeps something that this one can't read.
        """
        if self._successor.takes_over(memory, former._successor):
            return memory
        return self.restore(former.snapshot(memory))

    def snapshot(self, memory: Memory) -> bytes:
        """The memory as bytes; the same memory gives the same bytes."""
        return write_snapshot(self._compiled, self._names, memory)

    # ------------------------------------------------------------------ the stream

    def insert(self, memory: Memory, event: Event, score: ScoreFunction, catalogue: Catalogue | None = None) -> Step:
        """Take in an event.

        What is due earlier than it acts first; then it is evaluated together with what expires at its very time. A
        late event is put at its own time and evaluated at the session's clock.

        The caller has dropped duplicates and events that are too late. Without a catalogue, nothing is known of things.
        """
        now = event.time
        time: Boxed = now
        clock, timed = memory.clock, memory.timed
        if clock is not None and now >= clock and self._is_plain and not ((timed and timed[0][0] <= now) or memory.new):
            if not self._has_patterns:
                kind, retained = self._alpha.get(event.type), memory.retained
                if kind is not None and retained is not None:
                    return insert_straight(self._compiled, memory, event, kind, retained, clock, time)
            elif memory.joins is None or not memory.joins.unsettled:
                return self._steps.insert_plainly(memory, event, clock, now, catalogue)
        call = Call(score, catalogue)
        if clock is not None and clock > now:
            now = clock
        self._steps.pass_time(memory, now, call, include=False)
        if event.customer_id is not None:
            memory.customer_id = event.customer_id
        self._steps.step(memory, now, call, event, None)
        self._steps.finish(memory, now, call)
        return call.step()

    def set_facts(
        self,
        memory: Memory,
        facts: Mapping[str, Value | None],
        now: EpochMs,
        score: ScoreFunction,
        catalogue: Catalogue | None = None,
    ) -> Step:
        """Set profile facts (None: without a value) at `now`; names that no rule and no feature knows are ignored."""
        call = Call(score, catalogue)
        now = now if memory.clock is None else max(memory.clock, now)
        self._steps.pass_time(memory, now, call, include=False)
        self._steps.step(memory, now, call, None, facts)
        self._steps.finish(memory, now, call)
        return call.step()

    def advance(self, memory: Memory, now: EpochMs, score: ScoreFunction, catalogue: Catalogue | None = None) -> Step:
        """Let the clock pass: everything due up to and including `now` acts, in order of its time."""
        call = Call(score, catalogue)
        if memory.clock is not None:
            now = max(memory.clock, now)
            self._steps.pass_time(memory, now, call, include=True)
            if now > memory.clock or memory.new:
                self._steps.step(memory, now, call, None, None)
            self._steps.finish(memory, now, call)
        return call.step()

    def due(self, memory: Memory) -> EpochMs | None:
        """The earliest moment at which `advance` could bring an activation; None where only an event can.

        The end of the session is not among them, nor a schedule that opens: what holds then acts when the session is
        next looked at.
        """
        return None if memory.clock is None else next_moment(self._compiled, memory, memory.clock)

    def view(
        self,
        memory: Memory,
        now: EpochMs,
        context: Mapping[str, Value],
        score: ScoreFunction,
        catalogue: Catalogue | None = None,
    ) -> View:
        """What holds at a request: changes nothing, and may be made of a memory that other views read too."""
        return View(self._compiled, memory, now, context, score, catalogue)
