"""`salience signing`: keys made, rotated, trusted and listed, and what publishing says of them."""

import json
import re
import shutil

import pytest
from click.testing import CliRunner

from service.cli import cli
from tests.unit.service.small_shop import sources


@pytest.fixture
def salience(tmp_path):
    folder = tmp_path / "shop"
    folder.mkdir()
    for name, text in sources().items():
        (folder / name).write_text(text)

    def call(*words, data=tmp_path / "data"):
        flags = [f"--set=data_dir={data}", f"--set=bundle.folder={folder}", f"--set=models.registry={tmp_path}"]
        return CliRunner().invoke(cli, [*flags, *words])

    return call


def test_without_a_key_publishing_says_that_nothing_is_signed(salience):
    assert "not signed" in salience("publish").stderr
    assert "not signed: whoever can write to the control tables can change the rules" in salience("status").stdout
    listed = salience("signing", "list")
    assert "no key is trusted here: unsigned rules are taken" in listed.stderr
    assert json.loads(salience("signing", "list", "--json").stdout) == {
        "trusted": [], "signs": None, "waits": None, "live": None, "required": False,
    }  # fmt: skip


def test_the_first_key_signs_what_is_live_and_the_next_one_waits_until_it_is_used(salience):
    salience("publish")
    made = salience("signing", "create")
    assert re.fullmatch(r"salience-ed25519 [A-Za-z0-9+/]{43}=\n", made.stdout)
    assert "signed anew, as revision 2" in made.stderr
    first = json.loads(salience("signing", "list", "--json").stdout)
    assert first["live"] == first["signs"] == first["trusted"][0]["id"]
    assert f"signed: by key {first['live']}" in salience("status").stdout

    waits = json.loads(salience("signing", "create", "--json").stdout)
    assert not waits["signs"]
    assert json.loads(salience("signing", "list", "--json").stdout)["live"] == first["live"]
    refused = salience("signing", "distrust", first["live"])
    assert (refused.exit_code, "sign it anew first" in refused.stderr) == (1, True)
    assert "as revision 3" in salience("signing", "use").stderr
    assert json.loads(salience("signing", "list", "--json").stdout)["live"] == waits["id"]
    assert salience("signing", "distrust", first["live"]).exit_code == 0
    table = salience("signing", "list").stdout
    assert waits["public"] in table
    assert "signs here, signed what is live" in table
    assert first["live"] not in table
    assert "same content and is live already" in salience("publish").stdout


def test_a_public_key_is_trusted_from_a_line_or_a_file(salience, tmp_path):
    line = salience("signing", "create").stdout
    (tmp_path / "shop.pub").write_text(line)
    for number, given in enumerate([line, str(tmp_path / "shop.pub")]):
        other = tmp_path / f"other-{number}"
        assert salience("signing", "trust", given, data=other).exit_code == 0
        assert (
            json.loads(salience("signing", "list", "--json", data=other).stdout)["trusted"][0]["public"] == line.strip()
        )
    refused = salience("signing", "trust", "nonsense")
    assert (refused.exit_code, "is no public key" in refused.stderr) == (1, True)


def test_what_nobody_vouches_for_does_not_get_a_new_signature(salience, tmp_path):
    salience("signing", "create")
    salience("publish")
    shutil.rmtree(tmp_path / "data" / "trusted_keys")
    shutil.rmtree(tmp_path / "data" / "secrets")
    salience("signing", "create", data=tmp_path / "other")
    for key in (tmp_path / "other" / "trusted_keys").iterdir():
        salience("signing", "trust", str(key))
    refused = salience("signing", "create")
    assert refused.exit_code == 1
    assert "which is not trusted here" in refused.stderr
    assert not (tmp_path / "data" / "secrets" / "signing.key").exists()
