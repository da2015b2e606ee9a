"""The agenda: from rules that became true to activations, in order of acting, within schedule, switch and limits."""

from __future__ import annotations

from bisect import bisect_right
from typing import TypeAlias

from engine.activation import NOTHING_BOUND, Activation, Combination, FactReader, TriggerMessage
from engine.language.tree import Limit, Vocabulary
from engine.offers.content import UnknownHoleError, fill
from engine.rete.agenda.production import Production
from engine.rete.memory.memory import Memory
from engine.schedule import is_open, period
from engine.values import EpochMs

Failures: TypeAlias = dict[str, str]
"""The first error of each rule, by rule id."""

SWITCHED_OFF = "switched off"
SCHEDULE = "schedule"
SESSION_LIMIT = "session limit"

MOST_ACTS_KEPT = 1_000
"""Of a limit that slides or counts per calendar period; a larger limit holds all the same, from the acts kept."""


def held_back(production: Production, now: EpochMs) -> str | None:
    """Why the gate of a rule is closed, None where it is open."""
    if not production.rule.enabled:
        return SWITCHED_OFF
    return None if is_open(production.rule.schedule, now) else SCHEDULE


def activate(
    production: Production,
    memory: Memory,
    now: EpochMs,
    read: FactReader,
    vocabulary: Vocabulary,
    failures: Failures,
    bound: Combination = NOTHING_BOUND,
) -> Activation:
    """The activation of a rule that became true; counts the act where a limit per session counts acts."""
    rule = production.rule
    reason = held_back(production, now)
    if reason is None and production.limits:
        acts = memory.acts.setdefault(production.index, [])
        if any(_count(limit, acts, now) >= limit.most for limit in production.limits):
            reason = SESSION_LIMIT
        else:
            acts.append(now)
            _forget_acts(production, acts, now)
    if reason is None and production.messages is not None:
        return Activation(rule.id, now, bound.bindings, True, None, production.messages)
    triggers: list[TriggerMessage] = []
    if reason is None:
        for action in production.triggers:
            try:
                triggers.append(TriggerMessage(action.name, fill(action.payload, read, vocabulary, bound)))
            except UnknownHoleError as problem:
                failures.setdefault(rule.id, f"trigger {action.name} was not sent: {problem}")
            except Exception as problem:  # noqa: BLE001 - one broken rule never stops the others
                failures.setdefault(rule.id, f"trigger {action.name}: {type(problem).__name__}: {problem}")
    return Activation(rule.id, now, bound.bindings, reason is None, reason, tuple(triggers))


def _count(limit: Limit, acts: list[EpochMs], now: EpochMs) -> int:
    """Acts so far in the scope of the limit; a sliding one lets an act go at exactly its length."""
    if limit.sliding is not None:
        return len(acts) - bisect_right(acts, now - limit.sliding)
    if limit.calendar is not None:
        begin, _ = period(limit, now)
        return len(acts) - bisect_right(acts, begin - 1)
    return len(acts)


def _forget_acts(production: Production, acts: list[EpochMs], now: EpochMs) -> None:
    """No limit needs more acts than it allows, nor those that slid out of the longest."""
    most = max(limit.most for limit in production.limits)
    if len(acts) > min(most, MOST_ACTS_KEPT):
        del acts[0]
