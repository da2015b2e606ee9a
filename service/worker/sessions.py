"""The sessions of one partition that the worker keeps in memory, and the profiles of their customers."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Collection, Mapping

import msgspec

from engine.facts import FactStore
from engine.language.tree import FactSource, Vocabulary
from engine.ports import SessionState
from engine.rete import Memory, SnapshotError
from engine.values import EpochMs, Millis, Value
from engine.vocabulary import FactReaders
from service.clock import Clock
from service.loading import Loaded

logger = logging.getLogger("salience.service.worker.sessions")

LIVE_BYTES_PER_STORED = 8
"""A working memory of n stored bytes takes about 8 n alive: 1.7 KB against 200 bytes when measured."""
LIVE_BYTES_AT_LEAST = 1_024


class Profile:
    """Facts of a customer, typed by one vocabulary; every profile fact is in it, None where it has no value."""

    __slots__ = ("facts", "fetched", "has_facts", "raw")

    def __init__(self, raw: bytes | None, facts: Mapping[str, Value | None], fetched: EpochMs) -> None:
        self.raw = raw
        self.facts = facts
        self.fetched = fetched
        self.has_facts = any(value is not None for value in facts.values())


class Session:
    """A session in memory.

    Attributes:
        loaded: The revision whose network made `memory`.
        due: When it must be looked at though no event comes.
        profile: The profile whose facts the memory has; None: not known, to be set.
        is_new: Whether it has no facts of any profile yet.
    """

    __slots__ = ("due", "is_new", "loaded", "memory", "profile", "size")

    def __init__(self, memory: Memory, loaded: Loaded, *, is_new: bool) -> None:
        self.memory = memory
        self.loaded = loaded
        self.due: EpochMs | None = None
        self.profile: Profile | None = None
        self.is_new = is_new
        self.size = LIVE_BYTES_AT_LEAST

    def move_to(self, loaded: Loaded) -> None:
        """Take the memory over into another revision's network; raises `SnapshotError`."""
        self.memory = loaded.network.take_over(self.memory, self.loaded.network)
        self.loaded = loaded
        self.profile = None  # its facts were typed by the former vocabulary


class SessionCache:
    """Sessions by id, least recently used first. What is in it was written to the store, so it may leave at any time."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self._size = 0

    def __len__(self) -> int:
        return len(self._sessions)

    def get(self, session_id: str) -> Session | None:
        """A session, now the most recently used."""
        session = self._sessions.get(session_id)
        if session is not None:
            self._sessions.move_to_end(session_id)
        return session

    def missing(self, session_ids: Collection[str]) -> list[str]:
        """Those that are not here."""
        return [each for each in session_ids if each not in self._sessions]

    def put(self, session_id: str, session: Session, stored_bytes: int) -> None:
        """Keep a session that was just stored with so many bytes."""
        before = self._sessions.pop(session_id, None)
        self._size -= before.size if before is not None else 0
        session.size = max(LIVE_BYTES_AT_LEAST, LIVE_BYTES_PER_STORED * stored_bytes)
        self._sessions[session_id] = session
        self._size += session.size

    def drop(self, session_id: str) -> None:
        """Forget a session that ended."""
        before = self._sessions.pop(session_id, None)
        self._size -= before.size if before is not None else 0

    def shrink(self) -> None:
        """Let the least recently used go until the rest fits."""
        while self._size > self.limit_bytes and self._sessions:
            _, session = self._sessions.popitem(last=False)
            self._size -= session.size

    def clear(self) -> None:
        """Forget all: what is stored counts."""
        self._sessions.clear()
        self._size = 0


def restored(session_id: str, state: SessionState, loaded: Loaded) -> Session | None:
    """A stored session; None where its bytes can't be read, which is logged."""
    if state.snapshot is None:
        return None
    try:
        session = Session(loaded.network.restore(state.snapshot), loaded, is_new=False)
    except SnapshotError as error:
        logger.error("session %s begins anew, its stored state can't be read: %s", session_id, error)  # noqa: TRY400
        return None
    session.due = state.due
    session.size = max(LIVE_BYTES_AT_LEAST, LIVE_BYTES_PER_STORED * len(state.snapshot))
    return session


class Profiles:
    """Profiles of customers, each as old as `age_ms` at most.

    Args:
        store: Where they come from; it is asked once for all customers of a batch.
        vocabulary: Types the facts.
        age_ms: After so long a profile is read again.
        limit: At most so many are kept.
    """

    def __init__(
        self, store: FactStore, vocabulary: Vocabulary, clock: Clock, *, age_ms: Millis = 30_000, limit: int = 50_000
    ) -> None:
        self._store = store
        self._readers = FactReaders(vocabulary, FactSource.PROFILE)
        self._names = [fact.name for fact in vocabulary.facts.values() if fact.source is FactSource.PROFILE]
        self._clock = clock
        self._age_ms = age_ms
        self._limit = limit
        self._kept: OrderedDict[str, Profile] = OrderedDict()
        self.refused = 0

    def get(self, customers: Collection[str]) -> Mapping[str, Profile]:
        """The profiles of customers, unknown ones included; raises `PortError`. The same object while unchanged."""
        if not self._names:
            return {}
        now = self._clock()
        kept = self._kept
        stale = [each for each in customers if each not in kept or now - kept[each].fetched > self._age_ms]
        if stale:
            found = self._store.get(stale)
            for customer in stale:
                self._take(customer, found.get(customer), now)
        profiles = {}
        for customer in customers:
            kept.move_to_end(customer)
            profiles[customer] = kept[customer]
        while len(kept) > max(self._limit, len(profiles)):
            kept.popitem(last=False)
        return profiles

    def _take(self, customer: str, raw: bytes | None, now: EpochMs) -> None:
        before = self._kept.get(customer)
        if before is not None and before.raw == raw:
            before.fetched = now
        else:
            self._kept[customer] = Profile(raw, self._read(customer, raw), now)

    def _read(self, customer: str, raw: bytes | None) -> Mapping[str, Value | None]:
        facts: dict[str, Value | None] = dict.fromkeys(self._names)
        if raw is None:
            return facts
        try:
            known, refused = self._readers.read(msgspec.json.decode(raw, type=dict[str, object]))
        except msgspec.MsgspecError as error:
            self.refused += 1
            logger.warning("the profile of a customer can't be read as JSON: %s", error)
            return facts
        if refused:
            self.refused += len(refused)
            logger.debug("facts of a profile left out: %s", "; ".join(each.message for each in refused))
        facts.update(known)
        return facts
