"""From the topics of facts into the stores: what is known of customers and things, as it is said last."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from engine.facts import FactChange, FactKind, FactStore
from engine.ports import EventSource, PortError, Record
from engine.values import Millis

logger = logging.getLogger("salience.service.enrichment")

AT_ONCE = 2_000
POLL_MS: Millis = 500
CHECK_S = 2.0
"""So often it is asked whether the store still has what was brought: it may have been restarted without its end."""
RETRY_S = 1.0
DELETES = frozenset({b"", b"null"})


class Follower:
    """Brings one topic into its store, sharing its partitions with those of the other workers.

    How far it is stands in the store, and goes back with it: what the store lost is brought again.

    Args:
        kind: Of the facts.
        source: A member of the topic's group.
        store: Where they go.
        elapsed: Seconds that only grow.

    Attributes:
        taken: Changes brought so far.
        withheld: Those of customers who are forgotten; they were left out.
    """

    def __init__(
        self, kind: FactKind, source: EventSource, store: FactStore, elapsed: Callable[[], float] = time.monotonic
    ) -> None:
        self.kind = kind
        self.taken = 0
        self.withheld = 0
        self._source = source
        self._store = store
        self._elapsed = elapsed
        self._assigned: Mapping[int, int] = {}
        self._positions: dict[int, int] = {}
        self._checked = 0.0
        self._problem = ""

    def round(self) -> None:
        """One turn: poll and write. Failures are logged once, and what was not written is read again."""
        try:
            polled = self._source.poll(AT_ONCE, POLL_MS)
            is_due = self._elapsed() - self._checked > CHECK_S or self._source.assignment() != self._assigned
            if is_due and self._stand_where_the_store_does():
                return
            for partition, records in polled.items():
                if partition in self._positions:
                    self._take(partition, records)
            self._problem = ""
        except PortError as error:
            if str(error) != self._problem:
                self._problem = str(error)
                logger.warning("the %s wait, trying again: %s", self.kind, error)
            self._assigned, self._positions = {}, {}
            time.sleep(RETRY_S)

    def _stand_where_the_store_does(self) -> bool:
        """Seek to what the store has; whether anything had to be moved."""
        followed, assigned = self._store.followed(), self._source.assignment()
        self._checked = self._elapsed()
        moved = False
        for partition in assigned:
            at = followed.get(partition, 0)
            if self._positions.get(partition) != at:
                self._source.seek(partition, at)
                moved = True
        self._positions = {partition: followed.get(partition, 0) for partition in assigned}
        self._assigned = assigned
        return moved

    def _take(self, partition: int, records: Sequence[Record]) -> None:
        changes = [
            FactChange(each.key, each.offset, None if each.value in DELETES else each.value)
            for each in records
            if each.key
        ]
        if not changes:
            return
        withheld = self._store.follow(partition, self._positions.get(partition, 0), changes)
        if withheld is None:
            self._assigned, self._positions = {}, {}  # it lost something, or another one brings this partition now
            return
        self.withheld += withheld
        self.taken += len(changes)
        self._positions[partition] = changes[-1].offset + 1


class Enrichment:
    """All topics of facts, each in a thread of its own, for as long as a worker lives."""

    def __init__(self, followers: Sequence[Follower]) -> None:
        self._followers = followers
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(each,), name=f"{each.kind} topic", daemon=True)
            for each in followers
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End after what is on its way."""
        self._stop.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()

    def counts(self) -> dict[str, int]:
        """Changes taken, by kind, for the heartbeat."""
        taken = {f"{each.kind}_taken": each.taken for each in self._followers}
        return taken | {f"{each.kind}_withheld": each.withheld for each in self._followers}

    def _run(self, follower: Follower) -> None:
        while not self._stop.is_set():
            follower.round()
