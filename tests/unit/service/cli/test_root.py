"""The root of the command line: listed commands exist, errors are sentences, data and messages keep apart."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from service.cli.root import COMMANDS, cli

SALIENCE = [sys.executable, "-c", "from service.cli import main; main()"]
ROOT = Path(__file__).resolve().parents[4]


def salience(*arguments: str, folder: Path, **environ: str) -> "subprocess.CompletedProcess[str]":
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), **environ}
    return subprocess.run(
        [*SALIENCE, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_every_command_that_is_listed_has_its_module_and_its_own_help() -> None:
    import click

    context = click.Context(cli)
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        assert command.name == name
        assert command.help, f"salience {name} has no help"


def test_every_module_of_a_command_is_listed() -> None:
    defines = re.compile(r"^(def command\(|command = )", re.MULTILINE)
    modules = {path.stem for path in (ROOT / "service" / "cli").glob("*.py") if defines.search(path.read_text())}
    assert modules <= set(COMMANDS)
    assert "settings" in modules


def test_help_imports_no_command_and_nothing_heavy(tmp_path: Path) -> None:
    heavy = "[m for m in sys.modules if m.split('.')[0] in ('rich', 'flask', 'numpy', 'redis', 'kafka', 'engine')]"
    code = f"import sys; from service.cli.root import cli; cli.main(['--help'], standalone_mode=False); print({heavy})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_settings_shows_values_and_origins_and_no_secret(tmp_path: Path) -> None:
    (tmp_path / "salience.yaml").write_text("api:\n  port: 9000\n")
    done = salience("--set", "log.level=debug", "settings", folder=tmp_path, SALIENCE_REDIS__PASSWORD="hunter2")
    rows = [line.split() for line in done.stdout.splitlines()]
    assert ["api.port", "9000", "salience.yaml:2:9"] in rows
    assert ["log.level", "debug", "--set", "log.level"] in rows
    assert ["redis.password", "set", "SALIENCE_REDIS__PASSWORD"] in rows
    assert ["admin.secret_key", "not", "set", "default"] in rows
    assert ["worker.poll_ms", "100", "default"] in rows
    assert "hunter2" not in done.stdout + done.stderr
    assert (done.returncode, done.stderr) == (0, "")


def test_settings_as_json_are_typed(tmp_path: Path) -> None:
    done = salience("settings", "--json", "--changed", folder=tmp_path, SALIENCE_KAFKA__BOOTSTRAP="a:1, b:2")
    assert json.loads(done.stdout) == {
        "kafka.bootstrap": {"value": ["a:1", "b:2"], "from": "SALIENCE_KAFKA__BOOTSTRAP"},
    }


def test_settings_that_can_not_be_used_are_a_usage_error_on_stderr(tmp_path: Path) -> None:
    done = salience("--set", "api.prot=1", "settings", folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        "salience: a setting can't be used",
        "--set api.prot: api.prot is no setting; did you mean api.port?",
    ]


def test_a_command_that_does_not_exist_is_a_usage_error_with_a_proposal(tmp_path: Path) -> None:
    done = salience("setings", folder=tmp_path)
    assert done.returncode == 2
    assert "No such command 'setings'. Did you mean 'settings'?" in done.stderr


def test_the_version_is_that_of_the_installation(tmp_path: Path) -> None:
    assert salience("--version", folder=tmp_path).stdout.startswith("salience 0.")


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        ("Failure('the ruleset has 2 mistakes')", 1, "salience: the ruleset has 2 mistakes\n"),
        ("KeyboardInterrupt()", 130, "salience: stopped\n"),
        ("OSError(98, 'Address already in use')", 1, "salience: Address already in use\n"),
        ("FileNotFoundError(2, 'No such file or directory', 'x.csv')", 1, "No such file or directory (x.csv)\n"),
        ("KeyError('x')", 1, "salience: KeyError: 'x'\n"),
    ],
)
def test_errors_are_sentences_on_stderr(tmp_path: Path, raised: str, code: int, said: str) -> None:
    """Whatever a command raises, a person reads a sentence, and a program an exit code."""
    script = f"""
import sys, click
from service.cli import main
from service.cli.invocation import Failure
import service.cli.settings as s
def boom(*_, **__): raise {raised}
s.command.callback = boom
sys.argv = ["salience", "settings"]
main()
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert said in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
