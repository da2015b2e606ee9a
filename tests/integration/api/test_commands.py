"""`salience decide` and `salience why`, over HTTP and without the API."""

import json
import shutil
import stat
import time

import pytest
from click.testing import CliRunner

from service.cli import cli
from tests.integration.api.running import SHOP, Running

TWO_LOOKS = [
    {
        "id": f"look-{n}",
        "type": "product_viewed",
        "session_id": "cli-1",
        "attributes": {"product_id": f"p{n}", "category": "shoes", "price": 80},
    }
    for n in (1, 2)
]


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with Running(tmp_path_factory.mktemp("commands")) as started, started.client() as client:
        started.start_worker()
        assert client.post("/v1/events", json={"events": TWO_LOOKS}).json()["accepted"] == 2
        started.api.wait_for("serving revision 1")
        while not client.get("/v1/sessions/cli-1/why").json()["known"]:
            pass
        yield started


@pytest.fixture
def salience(running):
    def call(*words, api=True):
        port = running.url.rsplit(":", 1)[1]
        flags = [f"--set=data_dir={running.settings.data_dir}", f"--set=api.port={port}"]
        return CliRunner().invoke(cli, [*flags, *words, *(() if api else ("--local",))], standalone_mode=False)

    return call


@pytest.mark.parametrize("api", [True, False], ids=["over HTTP", "local"])
def test_a_decision_is_shown_with_its_reasons(salience, running, api):
    made = salience("decide", "cli-1", "-p", "carousel", "-c", "context.page=product", api=api)
    assert made.exception is None, made.output
    assert "carousel_shoes  by rule carousel.shoes" in made.stdout
    assert "product_viewed" in made.stdout
    assert "stays so until" in made.stdout
    decision_id = made.stdout.split()[1].rstrip(",")
    why = salience("why", decision_id, api=api)
    assert f"decision {decision_id} about session cli-1" in why.stdout
    assert "carousel_shoes" in why.stdout


def test_the_command_lines_key_is_made_once_for_this_user_only(salience, running):
    salience("decide", "cli-1", "-p", "carousel")
    path = running.settings.data_dir / "secrets" / "command-line.key"
    text = path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    salience("decide", "cli-1", "-p", "carousel")
    assert path.read_text() == text


def test_json_is_the_answer_as_it_came(salience):
    made = salience("decide", "cli-1", "-p", "carousel", "--json")
    assert json.loads(made.stdout)["placements"][0]["placement"] == "carousel"


def test_a_placement_that_does_not_exist_is_exit_code_1(salience):
    made = salience("decide", "cli-1", "-p", "nowhere")
    assert made.return_value == 1
    assert "declares no placement" in made.stdout


def test_every_rule_of_a_session_with_how_far_it_is(salience):
    why = salience("why", "--session", "cli-1")
    assert "rules hold" in why.stdout
    assert "yes  carousel.shoes" in why.stdout
    assert "one condition away" in why.stdout
    assert salience("why", "--session", "nobody").stdout.count("nothing is known of this session") == 1
    one = salience("why", "--session", "cli-1", "--rule", "carousel.bags")
    assert "0 of 1 rules hold" in one.stdout
    assert "2 more" in one.stdout


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("why",), "give a decision's id, or a session"),
        (("why", "d_nothing"), "No decision 'd_nothing' is kept"),
        (("decide", "s1", "-p", "carousel", "--url", "http://127.0.0.1:9"), "no API answers at http://127.0.0.1:9"),
        (("decide", "s1", "-p", "carousel", "--url", "ftp://x"), "is no address"),
        (("decide", "s1", "-p", "carousel", "-c", "page"), "is no NAME=VALUE"),
    ],
)
def test_what_can_not_be_done_is_a_sentence(salience, words, sentence):
    assert sentence in str(salience(*words).exception)


def test_a_decision_is_made_again_byte_for_byte_and_by_a_draft(salience, running, tmp_path):
    decision_id = json.loads(salience("decide", "cli-1", "-p", "carousel", "-p", "cart_banner", "--json").stdout)[
        "decision_id"
    ]
    with running.client() as client:
        while client.get(f"/v1/decisions/{decision_id}").status_code != 200:
            pass
    until = time.monotonic() + 15
    while (proof := salience("redecide", decision_id)).exception is not None:  # written a moment after the answer
        assert time.monotonic() < until, proof.exception
        time.sleep(0.05)
    assert proof.return_value == 0, proof.stdout
    assert "the same, byte for byte" in proof.stdout
    assert "made of a state of" in proof.stdout

    draft = tmp_path / "draft"
    shutil.copytree(SHOP, draft)
    assert salience("redecide", decision_id, "--draft", str(draft)).return_value == 0
    carousel = draft / "carousel.yaml"
    carousel.write_text(carousel.read_text().partition("\nrules:")[0] + "\nrules: []\n")
    differs = salience("redecide", decision_id, "--draft", str(draft))
    assert (differs.return_value, differs.exception) == (1, None)
    assert "carousel_shoes" in differs.stdout.partition("By the draft:")[0]
    plain = json.loads(salience("redecide", decision_id, "--draft", str(draft), "--json").stdout)
    assert plain["changed"] == ["carousel"]
    assert salience("redecide", "d_nothing").exception.exit_code == 2
