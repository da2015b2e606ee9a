"""Reads the cases beside it: each folder is a bundle, what happens, and what must come of it. Nothing else.

- `vocabulary.yaml`, `rules.yaml` and, where needed, `segments.yaml` and `offers.yaml`: the bundle.
- `after/`: files of the bundle that a `reload` puts in place of those.
- `events.yaml`: what happens, in order. Times are milliseconds after Monday, 5 January 2026, 0:00 UTC. An event is
  `{at: 0, viewed: {price: 10}}`; `facts` sets facts of the profile (null: no value), `clock: passes` lets time pass,
  `request` is a look at the session with its request facts; `answers` says what the models answer from now on (a number,
  or how it fails), `catalogue` the values of catalogue facts by key; `reload: after` goes on with the other bundle.
- `expected.yaml`: `acts`, all activations in order; `requests`, for each request the rules that hold in order, those that
  fail and those that are unknown, until when that is so (`never` changes: null) and, where they matter, `values`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from engine.language import check, render
from engine.language.tree import Program

FOLDER = Path(__file__).parent
BEGIN = round(dt.datetime(2026, 1, 5, tzinfo=dt.UTC).timestamp() * 1000)
NAMES = sorted(path.parent.name for path in FOLDER.glob("*/events.yaml"))


@dataclass
class Expected:
    """What must come: activations in the notation of `act`, and requests."""

    acts: list[dict[str, Any]] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)


def program_of(name: str, folder: str | None = None) -> Program:
    """The checked bundle of a case."""
    files = {path.name: path for path in (FOLDER / name).glob("*.yaml")}
    if folder is not None:
        files |= {path.name: path for path in (FOLDER / name / folder).glob("*.yaml")}
    sources = {each: path.read_text() for each, path in files.items() if each not in {"events.yaml", "expected.yaml"}}
    checked = check(sources)
    assert checked.program is not None, render(checked.diagnostics, sources)
    return checked.program


def happenings(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load((FOLDER / name / "events.yaml").read_text())
    return found


def expected_of(name: str) -> Expected:
    found = yaml.safe_load((FOLDER / name / "expected.yaml").read_text())
    assert found.keys() <= {"acts", "requests"}, f"expected.yaml has acts and requests, not {sorted(found)}"
    return Expected(
        [_act(each) for each in found.get("acts") or []], [_request(each) for each in found.get("requests") or []]
    )


def _act(raw: Mapping[str, Any]) -> dict[str, Any]:
    assert raw.keys() <= {"at", "rule", "with", "held_back", "sends"}, raw
    return {"with": {}, "held_back": None, **raw}


def _request(raw: Mapping[str, Any]) -> dict[str, Any]:
    assert raw.keys() <= {"holds", "fails", "unknown", "until", "values"}, raw
    holds = [each if isinstance(each, dict) else {"rule": each, "with": {}} for each in raw.get("holds") or []]
    return {"fails": [], "unknown": [], **raw, "holds": holds}
