"""Nodes to the syntax of ruleset files: rules, their actions, schedules and limits, and the tests beside them."""

from __future__ import annotations

from engine.language.diagnostics import Report
from engine.language.nodes import Mapping, Node, Scalar, Sequence
from engine.language.shape import Fields, mapping, refuse_unevaluated, word
from engine.language.syntax import (
    ActionSyntax,
    AssertActionSyntax,
    ExpectSyntax,
    LimitsSyntax,
    OfferActionSyntax,
    RulesetSyntax,
    RuleSyntax,
    RuleTestSyntax,
    ScheduleSyntax,
    TestEventSyntax,
    TriggerActionSyntax,
)
from engine.language.syntax_conditions import read_condition

_SCOPES = ("per_session", "per_customer", "total")
_RULE_KEYS = ("rule", "note", "priority", "enabled", "schedule", "when", "then", "limits", "holdout")
_RULE_HINTS = {
    "name": "write rule: and the name",
    "if": "write when:",
    "condition": "write when:",
    "conditions": "write when:",
    "action": "write then:",
    "actions": "write then:",
    "offer": "put it under then:",
    "trigger": "put it under then:",
    "assert": "put it under then:",
    "owner": "write owner: at the top of the file",
    "disabled": "write enabled: false",
    "cost": "the cost belongs to the offer, in offers.yaml",
    **dict.fromkeys((*_SCOPES, "budget"), "put it under limits:"),
}
_TEST_KEYS = ("test", "date", "customer", "events", "facts", "scores", "catalogue", "profiling", "expect")
_EXPECT_KEYS = ("at", "placement", "offer", "content", "trigger", "no_trigger", "facts", "because")


def read_ruleset(file: str, root: Node, report: Report) -> RulesetSyntax | None:
    """A whole ruleset file."""
    found = mapping(root, "a ruleset file", report)
    if found is None:
        return None
    fields = Fields(found, "a ruleset file", ("ruleset", "owner", "note", "rules", "tests"), report)
    name = fields.word("ruleset", needed=True)
    fields.text("note")
    rules = [read_rule(node, report) for node in fields.items("rules")]
    tests = [_test(node, report) for node in fields.items("tests")]
    if name is None:
        return None
    return RulesetSyntax(
        file, name, fields.text("owner"), tuple(rules), tuple(test for test in tests if test is not None)
    )


def read_rule(node: Node, report: Report) -> RuleSyntax | None:
    """One rule; None, reported, where it has no name or is none."""
    found = mapping(node, "a rule", report)
    if found is None:
        return None
    fields = Fields(found, "a rule", _RULE_KEYS, report, hints=_RULE_HINTS)
    name = fields.word("rule", needed=True)
    when = fields.needed("when")
    condition = read_condition(when, report) if when is not None else None
    if "then" not in fields:
        fields.needed("then")
    nodes = fields.items("then")
    if "then" in fields and not nodes and fields.node("then") is not None:
        report.error("empty", fields.key("then"), "then has no actions", "add an offer, a trigger or an assert")
    actions = tuple(action for action in (_action(each, report) for each in nodes) if action is not None)
    schedule = fields.mapping("schedule")
    limits = fields.mapping("limits")
    if name is None:
        return None
    return RuleSyntax(
        found.extent,
        name,
        fields.text("note"),
        fields.node("priority"),
        fields.node("enabled"),
        _schedule(schedule, report) if schedule is not None else None,
        condition,
        actions,
        read_limits(limits, "limits", report, has_budget=True) if limits is not None else None,
        fields.node("holdout"),
    )


def _action(node: Node, report: Report) -> ActionSyntax | None:
    found = mapping(node, "an action", report)
    if found is None:
        return None
    keys = [entry.key for entry in found.entries]
    kinds = [key.text for key in keys if key.text in {"offer", "trigger", "assert"}]
    later = [key for key in keys if key.text == "recommend"]
    if later:
        refuse_unevaluated("recommend", later[0], report)
        return None
    if len(kinds) != 1:
        where = keys[0] if keys else found
        message = "an action is exactly one of offer, trigger and assert"
        report.error("wrong-shape", where, message, "for example {offer: free_shipping, placement: cart_banner}")
        return None
    if kinds[0] == "offer":
        fields = Fields(found, "an offer action", ("offer", "placement"), report)
        offer, placement = fields.word("offer"), fields.word("placement", needed=True)
        return None if offer is None or placement is None else OfferActionSyntax(found.extent, offer, placement)
    if kinds[0] == "trigger":
        fields = Fields(found, "a trigger action", ("trigger", "payload"), report)
        name = fields.word("trigger")
        return None if name is None else TriggerActionSyntax(found.extent, name, fields.node("payload"))
    fields = Fields(found, "an assert action", ("assert", "value"), report)
    fact = fields.word("assert")
    return None if fact is None else AssertActionSyntax(found.extent, fact, fields.node("value"))


