"""Why: what a decision showed and for which reasons, and how far every other rule was."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec
from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from admin_ui.backend import StoredSession
from admin_ui.context import backend, live
from admin_ui.simulation import profile_facts
from engine.activation import RuleReport
from engine.decision import Decision
from engine.language.sentence import rule_sentence
from engine.language.tree import FactSource, Program
from engine.rete import SnapshotError
from engine.values import EpochMs, Value

blueprint = Blueprint("why", __name__)

RECENT = 25
_decision = msgspec.json.Decoder(Decision).decode


@dataclass(frozen=True, slots=True)
class Standing:
    """How every rule stands for a session at a moment.

    Attributes:
        is_then: Whether nothing came since, so that it is as it was at the decision.
    """

    time: EpochMs
    is_then: bool
    rules: tuple[tuple[RuleReport, str], ...]


@blueprint.get("/why")
def show() -> ResponseReturnValue:
    """Ask, or look at one of the latest decisions."""
    asked = request.args.get("q", "").strip()
    if asked:
        if backend().decisions.get(asked) is not None:
            return redirect(url_for("why.decision", decision_id=asked))
        if backend().session(asked) is not None or backend().decisions.of_session(asked, 1):
            return redirect(url_for("why.session", session_id=asked))
    return render_template("why.html", asked=asked, recent=_readable(backend().decisions.recent(4 * RECENT))[:RECENT])


@blueprint.get("/why/decision/<decision_id>")
def decision(decision_id: str) -> ResponseReturnValue:
    """One decision."""
    raw = backend().decisions.get(decision_id)
    found = None if raw is None else _readable([raw])
    if not found:
        return render_template("why.html", asked=decision_id, recent=[]), 404
    made = found[0]
    stored = backend().session(made.session_id)
    revision = next((each for each in backend().history() if each.number == made.revision), None)
    return render_template(
        "decision.html",
        decision=made,
        revision=revision,
        stored=stored,
        standing=_standing(stored, made) if stored else None,
    )


@blueprint.get("/why/session/<session_id>")
def session(session_id: str) -> ResponseReturnValue:
    """A session: how every rule stands now, and its latest decisions."""
    stored = backend().session(session_id)
    made = _readable(backend().decisions.of_session(session_id, 4 * RECENT))[:RECENT]
    if stored is None and not made:
        return render_template("why.html", asked=session_id, recent=[]), 404
    last = made[0] if made else None
    return render_template(
        "session.html",
        session_id=session_id,
        stored=stored,
        decisions=made,
        standing=_standing(stored, last, now=True) if stored else None,
        context={} if last is None else last.context,
    )


def _readable(raws: Iterable[bytes]) -> list[Decision]:
    """The decisions among the entries of the log, which holds exposures, too."""
    found = []
    for raw in raws:
        try:
            found.append(_decision(raw))
        except msgspec.MsgspecError:
            continue
    return found


def _standing(stored: StoredSession, made: Decision | None, *, now: bool = False) -> Standing | None:
    """Every rule of the live revision for the session, with the page of the decision; None where it can't be read.

    What the session knew at the decision is not kept, so for an old decision it is what it knows now, and `is_then`
    says so.
    """
    current = live()
    if current is None:
        return None
    score = backend().scores()
    try:
        memory = current.network.restore(stored.snapshot)
    except SnapshotError:
        return None
    context = {} if made is None else _context(current.program, made)
    is_then = made is not None and not now and stored.clock <= made.time and made.revision == current.revision.number
    moment = made.time if is_then and made is not None else max(backend().now(), stored.clock)
    catalogue = backend().catalogue(current.program.vocabulary)
    if stored.customer_id is not None:
        facts = profile_facts(current.program.vocabulary, stored.profile)
        current.network.set_facts(memory, facts, max(moment, memory.clock or 0), score, catalogue)
    view = current.network.view(memory, moment, context, score, catalogue)
    reports = [(view.explain(rule), rule_sentence(rule, current.program)) for rule in current.program.rules]
    if catalogue.failure is not None:
        raise catalogue.failure
    reports.sort(key=lambda pair: 0 if pair[0].truth else 1 if pair[0].near_miss else 2)
    return Standing(view.now, is_then, tuple(reports))


def _context(program: Program, made: Decision) -> dict[str, Value]:
    """The decision's context, as far as the live vocabulary still knows it."""
    facts = program.vocabulary.facts
    return {
        name: value
        for name, value in made.context.items()
        if name in facts and facts[name].source is FactSource.REQUEST
    }
