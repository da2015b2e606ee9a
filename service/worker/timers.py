"""When sessions of a partition come due: known for a while ahead, so that the store is not asked for every batch."""

from __future__ import annotations

from collections.abc import Sequence

from engine.values import EpochMs, Millis
from service.worker.sessions import Session, SessionCache
from service.worker.stores import Stores

DUE_AT_ONCE = 5_000
"""Timers of so many sessions in one write: after a quiet night all sessions end at the first event of the morning."""

LOOK_AHEAD_MS: Millis = 2_000
"""Timers are asked for so far ahead of the watermark, or each small batch of live traffic would ask the store again."""


class Timers:
    """Moments of the sessions of one partition.

    Args:
        number: The partition.
        stores: Where they are stored.
        cache: Sessions in it need not be loaded to know theirs.
    """

    def __init__(self, number: int, stores: Stores, cache: SessionCache) -> None:
        self._number = number
        self._stores = stores
        self._cache = cache
        self._moments: dict[str, EpochMs] = {}  # of all sessions that come due at or before the horizon
        self._horizon: EpochMs = -1

    def clear(self) -> None:
        """Forget them: what is stored counts."""
        self._moments.clear()
        self._horizon = -1

    def stored(self, until: EpochMs) -> Sequence[str]:
        """Sessions that come due at or before a moment as the store says, earliest first, at most `DUE_AT_ONCE`."""
        return self._stores.due(self._number, until, DUE_AT_ONCE)

    def until(self, until: EpochMs) -> Sequence[str]:
        """The same, as far as it goes without asking."""
        if until > self._horizon:
            horizon = until + LOOK_AHEAD_MS
            ahead = self.stored(horizon)
            if not self.are_all(ahead):
                self._horizon = -1
                return self.stored(until)
            known = {each: session.due for each in ahead if (session := self._cache.get(each)) is not None}
            missing = [each for each in ahead if each not in known]
            if missing:
                loaded = self._stores.load(self._number, missing)
                known.update((each, stored.due) for each, stored in loaded.items())
            self._moments = {each: moment for each, moment in known.items() if moment is not None}
            self._horizon = horizon
        return sorted(
            (each for each, moment in self._moments.items() if moment <= until),
            key=lambda each: (self._moments[each], each),
        )

    @staticmethod
    def are_all(due: Sequence[str]) -> bool:
        """Whether these, as answered, are all that come due, or there may be more."""
        return len(due) < DUE_AT_ONCE

    def note(self, session_id: str, session: Session | None) -> None:
        """A session was written as it is; None: it has ended."""
        self._moments.pop(session_id, None)
        if session is not None and session.due is not None and session.due <= self._horizon:
            self._moments[session_id] = session.due
