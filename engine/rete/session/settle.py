"""Settling: after a change, computed features and derived facts are brought to what follows from it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from engine.activation import RuleFailure
from engine.expression import evaluate
from engine.rete.agenda.agenda import Failures
from engine.rete.agenda.derived import Stratum
from engine.rete.agenda.production import Production
from engine.rete.alpha.aggregates import Changed
from engine.rete.compilation import Compiled
from engine.schedule import is_open
from engine.values import EpochMs, Value

Holds: TypeAlias = Callable[[Production], bool]
"""Whether a rule is true of the values that are being settled; raises what its tests raise."""

Follow: TypeAlias = Callable[[Changed], None]
"""Brings patterns to what follows from what changed, see `joins.Following`."""


def settle_computed(
    compiled: Compiled,
    values: dict[int, Value | None],
    changed: Changed,
    failures: Failures,
    follow: Follow | None = None,
) -> None:
    """Compute again the features that read something that changed, then the patterns that do."""
    if not compiled.computed_reads.isdisjoint(changed):
        _compute(compiled, values, changed, failures)
    if follow is not None:
        follow(changed)


def _compute(compiled: Compiled, values: dict[int, Value | None], changed: Changed, failures: Failures) -> None:
    by_name, defaults = compiled.quantities.by_name, compiled.defaults

    def read(name: str) -> Value | None:
        index = by_name[name].index
        return values.get(index, defaults[index])

    for quantity in compiled.computed:
        if any(index in changed for index in quantity.reads):
            assert quantity.expression is not None
            index = quantity.index
            old = values.get(index, defaults[index])
            try:
                new = evaluate(quantity.expression, read)
            except Exception as problem:  # noqa: BLE001 - it is unknown then, and the rules that look at it say why
                new = None
                blame(compiled, index, f"{type(problem).__name__}: {problem}", failures)
            if new != old or type(new) is not type(old):
                changed.setdefault(index, old)
                values[index] = new


def settle_derived(
    compiled: Compiled,
    values: dict[int, Value | None],
    changed: Changed,
    now: EpochMs,
    holds: Holds,
    failures: Failures,
    *,
    all_of_them: bool,
    follow: Follow | None = None,
) -> None:
    """Assert and withdraw derived facts, layer by layer, each until nothing changes."""
    for stratum in compiled.strata:
        if all_of_them or stratum.is_volatile or not stratum.reads.isdisjoint(changed):
            _settle(compiled, stratum, values, changed, now, holds, failures, follow)


def _settle(
    compiled: Compiled,
    stratum: Stratum,
    values: dict[int, Value | None],
    changed: Changed,
    now: EpochMs,
    holds: Holds,
    failures: Failures,
    follow: Follow | None,
) -> None:
    defaults = compiled.defaults
    old = {fact: values.get(fact, defaults[fact]) for fact in stratum.facts}
    round_changed: Changed = {}
    if stratum.is_recursive:
        # From nothing: what supports only itself is not asserted again.
        for fact in stratum.facts:
            if fact in values:
                round_changed[fact] = values.pop(fact)
        settle_computed(compiled, values, round_changed, failures, follow)
    rounds = stratum.budget if stratum.is_recursive else 1
    unstable: Production | None = None
    for _ in range(rounds):
        asserted, by = _asserted(stratum, now, holds, failures)
        moved: Changed = {}
        for fact in stratum.facts:
            before, after = values.get(fact, defaults[fact]), asserted.get(fact, defaults[fact])
            if before != after or type(before) is not type(after):
                moved[fact] = before
                unstable = by.get(fact, unstable or stratum.rules[0])
                if fact in asserted:
                    values[fact] = after
                else:
                    values.pop(fact, None)
        round_changed.update({key: value for key, value in moved.items() if key not in round_changed})
        settle_computed(compiled, values, moved, failures, follow)
        round_changed.update({key: value for key, value in moved.items() if key not in round_changed})
        if not moved:
            break
    else:
        if stratum.is_recursive and unstable is not None:
            _give_up(compiled, stratum, values, unstable, failures)
            settle_computed(compiled, values, round_changed | dict.fromkeys(stratum.facts), failures, follow)
    for fact, before in {**round_changed, **old}.items():
        after = values.get(fact, defaults[fact])
        if before != after or type(before) is not type(after):
            changed.setdefault(fact, before)


def _asserted(
    stratum: Stratum, now: EpochMs, holds: Holds, failures: Failures
) -> tuple[dict[int, Value], dict[int, Production]]:
    """What the rules of a layer assert for these values, the first in order of acting wins, and by which rule."""
    asserted: dict[int, Value] = {}
    by: dict[int, Production] = {}
    for production in stratum.rules:
        rule = production.rule
        if not rule.enabled or not is_open(rule.schedule, now):
            continue
        if all(fact in asserted for fact, _ in production.asserts):
            continue
        try:
            if not holds(production):
                continue
        except Exception as problem:  # noqa: BLE001 - one broken rule never stops the others
            failures.setdefault(rule.id, f"{type(problem).__name__}: {problem}")
            continue
        for fact, value in production.asserts:
            if fact in stratum.facts and fact not in asserted:
                asserted[fact] = value
                by[fact] = production
    return asserted, by


def _give_up(
    compiled: Compiled, stratum: Stratum, values: dict[int, Value | None], rule: Production, failures: Failures
) -> None:
    """The layer does not settle: its facts are unknown, and the rule that still changed one is named."""
    names = ", ".join(sorted(name for fact in stratum.facts for name in compiled.quantities.all[fact].names))
    failures.setdefault(
        rule.rule.id,
        f"the facts that it asserts ({names}) did not settle within {stratum.budget} rounds: it feeds its own opposite",
    )
    for fact in stratum.facts:
        values[fact] = None


def blame(compiled: Compiled, index: int, error: str, failures: Failures) -> None:
    """A quantity could not be computed: every rule that looks at it failed."""
    for production in compiled.acting:
        if index in production.reads:
            failures.setdefault(production.rule.id, error)


def as_failures(failures: Failures) -> tuple[RuleFailure, ...]:
    """For a step or a view, in the order in which they came."""
    return tuple(RuleFailure(rule, error) for rule, error in failures.items()) if failures else ()
