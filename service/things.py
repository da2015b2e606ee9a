"""Facts of things, typed by one vocabulary and kept in the process, each as old as is allowed at most."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import msgspec

from engine.event import Event
from engine.facts import thing_id
from engine.language.tree import FactSource, Vocabulary
from engine.ports import PortError
from engine.values import EpochMs, Millis, Value
from engine.vocabulary import FactReaders

logger = logging.getLogger("salience.service.things")

AGE_MS: Millis = 30_000
"""After so long a thing is read again: stock is not to be promised much longer than it is there."""

LIMIT = 100_000
"""Things kept, the latest used: some 50 MB."""

Facts = Mapping[str, Value]


class Things:
    """What this process knows of things. For one thread.

    Attributes:
        refused: Facts left out since they don't fit the vocabulary.
    """

    def __init__(self, vocabulary: Vocabulary, *, age_ms: Millis = AGE_MS, limit: int = LIMIT) -> None:
        self._kinds = {
            fact.name: fact.by
            for fact in vocabulary.facts.values()
            if fact.source is FactSource.CATALOGUE and fact.by is not None
        }
        self._keys = frozenset(self._kinds.values())
        self._readers = FactReaders(vocabulary, FactSource.CATALOGUE)
        self._age_ms = age_ms
        self._limit = limit
        self._kept: OrderedDict[str, tuple[EpochMs, Facts]] = OrderedDict()
        self.refused = 0

    def named_by(self, events: Iterable[Event]) -> list[str]:
        """Ids of the things that events name."""
        if not self._keys:
            return []
        found = {
            thing_id(kind, event.attributes[kind])
            for event in events
            for kind in self._keys.intersection(event.attributes)
        }
        return sorted(found)

    def id_of(self, fact: str, key: Value) -> str | None:
        """Whose fact is meant; None for one that is no fact of the catalogue."""
        kind = self._kinds.get(fact)
        return None if kind is None else thing_id(kind, key)

    def find(self, id_: str, now: EpochMs) -> Facts | None:
        """What is known of a thing, nothing included; None where that is too old, or nobody asked."""
        kept = self._kept.get(id_)
        if kept is None or now - kept[0] > self._age_ms:
            return None
        self._kept.move_to_end(id_)
        return kept[1]

    def unknown(self, ids: Iterable[str], now: EpochMs) -> list[str]:
        """Those of the ids that have to be asked for."""
        return [each for each in ids if self.find(each, now) is None]

    def take(self, asked: Collection[str], found: Mapping[str, bytes], now: EpochMs) -> None:
        """Keep what was found of those that were asked for, and that the others are not in the catalogue."""
        for id_ in asked:
            self._kept[id_] = now, self._read(id_, found.get(id_))
            self._kept.move_to_end(id_)
        while len(self._kept) > self._limit:
            self._kept.popitem(last=False)

    def _read(self, id_: str, raw: bytes | None) -> Facts:
        if raw is None:
            return {}
        try:
            known, refused = self._readers.read(msgspec.json.decode(raw, type=dict[str, object]))
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            self.refused += 1
            logger.warning("what the catalogue says of %s can't be read as JSON: %s", id_, error)
            return {}
        self.refused += sum(each.code != "unknown-fact" for each in refused)
        return known


class Lookup:
    """A `Catalogue` of the engine over one moment: what was looked up once stays so for as long as this lives.

    Args:
        things: What the process knows.
        now: The moment by the wall clock.
        ask: Reads what the process does not know. None: it is noted in `wanted` and unknown for now.

    Attributes:
        wanted: Ids that nobody knew.
        failure: Why asking failed; what was looked up is then not to be trusted.
        used: What was looked up, by id.
    """

    def __init__(
        self, things: Things, now: EpochMs, ask: Callable[[Sequence[str]], Mapping[str, bytes]] | None = None
    ) -> None:
        self._things = things
        self._now = now
        self._ask = ask
        self.wanted: set[str] = set()
        self.failure: PortError | None = None
        self.used: dict[str, Facts] = {}

    def __call__(self, fact: str, key: Value) -> Value | None:
        """As `engine.activation.Catalogue`. Never raises."""
        id_ = self._things.id_of(fact, key)
        if id_ is None:
            return None
        facts = self.used.get(id_)
        if facts is None:
            facts = self._find(id_)
            if facts is None:
                return None
            self.used[id_] = facts
        return facts.get(fact)

    def give(self, found: Mapping[str, bytes]) -> None:
        """Answer all that is wanted."""
        self._things.take(self.wanted, found, self._now)
        self.wanted.clear()

    def give_up(self, why: str) -> None:
        """What is wanted can't be had: it is unknown."""
        self.failure = PortError(why)
        self.wanted.clear()

    def _find(self, id_: str) -> Facts | None:
        found = self._things.find(id_, self._now)
        if found is not None or self.failure is not None:
            return found
        if self._ask is None:
            self.wanted.add(id_)
            return None
        try:
            self._things.take([id_], self._ask([id_]), self._now)
        except PortError as error:
            self.failure = error
            return None
        return self._things.find(id_, self._now)
