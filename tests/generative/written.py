"""A story as files: a bundle and its events, as the cases in `tests/conformance` are written."""

from __future__ import annotations

import datetime as dt
from typing import Any

import yaml

from engine.language.tree import (
    Absence,
    Aggregate,
    All,
    AnyOf,
    AssertAction,
    BoundRef,
    Condition,
    FactRef,
    FactSource,
    IfUnavailable,
    Keyed,
    Limit,
    Not,
    Operator,
    Program,
    Rule,
    Schedule,
    ScoreTest,
    Seen,
    Segment,
    Selection,
    Sequence,
    Span,
    Template,
    Test,
    TriggerAction,
    Vocabulary,
)
from engine.values import Kind, ValueType
from tests.generative.answers import catalogue
from tests.generative.drawing import Advance, Insert, Look, Reload, Restore, SetFacts, Story
from tests.generative.words import CATALOGUE, EVENTS, SAMPLES
from tests.naive.conditions import leaves

BEGIN = round(dt.datetime(2026, 1, 5, tzinfo=dt.UTC).timestamp() * 1000)
WEEKS = 112 * 7 * 24 * 3_600_000
"""Times are moved by whole weeks, so that days and times of day stay what they are."""
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def written(story: Story) -> dict[str, str]:
    """The files, by name. What can't be written is said in a comment."""
    files = {name: _yaml(content) for name, content in bundle(story.program).items()}
    events: list[str] = []
    after = 0
    if story.catalogue is not None:
        look_up = catalogue(story.catalogue)
        known = {
            fact: {
                key: _plain(look_up(fact, key), kind) for key in SAMPLES[Kind.CHOICE] if look_up(fact, key) is not None
            }
            for fact, kind in CATALOGUE.items()
        }
        events.append(_item({"at": 0, "catalogue": known}))
    if any(isinstance(leaf, ScoreTest) for rule in story.program.rules for leaf in leaves(rule.when)):
        events.append(f"# models answer as tests.generative.answers.scores({story.scores}) does")
    for each in story.operations:
        match each:
            case Insert(event):
                types = EVENTS.get(event.type, {})
                values = {name: _plain(value, types[name]) for name, value in event.attributes.items()}
                customer = "" if event.customer_id is None else f"  # customer {event.customer_id}"
                events.append(_item({"at": _at(event.time), event.type: values}) + customer)
            case SetFacts(facts, at):
                kinds = story.program.vocabulary.facts
                set_to = {name: _plain(value, kinds[name].type) for name, value in facts.items()}
                events.append(_item({"at": _at(at), "facts": set_to}))
            case Advance(to):
                events.append(_item({"at": _at(to), "clock": "passes"}))
            case Restore():
                events.append("# stored and read")
            case Look(context, at):
                events.append(_item({"at": _at(at), "request": dict(context)}))
            case Reload(program, is_known):
                after += 1
                files |= {f"after{after}/{name}": _yaml(content) for name, content in bundle(program).items()}
                unknown = "" if is_known else "  # of unknown ancestry"
                events.append(_item({"reload": f"after{after}"}) + unknown)
    files["events.yaml"] = "\n".join(events) + "\n"
    return files


def bundle(program: Program) -> dict[str, Any]:
    """The files of a program, before they are text."""
    segments: dict[str, Condition] = {}
    whens = {rule.id: condition(rule.when, program, segments) for rule in program.rules}
    # Files are in order of acting; the position in the file is the order among equals.
    found: dict[str, Any] = {
        "vocabulary.yaml": _vocabulary(program.vocabulary),
        "rules.yaml": {"ruleset": "set", "rules": [_rule(rule, whens[rule.id]) for rule in program.rules]},
    }
    offers = {
        name: {"content": {"title": name}, "eligible": condition(offer.eligible, program, segments)}
        for name, offer in program.offers.items()
        if offer.eligible is not None
    }
    if offers:
        found["offers.yaml"] = {"offers": offers}
    if segments:
        done: dict[str, Any] = {}
        while len(done) < len(segments):
            for name in [each for each in segments if each not in done]:
                done[name] = condition(segments[name], program, segments)
        found["segments.yaml"] = {"segments": done}
    return found


