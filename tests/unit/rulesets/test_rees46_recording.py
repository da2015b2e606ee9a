"""The rules for REES46 recordings, over a real one: its rows are events, and each rule has something to do."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import msgspec
import pytest

from engine.activation import FactReader, ScoreAnswer, ScoreStatus
from engine.event import RawEvent
from engine.language import check, render
from engine.rete import Memory, Network
from engine.vocabulary import EventRefusedError, admit
from service.replay.events import RowReader
from service.replay.mapping import read_mapping
from service.replay.rows import open_recording
from service.ruleset_folder import read_sources

ROOT = Path(__file__).parents[3] / "rulesets"
MAPPING = ROOT / "mappings" / "rees46.yaml"


def no_model(name: str, reader: FactReader) -> ScoreAnswer:
    return ScoreAnswer(ScoreStatus.MISSING)


@pytest.mark.data
def test_every_row_with_a_session_is_an_event_and_every_rule_acts(data_dir: Path) -> None:
    checked = check(read_sources(ROOT / "rees46"))
    program = checked.program
    assert program is not None
    text = MAPPING.read_text("utf-8")
    mapping, diagnostics = read_mapping(MAPPING.name, text)
    assert mapping is not None, render(diagnostics, {MAPPING.name: text})
    recording = open_recording(data_dir / "rees46_sample" / "2019-Oct-sample.csv")
    columns = list(mapping.columns())
    reader = RowReader(mapping, columns)
    network = Network.build(program)
    sessions: dict[str, Memory] = {}
    refused: Counter[str] = Counter()
    acted: Counter[str] = Counter()
    for row in recording.rows(columns):
        prepared = reader.prepare(row)
        assert prepared is not None
        raw = msgspec.json.decode(prepared.record.value, type=RawEvent)
        try:
            event = admit(program.vocabulary, raw, 0)
        except EventRefusedError as error:
            refused[error.field] += 1
            continue
        memory = sessions.get(event.session_id)
        if memory is None:
            memory = sessions[event.session_id] = network.open(event.session_id, event.customer_id)
        step = network.insert(memory, event, no_model)
        assert not step.failures
        acted.update(activation.rule for activation in step.activations if activation.acts)
    assert refused == {"session_id": 1}
    assert len(sessions) == 5_066
    assert set(acted) == {rule.id for rule in program.rules}
