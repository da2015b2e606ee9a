"""Nodes to the syntax of conditions and aggregates."""

from __future__ import annotations

from engine.language.diagnostics import Report, closest
from engine.language.nodes import Alike, Broken, Mapping, Node, Scalar, Sequence, kind_of
from engine.language.shape import Fields, mapping, refuse_unevaluated, word
from engine.language.syntax import (
    AbsenceSyntax,
    AggregateSyntax,
    AggregateTestSyntax,
    AlikeSyntax,
    AlwaysSyntax,
    ConditionSyntax,
    FactSyntax,
    GroupSyntax,
    NotSyntax,
    ScoreSyntax,
    SeenSyntax,
    SegmentSyntax,
    SequenceSyntax,
    SpanSyntax,
    StepSyntax,
    TestSyntax,
    WhereSyntax,
)
from engine.language.tree import Aggregation, Operator

AGGREGATIONS = {function.value: function for function in Aggregation}
OPERATORS = {operator.value: operator for operator in Operator}
KINDS = ("all", "any", "not", "fact", "event", "sequence", "absence", "score", "segment", *AGGREGATIONS)
_SPAN = ("where", "within", "since")
MOST_STEPS = 10
"""Events of one sequence."""
_BINDERS = "names are bound by event:, by per: and by the steps of a sequence"
_ABSENCE_EXAMPLE = "write {of: purchase, after: checkout_viewed, for: 15 minutes}"


def read_condition(node: Node, report: Report) -> ConditionSyntax | None:
    """One condition; None, reported, where it can't be read."""
    if isinstance(node, Alike):
        return AlikeSyntax(node.extent, node.meant)
    if isinstance(node, Broken):
        return None
    if isinstance(node, Scalar) and node.text == "always":
        return AlwaysSyntax(node.extent)
    if isinstance(node, Sequence):
        report.error("wrong-shape", node, "a condition is a mapping, this is a list", "put all: or any: above the list")
        return None
    if not isinstance(node, Mapping):
        proposal = "name what to look at, for example {fact: cart.value, at_least: 200}"
        report.error("wrong-shape", node, f"a condition is a mapping, this is {kind_of(node)}", proposal)
        return None
    kinds = [entry for entry in node.entries if entry.key.text in KINDS]
    if not kinds:
        _no_kind(node, report)
        return None
    if len(kinds) > 1:
        names = " and ".join(entry.key.text for entry in kinds)
        proposal = "make each a condition of its own, under all: or any:"
        report.error("two-conditions", kinds[1].key, f"one condition looks at two things: {names}", proposal)
        return None
    kind = kinds[0].key.text
    if kind in {"all", "any"}:
        return _group(node, kind, report)
    if kind == "not":
        Fields(node, "not", ("not",), report)
        part = read_condition(kinds[0].value, report)
        return NotSyntax(node.extent, part) if part is not None else None
    if kind == "fact":
        return _fact(node, report)
    if kind == "event":
        return _event(node, report)
    if kind == "sequence":
        return _sequence(node, report)
    if kind == "absence":
        return _absence(node, report)
    if kind == "score":
        return _score(node, report)
    if kind == "segment":
        name = Fields(node, "a segment condition", ("segment",), report).word("segment")
        return SegmentSyntax(node.extent, name) if name is not None else None
    return _aggregate_test(node, kind, report)


def read_aggregate(node: Mapping, kind: str, report: Report) -> AggregateSyntax | None:
    """An aggregate of a feature, where `minus` is allowed and tests are not."""
    hints = {"per": "a feature has one value; conditions count per", "take": "a feature has one value"}
    fields = Fields(node, f"a feature with {kind}", (kind, "minus", *_SPAN), report, hints=hints)
    return _aggregate(node, kind, fields, report)


def _no_kind(node: Mapping, report: Report) -> None:
    where = node.entries[0].key if node.entries else node
    near = [entry.key for entry in node.entries if closest(entry.key.text, KINDS)]
    if near:
        where, proposal = near[0], closest(near[0].text, KINDS)
    else:
        proposal = f"begin it with one of: {', '.join(KINDS)}"
    report.error("no-condition", where, "this condition does not name what it looks at", proposal)


