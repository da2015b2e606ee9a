"""Names, literals and units: what a scalar means once its type is known."""

from __future__ import annotations

import datetime as dt
import functools
import math
import re
import zoneinfo
from collections.abc import Collection
from decimal import Decimal

from engine.language.diagnostics import Located, Report
from engine.language.nodes import Broken, Node, Scalar, Sequence, kind_of
from engine.units import LARGEST, LATEST, epoch_ms, parse_duration, parse_local, parse_money
from engine.values import EpochMs, Kind, Millis, Value, ValueType
from engine.values import Scalar as ScalarValue

LONGEST_NAME = 100
MOST_VALUES = 10_000
"""Values of one `is_one_of`."""
LONGEST_LITERAL = 1_000

_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]*", re.ASCII)
_DOTTED = re.compile(r"[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*)*", re.ASCII)
_MODEL = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*", re.ASCII)
_DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})", re.ASCII)
_PERCENT = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,4})?) ?%", re.ASCII)
_ZONE = re.compile(r"UTC|(?!posix/|right/)[A-Za-z_]+(/[A-Za-z0-9_+-]+){1,2}", re.ASCII)
_TIME_OF_DAY = re.compile(r"([0-9]{1,2}):([0-9]{2})", re.ASCII)


class Values:
    """Reads literals. `currency` and `minor_units` are the vocabulary's."""

    def __init__(self, report: Report, currency: str, minor_units: int, timezone: str) -> None:
        self.report = report
        self.currency = currency
        self.minor_units = minor_units
        self.timezone = timezone

    def literal(self, node: Node, value_type: ValueType, what: str) -> Value | None:
        """A literal of a type; None, reported, where it is none."""
        if isinstance(node, Broken):
            return None
        if not isinstance(node, Scalar):
            self.report.error("wrong-type", node, f"{what} is {type_text(value_type)}, this is {kind_of(node)}")
            return None
        if len(node.text) > LONGEST_LITERAL:
            self.report.error("too-large", node, f"a value of more than {LONGEST_LITERAL:,} characters")
            return None
        kind = value_type.kind
        if kind is Kind.TEXT:
            return self._text(node, what)
        if kind is Kind.CHOICE:
            return self._choice(node, value_type.choices, what)
        if kind is Kind.INTEGER:
            return self.integer(node, what)
        if kind is Kind.NUMBER:
            return self.number(node, what)
        if kind is Kind.MONEY:
            return self.money(node, what)
        if kind is Kind.BOOLEAN:
            return self.boolean(node, what)
        if kind is Kind.TIMESTAMP:
            return self.moment(node, self.timezone, what)
        return self.duration(node, what)

    def literals(self, node: Node, value_type: ValueType, what: str) -> tuple[ScalarValue, ...] | None:
        """The values of a list, sorted and without repeats."""
        if isinstance(node, Broken):
            return None
        if not isinstance(node, Sequence):
            self.report.error("wrong-shape", node, f"needs a list, this is {kind_of(node)}", "write [first, second]")
            return None
        if not node.items:
            self.report.error("empty", node, "the list is empty, so nothing is in it")
            return None
        if len(node.items) > MOST_VALUES:
            self.report.error("too-large", node, f"more than {MOST_VALUES:,} values")
            return None
        values: dict[ScalarValue, None] = {}
        is_whole = True
        for item in node.items:
            value = self.literal(item, value_type, what)
            if value is None or isinstance(value, tuple):
                is_whole = False
            elif value in values:
                self.report.warning("repeated-value", item, "this value is in the list already", "delete it")
            else:
                values[value] = None
        return tuple(sorted(values)) if is_whole else None

    def _wrong(self, node: Scalar, what: str, needs: str, proposal: str | None = None) -> None:
        self.report.error("wrong-type", node, f"{what} needs {needs}, this is {kind_of(node)}", proposal)

    def _text(self, node: Scalar, what: str) -> str | None:
        if isinstance(node.value, str):
            return node.text
        self._wrong(node, what, "text", f"put quotes around it: '{node.text}'")
        return None

    def _choice(self, node: Scalar, choices: tuple[str, ...], what: str) -> str | None:
        if node.text in choices:
            return node.text
        proposal = self.report.propose(node.text, choices, "one of:")
        self.report.error("unknown-choice", node, f"{node.text or 'empty text'} is no choice of {what}", proposal)
        return None

    def integer(self, node: Node, what: str, low: int = -LARGEST, high: int = LARGEST) -> int | None:
        """A whole number within bounds, both included."""
        value = node.value if isinstance(node, Scalar) else None
        if isinstance(value, bool) or not isinstance(value, int):
            if not isinstance(node, Broken):
                self.report.error("wrong-type", node, f"{what} needs a whole number, this is {kind_of(node)}")
            return None
        if not low <= value <= high:
            self.report.error("out-of-range", node, f"{what} is from {low:,} to {high:,}, this is {_short(value)}")
            return None
        return value

    def number(self, node: Node, what: str) -> float | None:
        """A finite number."""
        value = node.value if isinstance(node, Scalar) else None
        if isinstance(value, bool) or not isinstance(value, int | float):
            if not isinstance(node, Broken):
                self.report.error("wrong-type", node, f"{what} needs a number, this is {kind_of(node)}")
            return None
        if isinstance(value, int) and abs(value) > LARGEST:
            self.report.error("out-of-range", node, f"{what} is within ±{LARGEST}, this is {_short(value)}")
            return None
        if not math.isfinite(value):
            self.report.error("out-of-range", node, f"{what} needs a finite number, this is {value}")
            return None
        return float(value)

    def money(self, node: Node, what: str, *, is_amount: bool = False) -> int | None:
        """An amount in major units, `4.90` or `4.90 EUR`, in minor units. `is_amount`: it can't be negative."""
        if isinstance(node, Broken):
            return None
        proposal = f"write an amount like {'4.90' if self.minor_units == 2 else '500'}"
        text = node.text if isinstance(node, Scalar) else ""
        number, _, currency = text.partition(" ")
        if currency and re.fullmatch("[A-Z]{3}", currency) and currency != self.currency:
            self.report.error("wrong-type", node, f"the shop's currency is {self.currency}, this is in {currency}")
            return None
        if currency and currency != self.currency:
            number = ""
        try:
            amount = parse_money(number, self.minor_units)
        except ValueError:
            decimals = "no decimals" if self.minor_units == 0 else f"{self.minor_units} decimals"
            self.report.error("too-many-decimals", node, f"{self.currency} has {decimals}, this is {text}")
            return None
        if amount is None:
            message = f"{what} needs an amount in {self.currency}, this is {kind_of(node)}"
            self.report.error("wrong-type", node, message, proposal)
            return None
        if is_amount and amount < 0:
            self.report.error("out-of-range", node, f"{what} can't be negative")
            return None
        return amount

    def boolean(self, node: Node, what: str) -> bool | None:
        """True or false, as YAML 1.2 writes them."""
        value = node.value if isinstance(node, Scalar) else None
        if isinstance(value, bool):
            return value
        if not isinstance(node, Broken):
            said = node.text.lower() if isinstance(node, Scalar) else ""
            proposal = (
                "write true" if said in {"yes", "on", "y"} else "write false" if said in {"no", "off", "n"} else None
            )
            self.report.error("wrong-type", node, f"{what} needs true or false, this is {kind_of(node)}", proposal)
        return None

    def duration(self, node: Node, what: str) -> Millis | None:
        """`5 minutes`."""
        if isinstance(node, Broken):
            return None
        length = parse_duration(node.text) if isinstance(node, Scalar) else None
        if length is None:
            message = f"{what} needs a duration, this is {kind_of(node)}"
            self.report.error("bad-duration", node, message, _duration_proposal(node))
        return length

    def span(self, node: Node, what: str) -> Millis | None:
        """A duration longer than nothing."""
        length = self.duration(node, what)
        if length == 0:
            self.report.error("out-of-range", node, f"{what} must be longer than nothing")
            return None
        return length

    def percentage(self, node: Node, what: str) -> float | None:
        """`10%` as 0.1; from 0% to below 100%."""
        if isinstance(node, Broken):
            return None
        match = _PERCENT.fullmatch(node.text) if isinstance(node, Scalar) else None
        share = float(Decimal(match[1]) / 100) if match is not None else None
        if share is None:
            message = f"{what} needs a percentage, this is {kind_of(node)}"
            self.report.error("bad-percentage", node, message, "write for example 10%")
        elif share >= 1:
            message = f"{what} must be below 100%, or nobody is left"
            self.report.error("bad-percentage", node, message)
            return None
        return share

    def moment(self, node: Node, timezone: str, what: str) -> EpochMs | None:
        """A date, a local time in `timezone`, or a moment with an offset."""
        if isinstance(node, Broken):
            return None
        text = node.text if isinstance(node, Scalar) else ""
        if _DATE.fullmatch(text):
            text += "T00:00"
        read = parse_local(text)
        if read is None:
            message = f"{what} needs a date or a time, this is {kind_of(node)}"
            self.report.error("bad-date", node, message, "write 2026-11-20, 2026-11-20T18:00 or 2026-11-20T18:00+01:00")
            return None
        local, is_absolute = read
        try:
            moment = epoch_ms(local) if is_absolute else self._local(local, timezone, node)
        except OverflowError:
            moment = -1
        if moment is not None and not 0 <= moment <= LATEST:
            self.report.error("out-of-range", node, f"{what} lies between 1970 and 9999")
            return None
        return moment

    def _local(self, local: dt.datetime, timezone: str, node: Node) -> EpochMs | None:
        zone = zoneinfo.ZoneInfo(timezone)
        early, late = (epoch_ms(local.replace(tzinfo=zone, fold=fold)) for fold in (0, 1))
        if early == late:
            return early
        shown = local.isoformat(timespec="minutes")
        if dt.datetime.fromtimestamp(early / 1_000, zone).replace(tzinfo=None, fold=0) != local:
            after = dt.datetime.fromtimestamp(early / 1_000, zone).replace(tzinfo=None).isoformat(timespec="minutes")
            message = f"{shown} does not exist in {timezone}: the clock is set forward over it"
            self.report.error("local-time-skipped", node, message, f"did you mean {after}?")
            return None
        first, second = (local.replace(tzinfo=zone, fold=fold).isoformat(timespec="minutes") for fold in (0, 1))
        message = f"{shown} happens twice in {timezone}: the clock is set back over it"
        self.report.error("local-time-repeated", node, message, f"say which: {first} or {second}")
        return None

    def zone(self, node: Scalar | None) -> str:
        """A time zone's name; the vocabulary's where there is none or it is unknown, which is reported."""
        if node is None:
            return self.timezone
        if is_zone(node.text):
            return node.text
        proposal = self.report.propose(node.text, _zones()) or "write for example Europe/Berlin"
        self.report.error("unknown-timezone", node, f"there is no time zone {node.text[:60]}", proposal)
        return self.timezone

    def time_of_day(self, node: Scalar) -> int | None:
        """`18:00` in minutes of the day; 24:00 is 0 of the next."""
        match = _TIME_OF_DAY.fullmatch(node.text)
        if match is not None:
            hour, minute = int(match[1]), int(match[2])
            if minute < 60 and (hour < 24 or (hour, minute) == (24, 0)):
                return (hour % 24) * 60 + minute
        self.report.error("bad-date", node, f"{node.text[:40]} is no time of day", "write for example 18:00")
        return None

    def name(self, node: Scalar, what: str, *, is_dotted: bool = False) -> str | None:
        """The name that is declared here; None, reported, where it is no identifier."""
        return self._named(
            node, what, _DOTTED if is_dotted else _IDENTIFIER, "cart.value" if is_dotted else "cart_banner"
        )

    def model_name(self, node: Scalar) -> str | None:
        """A model's name in the registry."""
        return self._named(node, "a model", _MODEL, "purchase_intent")

    def _named(self, node: Scalar, what: str, pattern: re.Pattern[str], example: str) -> str | None:
        if len(node.text) <= LONGEST_NAME and pattern.fullmatch(node.text):
            return node.text
        if len(node.text) > LONGEST_NAME:
            message = f"the name of {what} has at most {LONGEST_NAME} characters"
        else:
            dots = ", and dots between words" if pattern is _DOTTED else ""
            message = f"the name of {what} has letters, digits and _, and begins with a letter{dots}"
        self.report.error("bad-name", node, message, f"write a name like {example}")
        return None

    def known(self, node: Scalar, names: Collection[str], code: str, what: str) -> str | None:
        """A name that must be declared."""
        if node.text in names:
            return node.text
        proposal = self.report.propose(node.text, names, "known:")
        self.report.error(code, node, f"unknown {what} {node.text[:LONGEST_NAME]}", proposal)
        return None

    def declare(self, name: str, taken: Collection[str], where: Located, what: str) -> bool:
        """Whether a name is still free; reported where it is not."""
        if name in taken:
            self.report.error("duplicate-name", where, f"{what} {name} is declared twice", "give one another name")
            return False
        return True


