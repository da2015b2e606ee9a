"""`salience keys`: made, listed, revoked; shown once."""

import json
import re

import pytest
from click.testing import CliRunner

from service.cli import cli


@pytest.fixture
def salience(tmp_path):
    def call(*words):
        return CliRunner().invoke(cli, [f"--set=data_dir={tmp_path}", "keys", *words], standalone_mode=False)

    return call


def test_a_key_is_shown_once_on_stdout_alone(salience):
    made = salience("create", "shop")
    assert re.fullmatch(r"sal_secret_[0-9a-f]{10}_[0-9a-f]{48}\n", made.stdout)
    assert "It is not shown again" in made.stderr
    secret = made.stdout.strip().rsplit("_", 1)[1]
    listed = salience("list", "--json").stdout
    assert secret not in listed
    (row,) = json.loads(listed)
    assert row.keys() == {"id", "name", "kind", "scopes", "origins", "created", "revoked"}
    assert "shop" in salience("list").stdout


def test_a_storefront_key_without_origins_is_warned_about(salience):
    assert "no page may use it yet" in salience("create", "page", "--kind", "storefront").stderr
    made = salience("create", "page", "--kind", "storefront", "--origin", "https://shop.example", "--json")
    assert json.loads(made.stdout)["origins"] == ["https://shop.example"]


def test_a_revoked_key_stays_in_the_list(salience):
    key = json.loads(salience("create", "shop", "--json").stdout)
    assert salience("revoke", key["id"]).exception is None
    (row,) = json.loads(salience("list", "--json").stdout)
    assert row["revoked"] is not None


def test_what_can_not_be_done_is_a_sentence(salience):
    assert "there is no key nothing" in str(salience("revoke", "nothing").exception)
    refused = salience("create", "page", "--kind", "storefront", "--origin", "shop.example")
    assert "is no origin" in str(refused.exception)


def test_no_keys_yet_is_said(salience):
    assert "there are no keys yet" in salience("list").stderr
    assert json.loads(salience("list", "--json").stdout) == []
