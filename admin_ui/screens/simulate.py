"""Simulate: what live and the draft would show to a real or a typed session, and why."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from flask import Blueprint, render_template, request
from flask.typing import ResponseReturnValue

from admin_ui.completion import type_text
from admin_ui.context import backend, compiled_draft, draft, draft_sources, live
from admin_ui.phrases import read_local
from admin_ui.simulation import Outcome, Scenario, SimulationError, read_events, read_fact, simulate
from engine.activation import RuleReport
from engine.decision import PlacementDecision
from engine.language.sentence import rule_sentence
from engine.language.tree import Fact, FactSource, Program
from engine.rete import Network
from engine.values import EpochMs, Kind

blueprint = Blueprint("simulate", __name__)

EXAMPLE = """- {at: 10:00:00, cart_added: {product_id: p1, category: shoes, quantity: 2, price: 120}}
- {at: 10:04:00, checkout_viewed: {step: address}}"""


@dataclass(frozen=True, slots=True)
class FactInput:
    """An input for a fact; choices are empty where anything can be typed."""

    name: str
    hint: str
    choices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Side:
    """What one bundle says: an outcome, or why there is none."""

    title: str
    outcome: Outcome | None
    problems: tuple[str, ...] = ()

    def placement(self, name: str) -> PlacementDecision | None:
        """The decision for a placement."""
        if self.outcome is None:
            return None
        return next((each for each in self.outcome.decision.placements if each.placement == name), None)


@dataclass(frozen=True, slots=True)
class RuleLine:
    """A rule on both sides."""

    id: str
    sentence: str
    now: RuleReport | None
    before: RuleReport | None
    differs: bool


@blueprint.get("/simulate")
def show() -> ResponseReturnValue:
    """The form."""
    current = live()
    program = compiled_draft().program or (None if current is None else current.program)
    chosen = request.args.get("session", "")
    stored = backend().session(chosen) if chosen else None
    recent = backend().recent_sessions(30)
    return render_template(
        "simulate.html",
        live=current,
        program=program,
        broken_draft=bool(draft().files) and compiled_draft().program is None,
        recent=recent,
        chosen=chosen,
        missing=bool(chosen) and stored is None,
        stored=stored,
        clock=stored.clock if stored else None,
        example=EXAMPLE if program and {"cart_added", "checkout_viewed"} <= set(program.vocabulary.events) else "",
        request_facts=_inputs(program, FactSource.REQUEST),
        profile_facts=_inputs(program, FactSource.PROFILE),
    )


@blueprint.post("/simulate")
def run() -> ResponseReturnValue:
    """The answer, as a part for htmx or as a page."""
    current = live()
    drafted = compiled_draft() if draft().files else None
    try:
        scenario = _scenario()
        sides = []
        if current is not None:
            sides.append(
                _side(f"Live (revision {current.revision.number})", current.program, current.network, scenario)
            )
        if drafted is not None and (drafted.program is None or drafted.network is None):
            sides.append(Side("Draft", None, ("The draft has mistakes, so it can't be simulated. See the editor.",)))
        elif drafted is not None and drafted.program is not None and drafted.network is not None:
            sides.append(_side("Draft", drafted.program, drafted.network, scenario))
    except SimulationError as error:
        return render_template("parts/simulated.html", problems=error.problems, sides=[]), 422
    names = dict.fromkeys(each.placement for side in sides if side.outcome for each in side.outcome.decision.placements)
    return render_template(
        "parts/simulated.html",
        problems=(),
        sides=sides,
        placements=list(names),
        rules=_lines(sides),
        scenario=scenario,
        now=scenario.now,
    )


def _side(title: str, program: Program, network: Network, scenario: Scenario) -> Side:
    catalogue = backend().catalogue(program.vocabulary)
    try:
        outcome = simulate(program, network, scenario, backend().scores(), catalogue)
    except SimulationError as error:
        return Side(title, None, error.problems)
    if catalogue.failure is not None:
        raise catalogue.failure  # the worker would wait for it, too
    return Side(title, outcome)


def _scenario() -> Scenario:
    """Read the form; raises `SimulationError` with all that does not fit."""
    form = request.form
    current = live()
    program = compiled_draft().program or (current.program if current else None)
    if program is None:
        raise SimulationError(["Neither live nor the draft has a vocabulary without mistakes."])
    stored = None
    if form.get("session"):
        stored = backend().session(form["session"])
        if stored is None:
            raise SimulationError([f"There is no session {form['session']} any more: it has ended. Choose another."])
    zone = program.vocabulary.timezone
    base = backend().now() if stored is None else stored.clock
    day = dt.datetime.fromtimestamp(base / 1000, ZoneInfo(zone)).date()
    events = read_events(form.get("events", ""), draft_sources(), day, base)
    last = max((event.time for event in events if isinstance(event.time, int)), default=base)
    now = _moment(form.get("clock", "").strip(), max(last, stored.clock if stored else 0), zone, day)
    facts = {
        name.removeprefix("fact."): read_fact(text, program.vocabulary, name.removeprefix("fact."))
        for name, text in form.items()
        if name.startswith("fact.") and text != "" and name.removeprefix("fact.") in program.vocabulary.facts
    }
    customer = form.get("customer", "").strip() or None
    profile = stored.profile if stored else backend().profile(customer) if customer else None
    return Scenario(stored, events, customer, facts, _scores(program), now, profile)


def _moment(text: str, otherwise: EpochMs, zone: str, day: dt.date) -> EpochMs:
    if not text:
        return otherwise
    try:
        # A time of day is of the day of the events, on the same clock.
        return read_local(f"{day}T{text}" if len(text) <= len("10:05:00") else text, zone)
    except ValueError:
        raise SimulationError([f"“{text}” is no time. Write 10:05:00, or leave it empty for the last event."]) from None


def _scores(program: Program) -> dict[str, float | None]:
    scores: dict[str, float | None] = {}
    for name in program.vocabulary.scores:
        text = request.form.get(f"score.{name}", "").strip()
        if request.form.get(f"silent.{name}"):
            scores[name] = None
        elif text:
            try:
                value = float(text)
            except ValueError:
                value = -1.0
            if not 0 <= value <= 1:
                raise SimulationError([f"A score is a number from 0 to 1; {name} is “{text}”."])
            scores[name] = value
    return scores


def _inputs(program: Program | None, source: FactSource) -> list[FactInput]:
    if program is None:
        return []

    def choices(fact: Fact) -> tuple[str, ...]:
        return ("true", "false") if fact.type.kind is Kind.BOOLEAN else fact.type.choices

    facts = [fact for fact in program.vocabulary.facts.values() if fact.source is source]
    return [FactInput(fact.name, type_text(fact.type, program.vocabulary), choices(fact)) for fact in facts]


def _lines(sides: list[Side]) -> list[RuleLine]:
    """Every rule: what differs first, then what holds, then near misses, then the rest, each in order of acting."""
    newest = next((side for side in reversed(sides) if side.outcome), None)
    if newest is None or newest.outcome is None:
        return []
    older = sides[0] if len(sides) > 1 and sides[0] is not newest else None
    before = {} if older is None or older.outcome is None else {each.rule: each for each in older.outcome.reports}
    lines = []
    for report in newest.outcome.reports:
        rule = newest.outcome.rule(report.rule)
        assert rule is not None
        known = before.pop(report.rule, None)
        differs = bool(older and older.outcome) and (known is None or _verdict(known) != _verdict(report))
        lines.append(RuleLine(report.rule, rule_sentence(rule, newest.outcome.program), report, known, differs))
    for gone in before.values():
        assert older is not None
        assert older.outcome is not None
        rule = older.outcome.rule(gone.rule)
        assert rule is not None
        lines.append(RuleLine(gone.rule, rule_sentence(rule, older.outcome.program), None, gone, True))
    return sorted(lines, key=lambda line: (not line.differs, _rank(line.now or line.before)))


def _verdict(report: RuleReport) -> tuple[object, ...]:
    return (report.truth, report.held_back)


def _rank(report: RuleReport | None) -> int:
    if report is None:
        return 3
    return 0 if report.truth else 1 if report.near_miss else 2
