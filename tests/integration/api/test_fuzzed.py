"""The OpenAPI document is fuzzed: thousands of calls that it allows, and that it does not, against the running service."""

import os
import re
import subprocess
import sys
from pathlib import Path

CONFIG = Path(__file__).with_name("schemathesis.toml")
EXAMPLES = 12
"""Of each operation, beside the edges of every type; and as many walks from one operation to the next."""


def test_no_call_breaks_the_service_or_gets_an_answer_that_the_document_does_not_have(api, tmp_path):
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG), "run", f"{api.url}/openapi.json"]
    options = ["--url", api.url, "--header", f"Authorization: Bearer {api.server_key}", "--max-examples", str(EXAMPLES)]
    # Deterministic: what is asked follows from the document and from nothing else.
    options += ["--generation-deterministic", "--continue-on-failure", "--no-color"]
    done = subprocess.run(
        [*command, *options],
        cwd=tmp_path,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    asked = re.search(r"([\d,]+) generated, .*passed", done.stdout)
    assert asked, done.stdout
    assert int(asked[1].replace(",", "")) > 1_000
    tested = re.search(r"Tested: (\d+)", done.stdout)
    assert tested
    assert int(tested[1]) == number_of_operations(api) - 1, "all but the document itself, which they are read from"


def number_of_operations(api):
    with api.client() as client:
        document = client.get("/openapi.json").json()
    return sum(len(methods) for methods in document["paths"].values())
