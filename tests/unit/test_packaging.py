"""What is installed is what is there: packages, files beside the code, and locks with a hash for everything."""

import os
import re
import subprocess
import sys
import zipfile
from fnmatch import fnmatch
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import setuptools
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
# Sources from which files of static/ are made by hand; they are no part of what runs.
BUILD_ONLY = {("admin_ui", "assets")}
LOCKS = ("run", "test", "bench")


@pytest.fixture
def packaging(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What setup.py gives to setuptools."""
    import runpy

    given: dict[str, Any] = {}
    monkeypatch.setattr(setuptools, "setup", given.update)
    runpy.run_path(str(ROOT / "setup.py"))
    return given


def lock(name: str) -> dict[str, str]:
    """Return package -> version of a lock."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    return dict(re.findall(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==(\S+)", text, re.MULTILINE))


def tracked(*folders: str) -> list[PurePosixPath]:
    """Return the files of the repository below `folders` that are there."""
    listed = subprocess.run(["git", "ls-files", *folders], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [PurePosixPath(line) for line in listed.splitlines() if (ROOT / line).exists()]


def test_every_package_of_the_application_is_listed(packaging: dict[str, Any]) -> None:
    tops = sorted({name.partition(".")[0] for name in packaging["packages"]})
    assert tops == ["admin_ui", "config", "connectors", "engine", "models", "rulesets", "salience", "service"]
    found = {".".join(path.parts[:-1]) for path in tracked(*tops) if path.suffix == ".py"}
    assert sorted(packaging["packages"]) == sorted(found)


def test_every_file_beside_the_code_is_installed(packaging: dict[str, Any]) -> None:
    for top, patterns in packaging["package_data"].items():
        for path in tracked(top):
            inside = str(path.relative_to(top))
            if path.suffix != ".py" and path.parts[:2] not in BUILD_ONLY:
                assert any(fnmatch(inside, pattern.replace("**/", "*")) for pattern in patterns), (
                    f"{path} is not installed"
                )


def test_an_upper_bound_has_its_reason(packaging: dict[str, Any]) -> None:
    """Only kafka-python is held, because our client repairs that release."""
    bounded = {
        Requirement(text).name
        for text in chain(packaging["install_requires"], *packaging["extras_require"].values())
        if any(part.operator in ("<", "<=", "==", "~=") for part in Requirement(text).specifier)
    }
    assert bounded == {"kafka-python"}


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_has_hashes_for_everything_and_nothing_of_a_machine(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    for block in re.split(r"\n(?=\S)", text.strip()):
        assert re.match(r"[A-Za-z0-9._-]+(\[[^\]]*\])?==\S+", block), block
        assert "--hash=sha256:" in block, block
    assert not re.search(r"://|--index|--extra-index|--find-links|--trusted|file:|@ |(?<!\w)/\w", text)


def test_a_checkout_is_never_compiled(packaging: dict[str, Any]) -> None:
    """Machine code beside files that are edited would hide what is edited."""
    assert packaging["ext_modules"] == []
    from engine.rete import IS_COMPILED

    assert IS_COMPILED is False


def test_locks_hold_what_setup_asks_for_at_versions_that_fit(packaging: dict[str, Any]) -> None:
    wanted = {
        "run": packaging["install_requires"],
        "test": packaging["extras_require"]["test"] + packaging["extras_require"]["dev"],
        "bench": packaging["extras_require"]["bench"],
    }
    for name, requirements in wanted.items():
        pins = {re.sub(r"[-_.]+", "-", package.lower()): version for package, version in lock(name).items()}
        for requirement in map(Requirement, requirements):
            pinned = pins[re.sub(r"[-_.]+", "-", requirement.name.lower())]
            assert requirement.specifier.contains(pinned), f"{requirement} is {pinned} in {name}.txt: run `make lock`"


def test_tests_run_on_the_versions_that_ship() -> None:
    run, test = lock("run"), lock("test")
    assert {name: test.get(name) for name in run} == run


@pytest.mark.parametrize(
    "environment",
    [pytest.param({"SALIENCE_PURE_PYTHON": "1"}, id="as-asked"), pytest.param({"CC": "false"}, id="no-compiler")],
)
def test_a_wheel_without_the_compiled_network_holds_the_application_and_its_files(
    tmp_path: Path, packaging: dict[str, Any], environment: dict[str, str]
) -> None:
    source = tmp_path / "source"
    shipped = [
        path
        for path in tracked(*{name.partition(".")[0] for name in packaging["packages"]})
        if path.parts[:2] not in BUILD_ONLY
    ]
    for path in [*shipped, *map(PurePosixPath, ("setup.py", "pyproject.toml", "LICENSE"))]:
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        (source / path).write_bytes((ROOT / path).read_bytes())
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index", "-w"]
    subprocess.run(
        [*command, str(tmp_path), str(source)], check=True, capture_output=True, env={**os.environ, **environment}
    )
    (wheel,) = tmp_path.glob("*.whl")
    inside = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert inside == set(map(str, shipped))
    assert "config/defaults.yaml" in inside
