"""The events that a session keeps: packed, in order of time and then of arrival, and read only when something needs them.

A quantity that a reload adds is filled from them, a late `since` event makes its aggregates anew from them, and a
report finds in them when something was last seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple, final

import msgspec

from engine.values import EpochMs, Value

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder().decode
_append: Final = bytearray.append  # without a look for the method at each event

_MANY: Final = b"\xdd"  # a list of MessagePack, with its length in four bytes


@final
class Packing:
    """What events of a type are packed as.

    Attributes:
        names: The type, followed by the attributes whose values are packed, in this order.
        width: How many these are.
    """

    __slots__ = ("_packed", "made", "names", "tables", "width")

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        self.width = len(names)
        self._packed = b""
        self.tables: dict[bytes, Numbered] = {}  # those of sessions that kept an event of it first
        self.made = 0  # so many follow from them

    def packed(self) -> bytes:
        """The names as a list of MessagePack."""
        if not self._packed:
            self._packed = _encode(self.names)
        return self._packed


MOST_TABLES = 1_000
"""So many orders in which types may come are remembered, for each type that comes first; other sessions have their own."""


@final
class Numbered:
    """The shapes of a session by their number: one object for all sessions to which their types came in the same order."""

    __slots__ = ("_after", "_first", "_stored", "numbers", "shapes")

    def __init__(self, shapes: tuple[Packing, ...], first: Packing | None) -> None:
        """`first`: the shape in whose tables this one is found; None where it is a session's own."""
        self.shapes = shapes
        self.numbers: dict[Packing, int] = {shape: number for number, shape in enumerate(shapes)}
        self._first = first
        self._after: dict[Packing, Numbered] = {}
        self._stored = b""

    def after(self, shape: Packing) -> Numbered:
        """The one in which this shape has a number, too: the next, or that of another that was read from a snapshot."""
        made = self._after.get(shape)
        if made is None:
            names = [each.names for each in self.shapes]
            if shape.names in names:
                at = names.index(shape.names)
                shapes = (*self.shapes[:at], shape, *self.shapes[at + 1 :])
            else:
                shapes = (*self.shapes, shape)
            first = self._first
            if first is not None and first.made >= MOST_TABLES:
                first = None
            made = Numbered(shapes, first)
            if first is not None:
                first.made += 1
                self._after[shape] = made
        return made

    def stored(self) -> bytes:
        """For a snapshot: how many, in four bytes, and each as MessagePack."""
        if not self._stored:
            self._stored = len(self.shapes).to_bytes(4, "big") + b"".join([each.packed() for each in self.shapes])
        return self._stored


def _read(stored: bytes, first: Packing | None) -> Numbered:
    """What `Numbered.stored` made; nothing where that is empty."""
    names = _decode(_MANY + stored) if stored else ()
    return Numbered(tuple([Packing(tuple(each)) for each in names]), first)


def _begun(stored: bytes, first: Packing) -> Numbered:
    """The shapes that a snapshot had, or those of a new session, with the first of which it keeps an event."""
    made = first.tables.get(stored)
    if made is None:
        if first.made >= MOST_TABLES:
            return _read(stored, None).after(first)
        first.made += 1
        made = first.tables[stored] = _read(stored, first).after(first)
    return made


_PACKED_APART = (list, dict)
_LONGEST_INT = 63  # bits


def _short(value: Any) -> Any:
    """MessagePack has integers up to 64 bits; a longer one stands as a map of one entry, which no value is."""
    return {"int": str(value)} if isinstance(value, int) and value.bit_length() > _LONGEST_INT else value


def _value(packed: Any) -> Any:
    return tuple(packed) if isinstance(packed, list) else int(packed["int"])


class Kept(NamedTuple):
    """A kept event as the engine reads it."""

    type: str
    time: EpochMs
    attributes: dict[str, Value]