def _group(node: Mapping, kind: str, report: Report) -> ConditionSyntax | None:
    fields = Fields(node, kind, (kind,), report)
    value = fields.node(kind)
    if isinstance(value, Mapping):
        report.error("wrong-shape", value, f"{kind} needs a list of conditions", "put - before each condition")
        return None
    nodes = fields.items(kind)
    if not nodes:
        if value is not None:
            report.error("empty", fields.key(kind), f"{kind} has no conditions")
        return None
    parts = [read_condition(each, report) for each in nodes]
    read = tuple(part for part in parts if part is not None)
    return GroupSyntax(node.extent, kind == "all", read, is_whole=len(read) == len(parts))


def _fact(node: Mapping, report: Report) -> FactSyntax | None:
    hints = dict.fromkeys(
        _SPAN, "a feature has its window in vocabulary.yaml; events are counted with count:, sum: and so on"
    )
    hints["as"] = _BINDERS
    fields = Fields(node, "a fact condition", ("fact", "of", *OPERATORS), report, hints=hints)
    name, of = fields.word("fact"), fields.node("of")
    if of is not None:
        refuse_unevaluated("of", fields.key("of"), report)
    if name is None or ("of" in fields and of is None):
        return None
    return FactSyntax(node.extent, name, _tests(node), of, is_whole=not fields.has_strange_keys)


def _event(node: Mapping, report: Report) -> SeenSyntax | None:
    hints = dict.fromkeys(OPERATORS, "use count: to test how many there were, where: to test an attribute")
    hints |= dict.fromkeys(("per", "take"), "use count: to count per product, category and so on")
    fields = Fields(node, "an event condition", ("event", *_SPAN, "as"), report, hints=hints)
    event = fields.word("event")
    if event is None:
        return None
    return SeenSyntax(
        node.extent, event, read_where(fields.node("where"), report), _span(fields), _bind(fields, report)
    )


def _bind(fields: Fields, report: Report) -> Scalar | None:
    bind = fields.word("as")
    if bind is not None:
        refuse_unevaluated("as", fields.key("as"), report)
    return bind


def _sequence(node: Mapping, report: Report) -> SequenceSyntax | None:
    hints = {"where": "write where: in the steps", "as": "write as: in the steps"}
    fields = Fields(node, "a sequence", ("sequence", "within", "since"), report, hints=hints)
    refuse_unevaluated("sequence", fields.key("sequence"), report)
    value = fields.node("sequence")
    if value is None:
        return None
    if not isinstance(value, Sequence):
        message = f"a sequence needs a list of events, this is {kind_of(value)}"
        report.error("wrong-shape", value, message, "write [{event: cart_added}, {event: cart_removed}]")
        return None
    items = fields.items("sequence")
    steps = [_step(item, "a step of a sequence", report, can_bind=True) for item in items]
    if len(items) < 2:
        message = "a sequence needs two events at least"
        report.error("empty", fields.key("sequence"), message, "use event: for one")
        return None
    if len(items) > MOST_STEPS:
        report.error("too-large", fields.key("sequence"), f"a sequence has at most {MOST_STEPS} steps")
        return None
    read = tuple(step for step in steps if step is not None)
    return SequenceSyntax(node.extent, read, _span(fields), is_whole=len(read) == len(value.items))


def _absence(node: Mapping, report: Report) -> AbsenceSyntax | None:
    fields = Fields(node, "an absence condition", ("absence",), report)
    refuse_unevaluated("absence", fields.key("absence"), report)
    value = fields.node("absence")
    if value is None:
        return None
    if not isinstance(value, Mapping):
        message = f"absence says of what, after what and for how long, this is {kind_of(value)}"
        report.error("wrong-shape", value, message, _ABSENCE_EXAMPLE)
        return None
    hints = {"within": "write for:", "since": "write after:", "event": "write of:"}
    inner = Fields(value, "absence", ("of", "after", "for", "until"), report, hints=hints)
    of, after, duration = (inner.needed(key) for key in ("of", "after", "for"))
    steps = [
        _step(part, f"{key} of absence", report, can_bind=False) if part is not None else None
        for key, part in (("of", of), ("after", after))
    ]
    if steps[0] is None or steps[1] is None or duration is None:
        return None
    return AbsenceSyntax(node.extent, steps[0], steps[1], duration, inner.node("until"))


