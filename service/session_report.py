"""A stored session as operators see it: its working memory, with personal values hidden unless asked for."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from engine.facts import FactStore
from engine.language.tree import FactSource, Vocabulary
from engine.ports import Position, SessionState
from engine.rete.memory.retained import Kept
from engine.rete.remembered import Active, Remembered, Timer, remembered
from engine.values import EpochMs, Kind, Value, ValueType
from service.clock import wall_ms
from service.loading import Loaded
from service.things import Lookup, Things

HIDDEN = "***"


class KeptEvent(msgspec.Struct, frozen=True):
    """An event that the session keeps; of its attributes those that rules look at."""

    type: str
    time: EpochMs
    attributes: Mapping[str, Value]


class SessionReport(msgspec.Struct, frozen=True):
    """A session as stored.

    Attributes:
        offset: Where the partition's state stands: records before it are in.
        watermark: The event time that has passed in the partition.
        size: Of the stored session, in bytes.
        due: When it is looked at though no event comes: the earliest timer, or its end.
        ends: When it ends if nothing happens any more.
        revision: With which it is shown; it was written by the bundle that was live at its last event.
        is_revealed: Whether personal values are shown.
    """

    session_id: str
    partition: int
    offset: int
    watermark: EpochMs
    size: int
    customer_id: str | None
    started: EpochMs | None
    clock: EpochMs | None
    last_event: EpochMs | None
    due: EpochMs | None
    ends: EpochMs | None
    revision: int
    is_revealed: bool
    facts: Mapping[str, Value]
    unknown: tuple[str, ...]
    active: tuple[Active, ...]
    timers: tuple[Timer, ...]
    kept: tuple[KeptEvent, ...]
    dropped: EpochMs | None


def report_session(
    loaded: Loaded, partition: int, position: Position, state: SessionState, catalogue: FactStore, *, reveal: bool
) -> SessionReport:
    """Read a stored session with a revision.

    Personal values are hidden unless `reveal`: the customer's id and profile, and every free text that came with an event.
    Numbers, choices and moments of events are shown.

    Raises:
        SnapshotError: Its bytes can't be read.
        PortError: The catalogue can't be asked.
    """
    assert state.snapshot is not None
    memory = loaded.network.restore(state.snapshot)
    vocabulary = loaded.program.vocabulary
    lookup = Lookup(Things(vocabulary), wall_ms(), catalogue.get)
    found = remembered(loaded.network, memory, loaded.scorer.answer, lookup)
    if lookup.failure is not None:
        raise lookup.failure
    if not reveal:
        found = _hidden(found, vocabulary)
    latest = found.last_event if found.last_event is not None else found.started
    return SessionReport(
        session_id=found.session_id,
        partition=partition,
        offset=position.offset,
        watermark=position.watermark,
        size=len(state.snapshot),
        customer_id=found.customer_id,
        started=found.started,
        clock=found.clock,
        last_event=found.last_event,
        due=state.due,
        ends=None if latest is None else latest + vocabulary.session_timeout,
        revision=loaded.revision.number,
        is_revealed=reveal,
        facts=found.facts,
        unknown=found.unknown,
        active=found.active,
        timers=found.timers,
        kept=tuple(KeptEvent(each.type, each.time, each.attributes) for each in found.kept),
        dropped=found.dropped,
    )


def _hidden(found: Remembered, vocabulary: Vocabulary) -> Remembered:
    facts = vocabulary.facts
    return msgspec.structs.replace(
        found,
        customer_id=None if found.customer_id is None else HIDDEN,
        facts={
            name: HIDDEN if facts[name].source is FactSource.PROFILE else _without_text(value, facts[name].type)
            for name, value in found.facts.items()
        },
        active=tuple(
            Active(
                each.rule, tuple((name, HIDDEN if isinstance(value, str) else value) for name, value in each.bindings)
            )
            for each in found.active
        ),
        kept=tuple(_event_without_text(each, vocabulary) for each in found.kept),
    )


def _event_without_text(event: Kept, vocabulary: Vocabulary) -> Kept:
    declared = vocabulary.events.get(event.type)
    types = {} if declared is None else {name: each.type for name, each in declared.attributes.items()}
    return event._replace(
        attributes={
            # An attribute that the vocabulary no longer has may have been anything.
            name: _without_text(value, types[name]) if name in types else HIDDEN
            for name, value in event.attributes.items()
        }
    )


def _without_text(value: Value, kind: ValueType) -> Value:
    if kind.kind is Kind.TEXT:
        return HIDDEN
    if kind.kind is Kind.LIST and kind.item is not None and kind.item.kind is Kind.TEXT:
        return HIDDEN
    return value
