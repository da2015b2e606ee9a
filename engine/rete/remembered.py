"""What a session remembers, for people: its facts, what time will change, which rules hold, the events that it keeps."""

from __future__ import annotations

import msgspec

from engine.activation import Catalogue, ScoreFunction
from engine.rete.compilation import Compiled
from engine.rete.memory.memory import Memory
from engine.rete.memory.retained import Kept
from engine.rete.network import Network
from engine.rete.reports.listing import list_network
from engine.values import EpochMs, Value


class Timer(msgspec.Struct, frozen=True):
    """A moment at which time alone changes something.

    Attributes:
        of: The quantity that something leaves, as a sentence says it.
        acts: Whether a rule may come about by it, so that the session is looked at then though no event comes.
    """

    at: EpochMs
    of: str
    acts: bool


class Active(msgspec.Struct, frozen=True):
    """A rule that holds, once for each combination of what it binds."""

    rule: str
    bindings: tuple[tuple[str, Value], ...] = ()


class Remembered(msgspec.Struct, frozen=True):
    """A session as of its clock.

    Attributes:
        facts: Facts and features that are known, by name.
        unknown: The others.
        dropped: Time of the latest event that had to go, None while all are kept.
    """

    session_id: str
    customer_id: str | None
    clock: EpochMs | None
    started: EpochMs | None
    last_event: EpochMs | None
    facts: dict[str, Value]
    unknown: tuple[str, ...]
    timers: tuple[Timer, ...]
    active: tuple[Active, ...]
    kept: tuple[Kept, ...]
    dropped: EpochMs | None


def remembered(
    network: Network, memory: Memory, score: ScoreFunction, catalogue: Catalogue | None = None
) -> Remembered:
    """What a memory of this network holds, as of its clock."""
    view = network.view(memory, memory.clock or 0, {}, score, catalogue)
    compiled = view.compiled
    values = {name: view.fact(name) for name in sorted(compiled.program.vocabulary.facts)}
    retained = memory.retained
    return Remembered(
        session_id=memory.session_id,
        customer_id=memory.customer_id,
        clock=memory.clock,
        started=memory.started,
        last_event=memory.last_event,
        facts={name: value for name, value in values.items() if value is not None},
        unknown=tuple(name for name, value in values.items() if value is None),
        timers=_timers(compiled, memory),
        active=tuple(Active(rule.id, each.bindings) for rule in view.holding() for each in view.combinations(rule)),
        kept=tuple(view.kept_events()),
        dropped=None if retained is None else retained.dropped,
    )


def _timers(compiled: Compiled, memory: Memory) -> tuple[Timer, ...]:
    texts = {node.quantity: node.text for node in list_network(compiled) if node.quantity is not None}
    found = set()
    for heap, acts in ((memory.timed, True), (memory.lazy, False)):
        for noted, index in heap:
            window = compiled.windows.get(index)
            # What was seen again since leaves later than the heap has it.
            moment = noted if window is None else window.next_moment(memory)
            if moment is not None:
                names = compiled.quantities.all[index].names
                found.add((moment, texts.get(index, ", ".join(names)), acts))
    return tuple(Timer(*each) for each in sorted(found))
