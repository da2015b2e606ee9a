"""`salience preview`: a token of what the live rules know, and the sentence for what they don't."""

import json
import re
from contextlib import closing

import pytest
from click.testing import CliRunner

from connectors.embedded import Embedded
from service.cli import cli
from service.clock import wall_ms
from service.installation import preview_secret
from service.preview import ImaginedEvent, read
from service.publisher import Publisher
from service.signing import Signing
from tests.unit.service.small_shop import Registry, sources

SEGMENTS = "segments:\n  regulars: {fact: views, at_least: 5}\n"


@pytest.fixture
def salience(tmp_path):

    tables = Embedded(tmp_path, 1).tables()
    with closing(tables):
        Publisher(tables, Registry(), Signing(tmp_path, shared=False)).publish(
            {**sources(), "segments.yaml": SEGMENTS}, "test", ""
        )

    def call(*words):
        return CliRunner().invoke(cli, [f"--set=data_dir={tmp_path}", "preview", *words])

    return call


def content(tmp_path, token):

    with closing(Embedded(tmp_path, 1).tables()) as tables:
        return read(token.strip(), preview_secret(tables), wall_ms(), "k1")


def test_the_token_says_what_was_asked(salience, tmp_path):
    event = {"type": "seen", "attributes": {"product": "p1", "price": 3}, "ago": "2 minutes"}
    made = salience(
        "--valid", "1 day", "--at", "2026-11-27T18:00:00+01:00", "--fact", "customer.tier=gold", "--in", "regulars",
        "--score", "intent=0.25", "--event", json.dumps(event),
    )  # fmt: skip
    assert made.exit_code == 0, made.stderr
    assert re.fullmatch(r"salp_[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\n", made.stdout)
    preview = content(tmp_path, made.stdout)
    assert 86_000_000 < preview.until - wall_ms() <= 86_400_000
    assert preview.time == 1_795_798_800_000
    assert preview.facts == {"customer.tier": "gold"}
    assert preview.segments == {"regulars": True}
    assert preview.scores == {"intent": 0.25}
    assert preview.events == (ImaginedEvent("seen", {"product": "p1", "price": 3}, 120_000),)
    assert "sets: time, customer.tier, segment regulars, score intent, event seen" in made.stderr
    plain = json.loads(salience("--json", "--not-in", "regulars", "--score", "intent=none").stdout)
    assert content(tmp_path, plain["token"]).scores == {"intent": None}
    assert plain["forced"] == ["segment regulars", "score intent"]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--valid", "2 years"], "no time up to 30 days"),
        (["--valid", "soon"], "no time up to 30 days"),
        (["--at", "tomorrow"], "--at 'tomorrow'"),
        (["--fact", "customer.tier"], "no NAME=VALUE"),
        (["--fact", "customer.tier=wood"], "customer.tier"),
        (["--fact", "customer.shoe=44"], "customer.shoe"),
        (["--fact", "views=9"], "computed from events"),
        (["--in", "nobody"], "there is no segment nobody; the live rules have regulars"),
        (["--in", "regulars", "--not-in", "regulars"], "can't be in regulars and not in it"),
        (["--score", "luck=1"], "there is no score luck; the live rules have intent"),
        (["--score", "intent=2"], "a value of 0 to 1"),
        (["--event", "seen"], "--event 'seen'"),
        (["--event", '{"type": "seen", "ago": "a while"}'], "no length of time"),
        (["--event", '{"type": "dreamt"}'], "no event"),
    ],
)
def test_what_does_not_fit_is_one_sentence(salience, words, why):
    refused = salience(*words)
    assert refused.exit_code == 1
    assert why in refused.stderr
    assert refused.stdout == ""


def test_nothing_live_can_not_be_previewed(tmp_path):
    refused = CliRunner().invoke(cli, [f"--set=data_dir={tmp_path}", "preview"])
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "nothing is live" in refused.stderr
