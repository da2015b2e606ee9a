"""The records within a batch of Kafka's log (format 2), decoded in one go.

A pure function, so that it can be machine code: a client written in Python takes longer to decode an event than the worker
to evaluate it. Checksums, compression, transactions and control batches are the client's business before.
"""

from __future__ import annotations

from engine.ports import Record

VARINT_BITS = 64


def decode_records(
    packed: bytes, count: int, partition: int, base_offset: int, first_time: int, append_time: int | None
) -> list[Record]:
    """The records of a batch; headers are passed over.

    Args:
        packed: What follows the batch's header, no longer compressed.
        count: How many records the header says there are.
        partition: Whose they are.
        base_offset: Of the batch.
        first_time: From which the times of the records count, in epoch ms.
        append_time: When the broker appended the batch, where that counts instead.

    Raises:
        ValueError: The bytes are no such records.
    """
    records: list[Record] = []
    at = 0
    try:
        for _ in range(count):
            length, at = _varint(packed, at)
            end = at + length
            time, at = _varint(packed, at + 1)  # behind a byte of attributes, of which none has a meaning yet
            offset, at = _varint(packed, at)
            size, at = _varint(packed, at)
            key = ""
            if size > 0:
                # Others may write to the topic, too: a key or value that is missing, or is no text, is for the worker to judge.
                key = packed[at : at + size].decode(errors="replace")
                at += size
            size, at = _varint(packed, at)
            value = b""
            if size > 0:
                value = packed[at : at + size]
                at += size
            headers, at = _varint(packed, at)
            for _ in range(2 * headers):
                size, at = _varint(packed, at)
                at += max(size, 0)
            if at != end:
                raise ValueError(f"a record of {length} bytes does not end where it should")
            records.append(
                Record(
                    partition,
                    base_offset + offset,
                    key,
                    value,
                    first_time + time if append_time is None else append_time,
                )
            )
    except IndexError:
        raise ValueError("the records of a batch end too early") from None
    if at != len(packed):
        raise ValueError(f"{len(packed) - at} bytes are left of a batch after its {count} records")
    return records


def _varint(packed: bytes, at: int) -> tuple[int, int]:
    """A number in zigzag form, and where the next one begins."""
    byte = packed[at]
    at += 1
    result = byte & 0x7F
    shift = 7
    while byte & 0x80:
        if shift >= VARINT_BITS:
            raise ValueError("a number of more than 64 bits")
        byte = packed[at]
        at += 1
        result |= (byte & 0x7F) << shift
        shift += 7
    return (result >> 1) ^ -(result & 1), at
