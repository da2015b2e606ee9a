"""Provisioning: one apt call as root for what is missing, clear words elsewhere, a failure in CI."""

import os
from pathlib import Path

import pytest

from tools import provision
from tools.kafka import kafka_cluster

CALLS = "calls"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine on which nothing is installed but an apt-get that does what it should."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CI", "")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(kafka_cluster, "fetched", lambda: True)
    monkeypatch.setattr("sys.argv", ["provision"])
    install = "".join(
        f"echo > {tmp_path}/{name}; /bin/chmod +x {tmp_path}/{name}; "
        for name in ("redis-server", "chromium", "java", "gcc")
    )
    program(tmp_path / "apt-get", f'echo "$@" >> {tmp_path / CALLS}; [ "$1" = update ] || {{ {install} }}')
    return tmp_path


def program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_as_root_all_that_is_missing_is_installed_by_one_call(machine: Path) -> None:
    assert provision.main() == 0
    assert (machine / CALLS).read_text().splitlines() == [
        "update -qq",
        "install -y -qq --no-install-recommends chromium default-jre-headless gcc libc6-dev redis-server",
    ]
    assert provision.main() == 0
    assert len((machine / CALLS).read_text().splitlines()) == 2


def test_maven_is_needed_until_the_jars_are_there(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_cluster, "fetched", lambda: False)
    assert "Maven" in [server.name for server in provision.missing()]


def test_others_are_told_what_is_skipped_and_how_to_have_it(
    machine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert provision.main() == 0
    said = capsys.readouterr().out.splitlines()
    assert "provision: MISSING Redis: skipping tests with a real Redis. Debian: apt install redis-server" in said
    assert len(said) == 4
    assert not (machine / CALLS).exists()


def test_in_ci_what_is_missing_is_a_failure(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    program(machine / "apt-get", "echo E: no network >&2; exit 100")
    assert provision.main() == 1


def test_jars_that_can_not_be_fetched_are_named(
    machine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("redis-server", "chromium", "java", "gcc"):
        program(machine / name, "")
    program(machine / "mvn", "echo the repository does not answer; exit 1")
    monkeypatch.setattr(kafka_cluster, "fetched", lambda: False)
    monkeypatch.setattr(kafka_cluster, "jars_folder", lambda cache=None: machine / "cache" / "jars")
    monkeypatch.setenv("CI", "true")
    assert provision.main() == 1
    assert "MISSING Kafka's jars: skipping tests with a real Kafka. mvn exited 1:\nthe repository does not answer" in (
        capsys.readouterr().out
    )
