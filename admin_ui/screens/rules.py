"""Rules: in order of acting, each as a plain sentence, with what it did lately and a switch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from admin_ui.accounts import Role
from admin_ui.context import backend, compiled_draft, draft, drafts, live, person, traffic
from admin_ui.drafts import DraftConflictError, Edit, base_of, text_hash
from admin_ui.security import needs
from admin_ui.traffic import Concern, RuleTraffic, concerns_of
from engine.language.edit import set_enabled
from engine.language.sentence import rule_sentence
from engine.language.tree import Program, Rule

blueprint = Blueprint("rules", __name__)

STATUSES = {
    "": "All",
    "attention": "Needs attention",
    "on": "Switched on",
    "off": "Switched off",
    "draft": "Changed in the draft",
}


@dataclass(frozen=True, slots=True)
class Card:
    """A rule as the screen shows it.

    Attributes:
        number: Its place in the order of acting, from 1; 0 where only the draft has it.
        cost: Places that an event may touch for it alone, by the type of the event, the most first.
        drafted: `changed`, `removed` or `new` in the draft, else empty.
    """

    rule: Rule
    number: int
    sentence: str
    cost: Mapping[str, int]
    traffic: RuleTraffic | None
    concerns: Sequence[Concern]
    drafted: str


@blueprint.get("/rules")
def show() -> ResponseReturnValue:
    """The list; htmx asks for its part only."""
    current = live()
    drafted = compiled_draft() if draft().files else None
    cards = _cards(current.program if current else None, drafted.program if drafted else None)
    wanted = {name: request.args.get(name, "").strip() for name in ("search", "owner", "status")}
    found = [card for card in cards if _passes(card, wanted)]
    template = "parts/rules.html" if request.headers.get("HX-Request") else "rules.html"
    return render_template(
        template,
        cards=found,
        total=len(cards),
        owners=sorted({card.rule.owner for card in cards if card.rule.owner}),
        statuses=STATUSES,
        wanted=wanted,
        live=current,
        broken_draft=drafted is not None and drafted.program is None,
    )


@blueprint.get("/rules/<rule_id>/switch")
@needs(Role.EDITOR)
def ask(rule_id: str) -> ResponseReturnValue:
    """What switching would do, and the two ways to do it."""
    rule = _live_rule(rule_id)
    others = [path for path in draft().files if path != rule.place.file]
    template = "parts/switch.html" if request.headers.get("HX-Request") else "switch.html"
    return render_template(template, rule=rule, others=others, in_draft=rule.place.file in draft().files)


@blueprint.post("/rules/<rule_id>/switch")
@needs(Role.EDITOR)
def switch(rule_id: str) -> ResponseReturnValue:
    """Switch a live rule on or off: at once (a publication of this one change), or in the draft."""
    rule = _live_rule(rule_id)
    turn_on = request.form.get("on") == "1"
    verb = "on" if turn_on else "off"
    current = live()
    assert current is not None
    path = rule.place.file
    if request.form.get("how") == "now":
        if not person().role.may(Role.PUBLISHER):
            abort(403, "Publishing needs the role publisher. You can put the change into the draft.")
        changed = {**current.sources, path: set_enabled(current.sources[path], rule.name, turn_on)}
        _carry_into_draft(rule, text_hash(changed[path]), turn_on=turn_on)
        reason = request.form.get("reason", "").strip()
        note = f"Switch {verb} {rule.id}" + (f": {reason}" if reason else "")
        ticket = backend().publish(changed, person().name, note)
        return redirect(url_for("publish.follow", ticket=ticket))
    file = draft().files.get(path)
    text = current.sources[path] if file is None else file.text
    if text is None:
        flash(f"The draft deletes {path}, so there is nothing to switch in it.", "warn")
        return redirect(url_for("rules.show"))
    try:
        edit = Edit(
            path,
            set_enabled(text, rule.name, turn_on),
            draft().versions.get(path, 0),
            base_of(current.sources, path),
        )
        drafts().save(edit, current.sources, person().name, backend().now())
    except DraftConflictError as conflict:
        flash(f"{path} was changed by {conflict.author} this moment. Try once more.", "warn")
    except ValueError as error:
        flash(f"The draft of {path} can't be edited by a switch: {error} Open it in the editor.", "warn")
    else:
        flash(f"“{rule.id}” is switched {verb} in the draft. It counts when the draft is published.", "ok")
    return redirect(url_for("rules.show"))


def _carry_into_draft(rule: Rule, published: str | None, *, turn_on: bool) -> None:
    """Make the draft of the rule's file say the same, or publishing the draft would undo the switch.

    A draft too broken to be spliced stays as it is; the publish screen then shows that live has changed since.
    """
    path = rule.place.file
    file = draft().files.get(path)
    current = live()
    if file is None or file.text is None or current is None:
        return
    try:
        text = set_enabled(file.text, rule.name, turn_on)
        edit = Edit(path, text, draft().versions[path], base_of(current.sources, path), contains=published)
        drafts().save(edit, current.sources, file.author, file.time)
    except (ValueError, DraftConflictError):
        return


def _live_rule(rule_id: str) -> Rule:
    current = live()
    found = None if current is None else _by_id(current.program).get(rule_id)
    if found is None:
        abort(404, f"There is no live rule {rule_id}.")
    return found


def _by_id(program: Program | None) -> Mapping[str, Rule]:
    return {} if program is None else {rule.id: rule for rule in program.rules}


def _cards(program: Program | None, drafted: Program | None) -> list[Card]:
    now = backend().now()
    counted = traffic()
    current = live()
    live_for = 0 if current is None else (now - current.revision.time) // 60_000
    in_draft = _by_id(drafted)
    costs = {} if current is None else current.network.costs()
    cards = []
    for number, rule in enumerate(program.rules if program else (), 1):
        assert program is not None
        other = in_draft.get(rule.id)
        mark = "" if drafted is None else "removed" if other is None else "changed" if _differs(rule, other) else ""
        did = counted.rule(rule)
        found = concerns_of(rule, did, now, min(live_for, counted.observed))
        sentence = rule_sentence(rule, program)
        cards.append(Card(rule, number, sentence, costs.get(rule.id, {}), did, found, mark))
    known = _by_id(program)
    new = [rule for rule in drafted.rules if rule.id not in known] if drafted else []
    network = compiled_draft().network if new else None
    costs = {} if network is None else network.costs()
    for rule in new:
        assert drafted is not None
        cards.append(Card(rule, 0, rule_sentence(rule, drafted), costs.get(rule.id, {}), None, (), "new"))
    return cards


def _differs(one: Rule, other: Rule) -> bool:
    return (one.digest, one.note, one.owner, one.priority) != (other.digest, other.note, other.owner, other.priority)


def _passes(card: Card, wanted: Mapping[str, str]) -> bool:
    text = f"{card.rule.id} {card.rule.note} {card.rule.owner} {card.sentence}".lower()
    if not all(word in text for word in wanted["search"].lower().replace("_", " ").split()) and (
        wanted["search"].lower() not in text
    ):
        return False
    if wanted["owner"] and card.rule.owner != wanted["owner"]:
        return False
    match wanted["status"]:
        case "attention":
            return any(concern.kind != "info" for concern in card.concerns)
        case "on":
            return card.rule.enabled
        case "off":
            return not card.rule.enabled
        case "draft":
            return bool(card.drafted)
    return True
