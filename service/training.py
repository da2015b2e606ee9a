"""From a spec and a history to a registered model: what `salience train` and the first start of the shop do."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import msgspec

from engine.event import Event, RawEvent
from engine.language import check
from engine.language.diagnostics import render
from engine.language.tree import FactSource, Program
from engine.rete import Network
from engine.values import EpochMs
from engine.vocabulary import Admission, EventRefusedError, read_facts
from models.card import calibration_svg, card
from models.dataset import ModelSpec, Session, build_rows, read_spec
from models.registry import ModelMetadata, ModelRegistry
from models.shoppers import DAY, history
from models.training import TrainingError, train
from service.ruleset_folder import read_sources
from service.shop.catalogue import products

SIMULATED_FROM: EpochMs = 1_760_000_000_000  # 2025-10-09: fixed, so that the same seed gives the same model


@dataclass(frozen=True, slots=True)
class Registered:
    """A model that was trained and is in the registry."""

    model: str
    version: str
    folder: Path
    metrics: Mapping[str, float]


def default_spec() -> Path:
    """The spec of the example shop's model."""
    return Path(str(files("rulesets").joinpath("models", "purchase_intent.yaml")))


def train_and_register(
    spec_file: Path, registry_folder: Path, *, history: Sequence[Path] = (), visits: int = 4000, seed: int = 1,
    say: Callable[[str], object] = lambda _text: None,
) -> Registered:  # fmt: skip
    """Train the model of a spec and store it with its card.

    Args:
        spec_file: The spec; its ruleset is the folder of that name beside the spec's folder.
        registry_folder: Where versions are kept.
        history: Files of events as JSON lines; empty: `visits` of simulated shoppers.
        visits: See `history`.
        seed: Of the simulation and of the training.
        say: Called with a sentence for each stage.

    Raises:
        TrainingError: The spec, the ruleset or the data don't serve, or the model was refused.
        ModelError: The registry can't take it.
    """
    spec = read_spec(spec_file)
    folder = spec_file.resolve().parent.parent / spec.ruleset
    program = _program(folder)
    if history:
        source = ", ".join(path.name for path in history)
        say(f"reading {source}")
        sessions: Iterator[Session] = _recorded(program, history, say)
    else:
        source = f"{visits:,} visits of simulated shoppers (seed {seed})"
        say(f"simulating {source}")
        sessions = _simulated(program, visits, seed)
    rows = build_rows(Network.build(program), spec, sessions)
    say(f"training on {len(rows.labels):,} rows, {rows.labels.mean():.1%} of them true")
    trained = train(rows, seed=seed)
    metadata = ModelMetadata(spec.model, spec.features, int(time.time() * 1000), trained.metrics, trained.origin)
    registry = ModelRegistry(registry_folder)
    pages = {"card.md": card(metadata, trained.importance, source), "calibration.svg": calibration_svg(trained.curve)}
    version = registry.add(trained.onnx, metadata, pages)
    return Registered(spec.model, version, registry_folder / spec.model / version, trained.metrics)


def _program(folder: Path) -> Program:
    sources = read_sources(folder)
    checked = check(sources)
    if checked.program is None:
        raise TrainingError(f"the ruleset {folder} has errors:\n{render(checked.diagnostics, sources)}")
    return checked.program


def _simulated(program: Program, visits: int, seed: int) -> Iterator[Session]:
    admission = Admission(program.vocabulary)
    for who, events in history(seed, visits, products(), SIMULATED_FROM - 28 * DAY):
        known = events[0].customer_id is not None
        profile, _ = read_facts(program.vocabulary, FactSource.PROFILE, who.profile if known else {})
        yield Session([admission.admit(event, SIMULATED_FROM) for event in events], profile)


def _recorded(program: Program, paths: Sequence[Path], say: Callable[[str], object]) -> Iterator[Session]:
    admission = Admission(program.vocabulary)
    now = int(time.time() * 1000)
    sessions: dict[str, list[Event]] = defaultdict(list)
    refused: dict[str, int] = defaultdict(int)
    for path in paths:
        with path.open("rb") as lines:
            for line in lines:
                try:
                    event = admission.admit(msgspec.json.decode(line, type=RawEvent), now)
                except (EventRefusedError, msgspec.MsgspecError) as error:
                    refused[str(error)] += 1
                else:
                    sessions[event.session_id].append(event)
    for reason, count in sorted(refused.items(), key=lambda pair: -pair[1])[:5]:
        say(f"{count:,} events left out: {reason}")
    for events in sessions.values():
        yield Session(sorted(events, key=lambda event: event.time), {})


__all__ = ["ModelSpec", "Registered", "default_spec", "train_and_register"]
