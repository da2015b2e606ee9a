"""How long a view holds: the moments at which time changes something, one by one, until one of them changes what holds.

Where rules look at nothing but windows and what is set, only the windows that something leaves are looked at, and the rules
that they make true or false; else the whole view is made again for each moment.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import heapify, heappop, heappush, heapreplace
from typing import TypeAlias

from engine.rete.alpha.aggregates import Changed
from engine.rete.compilation import Compiled
from engine.rete.conditions.truth import Values
from engine.rete.moment import Moment
from engine.rete.reports import explain
from engine.rete.session.combinations import combinations
from engine.schedule import next_change
from engine.values import EpochMs, Truth, Value

MOST_MOMENTS = 64
"""Moments that are looked at before one that may be too early is settled for."""

_NO_WINDOW = -1
"""In place of a window: the moment stands for itself."""

_Coming: TypeAlias = "list[tuple[EpochMs, int]]"
"""A heap of moments, each with its window: of each window a mark no later than the first entry that leaves it."""


def valid_until(view: Moment) -> EpochMs | None:
    """As `View.valid_until`."""
    compiled, holding, gate = view.compiled, view.holding_now(), None
    for index in holding:
        change = next_change(compiled.productions[index].rule.schedule, view.now)
        if change is not None and (gate is None or change < gate):
            gate = change
    if compiled.is_plain and not compiled.patterns and not compiled.eligible:
        return _of_windows(view, holding, gate)
    return _of_all(view, holding, gate)


def _of_windows(view: Moment, holding: frozenset[int], gate: EpochMs | None) -> EpochMs | None:
    """Nothing but what leaves a window changes anything before a schedule does."""
    compiled, memory, values = view.compiled, view.memory, dict(view.values)
    windows, defaults = compiled.windows, compiled.defaults
    heaps: list[_Coming] = [heap for heap in ([*memory.timed], [*memory.lazy]) if heap]
    number = -1
    while heaps:
        moment = heaps[0][0][0]
        if len(heaps) > 1 and heaps[1][0][0] < moment:
            moment = heaps[1][0][0]
        changed: Changed = {}
        is_real = is_empty = False
        for coming in heaps:
            while coming and coming[0][0] == moment:
                index = coming[0][1]
                if _next_of(view, coming) is not None and moment > view.now:
                    is_real = True
                    old, new = values.get(index, defaults[index]), windows[index].value_at(memory, moment)
                    if new != old:
                        changed[index], values[index] = old, new
            is_empty = is_empty or not coming
        if is_empty:
            heaps = [coming for coming in heaps if coming]
        if not is_real:
            continue
        if gate is not None and gate <= moment:
            break
        number += 1
        if number >= MOST_MOMENTS or _turn(compiled, holding, changed, values, moment):
            return moment
    return gate


def _turn(
    compiled: Compiled, holding: frozenset[int], changed: Changed, values: dict[int, Value | None], moment: EpochMs
) -> bool:
    """Whether these changes make a rule true or false."""
    productions = compiled.productions
    for index in holding:
        if not changed.keys().isdisjoint(productions[index].reads) and not _holds(compiled, index, values, moment):
            return True
    try:
        risen: Iterable[int] = compiled.index.risen(changed, values, moment)
    except Exception:  # noqa: BLE001 - a test raised in the index: look at the rules one by one
        risen = compiled.index.candidates(changed)
    return any(index not in holding and _holds(compiled, index, values, moment) for index in risen)


def _holds(compiled: Compiled, index: int, values: Values, moment: EpochMs) -> bool:
    try:
        return compiled.productions[index].holds_plainly(values, moment)
    except Exception:  # noqa: BLE001 - a broken rule does not hold; the view says so
        return False


def _of_all(view: Moment, holding: frozenset[int], gate: EpochMs | None) -> EpochMs | None:
    eligible, combined = _eligible(view), _combined(view, holding)
    turns = _turns(view)
    coming = _all_coming(view)
    coming += [(moment, _NO_WINDOW) for _, moment in turns]
    heapify(coming)
    number, latest = -1, view.now
    while coming:
        moment = _next_of(view, coming)
        if moment is None:
            continue
        for place, (others, upcoming) in enumerate(turns):
            if upcoming == moment:
                following = next(others, None)
                turns[place] = others, -1 if following is None else following
                if following is not None:
                    heappush(coming, (following, _NO_WINDOW))
        if moment <= latest:
            continue
        latest = moment
        if gate is not None and gate <= moment:
            break
        number += 1
        if number >= MOST_MOMENTS or view.asking.is_worth_it:
            return moment
        later = view.later(moment)
        if later.holding_now() != holding or _eligible(later) != eligible or later.asking.is_worth_it:
            return moment
        if combined != _combined(later, holding):
            return moment
        if later.patterns is not None:
            for at in later.patterns.clocked():
                heappush(coming, (at, _NO_WINDOW))
    return gate


def _next_of(view: Moment, coming: _Coming) -> EpochMs | None:
    """Take the first moment of a heap, and put in what follows it in its window; None where nothing happens then.

    What leaves a window is looked up one by one: the first few moments nearly always tell, of hundreds.
    """
    moment, index = coming[0]
    if index == _NO_WINDOW:
        heappop(coming)
        return moment
    node = view.compiled.windows.get(index)
    leaving = [] if node is None else list(node.moments(view.memory))
    after = max(moment, view.now)
    following = min((each for each in leaving if each > after), default=None)
    if following is None:
        heappop(coming)
    else:
        heapreplace(coming, (following, index))
    return moment if moment in leaving else None


def _all_coming(view: Moment) -> _Coming:
    """The moments after the view's at which time changes a value or a test."""
    compiled, memory, now = view.compiled, view.memory, view.now
    moments: set[EpochMs] = set()
    for quantity in compiled.scanned:
        if quantity.window is not None:
            moments.update(event.time + quantity.window for event in view.kept_events())
    for clocked in compiled.clocked:
        value = _value(view, clocked.index)
        if isinstance(value, int):
            moments.add(value)
            for age in clocked.ages:
                length = age if age >= 0 else _value(view, -1 - age)
                if isinstance(length, int):
                    moments.add(value + length)
    if compiled.assert_gates:
        change = compiled.assert_gates.next_change(now)
        if change is not None:
            moments.add(change)
    for name, length in compiled.last_known:
        answer = memory.answers.get(name)
        if answer is not None:
            moments.add(answer[1] + length)
    for condition in compiled.eligible:  # which no rule need have
        moments.update(explain.moments(view, condition))
    return [*memory.timed, *memory.lazy, *((moment, _NO_WINDOW) for moment in moments if moment > now)]


def _value(view: Moment, index: int) -> Value | None:
    return view.values.get(index, view.compiled.defaults[index])


def _turns(view: Moment) -> list[tuple[Iterator[EpochMs], EpochMs]]:
    """For each pattern the moments at which time changes it, with the first of them taken out."""
    patterns = view.patterns
    if patterns is None:
        return []
    look = patterns.look()
    each = [view.compiled.patterns[index].turns(state, look) for index, state in patterns.states.items()]
    return [(moments, first) for moments in each if (first := next(moments, None)) is not None]


def _combined(view: Moment, holding: Iterable[int]) -> list[list[object]]:
    """For which combinations rules hold that tell them apart, in order."""
    patterns, productions = view.patterns, view.compiled.productions
    if patterns is None:
        return []
    states, look = patterns.states, patterns.look()
    return [
        [
            each.bindings
            for each in combinations(
                view.compiled, productions[index], states, view.values, look, None, view.asking.truth
            )
        ]
        for index in holding
        if productions[index].patterns
    ]


def _eligible(view: Moment) -> list[Truth]:
    """Whether each offer with a condition of its own is eligible."""
    return [view.truth(condition) for condition in view.compiled.eligible]
