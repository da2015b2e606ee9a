"""What was read of a partition and not evaluated yet, and how it is cut into batches."""

from __future__ import annotations

from collections.abc import Sequence

from engine.ports import Record

KEYS_AT_ONCE = 1_000
"""Sessions in one write: the store answers nobody else for its length, some 9 ms in Redis. Very many events of few sessions
cost little more than one of each."""


class Backlog:
    """Records of one partition, in the order in which they were delivered."""

    def __init__(self) -> None:
        self._records: list[Record] = []
        self._taken = 0

    def __len__(self) -> int:
        return len(self._records)

    def add(self, records: Sequence[Record]) -> None:
        """Put them behind the others."""
        self._records.extend(records)

    def batch(self, limit: int, position: int) -> list[Record]:
        """The first `limit` records, or fewer where they have too many keys; from `position` on, each once and in order.

        A client may deliver records again, amid others, too. They stay here until `done`.
        """
        batch: list[Record] = []
        keys: set[str] = set()
        self._taken = 0
        for record in self._records:
            if self._taken == limit:
                break
            keys.add(record.key)
            if len(keys) > KEYS_AT_ONCE:
                break
            self._taken += 1
            if record.offset >= position:
                batch.append(record)
                position = record.offset + 1
        return batch

    def done(self) -> None:
        """Forget the latest batch: it is written."""
        del self._records[: self._taken]
        self._taken = 0
