"""Each folder beside this file with an `events.yaml` is a case: `cases.py` says how to read one."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from engine.language.tree import Program
from engine.raw_values import reader_of
from engine.values import Value
from tests.conformance.cases import FOLDER, NAMES, expected_of, happenings
from tests.conformance.playing import InNaive, InNetwork, Playing

EVALUATORS: dict[str, Callable[[str], Playing]] = {
    "network": lambda name: InNetwork(name, restoring=False),
    "network, stored and read after each step": lambda name: InNetwork(name, restoring=True),
    "naive evaluator": InNaive,
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("evaluator", EVALUATORS)
def test_what_is_expected_comes(name: str, evaluator: str) -> None:
    played = EVALUATORS[evaluator](name)
    if isinstance(played, InNaive) and played.program.vocabulary.keep_events < len(happenings(name)):
        return  # it keeps every event, and so does not know what it would not know
    played.play()
    holds_up(name, played)


def holds_up(name: str, played: Playing) -> None:
    """Compare with `expected.yaml`, which leaves out what does not matter to it: messages, values, and truths by time."""
    expected = expected_of(name)
    acts = [{key: act[key] for key in wanted} for act, wanted in zip(played.acts, expected.acts, strict=False)]
    assert acts == expected.acts
    assert [(act["at"], act["rule"]) for act in played.acts[len(acts) :]] == []
    assert len(played.requests) == len(expected.requests)
    for request, wanted in zip(played.requests, expected.requests, strict=True):
        values = {fact: request["values"](fact) for fact in wanted.get("values", {})}
        told = {fact: typed(played.program, fact, raw) for fact, raw in wanted.get("values", {}).items()}
        assert {**request, "until": wanted["until"], "values": values} == {**wanted, "values": told}
        assert request.get("until", wanted["until"]) == wanted["until"]


def typed(program: Program, fact: str, raw: object) -> Value | None:
    vocabulary = program.vocabulary
    if raw is None:
        return None
    return reader_of(vocabulary.facts[fact].type, vocabulary.currency, vocabulary.minor_units)(raw)


def test_a_case_has_its_files_and_nothing_else() -> None:
    needed = {"vocabulary.yaml", "rules.yaml", "events.yaml", "expected.yaml"}
    for name in NAMES:
        found = {path.name for path in (FOLDER / name).iterdir()}
        assert needed <= found <= needed | {"segments.yaml", "offers.yaml", "after"}, name


def test_the_corpus_is_as_large_as_was_promised() -> None:
    assert len(NAMES) >= 150
