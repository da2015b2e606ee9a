"""What `make fuzz` prints of a failure is small, and says the same as the failure itself."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from engine.language import check, render
from tests.generative.drawing import Insert, Look, Reload, Story, draw_ruleset, draw_story
from tests.generative.found import FOUND_BY_EDITING, FOUND_BY_FUZZ_NOW, FOUND_WITH_OTHERS, WORDS
from tests.generative.fuzz import HISTORIES, Options, problem_of, problem_of_seed, story_of
from tests.generative.ledger import Ledger, Stretch
from tests.generative.shrinking import shrink
from tests.generative.words import EVENTS, PATTERNS
from tests.generative.written import bundle, written
from tests.naive.conditions import binders, leaves

OPTIONS = Options(14, PATTERNS, reports_every=1)


def is_wrong(story: Story) -> bool:
    """As if events of paying went wrong wherever a rule has a `not`."""
    pays = any(isinstance(each, Insert) and each.event.type == "pay" for each in story.operations)
    return pays and any("Not(" in repr(rule.when) for rule in story.program.rules)


def test_a_story_shrinks_to_what_goes_wrong_in_it() -> None:
    found = 0
    for seed in range(12):
        story = story_of(seed, OPTIONS)
        if not is_wrong(story):
            continue
        found += 1
        small = shrink(story, is_wrong, seconds=600)
        (only,) = small.operations
        assert isinstance(only, Insert)
        (rule,) = small.program.rules
        # What binds a name stays with what uses it.
        assert len(leaves(rule.when)) <= 1 + len(binders(rule.when)), rule.when
        assert small.program.offers == {}
    assert found > 2


def test_what_is_smaller_can_still_be_played() -> None:
    """No rule of it uses a name that nothing binds."""
    for seed in range(1, 13, 2):
        story = draw_story(Random(seed), patterns=PATTERNS, steps=6)
        small = shrink(story, lambda each: len(each.operations) >= 6, seconds=600)
        assert len(small.operations) == 6
        assert problem_of(small) is None


@pytest.mark.parametrize("seed", range(60))
def test_a_story_as_files_is_read_as_the_same_rules(seed: int) -> None:
    """Some worlds have what the tree allows and the language does not; those are refused for nothing else."""
    story = draw_story(Random(seed), plain=seed % 3 == 0, patterns=PATTERNS if seed % 2 else frozenset(), steps=8)
    sources = {name: text for name, text in written(story).items() if name != "events.yaml" and "/" not in name}
    checked = check(sources)
    refused = [each for each in checked.diagnostics if each.severity == "error"]
    if any(each.code not in REFUSED for each in refused):
        pytest.fail(render(refused, sources))
    if checked.program is not None:
        read = bundle(checked.program)
        # Both are moved by as many weeks, the one that was read for the second time.
        dates = re.compile(r"20\d\d-\d\d-\d\d")
        ours, theirs = (repr(each["rules.yaml"]["rules"]) for each in (read, bundle(story.program)))
        assert dates.sub("", ours) == dates.sub("", theirs)


REFUSED = {
    "bad-arithmetic",  # features are drawn without a look at units
    "operator-not-here",  # `minus` in a condition
    "unknown-attribute",  # `per` an attribute that only the one of two events has
    "operator-type",  # `last` of a list
    "unknown-fact",  # one that was refused for these
}


def test_every_happening_is_written() -> None:
    story = draw_story(Random(3), patterns=PATTERNS, steps=30)
    text = written(story)["events.yaml"]
    for each in story.operations:
        if isinstance(each, Insert):
            assert f"{each.event.type}: " in text
    assert text.count("request: ") == sum(isinstance(each, Look) for each in story.operations)
    assert text.count("reload: ") == sum(isinstance(each, Reload) for each in story.operations)
    assert set(EVENTS) >= {each.event.type for each in story.operations if isinstance(each, Insert)} - {"unheard"}


FOUND = FOUND_BY_FUZZ_NOW | FOUND_BY_EDITING


@pytest.mark.parametrize("seed", FOUND.values(), ids=FOUND.keys())
def test_what_make_fuzz_found_stays_found(seed: int) -> None:
    assert problem_of_seed(seed, Options()) is None


@pytest.mark.parametrize("seed", FOUND_WITH_OTHERS.values(), ids=FOUND_WITH_OTHERS.keys())
def test_what_a_long_run_found_stays_found(seed: int) -> None:
    """Eight histories shared a ruleset then, and as much happened in each."""
    number = seed // 8
    ruleset = draw_ruleset(
        Random(number), wild=number % 10 == 0, plain=number % 10 > 7, patterns=WORDS, is_close=False, edits=2
    )
    story = ruleset.story(Random(f"history {seed}"), 14, looks=0.6, edges=0)
    assert problem_of(story) is None


def test_a_run_says_its_seed_and_how_many_it_played() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.generative.fuzz", "--cases", "4", "--seed", "11", "--jobs", "2", "--steps", "4"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "4 cases from seed 11 in 2 processes" in done.stdout
    assert "4 cases, seeds 11 to 14: 0 differences" in done.stdout


def test_a_run_with_a_ledger_goes_on_where_it_stopped(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger")
    ledger.add(Stretch(10, 5, "as drawn", (), 1.0))
    ledger.add(Stretch(20, 5, "as drawn", (22,), 2.0))
    again = Ledger(tmp_path / "ledger")
    assert list(again.left(range(8, 30), "as drawn")) == [range(8, 10), range(15, 20), range(25, 30)]
    assert list(again.left(range(10, 15), "as drawn")) == []
    assert list(again.left(range(10, 15), "drawn otherwise")) == [range(10, 15)]
    assert again.total().startswith("10 cases, seeds 10 to 24: 1 differences (22), 0.00 CPU hours")


def test_cases_that_share_a_ruleset_have_histories_of_their_own() -> None:
    stories = [story_of(seed, OPTIONS) for seed in range(HISTORIES)]
    programs = {id(each.program) for each in stories}
    assert len(programs) <= 3
    assert len({repr(each.operations) for each in stories}) == HISTORIES
