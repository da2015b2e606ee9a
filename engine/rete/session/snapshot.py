"""A session's memory as bytes, and back: into the network that wrote it, or into another revision's.

What belongs to a quantity, a rule or a score test is named by a hash of its structure, so that a snapshot needs no
table of the network that made it and can't be misread by one in which the same place means something else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from heapq import heapify
from typing import Any

from engine.activation import FactReader, ScoreAnswer, ScoreStatus
from engine.language.tree import Aggregate, ScoreTest
from engine.rete.agenda.production import Production
from engine.rete.agenda.scoring import Asking
from engine.rete.agenda.settle import settle_computed, settle_derived
from engine.rete.alpha.aggregates import Changed
from engine.rete.alpha.windows import WindowNode
from engine.rete.beta.joins import Following, Joins
from engine.rete.beta.pattern import PatternState
from engine.rete.compilation import Compiled
from engine.rete.conditions.quantity import Origin
from engine.rete.conditions.reading import Reader
from engine.rete.conditions.subjects import Presence
from engine.rete.session.memory import NOTHING_FRESH, Memory
from engine.rete.session.refill import refill, scanned_value
from engine.rete.session.retained import Retained
from engine.rete.session.stored import STORED_APART, Packed, SnapshotError, framed, storable, unframed, value_of
from engine.values import EpochMs

_HASH = 8
_PATTERN = 6
"""What is stored of each pattern; behind it which keys lack something, where that is known."""
NOWHERE: tuple[int, WindowNode | None] = (-1, None)
"""The place of what this network does not have."""


@dataclass(frozen=True, slots=True)
class Difference:
    """What a network has that the one of an earlier bundle had not: rules, and quantities that only these look at."""

    rules: frozenset[int]
    nodes: frozenset[int]


class Names:
    """The structural names of a network's quantities, rules and score tests, and of its bundle and those before it."""

    def __init__(
        self,
        compiled: Compiled,
        bundle_hash: str,
        ancestry: Mapping[str, frozenset[str]],
        former: Names | None = None,
    ) -> None:
        """`former`: of another network; what is the same is taken over."""
        self.bundle = _hash(bundle_hash)
        self.compiled = compiled
        self._ancestry = ancestry
        self._by_name = {_hash(name): name for name in ancestry}
        self._differences: dict[bytes, Difference | None] = {}
        self.ids: list[bytes] = []
        self.places: dict[bytes, tuple[int, WindowNode | None]] = {}
        self.rules: list[bytes] = []
        self.rule_by_name: dict[bytes, int] = {}
        self.sum = 0
        before: Compiled | None = None
        if former is not None and former.compiled.lineage is compiled.lineage:
            before, self.sum = former.compiled, former.sum
            self.ids, self.places = former.ids.copy(), former.places.copy()
            self.rules, self.rule_by_name = former.rules.copy(), former.rule_by_name.copy()
        self._follow_quantities(before)
        self._follow_rules(before)
        self.signature = self.sum.to_bytes(_HASH, "big")
        self.tests = [_hash(_test_text(test)) for test in compiled.score_numbers]
        self.test_by_name = {name: number for number, name in enumerate(self.tests)}
        # Computed from the others, so not stored.
        self.follows = frozenset(each.index for each in (*compiled.computed, *compiled.scanned))
        self.unstored = self.follows.union(compiled.windows, compiled.patterns)
        facts = (compiled.quantities.by_name[name] for name in compiled.program.vocabulary.facts)
        self.derived = tuple(each.index for each in facts if each.origin is Origin.DERIVED)

    def _follow_quantities(self, former: Compiled | None) -> None:
        """Take in the quantities that have no name yet, and leave out those that went.

        The sum of all their ids tells one set of them from another, in whatever order they came and went.
        """
        compiled = self.compiled
        quantities, gone = compiled.quantities.all, compiled.quantities.gone
        if former is not None:
            gone = gone.difference(former.quantities.gone)
        windows = compiled.windows
        for each in quantities[len(self.ids) :]:
            self.ids.append(each.id)
            self.places[each.id] = (each.index, windows.get(each.index))
            self.sum += int.from_bytes(each.id, "big")
        for index in gone:
            name = self.ids[index]
            self.sum -= int.from_bytes(name, "big")
            if self.places[name][0] == index:
                del self.places[name]

    def _follow_rules(self, former: Compiled | None) -> None:
        """Name the rules that are not what they were; those that are gone stay without a name."""
        productions = self.compiled.productions
        before = () if former is None else former.productions
        changed = [index for index, (each, was) in enumerate(zip(productions, before, strict=False)) if each is not was]
        for index in changed:
            self.rule_by_name.pop(self.rules[index], None)
            self.rules[index] = b""
        self.rules += [b""] * (len(productions) - len(before))
        ranks = self.compiled.ranks
        for index in (*changed, *range(len(before), len(productions))):
            if ranks is None or ranks[index] >= 0:
                name = self.rules[index] = _hash(productions[index].rule.digest)
                self.rule_by_name[name] = index

    def index_of(self, name: bytes) -> int:
        """The index of a quantity; below 0 for what this network does not have."""
        return self.places.get(name, NOWHERE)[0]

    def difference(self, bundle: bytes) -> Difference | None:
        """What is new since a bundle; None where that is not among the known ancestors."""
        if bundle not in self._differences:
            name = self._by_name.get(bundle)
            self._differences[bundle] = None if name is None else self._since(self._ancestry[name])
        return self._differences[bundle]

    def _since(self, known: frozenset[str]) -> Difference:
        compiled = self.compiled
        new = frozenset(each.index for each in compiled.acting if each.rule.digest not in known)
        productions, readers = compiled.productions, compiled.index.readers
        return Difference(
            new,
            frozenset(
                index
                for index in (*compiled.nodes, *compiled.patterns)
                if not any(each not in new and index in productions[each].reads for each in readers(index))
            ),
        )