@functools.lru_cache(maxsize=1)
def _zones() -> Collection[str]:
    return tuple(sorted(zone for zone in zoneinfo.available_timezones() if _ZONE.fullmatch(zone)))


def is_zone(name: str) -> bool:
    """Whether the IANA database has this zone. Names that some systems add (`localtime`) do not count."""
    if len(name) > LONGEST_NAME or not _ZONE.fullmatch(name):
        return False
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def type_text(value_type: ValueType) -> str:
    """A type for a message: `text`, `an amount of money`, `a list of text`."""
    return _TYPE_TEXTS[value_type.kind] + (f" of {value_type.item.kind.value}" if value_type.item is not None else "")


_TYPE_TEXTS = {
    Kind.TEXT: "text",
    Kind.CHOICE: "a choice",
    Kind.INTEGER: "a whole number",
    Kind.NUMBER: "a number",
    Kind.MONEY: "money",
    Kind.BOOLEAN: "true or false",
    Kind.TIMESTAMP: "a timestamp",
    Kind.DURATION: "a duration",
    Kind.LIST: "a list",
}


def _short(value: int) -> str:
    return f"{value:,}" if abs(value) < 10**24 else "far beyond"


def _duration_proposal(node: Node) -> str:
    match = re.fullmatch(r"([0-9]{1,9}) *([a-zA-Z]*)", node.text) if isinstance(node, Scalar) else None
    if match is None:
        return "write a whole number and a unit, for example 5 minutes"
    if not match[2]:
        return f"write a unit behind it, for example {match[1]} seconds"
    units = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
    unit = match[2].lower()
    if unit in {"ms", "millisecond", "milliseconds", "msec"}:
        return f"write {match[1]} ms"
    if unit.startswith(("mo", "y")):
        return "months and years have no fixed length: write days"
    return f"write {match[1]} {units.get(unit[:1], 'minutes')}"
