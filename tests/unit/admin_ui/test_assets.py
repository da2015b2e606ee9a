"""The built assets are what the lock and the sums say, and nothing in them asks the internet."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest

import admin_ui

HOME = Path(admin_ui.__file__).parent
VENDOR = HOME / "static" / "vendor"
AXE = Path(__file__).parents[2] / "browser" / "assets"


@pytest.mark.parametrize("folder", [VENDOR, AXE], ids=["vendor", "axe"])
def test_every_vendored_file_has_its_sum(folder: Path) -> None:
    lines = [line.split("  ") for line in (folder / "SHA256SUMS").read_text().splitlines()]
    sums = {name: total for total, name in lines}
    files = {file.name for file in folder.iterdir()} - {"SHA256SUMS"}
    assert files == set(sums)
    for name, expected in sums.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == expected, name


def test_every_bundled_package_has_its_licence_beside_it() -> None:
    lock = json.loads((HOME / "assets" / "package-lock.json").read_text())
    text = (VENDOR / "LICENCES.txt").read_text()
    for path, package in lock["packages"].items():
        if path and not package.get("dev") and not package.get("devOptional") and not package.get("optional"):
            name = path.removeprefix("node_modules/")
            assert f"{name} {package['version']} ({package['license']})" in text, name


def test_the_lock_fixes_every_package_by_hash_and_names_no_host() -> None:
    text = (HOME / "assets" / "package-lock.json").read_text()
    assert "://" not in re.sub(r'"url": "https://[^"]+"', "", text)  # where authors may be thanked
    for path, package in json.loads(text)["packages"].items():
        assert not path or package["integrity"].startswith("sha512-"), path


def test_codemirror_is_the_sixth() -> None:
    """The package named `codemirror` on npm also has releases of the fifth."""
    packages = json.loads((HOME / "assets" / "package.json").read_text())["dependencies"]
    assert "codemirror" not in packages
    assert packages["@codemirror/view"].startswith("6.")
    assert packages["htmx.org"].startswith("4.")


def test_templates_hold_no_script_no_style_and_no_address_of_another_host() -> None:
    """A strict policy would refuse them in the browser; here it is told earlier."""
    for file in (HOME / "templates").rglob("*.html"):
        text = file.read_text()
        assert not re.search(r"\sstyle=|<style|\son[a-z]+=[\"']|javascript:|hx-on|hx-vals=.js:", text), file
        assert not re.search(r"<script(?![^>]*(src=|application/json))", text), file
        assert "//" not in re.sub(r"\{#.*?#\}", "", text).replace("application/json", ""), file
        assert "| safe" not in text, file


def test_forms_that_change_something_carry_the_token() -> None:
    for file in (HOME / "templates").rglob("*.html"):
        for form in re.findall(r"<form.*?</form>", file.read_text(), re.DOTALL):
            if 'method="post"' in form:
                assert "token()" in form, (file, form[:80])
