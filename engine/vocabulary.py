"""What comes in from outside is typed here, against the vocabulary: events, and the facts of profiles and requests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from engine.event import Event, RawEvent
from engine.expression import compiled
from engine.language.tree import EventType, FactSource, Vocabulary
from engine.raw_values import Reader, ValueRefusedError, read_moment, reader_of, shown
from engine.values import EpochMs, Value

LONGEST_ID = 200
"""Characters of an event, session or customer id."""
DEEPEST_PROFILE = 4
"""How deep objects of a profile may nest: `{"customer": {"tier": "gold"}}` is 2."""


class EventRefusedError(ValueError):
    """An event that the vocabulary does not admit.

    Attributes:
        code: Stable: `unknown-event`, `unknown-attribute`, `computed-attribute`, `missing-id`, `bad-id`, or a code of
            `engine.raw_values.ValueRefusedError`.
        field: Where: `type`, `id`, `session_id`, `customer_id`, `time` or `attributes.<name>`.
        message: One sentence that names the field and what it needs.
    """

    def __init__(self, code: str, field: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.field = field
        self.message = message


@dataclass(frozen=True, slots=True)
class FactRefused:
    """A fact of a profile or request that was left out; the others were read."""

    code: str
    field: str
    message: str


class AttributeReaders:
    """Types the attributes of one event type, and computes the computed ones."""

    __slots__ = ("_computed", "_readers", "name")

    def __init__(self, event_type: EventType, vocabulary: Vocabulary) -> None:
        self.name = event_type.name
        self._readers: dict[str, Reader] = {}
        self._computed: list[tuple[str, Callable[[Mapping[str, Value]], Value | None]]] = []
        for attribute in event_type.attributes.values():
            if attribute.computed is None:
                self._readers[attribute.name] = reader_of(attribute.type, vocabulary.currency, vocabulary.minor_units)
            else:
                self._computed.append((attribute.name, compiled(attribute.computed)))

    def read(self, raw: Mapping[str, object]) -> dict[str, Value]:
        """Type all attributes; one that is null counts as absent. Raises `EventRefusedError`."""
        readers = self._readers
        values: dict[str, Value] = {}
        for name, item in raw.items():
            if item is None and name in readers:
                continue
            try:
                values[name] = readers[name](item)
            except KeyError:
                raise self._unknown(name) from None
            except ValueRefusedError as refused:
                raise EventRefusedError(refused.code, f"attributes.{name}", f"{self.name}.{name} {refused}") from None
        for name, compute in self._computed:
            value = compute(values)
            if value is not None:
                values[name] = value
        return values

    def _unknown(self, name: object) -> EventRefusedError:
        field = f"attributes.{name}"[:100]
        if any(name == computed for computed, _ in self._computed):
            return EventRefusedError("computed-attribute", field, f"{self.name}.{name} is computed here: don't send it")
        known = ", ".join(self._readers) or "no attributes"
        message = f"{self.name} has no attribute {shown(name)}; it has {known}"
        return EventRefusedError("unknown-attribute", field, message)


class Admission:
    """Admits events: one precompiled reader for each attribute of each event type.

    Immutable after it is made; safe to share between threads.
    """

    __slots__ = ("_types", "vocabulary")

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self._types = {name: (name, AttributeReaders(each, vocabulary)) for name, each in vocabulary.events.items()}

    def admit(self, raw: RawEvent, received: EpochMs) -> Event:
        """Type a raw event.

        Args:
            raw: As sent. Its id must have been given by now.
            received: Stands in for the time of an event that has none.

        Raises:
            EventRefusedError: At the first thing that does not fit.
        """
        found = self._types.get(raw.type)
        if found is None:
            message = f"the vocabulary declares no event {shown(raw.type)}"
            raise EventRefusedError("unknown-event", "type", message)
        kind, readers = found  # all events of a type share its name: it is found again without a look at its letters
        event_id, session_id, customer_id, time = raw.id, raw.session_id, raw.customer_id, raw.time
        if event_id is None:
            raise EventRefusedError("missing-id", "id", "an event needs an id, so that it counts once when sent twice")
        if not 0 < len(event_id) <= LONGEST_ID or not event_id.isprintable():
            raise _bad_id("id", event_id)
        if not 0 < len(session_id) <= LONGEST_ID or not session_id.isprintable():
            raise _bad_id("session_id", session_id)
        if customer_id is not None and (not 0 < len(customer_id) <= LONGEST_ID or not customer_id.isprintable()):
            raise _bad_id("customer_id", customer_id)
        if time is None:
            moment = received
        else:
            try:
                moment = read_moment(time)
            except ValueRefusedError as refused:
                raise EventRefusedError(refused.code, "time", f"time {refused}") from None
        return Event(event_id, kind, session_id, moment, customer_id, readers.read(raw.attributes))


def admit(vocabulary: Vocabulary, raw: RawEvent, received: EpochMs) -> Event:
    """Type one raw event; for many, keep an `Admission`. Raises `EventRefusedError`."""
    return Admission(vocabulary).admit(raw, received)


class FactReaders:
    """Reads the facts of one source from JSON. Immutable; safe to share between threads."""

    __slots__ = ("_readers", "source")

    def __init__(self, vocabulary: Vocabulary, source: FactSource) -> None:
        self.source = source
        self._readers = {
            fact.name: reader_of(fact.type, vocabulary.currency, vocabulary.minor_units)
            for fact in vocabulary.facts.values()
            if fact.source is source
        }

    def read(self, raw: Mapping[str, object]) -> tuple[dict[str, Value], tuple[FactRefused, ...]]:
        """Type all facts; what does not fit is left out and named, null means no value.

        A dotted fact may be written flat (`{"customer.tier": "gold"}`) or nested (`{"customer": {"tier": "gold"}}`).
        """
        values: dict[str, Value] = {}
        refused: list[FactRefused] = []
        self._collect("", raw, 1, values, refused)
        return values, tuple(refused)

    def _collect(
        self, prefix: str, raw: Mapping[str, object], depth: int, values: dict[str, Value], refused: list[FactRefused]
    ) -> None:
        for key, item in raw.items():
            name = f"{prefix}{key}"
            reader = self._readers.get(name)
            if reader is None and isinstance(item, Mapping) and depth < DEEPEST_PROFILE:
                self._collect(f"{name}.", item, depth + 1, values, refused)
            elif reader is None:
                message = f"the vocabulary declares no fact {shown(name)} that comes from: {self.source}"
                refused.append(FactRefused("unknown-fact", name[:100], message))
            elif item is not None:
                try:
                    values[name] = reader(item)
                except ValueRefusedError as error:
                    refused.append(FactRefused(error.code, name, f"{name} {error}"))


def read_facts(
    vocabulary: Vocabulary, source: FactSource, raw: Mapping[str, object]
) -> tuple[dict[str, Value], tuple[FactRefused, ...]]:
    """Type the facts of a profile or a request; for many, keep a `FactReaders`. Never raises on JSON values."""
    return FactReaders(vocabulary, source).read(raw)


def _bad_id(field: str, text: str) -> EventRefusedError:
    if not text:
        message = f"{field} is empty"
    elif len(text) > LONGEST_ID:
        message = f"{field} has {len(text):,} characters, at most {LONGEST_ID} are taken"
    else:
        message = f"{field} has characters that can't be printed"
    return EventRefusedError("bad-id", field, message)