def _step(node: Node, what: str, report: Report, *, can_bind: bool) -> StepSyntax | None:
    """An event: its name, or a mapping with its name and what selects it."""
    if isinstance(node, Scalar):
        name = word(node, what, report)
        return StepSyntax(node.extent, name) if name is not None else None
    found = mapping(node, what, report)
    if found is None:
        return None
    hints = dict.fromkeys(("within", "since"), "the span belongs to the whole sequence" if can_bind else "write for:")
    hints["as"] = "what an absence looks for is not there to be named"
    fields = Fields(found, what, ("event", "where", "as") if can_bind else ("event", "where"), report, hints=hints)
    event = fields.word("event", needed=True)
    where = read_where(fields.node("where"), report)
    bind = _bind(fields, report) if can_bind else None
    return StepSyntax(found.extent, event, where, bind) if event is not None else None


def _score(node: Mapping, report: Report) -> ScoreSyntax | None:
    keys = ("score", *OPERATORS, "if_unavailable", "release_below", "release_above")
    fields = Fields(node, "a score condition", keys, report)
    score = fields.word("score")
    if score is None:
        return None
    return ScoreSyntax(
        node.extent,
        score,
        _tests(node),
        fields.word("if_unavailable"),
        fields.node("release_below"),
        fields.node("release_above"),
        is_whole=not fields.has_strange_keys,
    )


def _aggregate_test(node: Mapping, kind: str, report: Report) -> AggregateTestSyntax | None:
    keys = (kind, *_SPAN, *OPERATORS, "minus", "per", "as", "take")
    fields = Fields(node, f"a {kind} condition", keys, report)
    if "minus" in fields:
        proposal = "declare a feature with minus in vocabulary.yaml and test it with fact:"
        report.error("operator-not-here", fields.key("minus"), "minus is for features only", proposal)
    aggregate = _aggregate(node, kind, fields, report)
    if aggregate is None:
        return None
    per, bind, take = fields.word("per"), _bind(fields, report), fields.word("take")
    for key, value in (("per", per), ("take", take)):
        if value is not None:
            refuse_unevaluated(key, fields.key(key), report)
    is_whole = not fields.has_strange_keys and (per is not None or "per" not in fields)
    return AggregateTestSyntax(node.extent, aggregate, _tests(node), per, bind, take, is_whole)


def _aggregate(node: Mapping, kind: str, fields: Fields, report: Report) -> AggregateSyntax | None:
    target = fields.word(kind)
    if target is None:
        return None
    where = read_where(fields.node("where"), report)
    return AggregateSyntax(node.extent, AGGREGATIONS[kind], target, fields.word("minus"), where, _span(fields))


def _span(fields: Fields) -> SpanSyntax:
    return SpanSyntax(fields.node("within"), fields.node("since"))


def _tests(node: Mapping) -> tuple[TestSyntax, ...]:
    return tuple(
        TestSyntax(OPERATORS[entry.key.text], entry.key, entry.value)
        for entry in node.entries
        if entry.key.text in OPERATORS and not isinstance(entry.value, Broken)
    )


def read_where(node: Node | None, report: Report) -> tuple[WhereSyntax, ...]:
    """The tests on attributes of a `where`."""
    if node is None:
        return ()
    found = mapping(node, "where", report)
    if found is None:
        return ()
    if not found.entries:
        report.error("empty", found, "where has no tests", "delete it, or test an attribute")
    where: list[WhereSyntax] = []
    for entry in found.entries:
        if isinstance(entry.value, Scalar):
            is_quoted = not entry.value.is_plain  # '' is a text to compare with
            if is_quoted or word(entry.value, f"the value of {entry.key.text}", report) is not None:
                where.append(WhereSyntax(entry.key, (TestSyntax(Operator.IS, entry.key, entry.value),)))
        elif isinstance(entry.value, Sequence):
            proposal = f"write {entry.key.text}: {{is_one_of: [...]}}"
            report.error("wrong-shape", entry.value, "a list is no test", proposal)
        elif isinstance(entry.value, Mapping):
            for test in entry.value.entries:
                if test.key.text not in OPERATORS:
                    nearest = report.propose(test.key.text, OPERATORS, "known here:")
                    report.error("unknown-key", test.key, f"there is no test {test.key.text}", nearest)
            tests = _tests(entry.value)
            if not entry.value.entries:
                report.error("no-test", entry.key, f"{entry.key.text} has no test", "write for example at_least: 50")
            where.append(WhereSyntax(entry.key, tests))
    return tuple(where)