def write_snapshot(compiled: Compiled, names: Names, memory: Memory) -> bytes:
    """The memory as bytes."""
    clock, ids, unstored = memory.clock, names.ids, names.unstored
    entries: dict[bytes, Any] = {ids[index]: value for index, value in memory.values.items() if index not in unstored}
    if clock is None:
        packed = Packed(names.bundle, names.signature, memory.session_id, memory.customer_id, None, 0, None, None)
        packed.entries = entries
        return framed(packed)
    assert memory.started is not None
    last_event, evaluated = memory.last_event, memory.evaluated
    packed = Packed(
        names.bundle,
        names.signature,
        memory.session_id,
        memory.customer_id,
        clock,
        clock - memory.started,
        None if last_event is None else clock - last_event,
        None if evaluated is None else clock - evaluated,
        entries,
    )
    windows, nodes = compiled.windows, compiled.nodes
    states: dict[bytes, Any] = {}
    for index, state in memory.states.items():
        if index not in windows:
            states[ids[index]] = nodes[index].pack(state, clock)
        elif type(state) is int:
            # What most windows keep is packed without a call for each: as the nodes' own `pack` has it.
            entries[ids[index]] = clock - state
        elif type(state[0]) is int:
            entries[ids[index]] = [clock - time for time in state]
        else:
            entries[ids[index]] = nodes[index].pack(state, clock)
    packed.states = states
    joins = memory.joins
    if joins is not None:
        packed.joined = {ids[index]: _pack_pattern(state, clock) for index, state in joins.states.items()}
        packed.told = {
            names.rules[index]: sorted(([*map(storable, token)] for token in tokens), key=repr)
            for index, tokens in joins.told.items()
        }
        packed.unsettled = sorted(ids[index] for index in joins.unsettled)
    if memory.resets:
        packed.resets = {name: clock - time for name, time in memory.resets.items()}
    retained = memory.retained
    if retained is not None:
        packed.kept = bytes(retained.packed)
        packed.kept_origin = retained.origin
        packed.kept_count = retained.count
        packed.kept_latest = retained.latest - retained.origin
        packed.kept_dropped = None if retained.dropped is None else retained.dropped - retained.origin
        packed.kept_shapes = list(retained.shapes)
    if (
        memory.forgotten
        or memory.latches
        or memory.answers
        or memory.held
        or memory.acts
        or memory.new
        or memory.quiet
        or memory.is_asking
    ):
        packed.rest = [
            {names.ids[index]: clock - time for index, time in memory.forgotten.items()},
            sorted(names.tests[number] for number in memory.latches),
            {name: [value, clock - at, version] for name, (value, at, version) in memory.answers.items()},
            sorted(memory.fresh),
            sorted(names.rules[index] for index in memory.held),
            {names.rules[index]: [clock - at for at in acts] for index, acts in memory.acts.items()},
            sorted(names.rules[index] for index in memory.new),
            sorted(names.rules[index] for index in memory.quiet),
            memory.is_asking,
        ]
    return framed(packed)