def _schedule(found: Mapping, report: Report) -> ScheduleSyntax:
    fields = Fields(found, "a schedule", ("from", "until", "timezone", "on", "between"), report)
    if not found.entries:
        report.error("empty", found, "the schedule is empty", "delete it, or add from:, until:, on: or between:")
    days = [word(node, "a day of on", report) for node in fields.items("on")]
    return ScheduleSyntax(
        found.extent,
        fields.word("from"),
        fields.word("until"),
        fields.word("timezone"),
        tuple(day for day in days if day is not None),
        _pair(fields, report),
    )


def _pair(fields: Fields, report: Report) -> tuple[Scalar, Scalar] | None:
    if "between" not in fields:
        return None
    node = fields.node("between")
    if isinstance(node, Sequence) and len(node.items) == 2:
        first, second = (word(item, "a time of between", report) for item in node.items)
        return None if first is None or second is None else (first, second)
    if node is not None:
        report.error("wrong-shape", node, "between of a schedule is two times of day", "write [18:00, 22:00]")
    return None


def read_limits(found: Mapping, what: str, report: Report, *, has_budget: bool) -> LimitsSyntax:
    """The limits of a rule or an offer."""
    fields = Fields(found, what, (*_SCOPES, "budget") if has_budget else _SCOPES, report)
    counts: list[tuple[Scalar, tuple[Scalar, ...]]] = []
    for scope in _SCOPES:
        if scope in fields:
            words = [word(node, scope, report) for node in fields.items(scope)]
            if not words and fields.node(scope) is not None:
                report.error("empty", fields.key(scope), f"{scope} is empty", "write for example 3 per week")
            counts.append((fields.key(scope), tuple(each for each in words if each is not None)))
    return LimitsSyntax(found.extent, tuple(counts), fields.node("budget") if has_budget else None)


def _test(node: Node, report: Report) -> RuleTestSyntax | None:
    found = mapping(node, "a test", report)
    if found is None:
        return None
    fields = Fields(found, "a test", _TEST_KEYS, report)
    name = fields.word("test", needed=True)
    events = [_test_event(each, report) for each in fields.items("events")]
    expect = [_expect(each, report) for each in fields.items("expect")]
    if name is None:
        return None
    if not expect:
        proposal = "add expect: with a moment and what is shown then"
        message = "this test expects nothing, so it passes whatever the rules say"
        report.error("test-expects-nothing", fields.key("test"), message, proposal)
    return RuleTestSyntax(
        found.extent,
        name,
        fields.word("date"),
        fields.word("customer"),
        tuple(event for event in events if event is not None),
        fields.mapping("facts"),
        fields.mapping("scores"),
        fields.mapping("catalogue"),
        fields.node("profiling"),
        tuple(each for each in expect if each is not None),
    )


def _test_event(node: Node, report: Report) -> TestEventSyntax | None:
    found = mapping(node, "an event of a test", report)
    if found is None:
        return None
    at = found.get("at")
    others = [entry for entry in found.entries if entry.key.text != "at"]
    if at is None or len(others) != 1:
        message = "an event of a test has at: and one event with its attributes"
        report.error("wrong-shape", found, message, "for example {at: 10:00:00, cart_added: {product_id: p1}}")
        return None
    moment = word(at, "at", report)
    attributes = mapping(others[0].value, f"attributes of {others[0].key.text}", report)
    if moment is None:
        return None
    return TestEventSyntax(found.extent, moment, others[0].key, attributes)


def _expect(node: Node, report: Report) -> ExpectSyntax | None:
    found = mapping(node, "an expectation", report)
    if found is None:
        return None
    fields = Fields(found, "an expectation", _EXPECT_KEYS, report)
    at = fields.word("at", needed=True)
    placement, offer = fields.word("placement"), fields.word("offer")
    if (placement is None) != (offer is None):
        one, other = ("offer", "placement") if placement is None else ("placement", "offer")
        if one in fields and other not in fields:
            report.error("missing-key", fields.key(one), f"an expectation with {one} needs {other}", f"add {other}:")
    if "content" in fields and offer is None:
        report.error(
            "missing-key", fields.key("content"), "content is an offer's: say which", "add placement: and offer:"
        )
    if not any(key in fields for key in ("placement", "offer", "trigger", "no_trigger", "facts")):
        message = "this expectation expects nothing"
        report.error(
            "test-expects-nothing", found, message, "add placement: and offer:, trigger:, no_trigger: or facts:"
        )
    if at is None:
        return None
    return ExpectSyntax(
        found.extent,
        at,
        placement,
        offer,
        fields.word("trigger"),
        fields.word("no_trigger"),
        fields.mapping("facts"),
        fields.text("because") or None,
        fields.mapping("content"),
    )
