"""The partitions that the group gave to a worker: each claimed from where its state stands, again after every failure."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from engine.ports import EventSource, PortError
from service.worker.backlog import Backlog
from service.worker.beside import AT_ONCE, Beside
from service.worker.complaints import Complaints
from service.worker.counts import Counts
from service.worker.partition import Partition, Standing
from service.worker.stores import Stores

logger = logging.getLogger("salience.service.worker")

BACKOFF_FIRST_S = 0.05
BACKOFF_LAST_S = 2.0

CLAIMING_S = 10.0
"""So long at most the claims of one turn may take: the membership in the group is kept by polling in between."""

CHECK_S = 2.0
"""A partition without traffic looks so often whether its stored state went back, by a restart of the store."""


@dataclass(slots=True, eq=False)
class Holding:
    """A partition that the group gave, and what this worker has of it.

    Attributes:
        heard: When records came last.
        ticked: When it was told the time; None: not since records came.
        checked: When it was last seen where its state stands.
        retry_at: Not claimed before.
        backoff_s: How long the next failure makes it wait.
    """

    partition: Partition
    heard: float
    backlog: Backlog = field(default_factory=Backlog)
    ticked: float | None = None
    checked: float = 0.0
    retry_at: float = 0.0
    backoff_s: float = BACKOFF_FIRST_S

    @property
    def is_owned(self) -> bool:
        """Whether it may be worked on."""
        return self.partition.standing is Standing.OWNED

    def has_succeeded(self) -> None:
        """The next failure is the first."""
        self.backoff_s = BACKOFF_FIRST_S

    def drop_backlog(self) -> None:
        """Forget what was read: reading begins elsewhere."""
        self.backlog = Backlog()


class Holdings:
    """All that this worker holds, by number of partition; for the worker's thread.

    Args:
        source: Says what the group gave.
        stores: Of the partitions.
        cache_bytes: For working memories, over all partitions.
        beside: Claims several at once: each may wait for another broker.
        elapsed: Seconds that only grow.
        complaints: Where failures are told.
        counts: Where they are counted.
    """

    def __init__(
        self,
        source: EventSource,
        stores: Stores,
        cache_bytes: int,
        beside: Beside,
        elapsed: Callable[[], float],
        complaints: Complaints,
        counts: Counts,
    ) -> None:
        self._source = source
        self._stores = stores
        self._cache_bytes = cache_bytes
        self._beside = beside
        self._elapsed = elapsed
        self._complaints = complaints
        self._counts = counts
        self._held: dict[int, Holding] = {}

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[Holding]:
        return iter(self._held.values())

    def get(self, number: int) -> Holding | None:
        """The one of a partition, if it is held."""
        return self._held.get(number)

    def owned(self) -> list[Holding]:
        """Those that may be worked on."""
        return [each for each in self if each.is_owned]

    def follow(self) -> set[int]:
        """Take up what the group gave, let go of what it took; the partitions that are read from elsewhere now."""
        assigned = self._source.assignment()
        for number in [each for each in self._held if each not in assigned]:
            self._held.pop(number).partition.reset()
        due: list[Holding] = []
        for number, generation in assigned.items():
            holding = self._held.get(number)
            is_claim_due = holding is None or holding.partition.standing is Standing.UNCLAIMED
            if holding is None:
                partition = Partition(number, generation, self._stores, self._cache_bytes // max(1, len(assigned)))
                holding = self._held[number] = Holding(partition, self._elapsed())
            elif holding.partition.generation != generation:
                is_claim_due = True
                holding.partition.generation = generation
                if holding.partition.standing is Standing.FENCED:
                    holding.partition.standing = Standing.UNCLAIMED
            if is_claim_due or self._stores.emission.has_failed(number) or self._is_check_due(holding):
                due.append(holding)
        return self._claim_all(due)

    def failed(self, holding: Holding, error: PortError) -> None:
        """Go back to what is stored, after a pause; the partition is read again from there, so nothing is lost."""
        number = holding.partition.number
        holding.partition.reset()
        holding.drop_backlog()
        self._counts.rewinds += 1
        holding.retry_at = self._elapsed() + holding.backoff_s
        holding.backoff_s = min(2 * holding.backoff_s, BACKOFF_LAST_S)
        self._complaints.log("stores", f"partition {number} waits, trying again: {error}")
        try:
            self._source.pause([number])
        except PortError as also:
            logger.info("partition %d could not be paused: %s", number, also)

    def _is_check_due(self, holding: Holding) -> bool:
        return not holding.backlog and self._elapsed() - holding.checked > CHECK_S

    def _claim_all(self, due: Sequence[Holding]) -> set[int]:
        """Claim, several at once; the partitions that are read from elsewhere now."""
        moved: set[int] = set()
        began = self._elapsed()
        while due:
            if self._elapsed() - began > CLAIMING_S:
                # The rest after the next poll. What this one brought of it is read again.
                for holding in due:
                    holding.partition.reset()
                return moved.union(each.partition.number for each in due)
            now, due = due[:AT_ONCE], due[AT_ONCE:]
            moved.update(
                holding.partition.number for holding, is_kept in zip(now, self._claim(now), strict=True) if not is_kept
            )
        return moved

    def _claim(self, holdings: Sequence[Holding]) -> list[bool]:
        """Own them from where their states stand, where that fails later again; whether reading each just goes on."""
        now = self._elapsed()
        ready = [each for each in holdings if now >= each.retry_at]
        for each in ready:
            each.checked = now
        answers = zip(ready, self._beside.each(_claimed, ready), strict=True)
        kept = {holding.partition.number: self._take(holding, answer) for holding, answer in answers}
        return [kept.get(each.partition.number, each.is_owned) for each in holdings]

    def _take(self, holding: Holding, claimed: bool | PortError) -> bool:
        """What follows from a claim; whether reading just goes on."""
        partition = holding.partition
        if isinstance(claimed, PortError):
            self.failed(holding, claimed)
            return False
        if claimed:
            return True
        holding.drop_backlog()
        if partition.standing is Standing.FENCED:
            number = partition.number
            self._complaints.log(f"fence {number}", f"partition {number} belongs to a newer worker")
            return False
        try:
            self._source.seek(partition.number, partition.position)
            self._source.resume([partition.number])
        except PortError as error:
            self.failed(holding, error)
        return False


def _claimed(holding: Holding) -> bool | PortError:
    """Claim one, in any thread."""
    try:
        return holding.partition.claim()
    except PortError as error:
        return error
