"""The form of a stored session: what a snapshot has, framed with a mark, the number of its format and a checksum."""

from __future__ import annotations

import zlib
from typing import Any

import msgspec

from engine.values import EpochMs

MAGIC = b"SM"
FORMAT = 2  # 1 knew no patterns
_LONGEST_INT = 2**63
STORED_APART = (list, dict)
"""What a value stands as that is not stored as it is."""


class SnapshotError(ValueError):
    """Bytes that are no snapshot, are damaged, or have a format that this version does not read; the message says which."""


class Packed(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """A snapshot's parts. Times are distances before the clock, but for the clock itself.

    `entries` has by the name of the quantity its value or, where it is over a window, what its node keeps; `states`
    what the other nodes keep beside the value, `joined` what patterns keep.
    """

    bundle: bytes
    quantities: bytes
    session_id: str
    customer_id: str | None
    clock: EpochMs | None
    started: int
    last_event: int | None
    evaluated: int | None
    entries: dict[bytes, Any] = {}
    states: dict[bytes, Any] = {}
    kept: bytes = b""
    kept_origin: EpochMs | None = None
    kept_count: int = 0
    kept_latest: int = 0
    kept_dropped: int | None = None
    kept_shapes: list[tuple[str, ...]] = []
    resets: dict[str, int] = {}
    rest: list[Any] = []
    joined: dict[bytes, list[Any]] = {}
    unsettled: list[bytes] = []
    told: dict[bytes, list[Any]] = {}


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Packed)


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


def framed(packed: Packed) -> bytes:
    """The bytes of a snapshot."""
    try:
        body = _encoder.encode(packed)
    except OverflowError:
        packed.entries = {name: storable(value) for name, value in packed.entries.items()}
        body = _encoder.encode(packed)
    return MAGIC + bytes((FORMAT,)) + zlib.crc32(body).to_bytes(4, "big") + body


def unframed(raw: bytes) -> Packed:
    """The opposite of `framed`. Raises `SnapshotError` for anything else."""
    if raw[:2] != MAGIC:
        message = "these bytes are no session snapshot"
        raise SnapshotError(message)
    if raw[2:3] != bytes((FORMAT,)):
        message = f"a session snapshot of format {raw[2] if len(raw) > 2 else '?'}; this version reads format {FORMAT}"
        raise SnapshotError(message)
    body = raw[7:]
    if zlib.crc32(body).to_bytes(4, "big") != raw[3:7]:
        message = "this session snapshot is damaged: its checksum does not fit"
        raise SnapshotError(message)
    try:
        return _decoder.decode(body)
    except msgspec.MsgspecError as problem:
        message = f"this session snapshot can't be read: {problem}"
        raise SnapshotError(message) from problem
