"""Durations, moments and money, as text and as integers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.units import (
    LATEST,
    LONGEST,
    duration_text,
    moment_text,
    money_text,
    parse_duration,
    parse_moment,
    parse_money,
    rough_duration,
)


@given(st.integers(0, LONGEST))
def test_a_duration_reads_as_it_is_written(length: int) -> None:
    assert parse_duration(duration_text(length)) == length


@given(st.integers(0, LATEST))
def test_a_moment_reads_as_it_is_written(moment: int) -> None:
    assert parse_moment(moment_text(moment).replace(" UTC", "Z")) == moment


@given(st.integers(-(2**53) + 1, 2**53 - 1), st.sampled_from([0, 2, 3]))
def test_money_reads_as_it_is_written(amount: int, minor_units: int) -> None:
    assert parse_money(money_text(amount, minor_units, "XXX").removesuffix(" XXX"), minor_units) == amount


@pytest.mark.parametrize(
    "text",
    ["", "5", "5m", "5  ", "minutes", "-5 minutes", "1.5 hours", "5 Minutes", "5 months", "99999 weeks", "\u0665 days"],
)
def test_no_duration(text: str) -> None:
    assert parse_duration(text) is None


def test_durations_in_their_largest_unit() -> None:
    lengths = [0, 1, 20, 1_000, 90_000, 300_000, 3_600_000, 86_400_000, 604_800_000]
    assert [duration_text(length) for length in lengths] == [
        *("0 seconds", "1 ms", "20 ms", "1 second", "90 seconds", "5 minutes", "1 hour", "1 day", "1 week"),
    ]


def test_rough_durations() -> None:
    lengths = [0, 999, 1_000, 59_999, 423_512, 7_200_000, 86_400_000, 172_800_000]
    assert [rough_duration(length) for length in lengths] == [
        "0 ms",
        "999 ms",
        "1 s",
        "59 s",
        "7 min",
        "2 h",
        "24 h",
        "2 days",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-20",
        "2026-02-30T10:00Z",
        "2026-11-20T10:00",
        "1969-12-31T23:59Z",
        "2026-11-20T10:00+01:60",
        "9999-12-31T23:59:59-14:00",
        "0001-01-01T00:00+14:00",
    ],
)
def test_no_moment(text: str) -> None:
    assert parse_moment(text) is None


def test_money_with_too_many_decimals() -> None:
    with pytest.raises(ValueError, match=r"1\.005"):
        parse_money("1.005", 2)
    assert parse_money("1.500", 2) == 150
    assert parse_money("1e5", 2) is None
