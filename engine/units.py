"""Units, both ways: durations, moments and money as text, and as the integers that the engine counts in."""

from __future__ import annotations

import datetime as dt
import re
from decimal import Decimal, InvalidOperation

from engine.values import EpochMs, Millis

LARGEST = 2**53 - 1
"""Integers beyond this are not exact in JSON readers of other languages, and are refused."""
LATEST: EpochMs = 253_402_300_799_999
"""The last millisecond of the year 9999."""
LONGEST: Millis = 3_660 * 86_400_000
"""The longest duration that can be written: ten years."""

UNITS: dict[str, Millis] = {
    "ms": 1,
    "second": 1_000,
    "minute": 60_000,
    "hour": 3_600_000,
    "day": 86_400_000,
    "week": 7 * 86_400_000,
}
_UNIT_NAMES = {**UNITS, **{f"{unit}s": length for unit, length in UNITS.items() if unit != "ms"}}
_DURATION = re.compile(r"([0-9]{1,15}) +([a-z]+)", re.ASCII)
_MOMENT = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,9}))?)?"
    r"(Z|z|[+-][0-9]{2}:[0-9]{2})?",
    re.ASCII,
)
_DECIMAL = re.compile(r"[+-]?[0-9]{1,16}(?:\.[0-9]{1,16})?", re.ASCII)
_EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - subtracted from naive UTC only
_UTC = dt.UTC

ZERO_DECIMALS = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
THREE_DECIMALS = "BHD IQD JOD KWD LYD OMR TND"
TWO_DECIMALS = (
    "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CNY COP CRC "
    "CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD "
    "KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO "
    "NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL "
    "THB TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VED VES WST XCD YER ZAR ZMW"
)
CURRENCIES: dict[str, int] = {
    **dict.fromkeys(ZERO_DECIMALS.split(), 0),
    **dict.fromkeys(TWO_DECIMALS.split(), 2),
    **dict.fromkeys(THREE_DECIMALS.split(), 3),
}
"""Decimals of each currency (ISO 4217)."""


def parse_duration(text: str) -> Millis | None:
    """Read `5 minutes`, `1 hour`, `20 ms`; None for anything else or beyond ten years."""
    match = _DURATION.fullmatch(text)
    if match is None or match[2] not in _UNIT_NAMES:
        return None
    length = int(match[1]) * _UNIT_NAMES[match[2]]
    return length if length <= LONGEST else None


def duration_text(length: Millis) -> str:
    """Write a duration exactly, in the largest unit that divides it: `5 minutes`, `90 seconds`, `1 hour`."""
    if length == 0:
        return "0 seconds"
    for unit, size in reversed(UNITS.items()):
        if length % size == 0:
            count = length // size
            return f"{count} {unit}" if unit == "ms" or count == 1 else f"{count} {unit}s"
    raise AssertionError  # every length is a whole number of ms


def rough_duration(length: Millis) -> str:
    """Write a duration for a quick look: `7 min`, `45 s`, `3 h`, `2 days`; rounded down, so never more than it is."""
    for unit, size in (("days", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000)):
        if length >= 2 * size or (length >= size and unit != "days"):
            return f"{length // size} {unit}"
    return f"{length} ms"


def parse_local(text: str) -> tuple[dt.datetime, bool] | None:
    """Read an RFC 3339 moment, or one without an offset.

    Returns:
        The moment and whether it has an offset (then the datetime is aware), or None for anything else.
    """
    match = _MOMENT.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, offset = match.groups()
    try:
        local = dt.datetime(  # noqa: DTZ001 - the caller adds the zone where the text has none
            int(year),
            int(month),
            int(day),
            int(hour),
            int(minute),
            int(second or 0),
            int((fraction or "0").ljust(6, "0")[:6]),
        )
        if offset is None:
            return local, False
        if offset in "Zz":
            return local.replace(tzinfo=_UTC), True
        hours, minutes = int(offset[1:3]), int(offset[4:6])
        if minutes > 59:
            return None
        shift = dt.timedelta(hours=hours, minutes=minutes)
        return local.replace(tzinfo=dt.timezone(shift if offset[0] == "+" else -shift)), True
    except ValueError:
        return None


def epoch_ms(moment: dt.datetime) -> EpochMs:
    """The epoch milliseconds of an aware datetime."""
    offset = moment.utcoffset()
    assert offset is not None
    delta = moment.replace(tzinfo=None) - offset - _EPOCH
    return delta.days * 86_400_000 + delta.seconds * 1_000 + delta.microseconds // 1_000


def parse_moment(text: str) -> EpochMs | None:
    """Read an RFC 3339 moment (with `Z` or an offset) between 1970 and 9999; None for anything else."""
    try:
        read = parse_local(text)
        if read is None or not read[1]:
            return None
        moment = epoch_ms(read[0])
    except OverflowError:  # an offset that carries the first or last day out of the calendar
        return None
    return moment if 0 <= moment <= LATEST else None


def moment_text(moment: EpochMs) -> str:
    """Write a moment in UTC, to the second unless it has milliseconds: `2026-11-20 10:04:00 UTC`."""
    if not 0 <= moment <= LATEST:
        return f"{moment} ms"
    written = _EPOCH + dt.timedelta(milliseconds=moment)
    return written.isoformat(" ", "seconds" if moment % 1_000 == 0 else "milliseconds") + " UTC"


def parse_money(text: str, minor_units: int) -> int | None:
    """Read a decimal amount in major units into minor units.

    Raises:
        ValueError: It has more decimals than the currency.

    Returns:
        None where the text is no decimal number or is beyond `LARGEST`.
    """
    if _DECIMAL.fullmatch(text) is None:
        return None
    try:
        scaled = Decimal(text).scaleb(minor_units)
    except InvalidOperation:
        return None
    whole = int(scaled)
    if whole != scaled:
        raise ValueError(text)
    return whole if -LARGEST <= whole <= LARGEST else None


def money_text(amount: int, minor_units: int, currency: str) -> str:
    """Write minor units as people do: `200.00 EUR`."""
    if minor_units == 0:
        return f"{amount} {currency}"
    digits = str(abs(amount)).rjust(minor_units + 1, "0")
    sign = "-" if amount < 0 else ""
    return f"{sign}{digits[:-minor_units]}.{digits[-minor_units:]} {currency}"