def read_snapshot(compiled: Compiled, names: Names, raw: bytes) -> Memory:
    """The opposite of `write_snapshot`, into this network.

    Raises:
        SnapshotError: See there.
    """
    packed = unframed(raw)
    try:
        return _read(compiled, names, packed)
    except (TypeError, ValueError, KeyError, IndexError, AttributeError) as problem:
        message = f"this session snapshot does not fit together: {type(problem).__name__}: {problem}"
        raise SnapshotError(message) from problem


def _read(compiled: Compiled, names: Names, packed: Packed) -> Memory:
    memory = Memory(packed.session_id, packed.customer_id)
    clock = packed.clock
    memory.clock = clock
    values, states = memory.values, memory.states
    timed, lazy, rest, place = memory.timed, memory.lazy, packed.rest, names.places.get
    for name, value in packed.entries.items():
        index, window = place(name, NOWHERE)
        if window is None:
            if index >= 0:
                values[index] = value if type(value) not in STORED_APART else value_of(value)
        else:
            assert clock is not None
            if rest:
                states[index] = window.unpack(value, clock)
            else:
                mark = (window.resume(memory, value, clock), index)
                if window.is_timed:
                    timed.append(mark)
                else:
                    lazy.append(mark)
    if clock is None:
        return memory
    memory.started = clock - packed.started
    memory.last_event = None if packed.last_event is None else clock - packed.last_event
    memory.evaluated = None if packed.evaluated is None else clock - packed.evaluated
    memory.resets = {name: clock - age for name, age in packed.resets.items()}
    if packed.kept_origin is not None:
        retained = memory.retained = Retained(packed.kept_origin, packed.kept)
        retained.count = packed.kept_count
        retained.latest = packed.kept_origin + packed.kept_latest
        retained.dropped = None if packed.kept_dropped is None else packed.kept_origin + packed.kept_dropped
        retained.shapes = packed.kept_shapes
    for name, state in packed.states.items():
        index, _ = place(name, NOWHERE)
        if index in compiled.nodes:
            states[index] = compiled.nodes[index].unpack(state, clock)
    if rest:
        _read_rest(names, memory, clock, rest)
        _mark_windows(compiled, memory, clock)
    difference = None if packed.bundle == names.bundle else names.difference(packed.bundle)
    if packed.quantities != names.signature:
        _fill(compiled, names, difference, memory, packed)
    if names.follows:
        _follow(compiled, memory, clock)
    if compiled.patterns:
        _read_patterns(compiled, names, difference, memory, packed)
    if packed.bundle != names.bundle:
        _change_bundle(compiled, names, memory, clock)
        if difference is not None:
            memory.new = memory.new.union(difference.rules)
        else:
            memory.quiet = frozenset(each.index for each in compiled.scored) - memory.held
    heapify(timed)
    heapify(lazy)
    return memory


def _read_rest(names: Names, memory: Memory, clock: EpochMs, rest: list[Any]) -> None:
    forgotten, latches, answers, fresh, held, acts, new, quiet, memory.is_asking = rest
    memory.forgotten = {names.index_of(name): clock - age for name, age in forgotten.items() if name in names.places}
    memory.latches = frozenset(names.test_by_name[name] for name in latches if name in names.test_by_name)
    memory.answers = {name: (value, clock - age, version) for name, (value, age, version) in answers.items()}
    memory.fresh = frozenset(fresh)
    memory.held = frozenset(names.rule_by_name[name] for name in held if name in names.rule_by_name)
    memory.acts = {
        names.rule_by_name[name]: [clock - age for age in ages]
        for name, ages in acts.items()
        if name in names.rule_by_name
    }
    memory.new = frozenset(names.rule_by_name[name] for name in new if name in names.rule_by_name)
    memory.quiet = frozenset(names.rule_by_name[name] for name in quiet if name in names.rule_by_name)


