"""The page about recordings: its mapping is one, and its numbers are those of the code."""

from __future__ import annotations

import re
from pathlib import Path

from service.replay import feed
from service.replay.mapping import Cast, read_mapping

PAGE = (Path(__file__).parents[2] / "docs" / "recording.md").read_text("utf-8")


def test_the_example_of_a_mapping_is_one() -> None:
    (text,) = re.findall(r"^```yaml\n(# mapping\.yaml\n.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    mapping, diagnostics = read_mapping("mapping.yaml", text)
    assert mapping is not None, diagnostics
    assert [each for each in Cast if f"`{each}`" not in PAGE] == []


def test_the_bound_is_the_one_of_the_code() -> None:
    assert f"at most {feed.IN_FLIGHT:,} records are on their way" in PAGE
