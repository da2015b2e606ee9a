"""The limit store in memory: the suite of the real ones, and a recount of every take."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from typing import TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.offers import MemoryLimits
from engine.ports import Cap, Claim
from tests.contracts import test_limit_store as contract


@pytest.fixture
def limits() -> MemoryLimits:
    return MemoryLimits()


SUITE = {
    name: test
    for name, test in vars(contract).items()
    if name.startswith("test_") and list(inspect.signature(test).parameters) == ["limits"]
}


@pytest.mark.parametrize("test", SUITE.values(), ids=SUITE)
def test_it_passes_the_suite_of_the_real_stores(test: Callable[[MemoryLimits], None], limits: MemoryLimits) -> None:
    test(limits)


CAPS = (
    Cap("ever", 3, 1),
    Cap("slide", 2, 1, sliding=10),
    Cap("day", 2, 1, bucket=0, expires=20),
    Cap("day", 2, 1, bucket=20, expires=40),
    Cap("budget", 10, 4, is_budget=True),
)

Moves: TypeAlias = st.SearchStrategy[tuple[str, int, AbstractSet[int], int, int | None]]
takes: Moves = st.tuples(
    st.just("take"),
    st.integers(0, 5),
    st.sets(st.integers(0, len(CAPS) - 1), max_size=3),
    st.integers(0, 7),
    st.one_of(st.none(), st.integers(1, 12)),
)
confirms: Moves = st.tuples(
    st.just("confirm"), st.integers(0, 5), st.just(frozenset[int]()), st.integers(0, 7), st.none()
)


@given(steps=st.lists(st.one_of(takes, confirms), max_size=30))
def test_it_agrees_with_a_recount_of_all_takes(steps: list[tuple[str, int, AbstractSet[int], int, int | None]]) -> None:
    """After any history, each cap's use is the sum over the takes that count; none is ever above its most."""
    limits = MemoryLimits()
    now = 0
    history: dict[str, tuple[int, int | None, tuple[Cap, ...]]] = {}

    def used(cap: Cap) -> int:
        total = 0
        for time, until, caps in history.values():
            counts = (until is None or now < until) and (cap.sliding is None or time > now - cap.sliding)
            total += sum(c.amount for c in caps if counts and (c.key, c.bucket) == (cap.key, cap.bucket))
        return total

    for kind, number, chosen, pause, hold in steps:
        now += pause
        token = f"t{number}"
        known = history.get(token)
        alive = known is not None and (known[1] is None or now < known[1])
        if kind == "confirm":
            assert limits.confirm(token, now) is alive
            if known is not None and alive:
                history[token] = (known[0], None, known[2])
            continue
        caps = tuple(CAPS[index] for index in sorted(chosen))
        fits = all(used(cap) + cap.amount <= cap.most for cap in caps)
        (verdict,) = limits.take([Claim(token, caps)], 1, now, hold)
        assert verdict.granted is (alive or fits)
        until = None if hold is None else now + hold
        if known is not None and alive:
            longer = None if known[1] is None or until is None else max(known[1], until)
            history[token] = (known[0], longer, known[2])
        elif fits:
            history[token] = (now, until, caps)
        assert list(limits.used(CAPS, now)) == [used(cap) for cap in CAPS]
        assert all(used(cap) <= cap.most for cap in CAPS)
