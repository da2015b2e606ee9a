"""When the gates of rules open and close: schedules of all rules as one, so that most events need not look at any."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from engine.language.tree import Schedule
from engine.rete.agenda.production import Production
from engine.schedule import is_open, next_change
from engine.values import EpochMs

_DAY = 86_400_000
_DAYS_KEPT = 8  # sessions of one process are within the allowed lateness of each other; a replay moves on


class Gates:
    """The schedules of some rules. What it remembers is when they change on the days that were asked for."""

    __slots__ = ("_days", "_productions", "_schedules")

    def __init__(self, productions: Sequence[Production]) -> None:
        """`productions` with a schedule count; the others are always open."""
        self._productions = tuple(each for each in productions if each.rule.schedule is not None)
        self._schedules: tuple[Schedule, ...] = tuple(
            dict.fromkeys(each.rule.schedule for each in self._productions if each.rule.schedule is not None)
        )
        self._days: dict[int, tuple[EpochMs, ...]] = {}

    def __bool__(self) -> bool:
        return bool(self._productions)

    def opened(self, before: EpochMs, now: EpochMs) -> list[Production]:
        """The rules whose gate was closed at `before` and is open at `now`."""
        if not self._productions or before >= now:
            return []
        upcoming = self.next_change(before)
        if upcoming is None or upcoming > now:
            return []
        return [
            each
            for each in self._productions
            if is_open(each.rule.schedule, now) and not is_open(each.rule.schedule, before)
        ]

    def next_change(self, now: EpochMs) -> EpochMs | None:
        """The earliest moment after `now` at which one of the gates opens or closes."""
        if not self._productions:
            return None
        moments = self._changes(now // _DAY)
        at = bisect_right(moments, now)
        if at < len(moments):
            return moments[at]
        end = (now // _DAY + 1) * _DAY - 1
        later = (next_change(schedule, max(now, end)) for schedule in self._schedules)
        return min((at for at in later if at is not None), default=None)

    def _changes(self, day: int) -> tuple[EpochMs, ...]:
        """All changes of a day, in order."""
        days = self._days
        found = days.get(day)
        if found is None:
            moments: set[EpochMs] = set()
            for schedule in self._schedules:
                at = next_change(schedule, day * _DAY - 1)
                while at is not None and at < (day + 1) * _DAY:
                    moments.add(at)
                    at = next_change(schedule, at)
            found = tuple(sorted(moments))
            if len(days) >= _DAYS_KEPT:
                days = {}
            self._days = {**days, day: found}
        return found
