"""How the UI writes times, numbers, names and reasons: plain functions."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from engine.decision import Lost, Suppression
from engine.values import EpochMs, Millis

SECOND = 1000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR


def at(time: EpochMs, zone: ZoneInfo) -> str:
    """`23 Nov 2026, 10:04:31` in the zone."""
    return datetime.fromtimestamp(time / 1000, zone).strftime("%-d %b %Y, %H:%M:%S")


def ago(time: EpochMs, now: EpochMs) -> str:
    """`just now`, `4 minutes ago`, `in 2 hours`."""
    distance = abs(now - time)
    if distance < 5 * SECOND:
        return "just now"
    text = length(distance)
    return f"{text} ago" if time <= now else f"in {text}"


def length(millis: Millis) -> str:
    """A length of time in its largest whole unit: `90 seconds`, `5 minutes`, `3 hours`, `12 days`."""
    for unit, name in ((DAY, "day"), (HOUR, "hour"), (MINUTE, "minute")):
        if millis >= 2 * unit or (millis >= unit and millis % unit == 0):
            return plural(millis // unit, name)
    return plural(millis // SECOND, "second")


def plural(count: int, noun: str) -> str:
    """`1 rule`, `1,204 rules`, `2 queries`, `3 processes`."""
    if count == 1:
        return f"1 {noun}"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return f"{count:,} {noun[:-1]}ies"
    return f"{count:,} {noun}{'es' if noun.endswith('s') else 's'}"


def number(value: float) -> str:
    """With thousands separators, one decimal below ten."""
    if value != int(value) and abs(value) < 10:
        return f"{value:.1f}"
    return f"{round(value):,}"


def title(name: str) -> str:
    """A name as people read it: `cart_recovery.free_shipping_nudge` becomes `Free shipping nudge`."""
    last = name.rsplit(".", 1)[-1].replace("_", " ").strip()
    return last[:1].upper() + last[1:]


def local_input(time: EpochMs, zone: str) -> str:
    """The value of a `datetime-local` input, to the second."""
    return datetime.fromtimestamp(time / 1000, ZoneInfo(zone)).strftime("%Y-%m-%dT%H:%M:%S")


def read_local(text: str, zone: str) -> EpochMs:
    """What a `datetime-local` input says; raises `ValueError`."""
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


_BECAUSE = {
    Suppression.CONSENT: "no consent",
    Suppression.SCHEDULE: "outside its schedule",
    Suppression.SWITCHED_OFF: "the rule is switched off",
    Suppression.NOT_ELIGIBLE: "the offer is not for this shopper",
    Suppression.HOLDOUT: "held out",
    Suppression.GROUP: "another offer of its exclusion group is shown",
    Suppression.CAP: "its limit is used up",
    Suppression.BUDGET: "its budget is used up",
    Suppression.STOCK: "out of stock",
    Suppression.RANK: "another one ranks higher",
    Suppression.DUPLICATE: "it is shown already",
}


_SAID_ALREADY = {Suppression.SCHEDULE, Suppression.SWITCHED_OFF, Suppression.HOLDOUT}
"""Where the detail only names the rule once more."""


def because(lost: Lost) -> str:
    """Why a candidate is not shown: `its limit is used up (3 per customer in 7 days)`."""
    reason = _BECAUSE[lost.because]
    return f"{reason} ({lost.detail})" if lost.detail and lost.because not in _SAID_ALREADY else reason
