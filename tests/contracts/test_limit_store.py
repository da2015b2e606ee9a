"""What every `LimitStore` promises."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from engine.offers.memory_limits import MemoryLimits
from engine.ports import Cap, Claim, Verdict
from tests.contracts.backends import open_stores
from tests.contracts.conftest import BACKENDS, storage_of
from tests.contracts.racing import race, take_many

HOUR = 3_600_000
NOW = 1_700_000_000_000


@pytest.fixture(params=["memory", *BACKENDS])
def limits(request, tmp_path):
    """A store of each kind; the one in memory is what tests beside rules and simulations use."""
    with closing(
        MemoryLimits() if request.param == "memory" else open_stores(*storage_of(request, tmp_path)).limits()
    ) as limits:
        yield limits


def once(limits, token: str, *caps: Cap, now: int = NOW, hold: int | None = None) -> bool:
    (verdict,) = limits.take([Claim(token, caps)], 1, now, hold)
    return bool(verdict.granted)


def test_a_cap_grants_its_most_and_no_more(limits):
    cap = Cap("total", 2, 1)
    assert [once(limits, f"t{i}", cap) for i in range(4)] == [True, True, False, False]
    assert limits.used([cap, Cap("other", 5, 1)], NOW) == [2, 0]


def test_a_claim_takes_from_all_its_caps_or_from_none(limits):
    wide, narrow = Cap("wide", 10, 1), Cap("narrow", 1, 1)
    assert once(limits, "a", wide, narrow)
    assert limits.take([Claim("b", (wide, narrow))], 1, NOW, None) == [Verdict("b", granted=False, refused_by="narrow")]
    assert limits.used([wide, narrow], NOW) == [1, 1]


def test_the_first_cap_that_refuses_is_named(limits):
    caps = (Cap("a", 5, 1), Cap("b", 0, 1), Cap("c", 0, 1))
    assert limits.take([Claim("t", caps)], 1, NOW, None)[0].refused_by == "b"


def test_claims_are_granted_in_order_until_the_slots_are_full(limits):
    free, full = Cap("free", 10, 1), Cap("full", 0, 1)
    claims = [Claim("a", (full,)), Claim("b", (free,)), Claim("c", (free,)), Claim("d", (free,))]
    assert limits.take(claims, 2, NOW, None) == [
        Verdict("a", granted=False, refused_by="full"),
        Verdict("b", granted=True),
        Verdict("c", granted=True),
        Verdict("d", granted=False, asked=False),
    ]
    assert limits.used([free], NOW) == [2]


def test_claims_of_one_call_see_each_other(limits):
    cap = Cap("one", 1, 1)
    verdicts = limits.take([Claim("a", (cap,)), Claim("b", (cap,))], 2, NOW, None)
    assert [verdict.granted for verdict in verdicts] == [True, False]


def test_a_claim_without_caps_is_granted(limits):
    assert once(limits, "a")
    assert limits.confirm("a", NOW)


def test_no_claims_no_verdicts(limits):
    assert list(limits.take([], 3, NOW, None)) == []
    assert list(limits.used([], NOW)) == []


def test_a_token_takes_once(limits):
    cap = Cap("total", 2, 1)
    assert once(limits, "a", cap)
    assert once(limits, "a", cap)
    assert limits.used([cap], NOW) == [1]
    assert once(limits, "b", cap)
    assert once(limits, "a", cap), "a repeated act is granted although the cap is full by now"
    assert not once(limits, "c", cap)


def test_a_repeated_token_fills_a_slot(limits):
    cap = Cap("total", 5, 1)
    once(limits, "a", cap)
    verdicts = limits.take([Claim("a", (cap,)), Claim("b", (cap,))], 1, NOW, None)
    assert verdicts == [Verdict("a", granted=True), Verdict("b", granted=False, asked=False)]


def test_a_token_that_was_refused_can_be_granted_later(limits):
    cap = Cap("window", 1, 1, sliding=HOUR)
    assert once(limits, "a", cap)
    assert not once(limits, "b", cap)
    assert once(limits, "b", cap, now=NOW + HOUR)


@pytest.mark.parametrize("kind", [{}, {"sliding": HOUR}, {"bucket": NOW, "expires": NOW + HOUR}])
def test_what_others_took_counts_with_a_cap_that_names_them(limits, kind):
    before, merged = Cap("session", 3, 1, **kind), Cap("customer", 3, 1, **kind, also=("session", "another"))
    assert once(limits, "a", before, hold=HOUR)
    assert once(limits, "b", merged, Cap("rule", 9, 1))
    assert limits.used([before, merged, Cap("rule", 9, 1)], NOW) == [1, 2, 1]
    assert once(limits, "c", merged)
    assert not once(limits, "d", merged)
    assert once(limits, "d", merged, now=NOW + HOUR), "the first was given back, or its window passed"
    assert once(limits, "e", before, now=NOW + HOUR)


def test_a_sliding_window_frees_a_take_exactly_when_its_length_has_passed(limits):
    cap = Cap("window", 2, 1, sliding=HOUR)
    assert once(limits, "a", cap, now=NOW)
    assert once(limits, "b", cap, now=NOW + 10)
    assert not once(limits, "c", cap, now=NOW + HOUR - 1)
    assert limits.used([cap], NOW + HOUR - 1) == [2]
    assert limits.used([cap], NOW + HOUR) == [1]
    assert once(limits, "c", cap, now=NOW + HOUR)
    assert not once(limits, "d", cap, now=NOW + HOUR + 9)
    assert once(limits, "d", cap, now=NOW + HOUR + 10)


def test_a_calendar_period_starts_empty(limits):
    monday = Cap("day", 1, 1, bucket=NOW, expires=NOW + 24 * HOUR)
    tuesday = Cap("day", 1, 1, bucket=NOW + 24 * HOUR, expires=NOW + 48 * HOUR)
    assert once(limits, "a", monday)
    assert not once(limits, "b", monday, now=NOW + 24 * HOUR - 1)
    assert once(limits, "b", tuesday, now=NOW + 24 * HOUR)
    assert limits.used([monday, tuesday], NOW + 24 * HOUR) == [1, 1]


def test_a_cap_without_a_period_counts_for_good(limits):
    cap = Cap("once", 1, 1)
    assert once(limits, "a", cap)
    assert not once(limits, "b", cap, now=NOW + 300 * 24 * HOUR)


def test_what_is_held_is_given_back_when_the_hold_runs_out(limits):
    caps = (Cap("ever", 1, 1), Cap("window", 1, 1, sliding=24 * HOUR), Cap("day", 1, 1, bucket=0, expires=NOW + HOUR))
    assert once(limits, "a", *caps, hold=1_000)
    assert not once(limits, "b", *caps, now=NOW + 999)
    assert limits.used(caps, NOW + 999) == [1, 1, 1]
    assert limits.used(caps, NOW + 1_000) == [0, 0, 0]
    assert not limits.confirm("a", NOW + 1_000)
    assert once(limits, "b", *caps, now=NOW + 1_000)


def test_a_token_given_back_can_take_again(limits):
    caps = (Cap("ever", 1, 1), Cap("window", 1, 1, sliding=24 * HOUR))
    assert once(limits, "a", *caps, hold=1_000)
    assert once(limits, "a", *caps, now=NOW + 5_000, hold=1_000)
    assert limits.used(caps, NOW + 5_999) == [1, 1]
    assert limits.used(caps, NOW + 6_000) == [0, 0]


def test_what_is_confirmed_stays_taken(limits):
    caps = (Cap("ever", 1, 1), Cap("window", 1, 1, sliding=24 * HOUR), Cap("day", 1, 1, bucket=0, expires=NOW + HOUR))
    assert once(limits, "a", *caps, hold=1_000)
    assert limits.confirm("a", NOW + 999)
    assert limits.confirm("a", NOW + 2_000), "confirming again changes nothing"
    assert limits.used(caps, NOW + 2_000) == [1, 1, 1]
    assert limits.used(caps[1:2], NOW + 24 * HOUR) == [0]


def test_what_was_taken_for_good_needs_no_confirmation(limits):
    cap = Cap("ever", 1, 1)
    assert once(limits, "a", cap)
    assert limits.confirm("a", NOW + 1)
    assert limits.used([cap], NOW + 24 * HOUR) == [1]


def test_an_unknown_token_is_not_confirmed(limits):
    assert not limits.confirm("nobody", NOW)
    assert not once(limits, "refused", Cap("full", 0, 1), hold=1_000)
    assert not limits.confirm("refused", NOW)


def test_a_repeated_act_is_held_on(limits):
    cap = Cap("ever", 1, 1)
    assert once(limits, "a", cap, hold=1_000)
    assert once(limits, "a", cap, now=NOW + 800, hold=1_000)
    assert limits.used([cap], NOW + 1_799) == [1]
    assert limits.used([cap], NOW + 1_800) == [0]


def test_a_held_act_that_is_taken_for_good_stays(limits):
    cap = Cap("ever", 1, 1)
    assert once(limits, "a", cap, hold=1_000)
    assert once(limits, "a", cap)
    assert limits.used([cap], NOW + 5_000) == [1]


def test_a_budget_takes_the_cost(limits):
    def cost(amount: int) -> Cap:
        return Cap("budget", 1_000, amount, sliding=HOUR, is_budget=True)

    assert once(limits, "a", cost(600))
    assert not once(limits, "b", cost(401))
    assert once(limits, "c", cost(400), now=NOW + 10)
    assert limits.used([cost(0)], NOW + 10) == [1_000]
    assert limits.used([cost(0)], NOW + HOUR) == [400]


def test_what_was_taken_is_there_after_opening_again(opened):
    cap = Cap("ever", 1, 1)
    assert once(opened("limits"), "a", cap, hold=1_000)
    again = opened("limits")
    assert not once(again, "b", cap)
    assert again.confirm("a", NOW + 1)


def test_many_threads_never_take_more_than_there_is(stores):
    """64 threads with connections of their own, each wanting the total and its share of one of 4 customers."""
    total = Cap("total", 40, 1, sliding=HOUR)

    def work(number: int) -> int:
        with closing(stores.limits()) as limits:
            customer = Cap(f"customer{number % 4}", 12, 1)
            return sum(once(limits, f"{number}-{i}", customer, total) for i in range(3))

    with ThreadPoolExecutor(64) as threads:
        granted = sum(threads.map(work, range(64)))
    assert granted == 40
    with closing(stores.limits()) as limits:
        customers = limits.used([Cap(f"customer{n}", 12, 1) for n in range(4)], NOW)
        assert limits.used([total], NOW) == [40]
        assert sum(customers) == 40
        assert max(customers) <= 12


def test_many_processes_never_take_more_than_there_is(address):
    assert sum(race(take_many, *address, 50, 40)) == 50


CAPS = (
    Cap("ever", 6, 1),
    Cap("window", 4, 1, sliding=1_000),
    Cap("long window", 9, 1, sliding=5_000),
    Cap("budget", 50, 7, is_budget=True),
    Cap("day", 5, 1, bucket=0, expires=2_000),
    Cap("day", 5, 1, bucket=2_000, expires=9_000),
)


@pytest.mark.parametrize("seed", range(8))
def test_any_history_has_the_verdicts_of_the_store_in_memory(opened, seed):
    """300 random calls each: claims of several caps, repeated tokens, holds that run out, confirmations in between."""
    limits, model = opened("limits"), MemoryLimits()
    chance = random.Random(seed)
    now = 0
    for step in range(300):
        now += chance.choice([0, 1, 50, 199, 200, 400])
        call = chance.random()
        if call < 0.6:
            claims = [
                Claim(
                    f"t{chance.randrange(60)}",
                    tuple(chance.sample(CAPS[:5] if now < 2_000 else (*CAPS[:4], CAPS[5]), k=2)),
                )
                for _ in range(chance.randrange(1, 4))
            ]
            arguments = (claims, chance.randrange(1, 3), now, chance.choice([None, 0, 200, 1_500]))
            assert list(limits.take(*arguments)) == list(model.take(*arguments)), f"step {step}: {arguments}"
        elif call < 0.8:
            token = f"t{chance.randrange(60)}"
            assert limits.confirm(token, now) == model.confirm(token, now), f"step {step}: {token} at {now}"
        else:
            assert list(limits.used(CAPS[:5], now)) == list(model.used(CAPS[:5], now)), f"step {step} at {now}"
