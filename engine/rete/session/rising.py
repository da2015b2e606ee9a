"""Which rules became true in a step: those that an index finds, looked at again where it can't tell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from engine.rete.agenda.agenda import Failures
from engine.rete.alpha.aggregates import Changed
from engine.rete.compilation import Compiled
from engine.values import EpochMs, Value


def risen_rules(
    compiled: Compiled,
    values: dict[int, Value | None],
    now: EpochMs,
    before: EpochMs,
    changed: Changed,
    failures: Failures,
    *,
    is_first: bool,
) -> set[int]:
    """The rules without scores that hold now and did not hold before the step."""
    risen: set[int] = set()
    certain: Mapping[int, bool | None] = {}
    candidates: Iterable[int]
    try:
        if is_first:
            candidates = compiled.index.all.candidates(values)
        else:
            candidates = certain = compiled.index.risen(changed, values, now)
    except Exception:  # noqa: BLE001 - a test raised in an index: look at the rules one by one, to know whose it was
        every = [each.index for each in compiled.acting]
        candidates = every if is_first else compiled.in_order(compiled.index.candidates(changed))
    if not candidates:
        return risen
    earlier: dict[int, Value | None] | None = None
    for index in candidates:
        held_not = certain[index] if certain else None
        if held_not:
            risen.add(index)
            continue
        production = compiled.productions[index]
        if production.asking:
            continue
        try:
            if held_not is None and not production.holds_plainly(values, now):
                continue
            if not is_first:
                if earlier is None:
                    earlier = {**values, **changed}
                if production.holds_plainly(earlier, before):
                    continue
        except Exception as problem:  # noqa: BLE001 - one broken rule never stops the others
            failures.setdefault(production.rule.id, f"{type(problem).__name__}: {problem}")
            continue
        risen.add(index)
    return risen
