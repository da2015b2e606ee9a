"""kafka-python: what was fetched, handed out as our records.

The client makes each record by some 60 calls in Python, half of what a worker costs otherwise. It goes on to see to everything
that concerns whole batches: checksums, compression, undone transactions, control batches, positions. Only the records
within a batch are decoded here, all at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kafka.consumer.fetcher import Fetcher
from kafka.errors import CorruptRecordError
from kafka.record.default_records import DefaultRecord, DefaultRecordBatch
from kafka.record.legacy_records import LegacyRecordBatch

from connectors.kafka_records import decode_records
from engine.ports import Record


def hand_out_records(consumer: Any) -> None:
    """Make a consumer's polls return `Record`s. It is for those that look at no headers."""
    consumer._fetcher.PartitionRecords = _Fetched  # noqa: SLF001 - nothing public decides it; the client is pinned


class _Fetched(Fetcher.PartitionRecords):  # type: ignore[misc]  # the library ships no types
    """What was fetched of a partition at once."""

    def _unpack_records(self, tp: Any, records: Any, *deserializers: object) -> Iterator[Record]:
        for batch in super()._unpack_records(tp, _Batches(tp.partition, records), *deserializers):
            # The client believes that it gave out one record, the last of the batch: its position is set back to each.
            for record in batch.value if type(batch.value) is list else [_of_old_format(batch)]:
                self.next_fetch_offset = record.offset + 1
                yield record


class _Batches:
    """The batches of what was fetched, those with records as `_Batch`."""

    def __init__(self, partition: int, records: Any) -> None:
        self._partition = partition
        self._records = records

    def next_batch(self) -> Any:
        """The next, or None."""
        batch = self._records.next_batch()
        if batch is None or isinstance(batch, LegacyRecordBatch) or batch.is_control_batch:
            return batch
        return _Batch(self._partition, batch)


class _Batch(DefaultRecordBatch):  # type: ignore[misc]  # as above
    """A batch that is to the client one record, with all of its records as the value."""

    __slots__ = ("_partition",)

    def __init__(self, partition: int, batch: Any) -> None:
        super().__init__(batch._buffer)  # noqa: SLF001 - as above
        self._partition = partition

    def __iter__(self) -> Iterator[Any]:
        self._maybe_uncompress()
        packed = bytes(memoryview(self._buffer)[self._pos :])
        appended = self.max_timestamp if self.timestamp_type == self.LOG_APPEND_TIME else None
        try:
            records = decode_records(
                packed, self.records_count, self._partition, self.base_offset, self.first_timestamp, appended
            )
        except ValueError as error:
            raise CorruptRecordError(f"Found invalid record structure: {error}") from error
        if records:
            yield DefaultRecord(
                len(packed), records[-1].offset, records[-1].time, self.timestamp_type, None, records, []
            )


def _of_old_format(record: Any) -> Record:
    """A record of a log that was written before Kafka 0.11."""
    key = "" if record.key is None else bytes(record.key).decode(errors="replace")
    return Record(record.partition, record.offset, key, bytes(record.value or b""), record.timestamp)
