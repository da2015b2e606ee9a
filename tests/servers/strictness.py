"""With CI=true a skipped test is a failed one, so that a missing server can't pass for a tested one."""

import os
from collections.abc import Generator
from pathlib import Path

import pytest

# Which marker follows from which fixture: `pytest -m "not kafka"` then needs no list of files.
MARKERS = {
    "kafka_cluster": "kafka",
    "kafka_required": "kafka",
    "redis_server": "redis",
    "redis_required": "redis",
    "redis_cluster": "redis",
    "browser": "browser",
    "data_dir": "data",
}


def strict() -> bool:
    """Tell whether skipping counts as failing."""
    return os.environ.get("CI") == "true"


def data_folder() -> Path | None:
    """Return the folder with recordings that SALIENCE_DATA names, or None where there is none."""
    named = os.environ.get("SALIENCE_DATA")
    return Path(named) if named and Path(named).is_dir() else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by the servers that they use; tests with a browser share one worker, and so one Chromium."""
    for item in items:
        markers = {MARKERS[name] for name in getattr(item, "fixturenames", ()) if name in MARKERS}
        for marker in markers:
            item.add_marker(marker)
        if "browser" in markers:
            item.add_marker(pytest.mark.xdist_group("browser"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip into a failure; only what needs recordings may skip, and only where there are none."""
    report = yield
    if report.skipped and strict() and not hasattr(report, "wasxfail"):
        if item.get_closest_marker("data") and data_folder() is None:
            return report
        report.outcome = "failed"
        report.longrepr = f"skipped, which is a failure with CI=true: {_reason(report.longrepr)}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Do the same for a module that skips itself as a whole."""
    report = yield
    if report.skipped and strict():
        report.outcome = "failed"
        report.longrepr = (
            f"{collector.nodeid} skips itself, which is a failure with CI=true: {_reason(report.longrepr)}"
        )
    return report


def _reason(longrepr: object) -> str:
    return str(longrepr[2]) if isinstance(longrepr, tuple) else str(longrepr)
