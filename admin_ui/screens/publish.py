"""Publish: what the draft would change, what the checks say, a note; then how far it is."""

from __future__ import annotations

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from admin_ui.accounts import Role
from admin_ui.backend import PublishState
from admin_ui.compiled import Compiled
from admin_ui.context import backend, compiled_draft, draft, draft_sources, live, live_sources, parts, person
from admin_ui.differences import file_changes, rule_changes
from admin_ui.security import needs
from engine.language.diagnostics import Severity

blueprint = Blueprint("publish", __name__)

NOTE = 200


@blueprint.get("/publish")
def show() -> ResponseReturnValue:
    """The review of the draft."""
    return _review("")


@blueprint.post("/publish")
@needs(Role.PUBLISHER)
def publish() -> ResponseReturnValue:
    """Publish the draft that was reviewed; a draft that has changed since is reviewed again."""
    note = request.form.get("note", "").strip()[:NOTE]
    if not draft().files:
        flash("The draft is the same as what is live, so there is nothing to publish.", "warn")
        return redirect(url_for("publish.show"))
    if request.form.get("reviewed") != _fingerprint():
        flash(
            "The draft or what is live has changed while you looked at it. Nothing was published; look once more.",
            "warn",
        )
        return redirect(url_for("publish.show"))
    if not note:
        return _review("A note is needed: one line that tells the others what changes and why."), 422
    if draft().outdated or compiled_draft().program is None:
        return redirect(url_for("publish.show"))
    ticket = backend().publish(draft_sources(), person().name, note)
    return redirect(url_for("publish.follow", ticket=ticket))


@blueprint.get("/publish/<ticket>")
def follow(ticket: str) -> ResponseReturnValue:
    """How far a publication or a rollback is; htmx asks until it has ended."""
    progress = backend().progress(ticket)
    if progress is None:
        abort(404, "This publication is over. The history shows how it ended.")
    is_over = progress.state in {PublishState.LIVE, PublishState.REFUSED}
    template = "parts/progress.html" if request.headers.get("HX-Request") else "progress.html"
    return render_template(template, progress=progress, ticket=ticket, is_over=is_over)


def _review(problem: str) -> str:
    current = live()
    drafted: Compiled | None = compiled_draft() if draft().files else None
    before = None if current is None else current.program
    results = parts().compiler.results(drafted) if drafted else ()
    found = drafted.diagnostics if drafted else ()
    errors = [each for each in found if each.severity is Severity.ERROR]
    return render_template(
        "publish.html",
        live=current,
        draft=draft(),
        drafted=drafted,
        errors=errors,
        warnings=[each for each in found if each.severity is not Severity.ERROR],
        results=results,
        failed=[result for result in results if not result.passed],
        rules=rule_changes(before, drafted.program) if drafted and drafted.program else [],
        files=file_changes(live_sources(), draft_sources()) if drafted else [],
        reviewed=_fingerprint(),
        problem=problem,
        note=request.form.get("note", ""),
        most=NOTE,
    )


def _fingerprint() -> str:
    """What was looked at: the draft's content and the live bundle."""
    current = live()
    return f"{compiled_draft().key if draft().files else 'none'}-{current.revision.bundle if current else 'none'}"
