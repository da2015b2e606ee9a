"""What a test run does with skipped tests: nothing by itself, a failure where CI=true."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
CASES = """
import pytest

@pytest.fixture
def data_dir():
    import os
    if "SALIENCE_DATA" not in os.environ:
        pytest.skip("no recordings")

@pytest.fixture
def redis_server():
    pytest.skip("redis-server is not installed")

def test_with_data(data_dir): pass
def test_with_redis(redis_server): pass
@pytest.mark.skip(reason="later")
def test_later(): pass
@pytest.mark.xfail(strict=True)
def test_expected_to_fail(): assert False
def test_good(): pass
"""


def outcome(folder: Path, *options: str, **environ: str) -> str:
    """Run the cases as a project of their own; return pytest's output."""
    (folder / "test_cases.py").write_text(CASES)
    marks = ["data", "redis", "kafka", "browser", "xdist_group(name)"]
    (folder / "pytest.ini").write_text("[pytest]\nmarkers =\n" + "".join(f"    {mark}\n" for mark in marks))
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "NO_COLOR": "1", **environ}
    command = [sys.executable, "-m", "pytest", "-rA", "-p", "tests.servers.strictness", *options]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False).stdout


def test_without_ci_a_missing_server_is_a_skip_that_says_which(tmp_path: Path) -> None:
    said = outcome(tmp_path)
    assert "1 passed, 3 skipped, 1 xfailed" in said
    assert "redis-server is not installed" in said


def test_with_ci_a_skip_fails_save_for_recordings_that_are_not_there(tmp_path: Path) -> None:
    said = outcome(tmp_path, CI="true")
    assert "1 passed, 1 skipped, 1 xfailed, 2 errors" in said
    assert "skipped, which is a failure with CI=true: Skipped: redis-server is not installed" in said
    assert "skipped, which is a failure with CI=true: Skipped: later" in said


def test_with_ci_and_recordings_their_tests_may_not_skip_either(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text("")
    with_data = CASES.replace('if "SALIENCE_DATA" not in os.environ:', "if True:")
    (tmp_path / "test_more.py").write_text(with_data)
    said = outcome(tmp_path, "test_more.py", CI="true", SALIENCE_DATA=str(tmp_path))
    assert "1 passed, 1 xfailed, 3 errors" in said


def test_with_ci_a_module_that_skips_itself_fails(tmp_path: Path) -> None:
    (tmp_path / "test_module.py").write_text("import pytest\npytest.skip('not here', allow_module_level=True)\n")
    said = outcome(tmp_path, "test_module.py", CI="true")
    assert "skips itself, which is a failure with CI=true: Skipped: not here" in said
    assert "1 error" in said


@pytest.mark.parametrize(("option", "chosen"), [("redis", "test_with_redis"), ("data", "test_with_data")])
def test_markers_follow_from_fixtures(tmp_path: Path, option: str, chosen: str) -> None:
    said = outcome(tmp_path, "-m", option, "--collect-only", "-q")
    assert [line for line in said.splitlines() if "::" in line] == [f"test_cases.py::{chosen}"]
