"""Why a rule holds or not, said from the whole history: what reports must agree with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from engine.language.sentence import subject_text, subject_type, value_text
from engine.language.tree import All, AnyOf, BoundRef, Condition, FactRef, Not, Rule, ScoreTest, Seen, Segment, Test
from engine.units import rough_duration
from engine.values import Truth
from tests.naive.conditions import binders
from tests.naive.evaluator import Naive
from tests.naive.history import State, both, either


@dataclass(frozen=True)
class Reason:
    """A condition with its truth and what was found. Leaves of kinds without a name here tell their truth only."""

    kind: str
    truth: Truth
    actual: str | None = None
    missing: str | None = None
    parts: tuple[Reason, ...] = ()


def reason(naive: Naive, condition: Condition, state: State, score: Any) -> Reason:
    """A condition, in one combination where it is part of one."""
    truth = naive._plain_truth(condition, state, score)
    match condition:
        case Segment():
            return Reason("segment", truth, parts=(reason(naive, condition.condition, state, score),))
        case Not():
            return Reason("not", truth, parts=(reason(naive, condition.part, state, score),))
        case All() | AnyOf():
            kind = "all" if isinstance(condition, All) else "any"
            return Reason(kind, truth, parts=tuple(reason(naive, part, state, score) for part in condition.parts))
        case Test():
            vocabulary = naive.program.vocabulary
            value = naive.value(condition.subject, state)
            kind_of = subject_type(condition.subject, vocabulary)
            missing = None
            if truth is None:
                missing = subject_text(condition.subject, vocabulary) if value is None else _name(condition.operand)
            return Reason("test", truth, None if value is None else value_text(value, kind_of, vocabulary), missing)
        case Seen() if condition.bind is None:
            seen = [event.time for event in naive.past(state) if naive.selected(condition.of, event, state)]
            return Reason("seen", truth, f"{rough_duration(state.now - seen[-1])} ago" if seen else "not seen")
        case ScoreTest():
            return Reason("score", truth)
    return Reason(type(condition).__name__.lower(), truth)


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
