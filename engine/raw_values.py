"""JSON values as senders write them, read into typed values; what does not fit is refused with a code and a sentence."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TypeAlias

from engine.units import LARGEST, LATEST, LONGEST, parse_duration, parse_moment, parse_money
from engine.values import Kind, Scalar, Value, ValueType

LONGEST_TEXT = 4_096
"""Characters of one text value."""
LONGEST_LIST = 256
"""Items of one list value."""

Reader: TypeAlias = Callable[[object], Value]
"""Reads one raw value that is not None; raises `ValueRefusedError`."""


class ValueRefusedError(ValueError):
    """A raw value that does not fit its type.

    Attributes:
        code: `wrong-type`, `unknown-choice`, `other-currency`, `too-many-decimals`, `out-of-range` or `too-long`.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def reader_of(value_type: ValueType, currency: str, minor_units: int) -> Reader:
    """The reader of a type.

    Money is a JSON number or text in major units, or `{"amount": ..., "currency": ...}`; a timestamp is milliseconds
    since the epoch or RFC 3339 text with an offset; a duration is milliseconds or text like `5 minutes`.
    """
    kind = value_type.kind
    if kind is Kind.MONEY:
        return _money_reader(currency, minor_units)
    if kind is Kind.CHOICE:
        return _choice_reader(value_type.choices)
    if kind is Kind.LIST:
        assert value_type.item is not None
        return _list_reader(reader_of(value_type.item, currency, minor_units))
    return _READERS[kind]


def shown(raw: object) -> str:
    """A raw value for a message: short, on one line, and never more than its first characters."""
    text = (
        repr(raw[:60])
        if isinstance(raw, str)
        else repr(raw)
        if isinstance(raw, int | float | None)
        else type(raw).__name__
    )
    return text if len(text) <= 64 else text[:60] + "..."


def _text(raw: object) -> str:
    if type(raw) is not str:
        raise ValueRefusedError("wrong-type", f"needs text, has {shown(raw)}")
    if len(raw) > LONGEST_TEXT:
        raise ValueRefusedError("too-long", f"has {len(raw):,} characters, at most {LONGEST_TEXT:,} are taken")
    if not raw.isascii() and not _is_encodable(raw):
        raise ValueRefusedError("wrong-type", "has half of a surrogate pair, which is not text")
    return raw


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _integer(raw: object) -> int:
    if type(raw) is float and raw.is_integer():
        raw = int(raw)
    if type(raw) is not int:
        raise ValueRefusedError("wrong-type", f"needs a whole number, has {shown(raw)}")
    if not -LARGEST <= raw <= LARGEST:
        raise ValueRefusedError("out-of-range", f"needs a whole number within ±{LARGEST}, has {shown(raw)}")
    return raw


def _number(raw: object) -> float:
    if type(raw) is int and -LARGEST <= raw <= LARGEST:
        return float(raw)
    if type(raw) is not float:
        code = "out-of-range" if type(raw) is int else "wrong-type"
        raise ValueRefusedError(code, f"needs a number, has {shown(raw)}")
    if not math.isfinite(raw):
        raise ValueRefusedError("out-of-range", f"needs a finite number, has {raw!r}")
    return raw + 0.0  # zero without a sign: see engine.expression


def _boolean(raw: object) -> bool:
    if type(raw) is not bool:
        raise ValueRefusedError("wrong-type", f"needs true or false, has {shown(raw)}")
    return raw


def read_moment(raw: object) -> int:
    """Read milliseconds since the epoch, or RFC 3339 text with an offset; raises `ValueRefusedError`."""
    if type(raw) is int:
        if 0 <= raw <= LATEST:
            return raw
        raise ValueRefusedError("out-of-range", f"needs a time between 1970 and 9999, has {shown(raw)}")
    if type(raw) is str:
        moment = parse_moment(raw)
        if moment is not None:
            return moment
    raise ValueRefusedError("wrong-type", f"needs ms since 1970 or a time like 2026-11-20T10:04:00Z, has {shown(raw)}")


