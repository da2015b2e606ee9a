"""Nodes to the syntax of conditions and aggregates."""

from __future__ import annotations

from engine.language.diagnostics import Report, closest
from engine.language.nodes import Broken, Mapping, Node, Scalar, Sequence, kind_of
from engine.language.shape import Fields, mapping, not_yet, word
from engine.language.syntax import (
    AggregateSyntax,
    AggregateTestSyntax,
    AlwaysSyntax,
    ConditionSyntax,
    FactSyntax,
    GroupSyntax,
    NotSyntax,
    ScoreSyntax,
    SeenSyntax,
    SegmentSyntax,
    SpanSyntax,
    TestSyntax,
    WhereSyntax,
)
from engine.language.tree import Aggregation, Operator

AGGREGATIONS = {function.value: function for function in Aggregation}
OPERATORS = {operator.value: operator for operator in Operator}
KINDS = ("all", "any", "not", "fact", "event", "score", "segment", *AGGREGATIONS)
LATER_KINDS = ("sequence", "absence")
_BINDING = ("per", "as", "take")
_SPAN = ("where", "within", "since")


def read_condition(node: Node, report: Report) -> ConditionSyntax | None:
    """One condition; None, reported, where it can't be read."""
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
    later = [entry for entry in node.entries if entry.key.text in LATER_KINDS]
    if later:
        not_yet(later[0].key.text, later[0].key, report)
        return None
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
    if kind == "score":
        return _score(node, report)
    if kind == "segment":
        name = Fields(node, "a segment condition", ("segment",), report).word("segment")
        return SegmentSyntax(node.extent, name) if name is not None else None
    return _aggregate_test(node, kind, report)


def read_aggregate(node: Mapping, kind: str, report: Report) -> AggregateSyntax | None:
    """An aggregate of a feature, where `minus` is allowed and tests are not."""
    fields = Fields(node, f"a feature with {kind}", (kind, "minus", *_SPAN), report, later=("per", "take"))
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
    fields = Fields(node, "a fact condition", ("fact", *OPERATORS), report, later=("of", *_BINDING), hints=hints)
    name = fields.word("fact")
    tests = _tests(node)
    if name is None or node.get("of") is not None:  # a fact of the catalogue: what it is, is not this version's matter
        return None
    return FactSyntax(node.extent, name, tests, is_whole=not fields.has_strange_keys)


def _event(node: Mapping, report: Report) -> SeenSyntax | None:
    hints = dict.fromkeys(OPERATORS, "use count: to test how many there were, where: to test an attribute")
    fields = Fields(node, "an event condition", ("event", *_SPAN), report, later=_BINDING, hints=hints)
    event = fields.word("event")
    if event is None:
        return None
    return SeenSyntax(node.extent, event, read_where(fields.node("where"), report), _span(fields))


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
    fields = Fields(node, f"a {kind} condition", (kind, *_SPAN, *OPERATORS, "minus"), report, later=_BINDING)
    if "minus" in fields:
        proposal = "declare a feature with minus in vocabulary.yaml and test it with fact:"
        report.error("operator-not-here", fields.key("minus"), "minus is for features only", proposal)
    aggregate = _aggregate(node, kind, fields, report)
    if aggregate is None:
        return None
    return AggregateTestSyntax(node.extent, aggregate, _tests(node), is_whole=not fields.has_strange_keys)


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