def _mark_windows(compiled: Compiled, memory: Memory, clock: EpochMs) -> None:
    """Values of the windows from their entries, and a mark for the next entry of each to leave."""
    for index in {*memory.states, *memory.forgotten}:
        node = compiled.windows.get(index)
        if node is None:
            if index in memory.forgotten:
                memory.values[index] = None
            continue
        memory.values[index] = node.value_at(memory, clock)
        moment = node.next_moment(memory)
        if moment is not None:
            (memory.timed if node.is_timed else memory.lazy).append((moment, index))
        if index in memory.forgotten:
            memory.timed.append((memory.forgotten[index] + node.window, index))


def _fill(compiled: Compiled, names: Names, difference: Difference | None, memory: Memory, packed: Packed) -> None:
    """Fill the quantities that the network of the snapshot did not have, from the retained events.

    Where all events are retained, only those that they reach can be anything but empty. Where some went, the snapshot's
    network may all the same have known that there was nothing: it did where a rule that looks at it is not new.
    """
    retained = memory.retained
    events = [] if retained is None else retained.read()
    if retained is not None and retained.dropped is not None:
        candidates: Iterable[int] = (
            compiled.nodes if difference is None else difference.nodes.intersection(compiled.nodes)
        )
    else:
        reached: set[int] = set()
        for event in events:
            kind = compiled.alpha.get(event.type)
            if kind is not None and not kind.is_dull:
                reached.update(feed.node.index for feed in kind.all_reached(event.attributes, event.time))
        candidates = sorted(reached)
    changed: Changed = {}
    for index in candidates:
        name = names.ids[index]
        if name not in packed.entries and name not in packed.states and index not in memory.forgotten:
            refill(memory, compiled.quantities.all[index], compiled.nodes[index], events, changed)
    # Of a type that no `since` named for a while, later ones may have come than the one that is remembered.
    for event in events:
        kind = compiled.alpha.get(event.type)
        if kind is not None and kind.resets:
            memory.resets[event.type] = max(event.time, memory.resets.get(event.type, event.time))


def _change_bundle(compiled: Compiled, names: Names, memory: Memory, clock: EpochMs) -> None:
    """Derived facts as the rules of this network have them, so that their change is no edge of another rule.

    A rule with scores holds if it held; a model is not asked here.
    """
    memory.fresh = NOTHING_FRESH
    # A rule with scores that is new may already be worth asking for.
    memory.is_asking = bool(compiled.scored)
    asserted = {fact for stratum in compiled.strata for fact in stratum.facts}
    withdrawn: Changed = {}
    for index in names.derived:
        if index not in asserted and index in memory.values:
            withdrawn[index] = memory.values.pop(index)
    follow = Following(compiled, memory, clock, None, {}) if compiled.patterns else None
    settle_computed(compiled, memory.values, withdrawn, {}, follow)
    nobody = Asking(_no_answer, _no_fact, memory, clock, compiled.score_numbers, remembers=False)

    def holds(production: Production) -> bool:
        if production.asking:
            return production.index in memory.held
        return production.holds(memory.values, clock, nobody)

    settle_derived(compiled, memory.values, {}, clock, holds, {}, all_of_them=True, follow=follow)
    if memory.joins is not None:
        memory.joins.was = {}


def _pack_pattern(state: PatternState, clock: EpochMs) -> list[Any]:
    """What a pattern keeps; moments as distances from the clock."""
    moments = (state.dropped, state.timed, state.lazy, state.clocked)
    packed: list[Any] = [
        *(None if moment is None else clock - moment for moment in moments),
        state.gaps,
        [[truth, *map(storable, token)] for token, truth in state.tokens.items()],
    ]
    if state.lost is not None and state.dropped is not None:
        packed.append([[number, clock - time, storable(key)] for (number, key), time in state.lost.items()])
    return packed


