"""Why a rule holds or not, said from the whole history: what reports must agree with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from engine.activation import ScoreStatus
from engine.language.sentence import required_text, subject_text, subject_type, value_text
from engine.language.tree import (
    Absence,
    All,
    AnyOf,
    BoundRef,
    Condition,
    FactRef,
    Not,
    Rule,
    ScoreTest,
    Seen,
    Segment,
    Sequence,
    Test,
)
from engine.units import rough_duration
from engine.values import Truth
from tests.naive import distances
from tests.naive.conditions import binders, names_of
from tests.naive.evaluator import Naive
from tests.naive.history import State, both, either


@dataclass(frozen=True)
class Reason:
    """A condition with its truth and what was found. Leaves without `required` tell their truth only."""

    kind: str
    truth: Truth
    actual: str | None = None
    missing: str | None = None
    parts: tuple[Reason, ...] = ()
    required: str | None = None
    distance: str | None = None


def reason(naive: Naive, condition: Condition, state: State, score: Any, *, wanted: bool = True) -> Reason:
    """A condition, in one combination where it is part of one, and how far it is from what is wanted."""
    truth = naive._plain_truth(condition, state, score)
    match condition:
        case Segment():
            return Reason("segment", truth, parts=(reason(naive, condition.condition, state, score, wanted=wanted),))
        case Not():
            return Reason("not", truth, parts=(reason(naive, condition.part, state, score, wanted=not wanted),))
        case All() | AnyOf():
            kind = "all" if isinstance(condition, All) else "any"
            parts = tuple(reason(naive, part, state, score, wanted=wanted) for part in condition.parts)
            return Reason(kind, truth, parts=parts)
        case Test():
            return _test(naive, condition, truth, state, wanted=wanted)
        case Seen() if condition.bind is None:
            seen = [event.time for event in naive.past(state) if naive.selected(condition.of, event, state)]
            actual = f"{rough_duration(state.now - seen[-1])} ago" if seen else "not seen"
            required, distance = distances.of_seen(naive, condition, state, truth, wanted=wanted)
            return Reason("seen", truth, actual, None, (), required, distance)
        case ScoreTest():
            answer = naive.answers[condition.score]
            value = answer.value if answer.status is ScoreStatus.OK else None
            actual = f"no answer ({answer.status.value})" if value is None else f"{value:.3g}"
            distance = distances.of_score(condition, value, truth, wanted=wanted)
            missing = condition.score if truth is None else None
            required = required_text(condition, naive.program.vocabulary)
            return Reason("score", truth, actual, missing, (), required, distance)
        case Absence():
            actual, required, distance = distances.of_absence(naive, condition, state, truth, wanted=wanted)
            return Reason("absence", truth, actual, None, (), required, distance)
        case Sequence() if not names_of(condition):
            actual, required, distance = distances.of_sequence(naive, condition, state, truth, wanted=wanted)
            return Reason("sequence", truth, actual, None, (), required, distance)
    return Reason(type(condition).__name__.lower(), truth)


def _test(naive: Naive, test: Test, truth: Truth, state: State, *, wanted: bool) -> Reason:
    vocabulary = naive.program.vocabulary
    value = naive.value(test.subject, state)
    kind = subject_type(test.subject, vocabulary)
    missing = None
    if truth is None:
        missing = subject_text(test.subject, vocabulary) if value is None else _name(test.operand)
    actual = None if value is None else value_text(value, kind, vocabulary)
    required = distances.required_of(naive, test, state)
    distance = distances.of_test(naive, test, value, state, kind, wanted=wanted)
    return Reason("test", truth, actual, missing, (), required, distance)


def _name(operand: Any) -> str | None:
    if isinstance(operand, BoundRef):
        return f"{operand.name}.{operand.attribute}"
    return operand.fact if isinstance(operand, FactRef) else None


def reasons(naive: Naive, rule: Rule, state: State, score: Any) -> Reason | None:
    """The condition of a rule: where it binds names and holds, in its first combination; None where none holds."""
    if not binders(rule.when):
        return reason(naive, rule.when, state, score)
    for each in naive._standing(rule, state, score).values():
        return reason(naive, rule.when, each, score)
    return None


def failing(tree: Reason, wanted: Truth = True) -> Iterator[Reason]:
    """The leaves that are not as they would have to be."""
    if tree.truth is wanted:
        return
    if not tree.parts and tree.kind not in {"all", "any"}:
        yield tree
    for part in tree.parts:
        yield from failing(part, (not wanted) if tree.kind == "not" else wanted)


def is_near_miss(tree: Reason) -> bool:
    """Whether one leaf alone, if it were otherwise, would make it true: every leaf is tried."""
    return tree.truth is not True and any(_again(other).truth is True for other in _with_one_turned(tree))


def _with_one_turned(tree: Reason) -> Iterator[Reason]:
    if tree.kind not in {"all", "any", "not", "segment"}:
        yield from (replace(tree, truth=truth) for truth in (True, False) if truth is not tree.truth)
    for at, part in enumerate(tree.parts):
        for turned in _with_one_turned(part):
            yield replace(tree, parts=(*tree.parts[:at], turned, *tree.parts[at + 1 :]))


def _again(tree: Reason) -> Reason:
    """With the truths of its junctions made anew."""
    parts = tuple(map(_again, tree.parts))
    truths = [part.truth for part in parts]
    match tree.kind:
        case "all":
            return replace(tree, truth=both(truths), parts=parts)
        case "any":
            return replace(tree, truth=either(truths), parts=parts)
        case "not":
            return replace(tree, truth=None if truths[0] is None else not truths[0], parts=parts)
        case "segment":
            return replace(tree, truth=truths[0], parts=parts)
    return tree
