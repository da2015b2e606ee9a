"""What the counters by minute say about the shop and about each rule."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from admin_ui.phrases import length, plural
from admin_ui.sparkline import series, sparkline
from engine.language.tree import OfferAction, Program, Rule
from engine.ports import Activity
from engine.schedule import is_open
from engine.values import EpochMs

DAY = 24 * 60
HOUR = 60


@dataclass(frozen=True, slots=True)
class RuleTraffic:
    """What one rule did lately.

    Attributes:
        spark: Its last hour as a picture.
        now: Acts in the latest minute.
        hour: Acts in the last hour.
        day: Acts in the last 24 hours.
        errors: Failed evaluations in the last hour.
    """

    spark: Markup
    now: int
    hour: int
    day: int
    errors: int


@dataclass(frozen=True, slots=True)
class Traffic:
    """The counters of the last day as they were at one moment."""

    counts: Mapping[str, Mapping[int, int]]
    minute: int

    @classmethod
    def read(cls, activity: Activity, now: EpochMs) -> Traffic:
        """The last 24 hours."""
        minute = now // 60_000
        return cls(activity.read(minute - DAY), minute)

    @property
    def observed(self) -> int:
        """For how many of these minutes anything was counted at all."""
        first = min((minute for by_minute in self.counts.values() for minute in by_minute), default=self.minute)
        return min(DAY, self.minute - first)

    @property
    def latest(self) -> int:
        """The last whole minute; the running one where nothing was counted before: a first start shows life at once."""
        return self.minute - 1 if self.observed else self.minute

    def rate(self, key: str) -> int:
        """A counter in the latest minute."""
        return self.counts.get(key, {}).get(self.latest, 0)

    def total(self, key: str, minutes: int) -> int:
        """A counter over the last minutes, the one that runs included."""
        return sum(count for minute, count in self.counts.get(key, {}).items() if minute > self.minute - minutes)

    def picture(self, key: str, noun: str, *, width: int = 220) -> Markup:
        """The last hour of a counter."""
        values = series(self.counts.get(key, {}), self.latest, HOUR)
        return sparkline(values, f"{plural(sum(values), noun)} in the last hour", width=width)

    def rule(self, rule: Rule) -> RuleTraffic:
        """What a rule did: it fires in the stream, and it is shown at requests; either is an act."""
        fired = self.counts.get(f"fired/{rule.id}", {})
        shown = self.counts.get(f"shown/{rule.id}", {})
        nominates = any(isinstance(action, OfferAction) for action in rule.actions)
        acts = {
            minute: max(fired.get(minute, 0), shown.get(minute, 0) if nominates else 0) for minute in {*fired, *shown}
        }
        values = series(acts, self.latest, HOUR)
        label = f"{plural(sum(values), 'act')} in the last hour"
        day = sum(count for minute, count in acts.items() if minute > self.minute - DAY)
        return RuleTraffic(
            sparkline(values, label),
            acts.get(self.latest, 0),
            sum(values),
            day,
            self.total(f"error/{rule.id}", HOUR),
        )


class TrafficReader:
    """Reads the day once and then what is new: home screens ask every few seconds. Safe to call from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: Traffic | None = None

    def read(self, activity: Activity, now: EpochMs) -> Traffic:
        """The last 24 hours."""
        with self._lock:
            last = self._last
            if last is None or not 0 <= now // 60_000 - last.minute < DAY:
                self._last = Traffic.read(activity, now)
            else:
                self._last = _continued(last, activity, now // 60_000)
            return self._last


def _continued(last: Traffic, activity: Activity, minute: int) -> Traffic:
    """The day up to this minute: the last two minutes of the earlier reading may have grown, so they are read again."""
    since = last.minute - 1
    fresh = activity.read(since)
    counts = {}
    for key in {*last.counts, *fresh}:
        kept = {at: count for at, count in last.counts.get(key, {}).items() if minute - DAY <= at < since}
        counts[key] = {**kept, **fresh.get(key, {})}
    return Traffic(counts, minute)


@dataclass(frozen=True, slots=True)
class Concern:
    """Something about a rule that people should know."""

    rule: Rule
    kind: str
    label: str
    text: str


def concerns_of(rule: Rule, traffic: RuleTraffic, now: EpochMs, watched: int) -> list[Concern]:
    """What keeps a rule from doing its work, the gravest first.

    Args:
        rule: The live rule.
        traffic: What it did.
        now: The time.
        watched: For how many minutes it could have acted and would have been counted; a rule that is new has not failed
            to fire.
    """
    found = []
    if traffic.errors:
        text = (
            f"{plural(traffic.errors, 'evaluation')} failed in the last hour; the other rules were decided without it."
        )
        found.append(Concern(rule, "danger", "Erring", text))
    if not rule.enabled:
        found.append(Concern(rule, "warn", "Off", "It is switched off."))
    elif not is_open(rule.schedule, now):
        found.append(Concern(rule, "info", "Not now", "Its schedule keeps it from acting at this time."))
    elif not traffic.day and watched >= HOUR:
        text = f"It has not acted in the last {length(min(watched, DAY) * 60_000)}."
        found.append(Concern(rule, "quiet", "Never fires", text))
    return found


def concerns(program: Program, traffic: Traffic, now: EpochMs, live_for: int) -> Sequence[Concern]:
    """The concerns about all rules, grave ones first, then in order of acting.

    Args:
        program: What is live.
        traffic: The counters.
        now: The time.
        live_for: How many minutes the live revision has been serving.
    """
    order = {"danger": 0, "warn": 1, "quiet": 2, "info": 3}
    watched = min(live_for, traffic.observed)
    found = [concern for rule in program.rules for concern in concerns_of(rule, traffic.rule(rule), now, watched)]
    return sorted(found, key=lambda concern: order[concern.kind])
