"""Home: what is live, whether everybody is well, and what needs somebody's eyes."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

from admin_ui.backend import Live, Process
from admin_ui.context import backend, draft, live, parts, traffic
from admin_ui.phrases import ago
from admin_ui.traffic import concerns
from engine.values import EpochMs

blueprint = Blueprint("home", __name__)

SILENT_AFTER = 15_000
"""A process reports every few seconds; three reports missed are no hiccup any more."""


@dataclass(frozen=True, slots=True)
class Health:
    """A process with a verdict: `ok`, `warn` or `danger`, and the words for it."""

    process: Process
    kind: str
    text: str


@blueprint.get("/")
def show() -> ResponseReturnValue:
    """The whole screen."""
    return render_template("home.html", **_found(), shop_url=parts().options.shop_url)


@blueprint.get("/now")
def now() -> ResponseReturnValue:
    """The part of it that lives."""
    return render_template("parts/home_now.html", **_found())


def _found() -> dict[str, object]:
    time = backend().now()
    current = live()
    processes = [_health(process, current, time) for process in backend().processes()]
    kinds = {health.process.kind for health in processes if health.kind != "danger"}
    live_for = 0 if current is None else (time - current.revision.time) // 60_000
    found = [] if current is None else concerns(current.program, traffic(), time, live_for)
    return {
        "live": current,
        "draft": draft(),
        "traffic": traffic(),
        "processes": processes,
        "missing": [kind for kind in ("api", "worker") if kind not in kinds],
        "loud": [concern for concern in found if concern.kind in {"danger", "warn"}],
        "silent": [concern for concern in found if concern.kind == "quiet"],
        "waiting": [concern for concern in found if concern.kind == "info"],
    }


def _health(process: Process, current: Live | None, now: EpochMs) -> Health:
    if now - process.seen > SILENT_AFTER:
        return Health(process, "danger", f"last heard of {ago(process.seen, now)}")
    if process.problem:
        return Health(process, "warn", process.problem)
    if current is not None and process.revision is not None and process.revision != current.revision.number:
        return Health(process, "warn", f"still on revision {process.revision}")
    if process.revision is None:
        return Health(process, "warn", "has not loaded a revision yet")
    return Health(process, "ok", f"well, on revision {process.revision}")