def _vocabulary(vocabulary: Vocabulary) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    features: dict[str, Any] = {}
    for name, fact in vocabulary.facts.items():
        if fact.aggregate is not None:
            features[name] = _aggregate(fact.aggregate)
        elif fact.computed is not None:
            features[name] = {fact.type.kind.value: fact.computed.text}
        else:
            key = {"by": "colour"} if fact.source is FactSource.CATALOGUE else {}
            kind = _kind(fact.type)
            facts[name] = {**(kind if isinstance(kind, dict) else {"type": kind}), "from": fact.source.value, **key}
    return {
        "currency": vocabulary.currency,
        "session": {"timeout": f"{vocabulary.session_timeout} ms", "keep_events": vocabulary.keep_events},
        "events": {
            name: {attribute: _kind(kind) for attribute, kind in attributes.items()}
            for name, attributes in EVENTS.items()
        },
        "facts": facts,
        "features": features,
        "scores": {name: {"model": name} for name in vocabulary.scores},
        "placements": {},
    }


def _kind(kind: ValueType) -> Any:
    if kind.kind is Kind.CHOICE:
        return {"choice": list(kind.choices)}
    return "list of text" if kind.kind is Kind.LIST else kind.kind.value


def _rule(rule: Rule, when: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"rule": rule.name, "priority": rule.priority, "when": when}
    if not rule.enabled:
        found["enabled"] = False
    if rule.schedule is not None:
        found["schedule"] = _schedule(rule.schedule)
    found["then"] = []
    for action in rule.actions:
        if isinstance(action, TriggerAction):
            text = action.payload.text if isinstance(action.payload, Template) else None
            found["then"].append({"trigger": action.name, **({"payload": text} if text is not None else {})})
        elif isinstance(action, AssertAction):
            found["then"].append({"assert": action.fact, "value": action.value})
    if rule.limits:
        found["limits"] = {"per_session": [_limit(each) for each in rule.limits]}
    return found


def _limit(limit: Limit) -> Any:
    if limit.sliding is not None:
        return f"{limit.most} per {limit.sliding} ms"
    return limit.most if limit.calendar is None else f"{limit.most} per calendar {limit.calendar.value}"


def _schedule(schedule: Schedule) -> dict[str, Any]:
    found: dict[str, Any] = {"timezone": schedule.timezone}
    if schedule.start is not None:
        found["from"] = _moment(schedule.start).removesuffix("+00:00")
    if schedule.until is not None:
        found["until"] = _moment(schedule.until).removesuffix("+00:00")
    if schedule.days:
        found["on"] = [DAYS[day] for day in schedule.days]
    if schedule.between is not None:
        found["between"] = [f"{minute // 60 % 24:02}:{minute % 60:02}" for minute in schedule.between]
    return found


# ---------------------------------------------------------------- conditions


def condition(part: Condition, program: Program, segments: dict[str, Condition]) -> dict[str, Any]:
    """A condition as a mapping; its segments are added to those given."""
    match part:
        case All():
            return {"all": [condition(each, program, segments) for each in part.parts]}
        case AnyOf():
            return {"any": [condition(each, program, segments) for each in part.parts]}
        case Not():
            return {"not": condition(part.part, program, segments)}
        case Segment():
            same = [name for name, each in segments.items() if each == part.condition]
            name = same[0] if same else f"s{len(segments)}"
            segments[name] = part.condition
            return {"segment": name}
        case Seen():
            bind = {} if part.bind is None else {"as": part.bind}
            return {"event": part.of.event, **_where(part.of), **_span(part.span), **bind}
        case Sequence():
            steps = [
                {"event": step.of.event, **_where(step.of), **({} if step.bind is None else {"as": step.bind})}
                for step in part.steps
            ]
            return {"sequence": steps, **_span(part.span)}
        case Absence():
            until = {} if part.until is None else {"until": f"{part.until} ms"}
            of, after = ({"event": each.event, **_where(each)} for each in (part.of, part.after))
            return {"absence": {"of": of, "after": after, "for": f"{part.duration} ms", **until}}
        case Keyed():
            found = {**_aggregate(part.aggregate), "per": part.per}
            found |= {operator.value: _operand(operator, value, part.aggregate.type) for operator, value in part.tests}
            found |= {"take": "highest"} if part.take_highest else {}
            return found | ({} if part.bind is None else {"as": part.bind})
        case ScoreTest():
            return _score(part)
        case Test():
            if isinstance(part.subject, Aggregate):
                subject, kind = _aggregate(part.subject), part.subject.type
            else:
                of = {} if part.subject.of is None else {"of": _ref(part.subject.of)}
                subject, kind = {"fact": part.subject.fact, **of}, program.vocabulary.facts[part.subject.fact].type
            return {**subject, part.operator.value: _operand(part.operator, part.operand, kind)}


