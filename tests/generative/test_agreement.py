"""The network and the naive evaluator say the same of every generated world."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.rete.conditions import normal_form
from tests.generative.agreement import run_case
from tests.generative.bounded import run_bounded_case
from tests.generative.found import FOUND, FOUND_BY_FUZZ, run_seed
from tests.generative.words import PATTERNS

# A world is large by nature: a vocabulary, rules and a history.
LARGE = [HealthCheck.large_base_example, HealthCheck.too_slow, HealthCheck.data_too_large]


@settings(max_examples=150, suppress_health_check=LARGE)
@given(random=st.randoms(use_true_random=False))
def test_the_network_agrees_with_the_naive_evaluator(random: Random) -> None:
    """On activations in their order, on what holds at a request, on every leaf, and on how long an answer is valid.

    Histories have equal times, exact window edges, late events, unknown facts, snapshots and reloads in the middle.
    """
    run_case(random)


@settings(max_examples=40, suppress_health_check=LARGE)
@given(random=st.randoms(use_true_random=False))
def test_they_agree_where_derived_facts_feed_one_another(random: Random) -> None:
    """Cycles that support themselves, and those that a checker would refuse, included."""
    run_case(random, wild=True)


@settings(max_examples=40, suppress_health_check=LARGE)
@given(random=st.randoms(use_true_random=False))
def test_they_agree_where_events_have_a_short_way(random: Random) -> None:
    """Windows and profile facts, and nothing that follows from them but rules."""
    run_case(random, plain=True)


@settings(max_examples=60, suppress_health_check=LARGE)
@given(random=st.randoms(use_true_random=False))
def test_they_agree_where_names_are_bound(random: Random) -> None:
    """Joined events, keys, sequences and absences, in every mixture: which combinations hold, in which order."""
    run_case(random, patterns=PATTERNS)


@pytest.mark.parametrize("word", sorted(PATTERNS - {"as"}))
def test_they_agree_on_each_kind_alone(word: str) -> None:
    for seed in range(25):
        run_case(Random(seed), patterns=frozenset({word, "as"} if word in {"take", "of"} else {word}))


@pytest.mark.parametrize("seed", range(100))
def test_they_agree_where_names_are_bound_on_fixed_worlds(seed: int) -> None:
    run_case(Random(seed), wild=seed % 10 == 0, plain=seed % 10 > 7, steps=18, patterns=PATTERNS)


@pytest.mark.parametrize("seed", range(100))
def test_they_agree_on_fixed_worlds(seed: int) -> None:
    """Drawn by a plain generator, which reaches larger worlds than one that is ready to shrink."""
    run_case(Random(seed), wild=seed % 10 == 0, plain=seed % 10 > 7, steps=18)


@pytest.mark.parametrize("seed", range(60))
def test_they_agree_where_conditions_are_too_large_to_be_multiplied_out(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As trees they ask the same scores in the same order, and tell the same combinations apart."""
    monkeypatch.setattr(normal_form, "MOST_CONJUNCTS", 1)
    run_case(Random(seed), steps=18, patterns=PATTERNS if seed % 2 else frozenset())


@pytest.mark.parametrize("seed", FOUND.values(), ids=FOUND.keys())
def test_what_generation_found_stays_found(seed: int) -> None:
    """Each a defect once; the name says of what."""
    run_case(Random(seed), wild=seed % 10 == 0)


@pytest.mark.parametrize("seed", FOUND_BY_FUZZ.values(), ids=FOUND_BY_FUZZ.keys())
def test_what_a_long_run_found_stays_found(seed: int) -> None:
    run_seed(seed)


@pytest.mark.parametrize("seed", range(120))
def test_past_its_bound_a_session_says_unknown_but_never_what_is_not_so(seed: int) -> None:
    """With 3, 6 or 10 kept events; with all of them kept, nothing is unknown for want of an event."""
    run_bounded_case(Random(seed), (3, 6, 10, 500)[seed % 4])


@pytest.mark.parametrize("seed", range(120))
def test_past_its_bound_a_session_says_unknown_of_combinations_too(seed: int) -> None:
    run_bounded_case(Random(seed), (3, 6, 10, 500)[seed % 4], patterns=PATTERNS)


@pytest.mark.parametrize("seed", [504, 1332])
def test_a_late_entry_that_goes_at_once_does_not_hide_a_later_one_that_went_before(seed: int) -> None:
    run_bounded_case(Random(seed), 3)


def test_a_since_that_a_reload_brings_back_begins_at_the_latest_event_of_its_type() -> None:
    """Not at the latest that came while a rule still named it."""
    run_bounded_case(Random(2819), 500)


@pytest.mark.parametrize("seed", [9780, 10248])
def test_when_a_late_event_has_left_its_window_what_went_may_still_be_in_it(seed: int) -> None:
    run_bounded_case(Random(seed), (3, 6, 10, 500)[seed % 4])


@pytest.mark.parametrize("seed", range(80))
def test_conditions_too_large_to_be_multiplied_out_mean_the_same(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a bound of one conjunct, every `any` is evaluated as a whole."""
    monkeypatch.setattr("engine.rete.conditions.normal_form.MOST_CONJUNCTS", 1)
    run_case(Random(seed), plain=True)
