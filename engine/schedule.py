"""Schedules and calendar periods: when a rule may act, and when that changes next."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from functools import lru_cache
from zoneinfo import ZoneInfo

from engine.language.tree import CalendarUnit, Limit, Schedule
from engine.units import LATEST, epoch_ms
from engine.values import EpochMs

_DAY = 86_400_000
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
# A week of days, one for a span that began the day before, and one each side for the distance of the zone from UTC.
_DAYS_AHEAD = range(-2, 10)


def is_open(schedule: Schedule | None, now: EpochMs) -> bool:
    """Whether a rule with this schedule may act at `now`. Open from `start` (included) until `until` (excluded)."""
    if schedule is None:
        return True
    if schedule.start is not None and now < schedule.start:
        return False
    if schedule.until is not None and now >= schedule.until:
        return False
    if not schedule.days and schedule.between is None:
        return True
    local = _local(now, ZoneInfo(schedule.timezone))
    weekday = local.weekday()
    if schedule.between is None:
        return weekday in schedule.days
    days = schedule.days or range(7)
    minute = local.hour * 60 + local.minute
    begin, end = schedule.between
    if begin < end:
        return begin <= minute < end and weekday in days
    # Past midnight: the part after it belongs to the day before.
    return (minute >= begin and weekday in days) or (minute < end and (weekday - 1) % 7 in days)


def next_change(schedule: Schedule | None, now: EpochMs) -> EpochMs | None:
    """The earliest moment after `now` at which `is_open` is not what it is at `now`; None if it stays so for good."""
    if schedule is None:
        return None
    state = is_open(schedule, now)
    moments = {moment for moment in (schedule.start, schedule.until) if moment is not None and moment > now}
    if schedule.days or schedule.between is not None:
        after = now if schedule.start is None or schedule.start < now else schedule.start
        today = _local(after, ZoneInfo(schedule.timezone)).date()
        moments.update(
            moment for moment in _boundaries(schedule.timezone, schedule.between or (), today) if moment > now
        )
    return next((moment for moment in sorted(moments) if is_open(schedule, moment) != state), None)


def period(limit: Limit, now: EpochMs) -> tuple[EpochMs, EpochMs]:
    """The calendar period of `limit` that holds `now`, in the limit's time zone: (its begin, its end).

    Raises:
        ValueError: The limit is not one per calendar period.
    """
    if limit.calendar is None:
        message = "only a limit per calendar day, week or month has periods"
        raise ValueError(message)
    zone = ZoneInfo(limit.timezone)
    day = _local(now, zone).date()
    if limit.calendar is CalendarUnit.DAY:
        begin, end = day, day + dt.timedelta(days=1)
    elif limit.calendar is CalendarUnit.WEEK:
        begin = day - dt.timedelta(days=day.weekday())
        end = begin + dt.timedelta(days=7)
    else:
        begin = day.replace(day=1)
        end = (begin + dt.timedelta(days=31)).replace(day=1)
    return _midnight(begin, zone), _midnight(end, zone)


def _local(moment: EpochMs, zone: ZoneInfo) -> dt.datetime:
    """The local time; near the end of the calendar, where there is none, that of two months before it."""
    moment = min(max(moment, 0), LATEST - 60 * _DAY)
    return (_EPOCH + dt.timedelta(milliseconds=moment)).astimezone(zone)


def _midnight(day: dt.date, zone: ZoneInfo) -> EpochMs:
    """The first moment of a local day: where a clock change skips midnight, the moment of the change."""
    midnight = dt.datetime(day.year, day.month, day.day, tzinfo=zone)
    moment = epoch_ms(midnight)
    if _local(moment, zone).date() == day and _local(moment - 1, zone).date() != day:
        return moment
    return _first(lambda at: _local(at, zone).date() >= day, moment - _DAY, moment + _DAY)


@lru_cache(maxsize=256)  # every request asks for those of the rules that hold, and a day is long
def _boundaries(timezone: str, between: tuple[int, ...], today: dt.date) -> tuple[EpochMs, ...]:
    """Every moment of the next week at which a schedule's local day or time of day may begin or end."""
    zone = ZoneInfo(timezone)
    minutes = {0, *between}
    found: list[EpochMs] = []
    for ahead in _DAYS_AHEAD:
        day = today + dt.timedelta(days=ahead)
        for minute in minutes:
            for fold in (0, 1):  # both, where the clock is set back
                local = dt.datetime(day.year, day.month, day.day, minute // 60, minute % 60, fold=fold, tzinfo=zone)
                found.append(epoch_ms(local))
        # Where the clock is set forward over a boundary, the boundary is the moment of the change.
        noon = dt.datetime(day.year, day.month, day.day, 12, tzinfo=zone)
        begin, end = epoch_ms(noon) - _DAY, epoch_ms(noon)
        before, offset = _local(begin, zone).utcoffset(), noon.utcoffset()
        if before != offset:
            found.append(_transition(zone, begin, end))
    return tuple(found)


def _transition(zone: ZoneInfo, low: EpochMs, high: EpochMs) -> EpochMs:
    """The moment in (low, high] at which the zone's distance from UTC changes; it changes once."""
    offset = _local(high, zone).utcoffset()
    return _first(lambda at: _local(at, zone).utcoffset() == offset, low, high)


def _first(holds: Callable[[EpochMs], bool], low: EpochMs, high: EpochMs) -> EpochMs:
    """The first moment in (low, high] at which `holds` is true; it is false before and true after."""
    while high - low > 1:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle
    return high
