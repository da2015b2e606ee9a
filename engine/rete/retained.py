"""The events that a session keeps: packed, in order of time and then of arrival, and read only when something needs them.

A quantity that a reload adds is filled from them, a late `since` event makes its aggregates anew from them, and a
report finds in them when something was last seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from engine.values import EpochMs, Value

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode

Shape = tuple[str, ...]
"""An event type followed by the attributes whose values are packed, in this order."""


_PACKED_APART = (list, dict)


def _packed_line(parts: list[Any]) -> bytes:
    """MessagePack has integers up to 64 bits; a longer one stands as a map of one entry, which no value is."""
    try:
        return _encode(parts)
    except OverflowError:
        return _encode(
            [{"int": str(each)} if isinstance(each, int) and each.bit_length() > 63 else each for each in parts]
        )


def _value(packed: Any) -> Any:
    return tuple(packed) if isinstance(packed, list) else int(packed["int"])


class Kept(NamedTuple):
    """A kept event as the engine reads it."""

    type: str
    time: EpochMs
    attributes: Mapping[str, Value]


MOST_PENDING = 3 * 8
"""Parts of events that wait to be packed, three for each: a few are packed faster together than one by one."""


class Retained:
    """The kept events of one session: at most `limit` of them, the latest.

    An event is packed as one byte of length (or 255 and four bytes), and a MessagePack array of the number of its
    shape, its distance from `origin` in ms, and its values: 9 to 15 bytes for a view or a cart line. The last few wait
    to be packed.

    Attributes:
        count: How many are kept, those that wait included.
        latest: Time of the latest.
        pending: Time, attributes and shape of each that waits, one after the other.
        dropped: Time of the latest event that had to go; None while all are there.
    """

    __slots__ = ("_packed", "count", "dropped", "latest", "origin", "pending", "shapes")

    def __init__(self, origin: EpochMs, packed: bytes = b"") -> None:
        self.origin = origin
        self._packed = bytearray(packed)
        self.pending: list[Any] = []
        self.count = 0
        self.latest: EpochMs = origin
        self.dropped: EpochMs | None = None
        self.shapes: list[Shape] = []

    def add(self, time: EpochMs, attributes: Mapping[str, Value], shape: Shape, limit: int) -> None:
        """Keep an event; past the limit the oldest goes."""
        pending = self.pending
        if time < self.latest and self.count:
            self.pack()
            self._insert(self._line_of(time, attributes, shape), time)
        else:
            pending += (time, attributes, shape)
            self.latest = time
        self.count += 1
        if len(pending) >= MOST_PENDING:
            self.pack()
        if self.count > limit:
            self._drop_oldest()

    def pack(self) -> bytearray:
        """Pack what waits; returns all that is packed then."""
        if self.pending:
            self._pack_into(self._packed)
            self.pending.clear()
        return self._packed

    def stored(self) -> bytes:
        """All kept events, packed; changes nothing but the list of shapes."""
        if not self.pending:
            return bytes(self._packed)
        packed = self._packed.copy()
        self._pack_into(packed)
        return bytes(packed)

    def _pack_into(self, packed: bytearray) -> None:
        shapes, origin = self.shapes, self.origin
        parts = iter(self.pending)
        for time, attributes, shape in zip(parts, parts, parts, strict=True):
            if shape not in shapes:
                shapes.append(shape)
            number, width = shapes.index(shape), len(shape)
            if width == 1:
                line = _encode((number, time - origin))
            else:
                line = _packed_line([number, time - origin, *map(attributes.get, shape[1:])])
            size = len(line)
            if size < 255:
                packed.append(size)
            else:
                packed += b"\xff" + size.to_bytes(4, "big")
            packed += line

    def _line_of(self, time: EpochMs, attributes: Mapping[str, Value], shape: Shape) -> bytes:
        if shape not in self.shapes:
            self.shapes.append(shape)
        line = _packed_line([self.shapes.index(shape), time - self.origin, *map(attributes.get, shape[1:])])
        size = len(line)
        return bytes((size,)) + line if size < 255 else b"\xff" + size.to_bytes(4, "big") + line

    def oldest(self) -> Kept:
        """The first kept event; there must be one."""
        begin, size = self._line(self._packed or self.pack(), 0)
        return self._kept(begin, begin + size)

    def read(self) -> list[Kept]:
        """All kept events, oldest first."""
        found = [self._kept(begin, end) for begin, end in self._spans()]
        # Views read while others do: nothing is packed here.
        parts = iter(self.pending)
        for time, attributes, shape in zip(parts, parts, parts, strict=True):
            known = {name: value for name in shape[1:] if (value := attributes.get(name)) is not None}
            found.append(Kept(shape[0], time, known))
        return found

    def _kept(self, begin: int, end: int) -> Kept:
        number, offset, *values = _decode(memoryview(self._packed)[begin:end])
        shape = self.shapes[number]
        attributes = {
            name: value if type(value) not in _PACKED_APART else _value(value)
            for name, value in zip(shape[1:], values, strict=True)
            if value is not None
        }
        return Kept(shape[0], self.origin + offset, attributes)

    def _spans(self) -> Iterator[tuple[int, int]]:
        packed, at, end = self._packed, 0, len(self._packed)
        while at < end:
            begin, size = self._line(packed, at)
            at = begin + size
            yield begin, at

    @staticmethod
    def _line(packed: bytearray, at: int) -> tuple[int, int]:
        size = packed[at]
        return (at + 1, size) if size < 255 else (at + 5, int.from_bytes(packed[at + 1 : at + 5], "big"))

    def _time(self, begin: int, end: int) -> EpochMs:
        return self.origin + int(_decode(memoryview(self._packed)[begin:end])[1])

    def _insert(self, line: bytes, time: EpochMs) -> None:
        """Put a late event before the first that is later than it: those of its own time arrived before it."""
        at = 0
        for begin, end in self._spans():
            if self._time(begin, end) > time:
                break
            at = end
        self._packed[at:at] = line

    def _drop_oldest(self) -> None:
        begin, size = self._line(self._packed or self.pack(), 0)
        time = self._time(begin, begin + size)
        self.dropped = time if self.dropped is None else max(time, self.dropped)
        del self._packed[: begin + size]
        self.count -= 1
