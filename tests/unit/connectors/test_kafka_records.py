"""Records as our decoding hands them out, beside the same bytes read by the client alone."""

from __future__ import annotations

import struct
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka import IsolationLevel, TopicPartition
from kafka.consumer.fetcher import Fetcher
from kafka.errors import CorruptRecordError
from kafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from kafka.record.legacy_records import LegacyRecordBatchBuilder
from kafka.record.memory_records import MemoryRecords
from kafka.record.util import calc_crc32c

from connectors.kafka_python_records import hand_out_records
from connectors.kafka_records import decode_records
from engine.ports import Record

TP = TopicPartition("events", 3)
NOON = 1_700_000_000_000
ABORT, COMMIT = 0, 1


def batch(
    first: int,
    messages: list[Any],
    *,
    codec: int = 0,
    producer: int = -1,
    is_transactional: bool = False,
    attributes: int = 0,
    skipped: int = 0,
) -> bytes:
    """A batch as a broker keeps it: `skipped` of its first offsets are gone, as after a compaction."""
    builder = DefaultRecordBatchBuilder(2, codec, is_transactional, producer, 0 if producer >= 0 else -1, 0, 1 << 20)
    for delta, (key, value, headers, time) in enumerate(messages):
        builder.append(delta + skipped, time, key, value, headers)
    packed = bytearray(builder.build())
    struct.pack_into(">q", packed, 0, first)
    struct.pack_into(">i", packed, 12, 7)  # the epoch of the leader
    struct.pack_into(">h", packed, 21, struct.unpack_from(">h", packed, 21)[0] | attributes)
    struct.pack_into(">I", packed, 17, calc_crc32c(memoryview(packed)[21:]))
    return bytes(packed)


def marker(first: int, producer: int, kind: int) -> bytes:
    """The end of a transaction."""
    message: Any = (struct.pack(">hh", 0, kind), struct.pack(">hi", 0, 0), [], NOON)
    control = DefaultRecordBatch.CONTROL_MASK
    return batch(first, [message], producer=producer, is_transactional=True, attributes=control)


def handed_out(packed: bytes, start: int, aborted: list[Any], sizes: list[int], *, ours: bool) -> list[Any]:
    """What each of some takes gives, and where the client believes to stand after it."""
    fetcher = SimpleNamespace(PartitionRecords=Fetcher.PartitionRecords)
    if ours:
        hand_out_records(SimpleNamespace(_fetcher=fetcher))
    drained: list[int] = []
    part = fetcher.PartitionRecords(
        start,
        TP,
        MemoryRecords(packed),
        isolation_level=IsolationLevel.READ_COMMITTED,
        aborted_transactions=aborted,
        on_drain=lambda part: drained.append(part.bytes_read > 0),
    )
    steps: list[Any] = []
    for size in [*sizes, 10_000, 1]:
        if not part:
            break
        found = part.take(size) if ours else [_as_record(each) for each in part.take(size)]
        steps.append((found, part.next_fetch_offset, part.leader_epoch, bool(part), list(drained)))
    return steps


def _as_record(each: Any) -> Record:
    key = "" if each.key is None else bytes(each.key).decode(errors="replace")
    return Record(each.partition, each.offset, key, bytes(each.value or b""), each.timestamp)


MESSAGES = st.lists(
    st.tuples(
        st.none() | st.binary(max_size=200) | st.text(max_size=20).map(str.encode),
        st.none() | st.binary(max_size=9_000),
        st.lists(st.tuples(st.text(max_size=70), st.none() | st.binary(max_size=70)), max_size=3),
        st.integers(NOON - 10**9, NOON + 10**9),
    ),
    min_size=1,
    max_size=8,
)