def _duration(raw: object) -> int:
    length = parse_duration(raw) if type(raw) is str else raw
    if type(length) is not int:
        raise ValueRefusedError("wrong-type", f"needs milliseconds or text like '5 minutes', has {shown(raw)}")
    if not 0 <= length <= LONGEST:
        raise ValueRefusedError("out-of-range", f"needs a duration from 0 to ten years, has {shown(raw)}")
    return length


_READERS: Mapping[Kind, Reader] = {
    Kind.TEXT: _text,
    Kind.INTEGER: _integer,
    Kind.NUMBER: _number,
    Kind.BOOLEAN: _boolean,
    Kind.TIMESTAMP: read_moment,
    Kind.DURATION: _duration,
}


def _choice_reader(choices: tuple[str, ...]) -> Reader:
    known = frozenset(choices)

    def read(raw: object) -> str:
        if type(raw) is not str:
            raise ValueRefusedError("wrong-type", f"needs one of {', '.join(choices)}, has {shown(raw)}")
        if raw not in known:
            raise ValueRefusedError("unknown-choice", f"needs one of {', '.join(choices)}, has {shown(raw)}")
        return raw

    return read


def _money_reader(currency: str, minor_units: int) -> Reader:
    factor: int = 10**minor_units

    def too_many(raw: object) -> ValueRefusedError:
        return ValueRefusedError(
            "too-many-decimals", f"is {shown(raw)}, and {currency} has {minor_units or 'no'} decimals"
        )

    def read(raw: object) -> int:
        if type(raw) is float:
            scaled = raw * factor
            if not math.isfinite(scaled) or abs(scaled) > LARGEST:
                raise ValueRefusedError(
                    "out-of-range", f"needs an amount within ±{LARGEST // factor}, has {shown(raw)}"
                )
            amount = round(scaled)
            # 0.1 + 0.2 is 0.30000000000000004 in a sender's floats: noise of that size is no third decimal.
            if abs(scaled - amount) > max(1e-6, abs(scaled) * 2**-50):
                raise too_many(raw)
            return amount
        if type(raw) is int:
            amount = raw * factor
            if not -LARGEST <= amount <= LARGEST:
                raise ValueRefusedError(
                    "out-of-range", f"needs an amount within ±{LARGEST // factor}, has {shown(raw)}"
                )
            return amount
        if type(raw) is str:
            try:
                parsed = parse_money(raw, minor_units)
            except ValueError:
                raise too_many(raw) from None
            if parsed is not None:
                return parsed
        elif type(raw) is dict and raw.keys() == {"amount", "currency"}:
            if raw["currency"] != currency:
                raise ValueRefusedError(
                    "other-currency", f"needs {currency}, has an amount in {shown(raw['currency'])}"
                )
            if type(raw["amount"]) is not dict:
                return read(raw["amount"])
        raise ValueRefusedError("wrong-type", f"needs an amount in {currency} like 35.79, has {shown(raw)}")

    return read


def _list_reader(item: Reader) -> Reader:
    def read(raw: object) -> tuple[Scalar, ...]:
        if type(raw) is not list and type(raw) is not tuple:
            raise ValueRefusedError("wrong-type", f"needs a list, has {shown(raw)}")
        if len(raw) > LONGEST_LIST:
            raise ValueRefusedError("too-long", f"has {len(raw):,} items, at most {LONGEST_LIST} are taken")
        items: list[Scalar] = []
        for position, each in enumerate(raw, 1):
            try:
                value = item(each)
            except ValueRefusedError as refused:
                raise ValueRefusedError(refused.code, f"item {position}: {refused}") from None
            assert not isinstance(value, tuple)  # the vocabulary has no lists of lists
            items.append(value)
        return tuple(items)

    return read
