"""History: what was live when and why; compare any two; go back with a reason."""

from __future__ import annotations

from flask import Blueprint, abort, render_template, request, url_for
from flask.typing import ResponseReturnValue
from werkzeug.utils import redirect

from admin_ui.accounts import Role
from admin_ui.context import backend, live, parts, person
from admin_ui.differences import file_changes, rule_changes
from admin_ui.security import needs
from engine.bundle import Revision

blueprint = Blueprint("history", __name__)

REASON = 200
SHOWN = 100


@blueprint.get("/history")
def show() -> ResponseReturnValue:
    """All revisions."""
    revisions = backend().history()
    return render_template(
        "history.html", revisions=revisions[:SHOWN], more=max(0, len(revisions) - SHOWN), live=live()
    )


@blueprint.get("/history/compare")
def compare() -> ResponseReturnValue:
    """Two revisions, the older one first."""
    numbers = sorted({request.args.get("one", type=int) or 0, request.args.get("other", type=int) or 0})
    if len(numbers) != 2:
        return render_template("compare.html", same=True, revisions=backend().history()[:SHOWN])
    old, new = _revision(numbers[0]), _revision(numbers[1])
    before, after = backend().sources(old.number), backend().sources(new.number)
    compiler = parts().compiler
    was, now = compiler.compile(before), compiler.compile(after)
    return render_template(
        "compare.html",
        same=False,
        old=old,
        new=new,
        rules=rule_changes(was.program, now.program),
        files=file_changes(before, after),
        unreadable=was.program is None or now.program is None,
        revisions=backend().history()[:SHOWN],
    )


@blueprint.get("/history/<int:number>/rollback")
@needs(Role.PUBLISHER)
def ask(number: int) -> ResponseReturnValue:
    """What going back would change, and why it is done."""
    revision = _revision(number)
    template = "parts/rollback.html" if request.headers.get("HX-Request") else "rollback.html"
    return render_template(template, revision=revision, live=live(), problem="", most=REASON)


@blueprint.post("/history/<int:number>/rollback")
@needs(Role.PUBLISHER)
def rollback(number: int) -> ResponseReturnValue:
    """Go back."""
    revision = _revision(number)
    reason = request.form.get("reason", "").strip()[:REASON]
    if not reason:
        problem = "A reason is needed, so that nobody publishes the same mistake again."
        return render_template("rollback.html", revision=revision, live=live(), problem=problem, most=REASON), 422
    ticket = backend().rollback(revision.number, person().name, reason)
    return redirect(url_for("publish.follow", ticket=ticket))


def _revision(number: int) -> Revision:
    found = next((revision for revision in backend().history() if revision.number == number), None)
    if found is None:
        abort(404, f"There is no revision {number}.")
    return found
