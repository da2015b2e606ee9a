"""The page of the API names every endpoint, field and limit, and the storefront's tutorial does what it says."""

from __future__ import annotations

import json
import re
import shlex
import string
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from engine.event import RawEvent
from service.api import schema
from service.api.routes import ENDPOINTS
from service.keys import KeyKind, Scope
from service.wiring import Wiring
from tests.integration.api.running import Running

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "api.md").read_text("utf-8")
TUTORIAL = (DOCS / "tutorial-storefront.md").read_text("utf-8")
STEP = re.compile(r"^```sh\n(curl .*?)^```\n```json\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda each: f"{each.method} {each.path}")
def test_every_endpoint_is_described(endpoint: Any) -> None:
    assert f"{endpoint.method} {endpoint.path}" in PAGE or (endpoint.method == "DELETE" and "`DELETE`" in PAGE)


@pytest.mark.parametrize(
    "kind",
    [
        schema.DecideRequest,
        schema.DecideAnswer,
        schema.PlacementAnswer,
        schema.BulkLine,
        schema.EventsAnswer,
        schema.EventVerdict,
        schema.ExposureRequest,
        schema.ExposureAnswer,
        schema.CustomerRequest,
        schema.CustomerAnswer,
        schema.EventBatch,
        RawEvent,
    ],
)
def test_every_field_is_described(kind: type[msgspec.Struct]) -> None:
    assert [name for name in kind.__struct_fields__ if f"`{name}`" not in PAGE and f'"{name}"' not in PAGE] == []


def test_scopes_kinds_and_verdicts_are_described() -> None:
    assert [each for each in (*Scope, *KeyKind, *schema.EventOutcome) if f"`{each}`" not in PAGE] == []


def test_options_of_the_snippet_are_described() -> None:
    script = (DOCS.parent / "service" / "static" / "salience.js").read_text("utf-8")
    options = re.findall(r"^    (\w+):", script.partition("const DEFAULTS = {")[2].partition("};")[0], re.MULTILINE)
    members = re.findall(r"^    (?:get |async )?([a-z]\w*)\(", script, re.MULTILINE)
    assert len(options) > 8
    assert len(members) > 6
    wanted = [*options, *(name for name in members if name != "constructor")]
    assert [name for name in wanted if f"`{name}`" not in PAGE and f"`{name}(" not in PAGE] == []


# ---------------------------------------------------------------- the tutorial


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with Running(tmp_path_factory.mktemp("tutorial")) as started:
        yield started


def made(command: str, variables: dict[str, str]) -> httpx.Response:
    """What curl would send, sent."""
    program, *words = shlex.split(string.Template(command).substitute(variables))
    assert program == "curl"
    method, headers, body, url = None, {}, None, ""
    while words:
        word = words.pop(0)
        if word == "-X":
            method = words.pop(0)
        elif word == "-H":
            name, _, value = words.pop(0).partition(": ")
            headers[name] = value
        elif word == "-d":
            body = words.pop(0)
        else:
            url = word
    return httpx.request(method or ("POST" if body else "GET"), url, headers=headers, content=body)


def agree(shown: Any, given: Any, place: str = "$") -> None:
    """Whether an answer is what the page shows; `...` stands for anything."""
    if shown == "...":
        return
    if isinstance(shown, dict):
        assert isinstance(given, dict), place
        assert shown.keys() == given.keys(), place
        for name, value in shown.items():
            agree(value, given[name], f"{place}.{name}")
    elif isinstance(shown, list):
        assert isinstance(given, list), place
        assert len(shown) == len(given), place
        for number, (one, other) in enumerate(zip(shown, given, strict=True)):
            agree(one, other, f"{place}[{number}]")
    else:
        assert shown == given, place


def test_every_request_of_the_tutorial_is_answered_as_it_says(running: Running) -> None:
    steps = STEP.findall(TUTORIAL)
    assert len(steps) == TUTORIAL.count("curl ")
    for command, answer in steps:
        response = made(command, {"URL": running.url, "KEY": running.server_key})
        agree(json.loads(answer), response.json())


def test_the_python_of_the_tutorial_does_what_it_says(running: Running) -> None:
    code = TUTORIAL.partition("```python\n")[2].partition("```")[0]
    code = code.replace("Decisions(URL, KEY,", "Decisions(URL, KEY, timeout_s=20,")  # a busy machine is no shopper
    names: dict[str, Any] = {"URL": running.url, "KEY": running.server_key}
    exec(compile(code, "tutorial-storefront.md", "exec"), names)
    assert names["title"] == "Delivered in two to three days"
    assert names["sent"].result() in str(logged(running))


def logged(running: Running) -> list[bytes]:
    """All events in the log."""
    with Wiring(running.settings) as wiring:
        source = wiring.event_source("tutorial")
        found: list[bytes] = []
        while len(found) < sum(source.ends().values()):
            found += [record.value for records in source.poll(1000, 100).values() for record in records]
        return found


def test_every_command_of_the_tutorial_exists() -> None:
    from click.testing import CliRunner

    from service.cli import cli

    for command in re.findall(r"salience ([a-z]+(?: create)?)", TUTORIAL):
        assert CliRunner().invoke(cli, [*command.split(), "--help"]).exit_code == 0, command
