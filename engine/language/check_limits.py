"""Limits and schedules."""

from __future__ import annotations

import re

from engine.language.check_values import Values
from engine.language.diagnostics import closest
from engine.language.nodes import Scalar
from engine.language.syntax import LimitsSyntax, ScheduleSyntax
from engine.language.tree import CalendarUnit, Limit, LimitScope, Schedule
from engine.units import UNITS, parse_duration
from engine.values import Millis

MOST_ACTS = 1_000_000_000

_SCOPES = {"per_session": LimitScope.SESSION, "per_customer": LimitScope.CUSTOMER, "total": LimitScope.TOTAL}
_LIMIT = re.compile(r"([0-9]{1,12})(?: +(?:per|in) +(.+))?", re.ASCII)
_CALENDAR = {f"calendar {unit.value}": unit for unit in CalendarUnit}
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_FULL_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_EXAMPLE = "write 1, 3 per week, 2 per 3 days or 3 per calendar week"


def check_limits(syntax: LimitsSyntax | None, timezone: str, values: Values) -> tuple[Limit, ...]:
    """The limits, in the order session, customer, total, each as written."""
    if syntax is None:
        return ()
    limits: list[Limit] = []
    for key, words in syntax.counts:
        for word in words:
            limit = _limit(_SCOPES[key.text], word, timezone, values)
            if limit is None:
                continue
            same = [
                each
                for each in limits
                if (each.scope, each.sliding, each.calendar) == (limit.scope, limit.sliding, limit.calendar)
            ]
            if same:
                values.report.error(
                    "bad-limit", word, f"{key.text} limits the same period twice", "keep the smaller one"
                )
            else:
                limits.append(limit)
    return tuple(limits)


def _limit(scope: LimitScope, word: Scalar, timezone: str, values: Values) -> Limit | None:
    match = _LIMIT.fullmatch(word.text)
    if match is None:
        values.report.error("bad-limit", word, f"{word.text[:60]} is no limit", _EXAMPLE)
        return None
    most = int(match[1])
    if not 1 <= most <= MOST_ACTS:
        message = f"a limit is from 1 to {MOST_ACTS:,}"
        proposal = "to switch it off, write enabled: false" if most == 0 else None
        values.report.error("out-of-range", word, message, proposal)
        return None
    period = match[2]
    if period is None:
        return Limit(scope, most)
    if period in _CALENDAR:
        return Limit(scope, most, calendar=_CALENDAR[period], timezone=timezone)
    sliding = _sliding(period)
    if sliding:
        return Limit(scope, most, sliding=sliding)
    proposal = _EXAMPLE
    if period.startswith(("month", "calendar")) or period.endswith(("month", "months")):
        proposal = f"months differ in length: write {most} per 30 days or {most} per calendar month"
    elif near := closest(period, [*_CALENDAR, *UNITS]):
        proposal = near
    values.report.error("bad-limit", word, f"{period[:40]} is no period", proposal)
    return None


def _sliding(period: str) -> Millis | None:
    return parse_duration(period) or parse_duration(f"1 {period}")


def check_schedule(syntax: ScheduleSyntax, values: Values) -> Schedule | None:
    """A schedule in its time zone, the vocabulary's where it names none."""
    report = values.report
    timezone = values.zone(syntax.timezone)
    start = values.moment(syntax.start, timezone, "from") if syntax.start is not None else None
    until = values.moment(syntax.until, timezone, "until") if syntax.until is not None else None
    if start is not None and until is not None and start >= until:
        assert syntax.until is not None
        report.error("never-acts", syntax.until, "the schedule ends before it begins, so the rule never acts")
    days: set[int] = set()
    for word in syntax.days:
        day = _day(word, values)
        if day in days:
            report.warning("repeated-value", word, "this day is in the list already", "delete it")
        if day is not None:
            days.add(day)
    between: tuple[int, int] | None = None
    if syntax.between is not None:
        first, second = (values.time_of_day(word) for word in syntax.between)
        if first is not None and second is not None:
            between = (first, second)
    if len(days) == 7:
        report.warning("without-effect", syntax.days[0], "on lists every day of the week", "delete on:")
    return Schedule(start, until, timezone, tuple(sorted(days)), between)


def _day(word: Scalar, values: Values) -> int | None:
    for names in (_DAYS, _FULL_DAYS):
        if word.text.lower() in names:
            return names.index(word.text.lower())
    values.report.error("bad-date", word, f"{word.text[:40]} is no day of the week", f"one of: {', '.join(_DAYS)}")
    return None
