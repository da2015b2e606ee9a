"""`salience lag` and `salience dead`: what operators see of the stream, and how they send a record once more."""

import json

import pytest
from click.testing import CliRunner

from engine.ports import OutputKind
from service.cli import cli
from tests.unit.service.small_shop import sources
from tests.unit.service.worker.bench import Bench, loaded, until

LIVE = loaded()


@pytest.fixture
def bench(tmp_path):
    made = Bench(tmp_path, partitions=2)
    yield made
    made.close()


@pytest.fixture
def salience(tmp_path):
    def call(*words):
        options = [f"--set=data_dir={tmp_path}", "--set=kafka.partitions=2"]
        return CliRunner().invoke(cli, [*options, *words], standalone_mode=False)

    return call


def work(bench, live=LIVE):
    """A worker that evaluates all there is and sends what waits."""
    worker = bench.worker(lambda: live)
    ends = sum(bench.embedded.event_source("looks").ends().values())
    until(lambda: sum(bench.state.position(n).offset for n in range(2)) == ends, worker.round)
    worker.stop()
    worker.run()


def test_lag_says_how_far_behind_the_state_is(bench, salience):
    bench.append([b"x"] * 3)
    before = json.loads(salience("lag", "--json").stdout)
    assert sum(each["behind"] for each in before) == 3
    assert {each["watermark"] for each in before} == {None}
    work(bench)
    after = salience("lag").stdout
    assert "0 records behind" in after


def test_dead_letters_are_listed_shown_and_retried(bench, salience):
    bench.append([b"?? cut off"])
    work(bench)
    (letter,) = json.loads(salience("dead", "list", "--json").stdout)
    place = f"{letter['partition']}-{letter['offset']}"
    assert letter["code"] == "not-json"
    assert place in salience("dead", "list").stdout
    shown = salience("dead", "show", place).stdout
    assert "?? cut off" in shown
    retried = salience("dead", "retry", place)
    assert "1 appended" in retried.stderr
    work(bench)
    letters = json.loads(salience("dead", "list", "--json").stdout)
    assert [each["offset"] for each in letters] == [letter["offset"] + 1, letter["offset"]]
    assert {each["value"] for each in letters} == {letter["value"]}


def test_a_retried_event_is_applied_once_the_vocabulary_knows_it(bench, salience):
    event = b'{"type": "wished", "session_id": "s", "id": "e1", "time": 1700000000000, "attributes": {"product": "p"}}'
    bench.append([event])
    work(bench)
    (letter,) = json.loads(salience("dead", "list", "--json").stdout)
    vocabulary = sources()["vocabulary.yaml"].replace("events:\n", "events:\n  wished: {product: text}\n")
    salience("dead", "retry", f"{letter['partition']}-{letter['offset']}")
    work(bench, loaded(sources(vocabulary=vocabulary)))
    assert bench.state.load(letter["partition"], ["s"])
    assert len(bench.outputs.read(OutputKind.DEAD, 10)) == 1


def test_what_is_not_there_is_a_sentence(salience):
    assert salience("dead", "list").stderr == "there are no dead letters\n"
    assert "no dead letter at 0-7" in str(salience("dead", "show", "0-7").exception)
