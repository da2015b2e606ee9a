"""When rules may act: dates, days, times of day, clock changes, calendar periods."""

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.language.tree import CalendarUnit, Limit, LimitScope, Schedule
from engine.schedule import is_open, next_change, period
from engine.units import LATEST

BERLIN = "Europe/Berlin"
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000


def at(text: str, zone: str = BERLIN) -> int:
    return round(dt.datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


def test_no_schedule_is_always_open() -> None:
    assert is_open(None, 0)
    assert next_change(None, 0) is None


def test_dates_include_the_start_and_exclude_the_end() -> None:
    schedule = Schedule(start=1_000, until=2_000)
    assert [is_open(schedule, now) for now in (999, 1_000, 1_999, 2_000)] == [False, True, True, False]
    assert [next_change(schedule, now) for now in (0, 999, 1_000, 1_999, 2_000)] == [1_000, 1_000, 2_000, 2_000, None]


def test_days_and_times_are_those_of_the_zone() -> None:
    schedule = Schedule(timezone=BERLIN, days=(5, 6), between=(18 * 60, 22 * 60))
    assert is_open(schedule, at("2026-06-20T18:00"))
    assert is_open(schedule, at("2026-06-20T21:59:59.999"))
    assert not is_open(schedule, at("2026-06-20T22:00"))
    assert not is_open(schedule, at("2026-06-19T18:00"))
    assert next_change(schedule, at("2026-06-15T00:00")) == at("2026-06-20T18:00")
    assert next_change(schedule, at("2026-06-20T18:00")) == at("2026-06-20T22:00")
    assert next_change(schedule, at("2026-06-21T22:00")) == at("2026-06-27T18:00")


def test_a_time_past_midnight_belongs_to_the_day_on_which_it_starts() -> None:
    schedule = Schedule(timezone=BERLIN, days=(4,), between=(22 * 60, 2 * 60))
    assert is_open(schedule, at("2026-06-19T22:00"))
    assert is_open(schedule, at("2026-06-20T01:59"))
    assert not is_open(schedule, at("2026-06-20T02:00"))
    assert not is_open(schedule, at("2026-06-19T01:00"))
    assert not is_open(schedule, at("2026-06-20T23:00"))
    assert next_change(schedule, at("2026-06-19T23:00")) == at("2026-06-20T02:00")


def test_until_midnight_is_written_as_minute_0_of_the_next_day() -> None:
    schedule = Schedule(timezone="UTC", days=(0,), between=(18 * 60, 0))
    assert is_open(schedule, at("2026-06-15T23:59", "UTC"))
    assert not is_open(schedule, at("2026-06-16T00:00", "UTC"))


def test_a_start_far_ahead_is_the_next_change() -> None:
    schedule = Schedule(start=at("2027-01-01T12:00"), timezone=BERLIN, between=(18 * 60, 20 * 60))
    assert next_change(schedule, at("2026-06-15T00:00")) == at("2027-01-01T18:00")


def test_a_time_that_the_clock_skips_opens_when_it_is_passed() -> None:
    """On 29 March 2026 the clock in Berlin goes from 02:00 to 03:00."""
    schedule = Schedule(timezone=BERLIN, between=(150, 240))  # 02:30 to 04:00
    change = at("2026-03-29T03:00")
    assert not is_open(schedule, change - 1)
    assert is_open(schedule, change)
    assert next_change(schedule, change - HOUR) == change


def test_a_time_that_the_clock_repeats_is_open_twice() -> None:
    """On 25 October 2026 the clock in Berlin goes from 03:00 back to 02:00."""
    schedule = Schedule(timezone=BERLIN, between=(150, 180))  # 02:30 to 03:00
    first = at("2026-10-25T02:30")
    assert [is_open(schedule, first + minutes * MINUTE) for minutes in (-1, 0, 29, 30, 59, 60, 89, 90)] == [
        *(False, True, True, False),
        *(False, True, True, False),
    ]
    assert next_change(schedule, first) == first + 30 * MINUTE
    assert next_change(schedule, first + 30 * MINUTE) == first + 60 * MINUTE


ZONES = st.sampled_from(
    ["UTC", BERLIN, "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "America/Santiago"]
)
MOMENTS = st.integers(1_700_000_000_000, 1_900_000_000_000)


@given(
    zone=ZONES,
    now=MOMENTS,
    days=st.sets(st.integers(0, 6)),
    between=st.one_of(st.none(), st.tuples(st.integers(0, 1439), st.integers(0, 1439))),
    start=st.one_of(st.none(), MOMENTS),
    length=st.one_of(st.none(), st.integers(1, 30 * DAY)),
)
def test_the_next_change_is_a_change_and_the_first(
    zone: str, now: int, days: set[int], between: tuple[int, int] | None, start: int | None, length: int | None
) -> None:
    until = None if length is None else (start or now) + length
    schedule = Schedule(start, until, zone, tuple(sorted(days)), between)
    change = next_change(schedule, now)
    state = is_open(schedule, now)
    if change is not None:
        assert change > now
        assert is_open(schedule, change) != state
        assert is_open(schedule, change - 1) == state
    end = min(change if change is not None else now + 40 * DAY, now + 40 * DAY)
    for step in range(400):
        assert is_open(schedule, now + (end - 1 - now) * step // 400) == state


@pytest.mark.parametrize(
    ("unit", "now", "begin", "end"),
    [
        (CalendarUnit.DAY, "2026-06-17T13:00", "2026-06-17T00:00", "2026-06-18T00:00"),
        (CalendarUnit.DAY, "2026-03-29T13:00", "2026-03-29T00:00", "2026-03-30T00:00"),
        (CalendarUnit.WEEK, "2026-06-17T13:00", "2026-06-15T00:00", "2026-06-22T00:00"),
        (CalendarUnit.WEEK, "2026-06-15T00:00", "2026-06-15T00:00", "2026-06-22T00:00"),
        (CalendarUnit.WEEK, "2026-06-21T23:59", "2026-06-15T00:00", "2026-06-22T00:00"),
        (CalendarUnit.MONTH, "2026-02-28T23:59", "2026-02-01T00:00", "2026-03-01T00:00"),
        (CalendarUnit.MONTH, "2026-12-31T23:59", "2026-12-01T00:00", "2027-01-01T00:00"),
    ],
)
def test_calendar_periods_begin_at_local_midnight(unit: CalendarUnit, now: str, begin: str, end: str) -> None:
    limit = Limit(LimitScope.TOTAL, 1, calendar=unit, timezone=BERLIN)
    assert period(limit, at(now)) == (at(begin), at(end))


@given(zone=st.one_of(ZONES, st.just("America/Sao_Paulo")), now=st.integers(1_400_000_000_000, 1_900_000_000_000))
def test_periods_follow_one_another_without_a_gap(zone: str, now: int) -> None:
    """Sao Paulo changed its clock at midnight, so that some days there have none."""
    limit = Limit(LimitScope.TOTAL, 1, calendar=CalendarUnit.DAY, timezone=zone)
    begin, end = period(limit, now)
    assert begin <= now < end
    assert 22 * HOUR <= end - begin <= 26 * HOUR
    assert period(limit, end)[0] == end
    assert period(limit, begin - 1)[1] == begin


def test_the_end_of_the_calendar_is_no_failure() -> None:
    """An event may claim any time up to the year 9999."""
    schedule = Schedule(start=LATEST, timezone="Asia/Tokyo", days=(0,), between=(1_380, 60))
    for now in (0, LATEST - DAY, LATEST):
        assert isinstance(is_open(schedule, now), bool)
        next_change(schedule, now)
        period(Limit(LimitScope.TOTAL, 1, calendar=CalendarUnit.MONTH, timezone="Asia/Tokyo"), now)


def test_a_sliding_limit_has_no_periods() -> None:
    with pytest.raises(ValueError, match="only a limit per calendar"):
        period(Limit(LimitScope.TOTAL, 1, sliding=DAY), 0)