def _score(test: ScoreTest) -> dict[str, Any]:
    found: dict[str, Any] = {"score": test.score, test.operator.value: test.operand}
    if test.release is not None:
        lowers = test.operator in {Operator.ABOVE, Operator.AT_LEAST}
        found["release_below" if lowers else "release_above"] = test.release
    last = test.if_unavailable is IfUnavailable.LAST_KNOWN
    found["if_unavailable"] = f"last known for {test.last_known} ms" if last else test.if_unavailable.value
    return found


def _aggregate(aggregate: Aggregate) -> dict[str, Any]:
    found: dict[str, Any] = {aggregate.function.value: _selected(aggregate.of)}
    if aggregate.minus is not None:
        found["minus"] = _selected(aggregate.minus)
    return {**found, **_where(aggregate.of), **_span(aggregate.span)}


def _selected(selection: Selection) -> str:
    return selection.event if selection.attribute is None else f"{selection.event}.{selection.attribute}"


def _span(span: Span) -> dict[str, Any]:
    if span.window is not None:
        return {"within": f"{span.window} ms"}
    return {} if span.since is None else {"since": span.since}


def _where(selection: Selection) -> dict[str, Any]:
    tests: dict[str, Any] = {}
    for each in selection.where:
        kind = EVENTS[selection.event][each.attribute]
        tests.setdefault(each.attribute, {})[each.operator.value] = _operand(each.operator, each.operand, kind)
    return {"where": tests} if tests else {}


def _operand(operator: Operator, operand: Any, kind: ValueType) -> Any:
    if isinstance(operand, BoundRef):
        return _ref(operand)
    if isinstance(operand, FactRef):
        return {"fact": operand.fact} | ({} if operand.of is None else {"of": _ref(operand.of)})
    if operator in {Operator.OLDER_THAN, Operator.WITHIN_LAST}:
        return f"{operand} ms"
    if operator is Operator.EXISTS or operator is Operator.CONTAINS:
        return operand
    if isinstance(operand, tuple):
        return [_plain(each, kind) for each in operand]
    return _plain(operand, kind)


def _ref(ref: BoundRef) -> str:
    return f"${ref.name}.{ref.attribute}"


# ---------------------------------------------------------------- values and times


def _plain(value: Any, kind: ValueType) -> Any:
    if value is None:
        return None
    match kind.kind:
        case Kind.MONEY:
            return value / 100
        case Kind.DURATION:
            return f"{value} ms"
        case Kind.TIMESTAMP:
            return _moment(value)
        case Kind.LIST:
            return list(value)
    return value


def _moment(time: int) -> str:
    return dt.datetime.fromtimestamp((time + WEEKS) / 1000, dt.UTC).isoformat()


def _at(time: int) -> int:
    return time + WEEKS - BEGIN


def _yaml(content: Any) -> str:
    return yaml.safe_dump(content, sort_keys=False, width=160, allow_unicode=True)


def _item(content: dict[str, Any]) -> str:
    text = yaml.safe_dump(content, sort_keys=False, width=10_000, default_flow_style=True, allow_unicode=True)
    return f"- {text.strip()}"
