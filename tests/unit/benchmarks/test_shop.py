"""The shop workload: the engine's firings are those of its reference, to the byte."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from benchmarks.shop import __main__ as shop
from benchmarks.shop import generate, reference, shapes
from benchmarks.shop.__main__ import _feed, no_model
from benchmarks.shop.translation import events, lines, program
from engine.rete import Memory, Network

SMALL: dict[str, Any] = {"seed": 20, "sessions": 20, "events": 4_000, "rules": 100, "categories": 20}
EDGES: dict[str, Any] = {
    "seed": 21,
    "sessions": 50,
    "events": 20_000,
    "rules": 100,
    "categories": 4,
    "price_step": 1_000,
    "max_price": 5_000,
    "max_total": 60_000,
    "checkout_s": 20,
    "purchase_s": 60,
    "view_s": 30,
}
DEFAULTS: dict[str, Any] = {
    "tiers": ("guest", "silver", "gold", "platinum"),
    "max_price": 12_000,
    "price_step": 1,
    "max_total": 150_000,
    "max_views": 5,
    "checkout_s": 300,
    "purchase_s": 1_800,
    "view_s": 600,
    "epoch_ms": 1_700_000_000_000,
}


def fired(folder: Path, rules: int | None = None) -> list[tuple[int, str, str]]:
    network = Network.build(program(folder, rules))
    memories: dict[str, Memory] = {}
    firings: list[tuple[int, str, str]] = []
    _feed(network, memories, list(events(lines(folder))), firings)
    return sorted(firings, key=lambda firing: firing[:2])


def digest(firings: list[tuple[int, str, str]]) -> str:
    return hashlib.sha256("".join(f"{at} {sid} {rule}\n" for at, sid, rule in firings).encode()).hexdigest()


@pytest.mark.parametrize(
    ("parameters", "count", "expected"),
    [
        (SMALL, 102, "ba4d764537c7a2c7a26207f694a1bde36c240a79193dfeaa02e6c2087a6aa6e1"),
        (EDGES, 2_278, "90c7c5a761e2beee0124c2ee724f2a0de38d7df6b96a613d1461835d8b7136f2"),
    ],
    ids=["default stream", "dense in edges of windows and totals"],
)
def test_the_firings_are_those_that_the_workload_publishes(
    tmp_path: Path, parameters: dict[str, Any], count: int, expected: str
) -> None:
    generate.write(generate.Params(**{**DEFAULTS, **parameters}), tmp_path)
    firings = fired(tmp_path)
    assert len(firings) == count
    assert digest(firings) == expected


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_firings_are_those_of_the_reference_for_other_streams_too(tmp_path: Path, seed: int) -> None:
    parameters = {**DEFAULTS, **EDGES, "seed": seed, "sessions": 6, "events": 900, "rules": 40}
    generate.write(generate.Params(**parameters), tmp_path)
    windows, rules = reference.load_rules(tmp_path / "rules.json")
    history = reference.load_events(tmp_path / "events.jsonl")
    expected = [(at, sid, rule) for _, at, sid, rule in reference.firings(rules, windows, history, exact=True)]
    assert fired(tmp_path) == sorted(expected, key=lambda firing: firing[:2])


def test_stored_and_restored_sessions_fire_the_same(tmp_path: Path) -> None:
    """Each session is stored and read again after every few of its events."""
    generate.write(generate.Params(**{**DEFAULTS, **EDGES, "events": 4_000}), tmp_path)
    network = Network.build(program(tmp_path))
    firings: list[tuple[int, str, str]] = []
    memories: dict[str, Memory] = {}
    for number, event in enumerate(events(lines(tmp_path))):
        memory = memories.get(event.session_id) or network.open(event.session_id)
        step = network.insert(memory, event, no_model)
        firings += [(each.time, event.session_id, each.rule.rpartition(".")[2]) for each in step.activations]
        memories[event.session_id] = network.restore(network.snapshot(memory)) if number % 3 else memory
    assert sorted(firings, key=lambda firing: firing[:2]) == fired(tmp_path)


ODD: dict[str, dict[str, Any]] = {
    "tiers that are YAML's traps": {"tiers": ("no", "on", "1", "a b", "é: x", "'")},
    "more rules than one file holds": {"rules": 700, "events": 300},
    "one long session": {"sessions": 1, "view_s": 100_000, "max_views": 300, "categories": 1},
    "no purchase window": {"purchase_s": 0},
    "no view window": {"view_s": 0},
    "from the epoch on": {"epoch_ms": 0},
    "dense in edges, another seed": {"seed": 77},
}


@pytest.mark.parametrize("parameters", ODD.values(), ids=ODD.keys())
def test_the_program_writes_what_the_reference_writes_for_any_folder_of_the_generator(
    tmp_path: Path, parameters: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    small = {**DEFAULTS, **EDGES, "sessions": 4, "events": 700, "rules": 40}
    generate.write(generate.Params(**{**small, **parameters}), tmp_path)
    limit = ["--rules", "600"] if parameters.get("rules") else []
    ours, expected = tmp_path / "ours.txt", tmp_path / "expected.txt"
    monkeypatch.setattr("sys.argv", ["shop", str(tmp_path), *limit, "--out", str(ours)])
    shop.main()
    monkeypatch.setattr("sys.argv", ["reference", str(tmp_path), *limit, "--out", str(expected)])
    reference.main()
    assert ours.read_bytes() == expected.read_bytes()


def test_no_two_rules_of_many_shapes_are_of_one_structure_and_they_fire(tmp_path: Path) -> None:
    generate.write(generate.Params(**{**DEFAULTS, **SMALL, "events": 2_000}), tmp_path)
    many = shapes.program(30, seed=3)
    assert len({rule.digest for rule in many.rules}) == 30
    assert shop.feed(Network.build(many), tmp_path)[1] > 0
