"""Counters by minute become pictures, rates and concerns."""

from __future__ import annotations

from dataclasses import replace

import pytest

from admin_ui.phrases import ago, length, number, plural, title
from admin_ui.sparkline import series, sparkline
from admin_ui.traffic import Traffic, TrafficReader, concerns
from engine.language import check
from engine.language.tree import Program
from tests.unit.admin_ui.memory_backend import NOON, MemoryActivity, shop_sources

MINUTE = NOON // 60_000
RULE = "cart_recovery.free_shipping_nudge"


@pytest.fixture(scope="module")
def program() -> Program:
    found = check(shop_sources()).program
    assert found is not None
    return found


def kinds(program: Program, activity: MemoryActivity, live_for: int = 1440) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for concern in concerns(program, Traffic.read(activity, NOON), NOON, live_for):
        found.setdefault(concern.rule.id, []).append(concern.label)
    return found


def test_minutes_without_a_count_are_nothing() -> None:
    assert series({8: 3, 10: 1, 99: 5}, 10, 4) == [0, 3, 0, 1]


def test_the_picture_stays_in_its_frame_and_says_what_it_shows() -> None:
    picture = str(sparkline([0, 5, 2], "7 acts <b>", width=100, height=20))
    assert 'aria-label="7 acts &lt;b&gt;"' in picture
    points = picture.split('polyline class="line" points="')[1].split('"', maxsplit=1)[0]
    for point in points.split():
        x, y = map(float, point.split(","))
        assert 0 <= x <= 100
        assert 0 <= y <= 20


def test_nothing_at_all_is_a_base_line() -> None:
    assert "base" in str(sparkline([0, 0], "nothing"))


def test_an_act_is_counted_once_whether_it_fired_or_was_shown(program: Program) -> None:
    activity = MemoryActivity()
    activity.add(MINUTE - 1, {f"fired/{RULE}": 3, f"shown/{RULE}": 5})
    activity.add(MINUTE - 90, {f"shown/{RULE}": 7})
    rule = next(rule for rule in program.rules if rule.id == RULE)
    did = Traffic.read(activity, NOON).rule(rule)
    assert (did.now, did.hour, did.day) == (5, 5, 12)


def test_a_rule_that_errs_comes_first(program: Program) -> None:
    activity = MemoryActivity()
    activity.add(MINUTE - 2, {f"error/{RULE}": 2})
    first = concerns(program, Traffic.read(activity, NOON), NOON, 10)[0]
    assert (first.rule.id, first.label) == (RULE, "Erring")
    assert "2 evaluations failed" in first.text


def test_an_error_of_yesterday_is_none_of_today(program: Program) -> None:
    activity = MemoryActivity()
    activity.add(MINUTE - 61, {f"error/{RULE}": 2})
    assert RULE not in kinds(program, activity, live_for=10)


def test_a_rule_has_not_failed_to_fire_before_it_was_watched_for_an_hour(program: Program) -> None:
    activity = MemoryActivity()
    activity.add(MINUTE - 59, {"decisions": 1})
    assert RULE not in kinds(program, activity)
    activity.add(MINUTE - 60, {"decisions": 1})
    assert kinds(program, activity)[RULE] == ["Never fires"]
    assert RULE not in kinds(program, activity, live_for=59)


def test_a_rule_that_is_off_is_off_and_not_also_silent(program: Program) -> None:
    rules = tuple(replace(rule, enabled=False) if rule.id == RULE else rule for rule in program.rules)
    activity = MemoryActivity()
    activity.add(MINUTE - 600, {"decisions": 1})
    assert kinds(replace(program, rules=rules), activity)[RULE] == ["Off"]


def test_outside_its_schedule_is_said_calmly(program: Program) -> None:
    assert kinds(program, MemoryActivity())["weekend.weekend_evening"] == ["Not now"]  # noon of a Monday


def test_the_first_minute_of_a_shop_shows_life(program: Program) -> None:
    activity = MemoryActivity()
    activity.add(MINUTE, {"decisions": 4})
    assert Traffic.read(activity, NOON).rate("decisions") == 4


@pytest.mark.parametrize(
    ("millis", "text"),
    [
        (1000, "1 second"),
        (90_000, "90 seconds"),
        (300_000, "5 minutes"),
        (7_200_000, "2 hours"),
        (259_200_000, "3 days"),
    ],
)
def test_lengths_are_said_in_one_unit(millis: int, text: str) -> None:
    assert length(millis) == text


def test_times_are_said_from_now() -> None:
    assert ago(NOON - 1000, NOON) == "just now"
    assert ago(NOON - 240_000, NOON) == "4 minutes ago"
    assert ago(NOON + 7_200_000, NOON) == "in 2 hours"


def test_numbers_names_and_nouns_are_written_for_people() -> None:
    assert (number(1234.4), number(2.25), number(0)) == ("1,234", "2.2", "0")
    assert title("cart_recovery.free_shipping_nudge") == "Free shipping nudge"
    assert (plural(1, "rule"), plural(2_000, "rule"), plural(2, "query")) == ("1 rule", "2,000 rules", "2 queries")
    assert (plural(1, "process"), plural(3, "process")) == ("1 process", "3 processes")


def test_reading_on_finds_what_reading_anew_finds() -> None:
    activity, reader = MemoryActivity(), TrafficReader()
    for step in range(0, 2_000, 7):
        now = NOON + step * 60_000
        activity.add(now // 60_000, {"decisions": step, f"fired/{step % 5}": 1})
        activity.add(now // 60_000 - 1, {"late": 1})
        read_on, anew = reader.read(activity, now), Traffic.read(activity, now)
        assert {key: counts for key, counts in read_on.counts.items() if counts} == {
            key: counts for key, counts in anew.counts.items() if counts
        }