@st.composite
def logs(draw: st.DrawFn) -> tuple[bytes, int, list[Any]]:
    """Batches of a log with whole and undone transactions, where the next one goes, and which were undone."""
    packed, offset, aborted = b"", draw(st.integers(0, 1 << 40)), []
    for producer in range(draw(st.integers(1, 5))):
        messages, skipped = draw(MESSAGES), draw(st.integers(0, 2))
        kind = draw(st.sampled_from(["plain", "idempotent", "committed", "undone"]))
        more: dict[str, Any] = {} if kind == "plain" else {"producer": producer}
        is_transactional = kind in {"committed", "undone"}
        append_time = DefaultRecordBatch.TIMESTAMP_TYPE_MASK * draw(st.booleans())
        codec = draw(st.integers(0, 4))
        packed += batch(
            offset,
            messages,
            codec=codec,
            is_transactional=is_transactional,
            attributes=append_time,
            skipped=skipped,
            **more,
        )
        if kind == "undone":
            aborted.append(SimpleNamespace(first_offset=offset, producer_id=producer))
        offset += len(messages) + skipped
        if is_transactional:
            packed += marker(offset, producer, ABORT if kind == "undone" else COMMIT)
            offset += 1
    return packed, offset, aborted


@given(logs(), st.lists(st.integers(1, 9), max_size=6), st.integers(0, 20))
def test_records_and_positions_are_those_of_the_client(log: Any, sizes: list[int], back: int) -> None:
    """In all codecs, with undone transactions and gaps, from amid a batch, taken in pieces."""
    packed, end, aborted = log
    start = max(0, end - back)
    assert handed_out(packed, start, aborted, sizes, ours=True) == handed_out(packed, start, aborted, sizes, ours=False)


@pytest.mark.parametrize("magic", [0, 1])
def test_a_log_from_before_batches_is_read_too(magic: int) -> None:
    """Messages of the old formats: the client decodes them."""
    builder = LegacyRecordBatchBuilder(magic, 0, 1 << 16)
    for offset in range(3):
        builder.append(offset, NOON if magic else None, None if offset == 1 else b"k", b"v%d" % offset)
    packed = bytes(builder.build())
    ours = handed_out(packed, 0, [], [2], ours=True)
    assert [record.value for record in ours[0][0]] == [b"v0", b"v1"]
    assert ours == handed_out(packed, 0, [], [2], ours=False)


def test_what_was_read_before_a_damaged_batch_is_handed_out_first() -> None:
    """The damage is told by the next take, and nothing of that batch is."""
    good = batch(0, [(b"k", b"v", [], NOON)])
    bad = bytearray(batch(1, [(b"k", b"w" * 50, [], NOON)]))
    bad[-20] ^= 1
    fetcher = SimpleNamespace(PartitionRecords=Fetcher.PartitionRecords)
    hand_out_records(SimpleNamespace(_fetcher=fetcher))
    part = fetcher.PartitionRecords(0, TP, MemoryRecords(good + bytes(bad)))
    assert [each.value for each in part.take(10)] == [b"v"]
    assert part.next_fetch_offset == 1
    with pytest.raises(CorruptRecordError, match="crc"):
        part.take(10)


@given(st.data())
def test_bytes_that_are_no_records_are_refused_whatever_they_are(data: st.DataObject) -> None:
    """A batch that is cut off, or has another number of records than it says, is never half read."""
    count = data.draw(st.integers(1, 4))
    packed = batch(0, [(b"key", b"value", [("h", b"x")], NOON)] * count)[DefaultRecordBatch.HEADER_STRUCT.size :]
    assert len(decode_records(packed, count, 0, 0, NOON, None)) == count
    wrong = data.draw(st.sampled_from(["cut", "more", "fewer", "records", "noise"]))
    said = count
    if wrong == "cut":
        packed = packed[: data.draw(st.integers(0, len(packed) - 1))]
    elif wrong == "noise":
        packed = b"\xff" * data.draw(st.integers(1, 40))
    elif wrong == "records":
        packed = bytes([packed[0] + 2]) + packed[1:]
    else:
        said += 1 if wrong == "more" else -1
    with pytest.raises(ValueError, match=r"batch|record|number"):
        decode_records(packed, said, 0, 0, NOON, None)
