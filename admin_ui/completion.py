"""What can be written at the cursor: words of the vocabulary and keys of the language, by where the cursor stands.

The text is in the middle of being typed, so it need not be YAML: the line up to the cursor and the indentation
of the lines above tell enough.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from engine.language.tree import Fact, FactSource, Program, Vocabulary
from engine.values import Kind, ValueType

MOST = 60

CONDITIONS: Mapping[str, str] = {
    "all": "every condition below holds",
    "any": "at least one condition below holds",
    "not": "the condition does not hold",
    "fact": "a test on a fact or feature",
    "event": "an event was seen",
    "count": "how many events",
    "sum": "an attribute of events, added up",
    "average": "the mean of an attribute",
    "minimum": "the smallest value of an attribute",
    "maximum": "the largest value of an attribute",
    "distinct": "how many different values of an attribute",
    "first": "the attribute of the first event",
    "last": "the attribute of the latest event",
    "sequence": "events in this order",
    "absence": "an event that did not follow another",
    "score": "a model's answer, from 0 to 1",
    "segment": "a named condition of segments.yaml",
}
OPERATORS: Mapping[str, str] = {
    "is": "equal to",
    "is_not": "not equal to",
    "is_one_of": "one of a list",
    "is_none_of": "none of a list",
    "above": "more than",
    "at_least": "this or more",
    "below": "less than",
    "at_most": "this or less",
    "between": "[from, to], both included",
    "matches": "a pattern for the whole text",
    "starts_with": "begins with",
    "ends_with": "ends with",
    "contains": "has in it",
    "exists": "has a value (true) or none (false)",
    "before": "earlier than a moment",
    "after": "later than a moment",
    "older_than": "longer ago than a length of time",
    "within_last": "not longer ago than a length of time",
}
SPAN = {
    "where": "only events with these attributes",
    "within": "in the last length of time",
    "since": "after the latest event of a type",
}
EVENT = {**SPAN, "as": "a name for what was found"}
KEYED = {
    "per": "for each value of an attribute",
    "as": "a name for the value, and for what was counted",
    "take": "of several, only the highest",
}
SCORE = {
    "if_unavailable": "what counts when the model does not answer",
    "release_below": "once true, until below this",
    "release_above": "once true, until above this",
}
KEYS: Mapping[str, Mapping[str, str]] = {
    "file": {"ruleset": "the name of this file's rules", "owner": "who answers for them", "note": "a word to the reader", "rules": "the rules", "tests": "examples that must hold"},
    "rule": {
        "rule": "its name",
        "note": "a word to the reader",
        "priority": "higher acts first",
        "enabled": "the switch: true or false",
        "schedule": "when it may act",
        "when": "its condition",
        "then": "what it does",
        "limits": "how often it may act",
        "holdout": "the share that never gets it",
    },
    "then": {
        "offer": "nominate an offer",
        "placement": "where the offer is shown",
        "trigger": "send a message",
        "payload": "what the message says",
        "assert": "make a fact true while the rule holds",
        "value": "the value of the fact",
    },
    "schedule": {"from": "first moment", "until": "first moment after it", "timezone": "where these times are read", "on": "[sat, sun]", "between": "[18:00, 22:00]"},
    "absence": {"of": "the event that did not come", "after": "the event that it did not follow", "for": "for at least so long", "until": "and no longer than"},
    "limits": {"per_session": "acts in one session", "per_customer": "acts for one customer", "total": "acts in all", "budget": "sum of the offers' costs"},
    "tests": {"test": "what it shows", "date": "the day it plays", "customer": "who it is", "events": "what happens", "facts": "profile and page", "scores": "what the models answer", "catalogue": "what is known of things", "profiling": "false where the shopper objects", "expect": "what must come of it"},
    "expect": {"at": "when", "placement": "where", "offer": "what is shown there", "content": "what it says", "trigger": "a message that was sent", "no_trigger": "a message that was not", "facts": "values", "because": "the reason, for the reader"},
}  # fmt: skip
_PARENTS = {"when": "condition", "all": "condition", "any": "condition", "not": "condition", "eligible": "condition"}
_DURATIONS = ("30 seconds", "5 minutes", "15 minutes", "30 minutes", "1 hour", "24 hours", "7 days", "30 days")
_AGGREGATES = {"count", "sum", "average", "minimum", "maximum", "distinct", "first", "last", "minus"}
_FIXED: Mapping[str, tuple[str, ...]] = {
    "if_unavailable": ("skip", "assume true", "assume false", "last known for 60 seconds"),
    "enabled": ("true", "false"),
    "exists": ("true", "false"),
    "within": _DURATIONS,
    "for": _DURATIONS,
    "take": ("highest",),
    "profiling": ("true", "false"),
    "older_than": _DURATIONS,
    "within_last": _DURATIONS,
    "on": ("mon", "tue", "wed", "thu", "fri", "sat", "sun"),
    "when": ("always",),
    "per_session": ("1",),
    "per_customer": ("1 per day", "3 per week", "3 per calendar week"),
    "total": ("5000 per day",),
    "holdout": ("10%",),
    "timezone": ("UTC", "Europe/Berlin", "Europe/London", "America/New_York", "Asia/Tokyo"),
}
_VALUE = re.compile(r"(?:^|[{,\s-])([a-z_]+):[ ]*(?:\[[^\]{}]*|[^,{}\[\]]*)$")
_WORD = re.compile(r"[\w.$-]*$")
_OPENS = re.compile(r"^\s*(?:-\s+)?([a-z_]+):\s*$")
_ITEM = re.compile(r"^\s*-\s+([a-z_]+):")


class Completion(msgspec.Struct, frozen=True):
    """One proposal: `label` is inserted, followed by `: ` where it is a key."""

    label: str
    detail: str
    is_key: bool = False


def complete(text: str, line: int, column: int, program: Program | None) -> tuple[int, list[Completion]]:
    """Proposals at a place.

    Args:
        text: The whole text of a ruleset file.
        line: From 1.
        column: From 1; the cursor stands before this character.
        program: The vocabulary and offers that can be named; None before anything was ever valid.

    Returns:
        The column (from 1) where the word being typed begins, and what it could become.
    """
    lines = text.split("\n")
    if not 1 <= line <= len(lines):
        return column, []
    prefix = lines[line - 1][: column - 1]
    if "#" in prefix and re.search(r"(^|\s)#", prefix):
        return column, []
    word = _WORD.search(prefix)
    typed = word.group() if word else ""
    start = column - len(typed)
    before = prefix[: len(prefix) - len(typed)]
    value = _VALUE.search(before)
    if typed.startswith("$") or (value is not None and value[1] == "of" and "fact:" in _flow(before)):
        found = list(_bound(lines, line, program))
    else:
        found = list(_keys(before, lines, line, program) if value is None else _values(value[1], before, program))
    wanted = typed.lower()
    fits = [each for each in found if wanted in each.label.lower() and each.label != typed]
    fits.sort(key=lambda each: not each.label.lower().startswith(wanted))
    return start, fits[:MOST]


def _flow(before: str) -> str:
    """The inside of the innermost open brace of the line, or of its item."""
    depth = 0
    for index in range(len(before) - 1, -1, -1):
        if before[index] == "}":
            depth += 1
        elif before[index] == "{":
            if depth == 0:
                return before[index + 1 :]
            depth -= 1
    return re.sub(r"^\s*(-\s+)?", "", before)


def _values(key: str, before: str, program: Program | None) -> Iterator[Completion]:
    """Words that can stand after a key."""
    yield from (Completion(value, "") for value in _FIXED.get(key, ()))
    if program is None:
        return
    vocabulary = program.vocabulary
    if key == "fact":
        yield from (Completion(fact.name, type_text(fact.type, vocabulary)) for fact in vocabulary.facts.values())
    elif key in {"event", "since", "count", "of", "after"}:
        yield from (Completion(name, "event") for name in vocabulary.events)
    elif key == "per":
        counted = re.search(rf"(?:{'|'.join(_AGGREGATES)}):\s*(\w+)", before)
        known = vocabulary.events.get(counted[1]) if counted is not None else None
        for attribute in known.attributes.values() if known is not None else ():
            yield Completion(attribute.name, type_text(attribute.type, vocabulary))
    elif key in _AGGREGATES:
        for event in vocabulary.events.values():
            for attribute in event.attributes.values():
                yield Completion(f"{event.name}.{attribute.name}", type_text(attribute.type, vocabulary))
    elif key in {"offer", "fallback"}:
        yield from (Completion(offer.id, offer.note or "offer") for offer in program.offers.values())
    elif key == "placement":
        yield from (Completion(each.name, f"fallback {each.fallback}") for each in vocabulary.placements.values())
    elif key in {"score", "propensity"}:
        yield from (Completion(name, "score from 0 to 1") for name in vocabulary.scores)
    elif key == "segment":
        yield from (Completion(name, "segment") for name in program.segments)
    elif key == "assert":
        derived = (fact for fact in vocabulary.facts.values() if fact.source is FactSource.RULES)
        yield from (Completion(fact.name, type_text(fact.type, vocabulary)) for fact in derived)
    else:
        yield from _choices(_tested(before, key, vocabulary))


def _bound(lines: list[str], line: int, program: Program | None) -> Iterator[Completion]:
    """Attributes of the names that the rule around the line binds, where they are bound in one line."""
    begin = next((at for at in range(line - 1, -1, -1) if re.match(r"\s*- +rule:", lines[at])), 0)
    end = next((at for at in range(line, len(lines)) if re.match(r"\s*- +rule:", lines[at])), len(lines))
    for text in lines[begin:end] if program is not None else ():
        bound = re.search(rf"(event|{'|'.join(sorted(_AGGREGATES))}):\s*(\w+)(?:\.\w+)?[^#]*?\bas:\s*(\w+)", text)
        known = None if bound is None or program is None else program.vocabulary.events.get(bound[2])
        if bound is None or known is None or program is None:
            continue
        per = re.search(r"\bper:\s*(\w+)", text)
        for attribute in known.attributes.values():
            if per is None or attribute.name == per[1]:
                yield Completion(f"${bound[3]}.{attribute.name}", type_text(attribute.type, program.vocabulary))
        if per is not None:
            yield Completion(f"${bound[3]}.value", f"the {bound[1]}")


def _choices(tested: ValueType | None) -> Iterator[Completion]:
    item = tested.item if tested is not None and tested.item is not None else tested
    if item is not None and item.kind is Kind.CHOICE:
        yield from (Completion(choice, "choice") for choice in item.choices)
    elif item is not None and item.kind is Kind.BOOLEAN:
        yield from (Completion(value, "") for value in ("true", "false"))


def _tested(before: str, key: str, vocabulary: Vocabulary) -> ValueType | None:
    """The type of what is compared: the fact of the same mapping, or an attribute inside `where`."""
    fact = re.search(r"fact:\s*([\w.]+)", _flow(before))
    if fact is not None and fact[1] in vocabulary.facts:
        return vocabulary.facts[fact[1]].type
    event = re.search(r"(?:event|count|sum|average|minimum|maximum|distinct|first|last):\s*(\w+)", before)
    if event is not None and event[1] in vocabulary.events:
        attribute = vocabulary.events[event[1]].attributes.get(key)
        return None if attribute is None else attribute.type
    return None


def _keys(before: str, lines: list[str], line: int, program: Program | None) -> Iterator[Completion]:
    """Keys that can stand here and do not stand in the same braces yet."""
    flow = _flow(before)
    written = set(re.findall(r"([a-z_]+):", flow))
    where = re.search(r"where:\s*\{[^{}]*$", before)
    if where is not None:
        yield from _attributes(before, program)
        return
    fact = re.search(r"(?:^|\s)(?:fact):\s*([\w.]+)", flow)
    if fact is not None:
        known = None if program is None else program.vocabulary.facts.get(fact[1])
        of = {"of": "of which thing"} if known is not None and known.source is FactSource.CATALOGUE else {}
        yield from _as_keys({**of, **_operators_for(known)}, written)
    elif "event" in written:
        yield from _as_keys(EVENT, written)
    elif written & _AGGREGATES:
        yield from _as_keys({**SPAN, **KEYED, **OPERATORS}, written)
    elif "score" in written:
        yield from _as_keys(
            {**{name: OPERATORS[name] for name in ("below", "at_least", "above", "at_most")}, **SCORE}, written
        )
    elif "offer" in written:
        yield from _as_keys({"placement": KEYS["then"]["placement"]}, written)
    else:
        kind = _block(before, lines, line)
        yield from _as_keys(CONDITIONS if kind == "condition" else KEYS.get(kind, {}), written)


def _operators_for(fact: Fact | None) -> Mapping[str, str]:
    if fact is None:
        return OPERATORS
    ordered = {"above", "at_least", "below", "at_most", "between"}
    text = {"matches", "starts_with", "ends_with", "contains"}
    times = {"before", "after", "older_than", "within_last"}
    dropped = set(times if fact.type.kind is not Kind.TIMESTAMP else ())
    if not fact.type.is_ordered:
        dropped |= ordered
    if fact.type.kind not in {Kind.TEXT, Kind.LIST}:
        dropped |= text
    return {name: help_text for name, help_text in OPERATORS.items() if name not in dropped}


def _attributes(before: str, program: Program | None) -> Iterator[Completion]:
    event = re.search(r"(?:event|count|sum|average|minimum|maximum|distinct|first|last):\s*(\w+)", before)
    known = None if program is None or event is None else program.vocabulary.events.get(event[1])
    if known is not None and program is not None:
        for attribute in known.attributes.values():
            yield Completion(attribute.name, type_text(attribute.type, program.vocabulary), is_key=True)


def _as_keys(keys: Mapping[str, str], written: Iterable[str]) -> Iterator[Completion]:
    yield from (Completion(key, detail, is_key=True) for key, detail in keys.items() if key not in set(written))


def _block(before: str, lines: list[str], line: int) -> str:
    """What kind of block the line stands in, by the lines above that are indented less."""
    if "{" in before:
        opened = re.search(r"([a-z_]+):\s*\{[^{}]*$", before)
        if opened is not None:
            return _PARENTS.get(opened[1], opened[1])
    indent = _indent(before) + (2 if before.lstrip().startswith("- ") else 0)
    for above in range(line - 2, -1, -1):
        text = lines[above]
        if not text.strip() or text.lstrip().startswith("#"):
            continue
        item = _ITEM.match(text)
        if item is not None and _indent(text) + 2 == indent:
            if item[1] in {"rule", "test"}:
                return {"rule": "rule", "test": "tests"}[item[1]]
            continue
        if _indent(text) < indent:
            opens = _OPENS.match(text)
            if opens is None:
                continue
            name = opens[1]
            if name == "rules":
                return "rule"
            if name in {"tests", "expect", "then", "limits", "schedule"}:
                return name
            if name in _PARENTS:
                return _PARENTS[name]
            indent = _indent(text)
    return "file" if indent == 0 else ""


def _indent(text: str) -> int:
    return len(text) - len(text.lstrip(" "))


def type_text(kind: ValueType, vocabulary: Vocabulary) -> str:
    """A type in a word or two: `money (EUR)`, `one of bronze, silver, gold`."""
    match kind.kind:
        case Kind.MONEY:
            return f"money ({vocabulary.currency})"
        case Kind.CHOICE:
            return "one of " + ", ".join(kind.choices[:5]) + (" …" if len(kind.choices) > 5 else "")
        case Kind.LIST if kind.item is not None:
            return f"list of {type_text(kind.item, vocabulary)}"
        case _:
            return kind.kind.value
