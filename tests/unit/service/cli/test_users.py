"""`salience users`: who may sign in."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from service.cli import cli

PASSWORD = "correct horse battery"


@pytest.fixture
def salience(tmp_path: Path) -> Callable[..., Result]:
    def call(*words: str, typed: str = "") -> Result:
        argv = [f"--set=data_dir={tmp_path}", "users", *words]
        return CliRunner().invoke(cli, argv, input=typed, standalone_mode=False)

    return call


def test_a_user_is_added_listed_changed_and_removed(salience: Callable[..., Result]) -> None:
    assert salience("add", "marta", "--role", "publisher", "--password-stdin", typed=PASSWORD + "\n").exception is None
    (row,) = json.loads(salience("list", "--json").stdout)
    assert row.keys() == {"name", "role", "created"}
    assert (row["name"], row["role"]) == ("marta", "publisher")
    assert "marta" in salience("list").stdout
    assert json.loads(salience("role", "marta", "viewer", "--json").stdout)["role"] == "viewer"
    assert salience("remove", "marta").exception is None
    assert json.loads(salience("list", "--json").stdout) == []
    assert "nobody may sign in yet" in salience("list").stderr


def test_the_password_is_asked_for_twice_and_never_shown(salience: Callable[..., Result]) -> None:
    added = salience("add", "ed", typed=f"{PASSWORD}\n{PASSWORD}\n")
    assert added.exception is None
    assert PASSWORD not in added.output
    changed = salience("password", "ed", typed="another long one\nanother long one\n")
    assert changed.exception is None
    assert "new password" in changed.stderr


@pytest.mark.parametrize(
    ("words", "typed", "says"),
    [
        (("add", "x", "--password-stdin"), "short\n", "at least 10 characters"),
        (("add", "a b", "--password-stdin"), PASSWORD + "\n", "no user name"),
        (("add", "known", "--password-stdin"), PASSWORD + "\n", "there is a user known already"),
        (("remove", "nobody"), "", "there is no user nobody"),
        (("password", "nobody", "--password-stdin"), PASSWORD + "\n", "there is no user nobody"),
        (("role", "nobody", "viewer"), "", "there is no user nobody"),
    ],
)
def test_what_can_not_be_done_is_a_sentence(
    salience: Callable[..., Result], words: tuple[str, ...], typed: str, says: str
) -> None:
    salience("add", "known", "--password-stdin", typed=PASSWORD + "\n")
    assert says in str(salience(*words, typed=typed).exception)
