"""When time alone can bring something about: the moments that a session must be looked at though nothing happens."""

from __future__ import annotations

from heapq import heappop, heapreplace

from engine.rete.compilation import Compiled
from engine.rete.memory.memory import Memory
from engine.values import EpochMs


def next_moment(compiled: Compiled, memory: Memory, clock: EpochMs) -> EpochMs | None:
    """The earliest moment after `clock` at which something leaves a window, or the clock itself changes something."""
    timed = memory.timed
    while timed:
        moment, index = timed[0]
        node = compiled.windows.get(index)
        following = moment if node is None else node.next_moment(memory)
        if following == moment:
            break
        if following is None:
            heappop(timed)
        else:
            heapreplace(timed, (following, index))  # it was seen again since
    moments = [timed[0][0]] if timed else []
    if memory.is_asking:
        moments.extend(moment for moment, _ in memory.lazy)
    if compiled.has_clock_moments:
        moments.extend(clock_moments(compiled, memory, clock))
    return min((moment for moment in moments if moment > clock), default=None)


def clock_moments(compiled: Compiled, memory: Memory, clock: EpochMs) -> list[EpochMs]:
    """Moments at which the clock itself changes something: a test against it, a schedule, the age of an answer."""
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
