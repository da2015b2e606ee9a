"""The bootstrap: what it says to somebody whose machine lacks something, and that a second start does nothing."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools import bootstrap

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with locks of nothing, and the bootstrap looking at it."""
    (tmp_path / "requirements").mkdir()
    for name in ("run", "test"):
        (tmp_path / "requirements" / f"{name}.txt").write_text("")
    (tmp_path / "setup.py").write_text("")
    monkeypatch.setattr(bootstrap, "ROOT", str(tmp_path))
    monkeypatch.setattr(bootstrap, "VENV", str(tmp_path / ".venv"))
    monkeypatch.setattr(bootstrap, "STAMP", str(tmp_path / ".venv" / "salience-locks.json"))
    return tmp_path


def program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def installation(checkout: Path, locks: tuple[str, ...] = ("run",)) -> None:
    """An environment as an earlier bootstrap left it."""
    program(checkout / ".venv" / "bin" / "python", f'exec {sys.executable} "$@"')
    program(checkout / ".venv" / "bin" / "salience", "echo salience")
    stamp = {name: bootstrap.fingerprint(name) for name in locks} | {"folder": bootstrap.VENV}
    Path(bootstrap.STAMP).write_text(json.dumps(stamp))


def test_an_old_python_is_told_so_and_what_to_do(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 8, 10, "final", 0))
    monkeypatch.setenv("PATH", "")
    assert bootstrap.main(["run"]) == 1
    said = capsys.readouterr().err
    assert "Salience needs Python 3.11 or newer" in said
    assert "is Python 3.8" in said
    assert "apt install python3.11" in said


def test_a_newer_python_on_the_path_is_found_and_one_that_does_not_run_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 9, 0, "final", 0))
    program(tmp_path / "python3.13", "exit 127  # a shim without its version")
    program(tmp_path / "python3.12", "echo 3 12")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert bootstrap.find_python() == str(tmp_path / "python3.12")
    assert "python3 is 3.9, so python3.12 is used" in capsys.readouterr().err


def test_the_bootstrap_can_be_read_by_old_pythons() -> None:
    """It must say that a Python is too old, so that Python must be able to read it."""
    import ast

    ast.parse((ROOT / "tools" / "bootstrap.py").read_text(), feature_version=(3, 7))


def test_a_second_start_runs_no_pip_and_no_python(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installation(checkout)
    monkeypatch.setattr(subprocess, "Popen", pytest.fail)
    started: list[object] = []
    monkeypatch.setattr(os, "execv", lambda *command: started.append(command))
    bootstrap.main(["run", "salience", "run", "--x"])
    path = str(checkout / ".venv" / "bin" / "salience")
    assert started == [(path, [path, "run", "--x"])]


@pytest.mark.parametrize("changed", ["requirements/run.txt", "setup.py"])
def test_a_change_of_the_lock_or_the_packaging_installs_again(checkout: Path, changed: str) -> None:
    installation(checkout)
    assert bootstrap.installed()["run"] == bootstrap.fingerprint("run")
    (checkout / changed).write_text("# changed")
    assert bootstrap.installed()["run"] != bootstrap.fingerprint("run")


def test_an_environment_of_a_moved_checkout_or_a_removed_python_is_not_used(checkout: Path) -> None:
    installation(checkout)
    stamp = Path(bootstrap.STAMP)
    stamp.write_text(stamp.read_text().replace(str(checkout), "/elsewhere"))
    assert bootstrap.installed() == {}
    installation(checkout)
    python = checkout / ".venv" / "bin" / "python"
    python.unlink()
    python.symlink_to("/gone/python")
    assert bootstrap.installed() == {}


def test_missing_venv_and_ensurepip_name_the_debian_package(checkout: Path) -> None:
    program(checkout / "python", '[ "$1 $2" = "-c import ensurepip, venv" ] && exit 1; echo 3 12')
    with pytest.raises(bootstrap.BootstrapError, match=r"apt install python3\.12-venv"):
        bootstrap.make_venv(str(checkout / "python"))


def test_a_folder_that_is_no_environment_is_not_removed(checkout: Path) -> None:
    (checkout / ".venv").mkdir()
    (checkout / ".venv" / "diary.txt").write_text("dear")
    with pytest.raises(bootstrap.BootstrapError, match=r"is no virtual environment; move it away"):
        bootstrap.make_venv(sys.executable)
    assert (checkout / ".venv" / "diary.txt").exists()


def test_a_folder_that_can_not_be_written_is_named(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> None:
        raise OSError(30, "Read-only file system", path)

    monkeypatch.setattr(os, "makedirs", refuse)
    with pytest.raises(
        bootstrap.BootstrapError,
        match=r"can't be written to .*Read-only file system.*Clone into a folder that you may write",
    ):
        bootstrap.make_venv(sys.executable)


@pytest.mark.parametrize(
    ("output", "said"),
    [
        (
            "WARNING: Retrying ... NameResolutionError ...\nERROR: No matching distribution found for x",
            "registry can't be reached",
        ),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE", "not the one whose hash"),
        ("OSError: [Errno 28] No space left on device", "the disk is full"),
        ("ERROR: something new", "pip could not install the packages:\nERROR: something new"),
    ],
)
def test_what_pip_says_becomes_a_sentence(output: str, said: str) -> None:
    assert said in bootstrap.explain(output)


def test_no_registry_is_said_in_one_paragraph(checkout: Path) -> None:
    """With a real pip and an index where nothing listens."""
    (checkout / "requirements" / "run.txt").write_text("flask==3.1.3 --hash=sha256:" + "0" * 64 + "\n")
    (checkout / "tools").mkdir()
    shutil.copy(ROOT / "tools" / "bootstrap.py", checkout / "tools")
    environment = {
        **os.environ,
        "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
        "PIP_RETRIES": "0",
    }
    environment.pop("PIP_FIND_LINKS", None)
    command = [sys.executable, str(checkout / "tools" / "bootstrap.py"), "run", "salience"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "the Python package registry can't be reached" in done.stderr
    assert "Traceback" not in done.stderr
