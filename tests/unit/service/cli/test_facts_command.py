"""`salience facts`: files of customers and things, checked before anything is loaded."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from service.cli import cli
from service.wiring import Wiring
from tests.unit.service.small_shop import sources
from tests.unit.service.test_wiring import settings
from tests.unit.service.worker.test_catalogue import WITH_STOCK


@pytest.fixture
def salience(tmp_path):
    def call(*words):
        return CliRunner().invoke(cli, [f"--set=data_dir={tmp_path}", *map(str, words)], standalone_mode=False)

    return call


@pytest.fixture
def file(tmp_path):
    def write(*lines):
        path = tmp_path / "facts.jsonl"
        path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
        return path

    return write


@pytest.fixture
def live(tmp_path):
    with Wiring(settings(tmp_path)) as wiring:
        wiring.publisher().publish(sources(vocabulary=WITH_STOCK), "anna", "")


def test_things_are_loaded_replaced_and_removed(live, salience, file):
    told = salience("facts", "load", "catalogue", file(
        {"by": "product", "key": "p1", "facts": {"product.stock": 4}}, "", {"by": "product", "key": "p2", "facts": {"product": {"stock": 5}}},
    ))  # fmt: skip
    assert "2 of catalogue are in the store" in told.stderr
    assert json.loads(salience("facts", "show", "catalogue", "product/p1", "--json").stdout) == {"product.stock": 4}
    salience("facts", "load", "catalogue", file({"by": "product", "key": "p1", "facts": None}))
    assert "nothing is known of 'product/p1'" in str(salience("facts", "show", "catalogue", "product/p1").exception)
    assert '"stock": 5' in salience("facts", "show", "catalogue", "product/p2").stdout


def test_profiles_are_loaded(live, salience, file):
    salience("facts", "load", "profiles", file({"key": "c1", "facts": {"customer.tier": "gold"}}))
    assert json.loads(salience("facts", "show", "profiles", "c1", "--json").stdout) == {"customer.tier": "gold"}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "truncated"),
        ({"by": "product", "key": "p2"}, "missing required field `facts`"),
        ({"by": "product", "key": "p2", "facts": {}, "more": 1}, "unknown field `more`"),
        ({"key": "p2", "facts": {}}, "by for the catalogue alone"),
        ({"by": "product", "key": "", "facts": {}}, "a key is needed"),
        ({"by": "price", "key": "p2", "facts": {}}, "no fact of the vocabulary is looked up by price"),
        ({"by": "product", "key": "p2", "facts": {"product.stock": "many"}}, "product.stock"),
        ({"by": "product", "key": "p2", "facts": {"product.colour": "red"}}, "declares no fact"),
    ],
)
def test_nothing_is_loaded_where_a_line_does_not_fit(live, salience, file, line, reason):
    path = file({"by": "product", "key": "p1", "facts": {}}, line)
    told = str(salience("facts", "load", "catalogue", path).exception)
    assert f"{path}:2: " in told
    assert reason in told
    assert salience("facts", "show", "catalogue", "product/p1").exception is not None


def test_without_rules_only_the_shape_is_checked(salience, file):
    assert (
        "1 of profiles" in salience("facts", "load", "profiles", file({"key": "c1", "facts": {"anything": [1]}})).stderr
    )
