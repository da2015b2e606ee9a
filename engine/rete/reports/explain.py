"""Why a condition holds, why not, and how far it is from holding: computed on demand, from the view and the network."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from msgspec.structs import replace

from engine.activation import ConditionReport, RuleReport, ScoreStatus
from engine.language.sentence import required_text, sentence, value_text
from engine.language.tree import (
    Absence,
    All,
    AnyOf,
    Condition,
    FactRef,
    Keyed,
    Not,
    Operator,
    Rule,
    ScoreTest,
    Seen,
    Segment,
    Selection,
    Sequence,
    Test,
)
from engine.rete.agenda import agenda
from engine.rete.alpha.history import selects
from engine.rete.conditions import operators
from engine.rete.conditions.grounding import Bound, Grounding, UnboundError
from engine.rete.conditions.joining import has_names
from engine.rete.conditions.normal_form import leaves_of
from engine.rete.conditions.telling import Fixed, Plan, Told, fixed, tell
from engine.rete.moment import Moment
from engine.rete.reports.distances import distance_of, operand_name
from engine.rete.reports.explain_joined import absence_report, combination_told, keyed_report, sequence_report
from engine.schedule import is_open
from engine.units import rough_duration
from engine.values import EpochMs, Truth, Value

MOST_TEXTS = 50_000
"""Sentences that a network keeps: of 10,000 rules with four conditions each."""

_JUNCTIONS = {All: "all", AnyOf: "any"}
_KINDS = {Seen: "seen", Test: "test", Sequence: "sequence", Absence: "absence", Keyed: "keyed"}


def report(view: Moment, condition: Condition, *, wanted: bool = True) -> ConditionReport:
    """A condition with its truth and actual values; of one that binds names, in one combination.

    Args:
        view: What is looked at.
        condition: Over the view's vocabulary.
        wanted: The truth that would help its rule: False below a `not`. `distance` is how far it is from that.
    """
    if id(condition) in view.compiled.plain:
        return _plainly(view, condition, wanted=wanted).report
    return _told(view, condition, _grounding(view, condition), wanted=wanted)


def _plainly(view: Moment, condition: Condition, *, wanted: bool) -> Told:
    """The condition of a rule in which nothing is bound."""
    leaf = partial(_planned_leaf, view)  # the view does not keep it: a cycle would keep the view
    return tell(view.compiled.plans.of_rule(condition), view.told, leaf, wanted=wanted)


def _told(view: Moment, condition: Condition, grounding: Grounding | None, *, wanted: bool) -> ConditionReport:
    """The report on one combination, with the truth of the whole: what was dropped may have been in another."""
    tree = _report(view, condition, grounding, wanted=wanted)
    truth = tree.truth if grounding is None else view.truth(condition)
    return tree if tree.truth is truth else replace(tree, truth=truth)


def _grounding(view: Moment, condition: Condition) -> Grounding | None:
    """The combination that the report is about; None where nothing has to be joined."""
    if id(condition) in view.compiled.plain or not has_names(condition):
        return None

    def far(bound: Bound) -> int:
        return _leaves_between(_report(view, condition, Grounding(bound, view.catalogue), wanted=True))

    return Grounding(combination_told(view, condition, far), view.catalogue)


def _report(view: Moment, condition: Condition, grounding: Grounding | None, *, wanted: bool) -> ConditionReport:
    if isinstance(condition, Segment):
        part = _report(view, condition.condition, grounding, wanted=wanted)
        return ConditionReport(_text(view, condition), part.truth, "segment", condition.name, parts=(part,))
    if isinstance(condition, Not):
        part = _report(view, condition.part, grounding, wanted=not wanted)
        truth = None if part.truth is None else not part.truth
        return ConditionReport(_text(view, condition), truth, "not", parts=(part,))
    if isinstance(condition, All | AnyOf):
        parts = tuple(_report(view, part, grounding, wanted=wanted) for part in condition.parts)
        text = _text(view, condition)
        return ConditionReport(text, _junction(condition, parts), _JUNCTIONS[type(condition)], parts=parts)
    if grounding is not None and has_names(condition):
        return _bound_leaf(view, condition, grounding, wanted=wanted)
    found = view.reports.get((condition, wanted))
    if found is None:
        assert isinstance(condition, Test | Seen | ScoreTest)
        found = view.reports[condition, wanted] = _leaf(view, condition, _text(view, condition), wanted=wanted)
    return found


def _leaf(view: Moment, leaf: Test | Seen | ScoreTest, text: str, *, wanted: bool) -> ConditionReport:
    if isinstance(leaf, ScoreTest):
        return _score(view, leaf, text, wanted=wanted)
    if isinstance(leaf, Seen):
        return _seen(view, leaf, text, view.truth(leaf), wanted=wanted)
    return _test(view, leaf, leaf, view.value(leaf.subject), text, wanted=wanted)


def _bound_leaf(view: Moment, leaf: Condition, grounding: Grounding, *, wanted: bool) -> ConditionReport:
    """A leaf that may bind names, or use them."""
    text = _text(view, leaf)
    try:
        if isinstance(leaf, Seen):
            seen = grounding.seen(leaf)
            return _seen(view, seen, text, view.truth(seen), wanted=wanted)
        if isinstance(leaf, Test):
            ground = grounding.test(leaf)
            subject = ground.subject
            by_key = isinstance(subject, FactRef) and subject.of is not None
            value = grounding.value(subject) if by_key else view.value(subject)
            return _test(view, leaf, ground, value, text, wanted=wanted)
        if isinstance(leaf, Sequence):
            return sequence_report(view, leaf, text, grounding, wanted=wanted)
        if isinstance(leaf, Absence):
            return absence_report(view, leaf, text, grounding, wanted=wanted)
        if isinstance(leaf, Keyed):
            return keyed_report(view, leaf, text, grounding, wanted=wanted)
    except UnboundError as unbound:
        return _unbound(view, leaf, text, grounding, unbound.name)
    assert isinstance(leaf, ScoreTest)
    return _score(view, leaf, text, wanted=wanted)


def _unbound(view: Moment, leaf: Condition, text: str, grounding: Grounding, name: str) -> ConditionReport:
    """A leaf that looks at a name to which nothing is bound: its own, where no sequence was there to bind it."""
    if isinstance(leaf, Sequence):
        try:
            truth = view.truth(grounding.outside(leaf))
        except UnboundError:
            truth = None
        return ConditionReport(text, truth, "sequence", " > ".join(step.of.event for step in leaf.steps))
    return ConditionReport(text, None, _KINDS[type(leaf)], missing=name)


def _text(view: Moment, condition: Condition) -> str:
    """The sentence of a condition, made once for a network: a thousand rules are explained in one go."""
    texts = view.compiled.texts
    found = texts.get(condition)
    if found is None:
        if len(texts) >= MOST_TEXTS:
            texts.clear()  # drafts come and go
        found = texts[condition] = sentence(condition, view.compiled.program.vocabulary)
    return found


def explain(view: Moment, rule: Rule) -> RuleReport:
    """Why a rule holds or not. What is decisive comes first: what is false, then what is unknown."""
    grounding, compiled = None, view.compiled
    if id(rule.when) in compiled.plain:
        tree, needs, failing = _plainly(view, rule.when, wanted=True)
    else:
        grounding = _grounding(view, rule.when)
        tree = _told(view, rule.when, grounding, wanted=True)
        needs, failing = _leaves_between(tree), tuple(_failing(tree, wanted=True))
    if len(failing) > 1:
        unknown = [leaf for leaf in failing if leaf.truth is None]
        if unknown:
            failing = (*(leaf for leaf in failing if leaf.truth is not None), *unknown)
    held_back = None
    if tree.truth is True:
        if not rule.enabled:
            held_back = agenda.SWITCHED_OFF
        elif not is_open(rule.schedule, view.now):
            held_back = agenda.SCHEDULE
    bound = {} if grounding is None else grounding.bound
    bindings: tuple[tuple[str, Value], ...] = ()
    if bound:
        bindings = tuple(
            sorted((f"{ref.name}.{ref.attribute}", value) for ref, value in bound.items() if value is not None)
        )
    return RuleReport(rule.id, tree.truth, tree, failing, needs == 1, held_back, bindings)


def _planned_leaf(view: Moment, plan: Plan, wanted: bool) -> ConditionReport:
    leaf = plan.condition
    if isinstance(leaf, ScoreTest):
        return _score(view, leaf, plan.text, wanted=wanted)
    assert isinstance(leaf, Test | Seen)
    value = view.planned_value(plan)
    if isinstance(leaf, Seen):
        return _seen(view, leaf, plan.text, view.leaf(leaf, value), wanted=wanted)
    if value is None or not plan.is_steady:
        return _test(view, leaf, leaf, value, plan.text, wanted=wanted, said=plan.fixed)
    plans = view.compiled.plans
    found = plans.steady(plan, value, wanted=wanted)
    if found is None:
        found = _test(view, leaf, leaf, value, plan.text, wanted=wanted, said=plan.fixed)
        plans.keep(plan, value, found, wanted=wanted)
    return found


def moments(view: Moment, condition: Condition) -> Iterator[EpochMs]:
    """The moments at which the clock changes a test of the condition that no rule need have."""
    for leaf in leaves_of(view.form(condition)):
        if isinstance(leaf, Test) and leaf.operator in operators.CLOCKED:
            value: Any = view.value(leaf.subject)
            age: Any = view.fact(leaf.operand.fact) if isinstance(leaf.operand, FactRef) else leaf.operand
            if value is not None and age is not None:
                yield value
                yield value + age


# ------------------------------------------------------------------ leaves


def _test(
    view: Moment,
    test: Test,
    ground: Test,
    value: Value | None,
    text: str,
    *,
    wanted: bool,
    said: Fixed | None = None,
) -> ConditionReport:
    """`test` as it is written, `ground` as it reads for what is bound, `said` what is always said of it."""
    vocabulary = view.compiled.program.vocabulary
    truth = view.leaf(ground, value)
    if said is None:
        operand: Any = ground.operand
        said = fixed(test, vocabulary, test if operand is None else ground)
    kind, missing = said.type, None
    if truth is None:
        missing = said.subject if value is None else operand_name(test.operand)
    return ConditionReport(
        text,
        truth,
        "test",
        said.subject,
        None if value is None else value_text(value, kind, vocabulary),
        said.required,
        None if truth is wanted or truth is None else distance_of(view, ground, value, kind, wanted=wanted),
        missing,
    )


def _seen(view: Moment, seen: Seen, text: str, truth: Truth, *, wanted: bool) -> ConditionReport:
    window = seen.span.window
    latest = _latest(view, seen.of)
    actual = None
    if latest is not None:
        actual = f"{rough_duration(max(0, view.now - latest))} ago"
    elif truth is not None:
        actual = "not seen"
    distance = None
    if truth is False and wanted and latest is not None and window is not None:
        distance = f"seen {actual}, needs {rough_duration(window)}"
    elif truth is False and wanted:
        distance = "not seen yet" if latest is None else f"not seen since {seen.span.since}"
    elif truth is True and not wanted and window is not None and latest is not None:
        distance = f"leaves its window in {rough_duration(latest + window - view.now)}"
    required = "seen" if window is None else f"within {rough_duration(window)}"
    return ConditionReport(
        text, truth, "seen", seen.of.event, actual, required, distance, seen.of.event if truth is None else None
    )


def _score(view: Moment, test: ScoreTest, text: str, *, wanted: bool) -> ConditionReport:
    vocabulary = view.compiled.program.vocabulary
    truth = view.asking.truth(test)
    answer = view.asking.answer(test.score)
    is_there = answer.status is ScoreStatus.OK and answer.value is not None
    actual = f"{answer.value:.3g}" if answer.value is not None and is_there else f"no answer ({answer.status.value})"
    distance = None
    if answer.value is not None and is_there and truth is not None and truth is not wanted:
        limit = test.release if truth and test.release is not None else test.operand
        if isinstance(limit, int | float):
            away = abs(limit - answer.value)
            word = "more" if (test.operator in {Operator.ABOVE, Operator.AT_LEAST}) is wanted else "less"
            distance = f"{away:.3g} {word}" if away else f"{word} than {answer.value:.3g}"
    return ConditionReport(
        text,
        truth,
        "score",
        test.score,
        actual,
        required_text(test, vocabulary),
        distance,
        test.score if truth is None else None,
    )


def _latest(view: Moment, selection: Selection) -> EpochMs | None:
    """When a selected event was last seen, among those retained."""
    if not view.has_kept(selection.event):
        return None
    for event in reversed(view.kept_events()):
        if event.time <= view.now and selects(selection, event, view.fact):
            return event.time
    return None


# ------------------------------------------------------------------ trees


def _junction(condition: All | AnyOf, parts: tuple[ConditionReport, ...]) -> Truth:
    decides = isinstance(condition, AnyOf)
    if any(part.truth is decides for part in parts):
        return decides
    return None if any(part.truth is None for part in parts) else not decides


def _failing(tree: ConditionReport, *, wanted: bool) -> Iterator[ConditionReport]:
    """The leaves that keep the tree from being what is wanted."""
    if tree.truth is wanted:
        return
    if tree.kind == "not":
        yield from _failing(tree.parts[0], wanted=not wanted)
    elif tree.parts:
        for part in tree.parts:
            yield from _failing(part, wanted=wanted)
    else:
        yield tree


def _leaves_between(tree: ConditionReport, *, wanted: bool = True) -> int:
    """How many leaves must at least turn for the tree to be what is wanted."""
    if tree.truth is wanted:
        return 0
    if tree.kind == "not":
        return _leaves_between(tree.parts[0], wanted=not wanted)
    if tree.kind == "segment":
        return _leaves_between(tree.parts[0], wanted=wanted)
    if tree.kind in {"all", "any"}:
        needs = [_leaves_between(part, wanted=wanted) for part in tree.parts]
        if (tree.kind == "all") is wanted:
            return sum(needs)
        return min(needs, default=1_000_000)
    return 1
