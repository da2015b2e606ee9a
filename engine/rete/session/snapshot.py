"""A session's memory as bytes, and back: into the network that wrote it, or into another revision's."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from heapq import heapify
from typing import Any

from engine.activation import FactReader, ScoreAnswer, ScoreStatus
from engine.language.tree import Aggregate
from engine.rete.agenda.production import Production
from engine.rete.agenda.scoring import Asking
from engine.rete.alpha.aggregates import Changed
from engine.rete.compilation import Compiled
from engine.rete.conditions.subjects import Presence
from engine.rete.memory.joins import Joins, PatternState
from engine.rete.memory.memory import NOTHING_FRESH, Memory
from engine.rete.memory.retained import Retained
from engine.rete.session.following import Following
from engine.rete.session.names import Difference, Names
from engine.rete.session.reading import Reader
from engine.rete.session.refill import refill, scanned_value
from engine.rete.session.settle import settle_computed, settle_derived
from engine.rete.session.stored import FIRST, STORED_APART, SnapshotError, framed, storable, unframed, value_of
from engine.values import EpochMs

_PATTERN = 6
"""What is stored of each pattern; behind it which keys lack something, where that is known."""


def write_snapshot(compiled: Compiled, names: Names, memory: Memory) -> bytes:
    """The memory as bytes; what stands where is said in `stored`."""
    clock, ids, unstored = memory.clock, names.ids, names.unstored
    entries: list[Any] = []
    for index, value in memory.values.items():
        if index not in unstored:
            entries.append(ids[index])
            entries.append(value)
    session, customer = memory.session_id, memory.customer_id
    if clock is None:
        return framed([names.bundle, names.signature, session, customer, None, None, None, None, entries])
    windows = compiled.windows
    states: list[Any] = []
    for index, state in memory.states.items():
        if index in windows:
            entries.append(ids[index])
            entries.append(windows[index].pack(state, clock))
        else:
            states.append(ids[index])
            states.append(compiled.nodes[index].pack(state, clock))
    started, last_event, evaluated = memory.started, memory.last_event, memory.evaluated
    retained = memory.retained
    assert started is not None
    parts: list[Any] = [
        names.bundle,
        names.signature,
        session,
        customer,
        clock,
        clock - started,
        None if last_event is None else clock - last_event,
        None if evaluated is None else clock - evaluated,
        entries,
        states,
    ]
    if retained is None:
        parts += (None, None, 0, 0, None, b"")
    else:
        origin, dropped = retained.origin, retained.dropped
        parts.append(retained.packed)
        parts.append(origin)
        parts.append(retained.count)
        parts.append(retained.latest - origin)
        parts.append(None if dropped is None else dropped - origin)
        parts.append(retained.stored_shapes())
    joins = memory.joins
    has_rest = (
        memory.is_asking
        or memory.forgotten
        or memory.latches
        or memory.answers
        or memory.held
        or memory.acts
        or memory.new
        or memory.quiet
    )
    if joins is not None and not (joins.states or joins.unsettled or joins.told):
        joins = None  # a look at nothing left it behind
    if has_rest or joins is not None or memory.resets:
        parts.append({name: clock - time for name, time in memory.resets.items()})
        parts.append(_rest(names, memory, clock) if has_rest else [])
        parts += ({}, [], {}) if joins is None else _pack_joins(names, joins, clock)
    return framed(parts)


def _rest(names: Names, memory: Memory, clock: EpochMs) -> list[Any]:
    return [
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


def _pack_joins(names: Names, joins: Joins, clock: EpochMs) -> tuple[Any, ...]:
    return (
        {names.ids[index]: _pack_pattern(state, clock) for index, state in joins.states.items()},
        sorted(names.ids[index] for index in joins.unsettled),
        {
            names.rules[index]: sorted(([*map(storable, token)] for token in tokens), key=repr)
            for index, tokens in joins.told.items()
        },
    )


def read_snapshot(compiled: Compiled, names: Names, raw: bytes) -> Memory:
    """The opposite of `write_snapshot`, into this network.

    Raises:
        SnapshotError: See there.
    """
    parts = unframed(raw)
    try:
        return _read(compiled, names, parts)
    except (TypeError, ValueError, KeyError, IndexError, AttributeError) as problem:
        message = f"this session snapshot does not fit together: {type(problem).__name__}: {problem}"
        raise SnapshotError(message) from problem


def _read(compiled: Compiled, names: Names, parts: list[Any]) -> Memory:
    memory = Memory(parts[2], parts[3])
    values, states, places = memory.values, memory.states, names.places
    timed, lazy = memory.timed, memory.lazy
    clock: EpochMs | None = parts[4]
    memory.clock = clock
    rest: list[Any] = parts[FIRST + 1] if len(parts) > FIRST else []
    entries: list[Any] = parts[8]
    for at in range(0, len(entries), 2):
        place = places.get(entries[at])
        if place is None:
            continue  # this network does not have it
        index, window, value = place.index, place.window, entries[at + 1]
        if window is None:
            values[index] = value if type(value) not in STORED_APART else value_of(value)
        elif rest:
            states[index] = window.unpack(value, clock or 0)
        else:
            mark = (window.resume(memory, value), index)
            if window.is_timed:
                timed.append(mark)
            else:
                lazy.append(mark)
    if clock is None:
        return memory
    last_event, evaluated = parts[6], parts[7]
    memory.started = clock - parts[5]
    memory.last_event = None if last_event is None else clock - last_event
    memory.evaluated = None if evaluated is None else clock - evaluated
    if parts[10] is not None:
        origin: EpochMs = parts[11]
        dropped = parts[14]
        memory.retained = retained = Retained(origin, parts[10], parts[15])
        retained.count = parts[12]
        retained.latest = origin + parts[13]
        retained.dropped = None if dropped is None else origin + dropped
    stored: list[Any] = parts[9]
    for at in range(0, len(stored), 2):
        index = names.index_of(stored[at])
        if index in compiled.nodes:
            states[index] = compiled.nodes[index].unpack(stored[at + 1], clock)
    if len(parts) > FIRST:
        memory.resets = {name: clock - age for name, age in parts[FIRST].items()}
        if rest:
            _read_rest(names, memory, clock, rest)
            _mark_windows(compiled, memory, clock)
    bundle: bytes = parts[0]
    is_other: bool = parts[1] != names.signature
    difference = None if bundle == names.bundle else names.difference(bundle)
    if is_other:
        _fill(compiled, names, difference, memory, {*entries[::2], *stored[::2]})
    if names.follows:
        _follow(compiled, memory, clock)
    if compiled.patterns:
        joined, unsettled, told = parts[FIRST + 2 :] or ({}, [], {})
        if joined or unsettled or is_other:
            _read_patterns(compiled, names, memory, joined, unsettled, told)
            if is_other:
                _fill_patterns(compiled, names, difference, memory, joined)
            joins = memory.joins
            if joins is not None and not joins.states and not joins.unsettled and not joins.told:
                memory.joins = None
    if bundle != names.bundle:
        _change_bundle(compiled, names, memory, clock)
        if difference is not None:
            memory.new = memory.new.union(difference.rules)
        else:
            memory.quiet = frozenset(each.index for each in compiled.scored) - memory.held
    if len(timed) > 1:
        heapify(timed)
    if len(lazy) > 1:
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


def _fill(compiled: Compiled, names: Names, difference: Difference | None, memory: Memory, stored: set[bytes]) -> None:
    """Fill the quantities that the network of the snapshot did not have, from the retained events.

    `stored` are those that it says something of.

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
        if name not in stored and index not in memory.forgotten:
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
    compiled: Compiled,
    names: Names,
    memory: Memory,
    joined: dict[bytes, list[Any]],
    unsettled: list[bytes],
    told: dict[bytes, list[list[Any]]],
) -> None:
    """Patterns as they were."""
    clock = memory.clock
    assert clock is not None
    joins = memory.joins = Joins()
    for name, stored in joined.items():
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
    joins.unsettled = frozenset(names.index_of(name) for name in unsettled if name in names.places)
    joins.told = {
        names.rule_by_name[name]: frozenset(tuple(map(value_of, token)) for token in tokens)
        for name, tokens in told.items()
        if name in names.rule_by_name
    }


def _fill_patterns(
    compiled: Compiled,
    names: Names,
    difference: Difference | None,
    memory: Memory,
    joined: Collection[bytes],
) -> None:
    """Make the patterns that the network of the snapshot did not have from the retained events.

    Those are looked at again that look at quantities which may mean something else now.
    """
    joins, clock = memory.joins, memory.clock
    assert joins is not None
    assert clock is not None
    follow = Following(compiled, memory, clock, None, {})
    dropped = None if memory.retained is None else memory.retained.dropped
    for index, pattern in compiled.patterns.items():
        is_new = names.ids[index] not in joined and (difference is None or index in difference.nodes)
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