def _read_pattern(stored: list[Any], clock: EpochMs) -> PatternState:
    """The opposite of `_pack_pattern`."""
    *ages, gaps, tokens = stored[:_PATTERN]
    state = PatternState()
    state.dropped, state.timed, state.lazy, state.clocked = (None if age is None else clock - age for age in ages)
    state.marks = (state.timed, state.lazy)
    state.gaps = tuple(gaps)
    state.tokens = {tuple(map(value_of, values)): truth for truth, *values in tokens}
    if state.dropped is not None:
        state.lost = None  # as one stored it that did not say
        for lost in stored[_PATTERN:]:
            state.lost = {(number, value_of(key)): clock - age for number, age, key in lost}
    return state


def _read_patterns(
    compiled: Compiled, names: Names, difference: Difference | None, memory: Memory, packed: Packed
) -> None:
    """Patterns as they were; those that the network of the snapshot did not have are made from the retained events."""
    clock = packed.clock
    assert clock is not None
    is_other = packed.quantities != names.signature
    if not packed.joined and not packed.unsettled and not is_other:
        return
    joins = memory.joins = Joins()
    for name, stored in packed.joined.items():
        index = names.index_of(name)
        if index in compiled.patterns:
            state = joins.states[index] = _read_pattern(stored, clock)
            if state.timed is not None:
                memory.timed.append((state.timed, index))
            if state.lazy is not None:
                memory.lazy.append((state.lazy, index))
            value = compiled.patterns[index].value(state)
            if value is not False:
                memory.values[index] = value
    joins.unsettled = frozenset(names.index_of(name) for name in packed.unsettled if name in names.places)
    joins.told = {
        names.rule_by_name[name]: frozenset(tuple(map(value_of, token)) for token in tokens)
        for name, tokens in packed.told.items()
        if name in names.rule_by_name
    }
    if is_other:
        _fill_patterns(compiled, names, difference, memory, packed)
    if not joins.states and not joins.unsettled and not joins.told:
        memory.joins = None


def _fill_patterns(
    compiled: Compiled, names: Names, difference: Difference | None, memory: Memory, packed: Packed
) -> None:
    """Look at the patterns that are new, and at those that look at quantities which may mean something else now."""
    joins, clock = memory.joins, packed.clock
    assert joins is not None
    assert clock is not None
    follow = Following(compiled, memory, clock, None, {})
    dropped = None if memory.retained is None else memory.retained.dropped
    for index, pattern in compiled.patterns.items():
        is_new = names.ids[index] not in packed.joined and (difference is None or index in difference.nodes)
        if is_new and dropped is not None:
            joins.states[index] = PatternState()
            joins.states[index].dropped, joins.states[index].lost = dropped, None
        if (is_new or pattern.reads) and follow.matters(index):
            joins.touched[index] = None
            if pattern.asks_catalogue:
                joins.unsettled |= {index}
    heapify(memory.timed)
    heapify(memory.lazy)
    follow({})
    joins.was = {}
    joins.touched = {}


def _no_answer(name: str, reader: FactReader) -> ScoreAnswer:
    return ScoreAnswer(ScoreStatus.MISSING)


def _no_fact(name: str) -> None:
    return None


def _follow(compiled: Compiled, memory: Memory, clock: EpochMs) -> None:
    """What is not stored because it follows from the rest."""
    for quantity in compiled.scanned:
        assert isinstance(quantity.subject, Aggregate | Presence)
        value = scanned_value(memory, quantity.subject, clock, Reader(compiled, memory.values, is_score=False))
        if value != quantity.default:
            memory.values[quantity.index] = value
        if quantity.window is not None and memory.retained is not None:
            memory.timed.extend(
                (moment, quantity.index)
                for event in memory.retained.read()
                if (moment := event.time + quantity.window) > clock
            )
    if compiled.computed:
        settle_computed(compiled, memory.values, dict.fromkeys(memory.values), {})


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()[:_HASH]


def _test_text(test: ScoreTest) -> str:
    """What a score test means, its place left aside."""
    parts = (test.score, test.operator.value, test.operand, test.if_unavailable.value, test.release, test.last_known)
    return repr(parts)
