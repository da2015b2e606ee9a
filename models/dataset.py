"""Training rows from histories: the engine replays each session and the facts are read as serving reads them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
import yaml

from engine.activation import FactReader, ScoreAnswer, ScoreStatus
from engine.event import Event
from engine.language.tree import Vocabulary
from engine.rete import Network
from engine.values import Kind, Millis, Value
from models.features import Vector, vector
from models.training import Rows, TrainingError

UNITS: Mapping[str, Millis] = {"seconds": 1_000, "minutes": 60_000, "hours": 3_600_000, "days": 86_400_000}
NUMBERS = frozenset({Kind.INTEGER, Kind.NUMBER, Kind.MONEY, Kind.BOOLEAN, Kind.DURATION})


class Outcome(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is predicted: that an event of this type follows within this time (`30 minutes`)."""

    event: str
    within: str

    @property
    def within_ms(self) -> Millis:
        """The time in ms. Raises `TrainingError` where it is no duration."""
        found = re.fullmatch(r"(\d+) (second|minute|hour|day)s?", self.within)
        if not found:
            raise TrainingError(f"predicts.within is {self.within!r}, expected a duration like 30 minutes")
        return int(found[1]) * UNITS[found[2] + "s"]


class ModelSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A model to be trained: `rulesets/models/*.yaml`.

    Attributes:
        model: Its name in the registry, as the vocabulary's scores name it.
        ruleset: The folder, beside the spec's, whose vocabulary defines the features.
        predicts: What a row's label is.
        rows_after: Event types after which a row is taken.
        features: Facts and features, in the order of the vector.
    """

    model: str
    ruleset: str
    predicts: Outcome
    rows_after: tuple[str, ...]
    features: tuple[str, ...]


def read_spec(path: Path) -> ModelSpec:
    """Read a spec. Raises `TrainingError` with the file and the field for anything that is none."""
    try:
        return msgspec.convert(yaml.safe_load(path.read_text("utf-8")), ModelSpec)
    except (OSError, yaml.YAMLError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise TrainingError(f"{path} is no model spec: {error}") from error


def check_features(spec: ModelSpec, vocabulary: Vocabulary) -> None:
    """Refuse a spec that does not fit the vocabulary: all that is wrong, in one `TrainingError`."""
    wrong = [
        f"{name}: {'text can not be a feature' if name in vocabulary.facts else 'not in the vocabulary'}"
        for name in spec.features
        if name not in vocabulary.facts or vocabulary.facts[name].type.kind not in NUMBERS
    ]
    wrong += [
        f"event {name}: not in the vocabulary"
        for name in {*spec.rows_after, spec.predicts.event} - {*vocabulary.events}
    ]
    if wrong:
        raise TrainingError(f"the model {spec.model} does not fit its ruleset: " + "; ".join(sorted(wrong)))


def no_score(_score: str, _reader: FactReader) -> ScoreAnswer:
    """The `ScoreFunction` of a history that is replayed to train the model: no score may be a feature of another."""
    return ScoreAnswer(ScoreStatus.MISSING)


class Session(msgspec.Struct, frozen=True):
    """One session of a history: its events in order of time, and the profile facts of its customer, typed."""

    events: Sequence[Event]
    profile: Mapping[str, Value]


def build_rows(network: Network, spec: ModelSpec, sessions: Iterable[Session]) -> Rows:
    """One row for each event of `rows_after`: what was known right after it, and whether the outcome followed.

    Raises:
        TrainingError: The spec does not fit the network's vocabulary, or there are no rows.
    """
    check_features(spec, network.program.vocabulary)
    wanted, outcome, within = frozenset(spec.rows_after), spec.predicts.event, spec.predicts.within_ms
    vectors: list[Vector] = []
    labels: list[bool] = []
    times: list[int] = []
    for session in sessions:
        hits = [event.time for event in session.events if event.type == outcome]
        for event, features in session_vectors(network, spec.features, session):
            if event.type in wanted:
                vectors.append(features)
                labels.append(any(event.time < hit <= event.time + within for hit in hits))
                times.append(event.time)
    if not vectors:
        raise TrainingError(f"the history has no event of {', '.join(sorted(wanted))}: there is nothing to train on")
    return Rows(spec.features, np.stack(vectors), np.array(labels), np.array(times, dtype=np.int64))


def session_vectors(network: Network, names: Sequence[str], session: Session) -> Iterable[tuple[Event, Vector]]:
    """Each event with the vector that a model would be asked with right after it."""
    if not session.events:
        return
    first = session.events[0]
    memory = network.open(first.session_id, first.customer_id)
    if session.profile:
        network.set_facts(memory, session.profile, first.time, no_score)
    for event in session.events:
        network.insert(memory, event, no_score)
        yield event, vector(network.view(memory, event.time, {}, no_score).fact, names)
