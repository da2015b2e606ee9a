"""The form of a stored session: what a snapshot has, framed with a mark, the number of its format and a checksum.

It is one list of MessagePack. At each of these places stands, times as distances before the clock but for the clock and
for what windows keep:

    0 bundle       4 clock         8 entries    12 how many are kept
    1 quantities   5 started       9 states     13 time of the last, after the first
    2 session      6 last event   10 kept       14 of what was dropped likewise, or None
    3 customer     7 evaluated    11 origin     15 shapes of what is kept

`entries` is a list of names of quantities, each followed by its value or, where it is over a window, by what its node
keeps; `states` what the other nodes keep beside the value. From 16 on stands what most sessions have nothing of: times
of resets, what limits, models and a reload left behind, what patterns keep, those that are unsettled, what was told.
"""

from __future__ import annotations

import zlib
from typing import Any, Final

import msgspec

MAGIC: Final = b"SM"
FORMAT: Final = 3  # 1 knew no patterns, 2 had times of windows as distances
FIRST: Final = 16
"""Where what most sessions have nothing of begins."""
WHOLE: Final = 21
NO_CLOCK: Final = 9
"""So long is one of a session in which nothing has happened."""
STORED_APART = (list, dict)
"""What a value stands as that is not stored as it is."""

_LONGEST_INT = 2**63
_FRAME: Final = MAGIC + bytes((FORMAT,))
_HEAD: Final = 7
_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder().decode
_checksum: Final = zlib.crc32


class SnapshotError(ValueError):
    """Bytes that are no snapshot, are damaged, or have a format that this version does not read; the message says which."""


def storable(value: Any) -> Any:
    """MessagePack has integers up to 64 bits; a longer one stands as a map of one entry, which no value is."""
    if isinstance(value, int) and not -_LONGEST_INT <= value < _LONGEST_INT:
        return {"int": str(value)}
    return value


def value_of(stored: Any) -> Any:
    """The opposite of `storable`; MessagePack's lists are tuples."""
    if isinstance(stored, list):
        return tuple(map(value_of, stored))
    return int(stored["int"]) if isinstance(stored, dict) else stored


def framed(parts: list[Any]) -> bytes:
    """The bytes of a snapshot."""
    try:
        body: bytes = _encode(parts)
    except OverflowError:
        parts[8] = [storable(each) for each in parts[8]]
        body = _encode(parts)
    checksum: int = _checksum(body)
    return _FRAME + checksum.to_bytes(4, "big") + body


def unframed(raw: bytes) -> list[Any]:
    """The opposite of `framed`. Raises `SnapshotError` for anything else."""
    if not raw.startswith(_FRAME):
        if raw[:2] != MAGIC:
            message = "these bytes are no session snapshot"
        else:
            found = raw[2] if len(raw) > len(MAGIC) else "?"
            message = f"a session snapshot of format {found}; this version reads format {FORMAT}"
        raise SnapshotError(message)
    body = raw[_HEAD:]
    checksum: int = _checksum(body)
    if checksum != int.from_bytes(raw[3:_HEAD], "big"):
        message = "this session snapshot is damaged: its checksum does not fit"
        raise SnapshotError(message)
    try:
        parts = _decode(body)
    except msgspec.MsgspecError as problem:
        message = f"this session snapshot can't be read: {problem}"
        raise SnapshotError(message) from problem
    if not isinstance(parts, list) or len(parts) not in {NO_CLOCK, FIRST, WHOLE}:
        message = "this session snapshot can't be read: it is not made of the parts of one"
        raise SnapshotError(message)
    return parts