class Retained:
    """The kept events of one session: at most `limit` of them, the latest.

    An event is packed as one byte of length (or 255 and four bytes), and a MessagePack array of the number of its
    shape, its distance from `origin` in ms, and its values: 9 to 15 bytes for a view or a cart line.

    Attributes:
        dropped: Time of the latest event that had to go; None while all are there.
    """

    __slots__ = ("_numbered", "_stored", "count", "dropped", "latest", "origin", "packed")

    def __init__(self, origin: EpochMs, packed: bytes = b"", stored: bytes = b"") -> None:
        """`stored`: shapes that a snapshot had, as `stored_shapes` gave them."""
        self.origin = origin
        self.packed = bytearray(packed)
        self.count = 0
        self.latest: EpochMs = origin
        self.dropped: EpochMs | None = None
        self._stored = stored
        self._numbered: Numbered | None = None  # until an event is kept, or one is read

    @property
    def shapes(self) -> tuple[Packing, ...]:
        """By their number."""
        numbered = self._numbered
        if numbered is None:
            self._numbered = numbered = _read(self._stored, None)
        return numbered.shapes

    def stored_shapes(self) -> bytes:
        """The shapes for a snapshot, see `Numbered.stored`."""
        numbered = self._numbered
        return self._stored if numbered is None else numbered.stored()

    def add(self, time: EpochMs, attributes: dict[str, Value], shape: Packing, limit: int) -> None:
        """Keep an event; past the limit the oldest goes."""
        width, names = shape.width, shape.names
        numbered = self._numbered
        if numbered is None:
            self._numbered = numbered = _begun(self._stored, shape)
            self._stored = b""
        number: Any = numbered.numbers.get(shape)  # as the object that it is: it goes into the line
        if number is None:
            self._numbered = numbered = numbered.after(shape)
            number = numbered.numbers[shape]
        offset = time - self.origin
        try:
            # Most types have few attributes: nothing is allocated for them but the line.
            if width == 1:
                line: bytes = _encode((number, offset))
            elif width == 2:
                line = _encode((number, offset, attributes.get(names[1])))
            elif width == 3:
                line = _encode((number, offset, attributes.get(names[1]), attributes.get(names[2])))
            elif width == 4:
                line = _encode(
                    (number, offset, attributes.get(names[1]), attributes.get(names[2]), attributes.get(names[3]))
                )
            else:
                line = _encode((number, offset, *[attributes.get(name) for name in names[1:]]))
        except OverflowError:
            line = _encode([number, offset, *[_short(attributes.get(name)) for name in names[1:]]])
        size, packed = len(line), self.packed
        if time < self.latest and self.count:
            self._insert(bytes((size,)) + line if size < 255 else b"\xff" + size.to_bytes(4, "big") + line, time)
        else:
            if size < 255:
                _append(packed, size)
            else:
                packed += b"\xff" + size.to_bytes(4, "big")
            packed += line
            self.latest = time
        self.count += 1
        if self.count > limit:
            self._drop_oldest()

    def oldest(self) -> Kept:
        """The first kept event; there must be one."""
        begin, size = self._line(self.packed, 0)
        return self._kept(begin, begin + size)

    def read(self) -> list[Kept]:
        """All kept events, oldest first."""
        return [self._kept(begin, end) for begin, end in self._spans()]

    def _kept(self, begin: int, end: int) -> Kept:
        number, offset, *values = _decode(memoryview(self.packed)[begin:end])
        names = self.shapes[number].names
        attributes = {
            name: value if type(value) not in _PACKED_APART else _value(value)
            for name, value in zip(names[1:], values, strict=True)
            if value is not None
        }
        return Kept(names[0], self.origin + offset, attributes)

    def _spans(self) -> Iterator[tuple[int, int]]:
        packed, at, end = self.packed, 0, len(self.packed)
        while at < end:
            begin, size = self._line(packed, at)
            at = begin + size
            yield begin, at

    @staticmethod
    def _line(packed: bytearray, at: int) -> tuple[int, int]:
        size = packed[at]
        return (at + 1, size) if size < 255 else (at + 5, int.from_bytes(packed[at + 1 : at + 5], "big"))

    def _time(self, begin: int, end: int) -> EpochMs:
        return self.origin + int(_decode(memoryview(self.packed)[begin:end])[1])

    def _insert(self, line: bytes, time: EpochMs) -> None:
        """Put a late event before the first that is later than it: those of its own time arrived before it."""
        at = 0
        for begin, end in self._spans():
            if self._time(begin, end) > time:
                break
            at = end
        self.packed[at:at] = line

    def _drop_oldest(self) -> None:
        begin, size = self._line(self.packed, 0)
        time = self._time(begin, begin + size)
        self.dropped = time if self.dropped is None else max(time, self.dropped)
        del self.packed[: begin + size]
        self.count -= 1
