"""Why a rule holds or not, said from the whole history: what reports must agree with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from engine.activation import ScoreStatus
from engine.language.sentence import required_text, subject_text, subject_type, value_text
from engine.language.tree import (
    Absence,
    All,
    AnyOf,
    BoundRef,
    Condition,
    Keyed,
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
from tests.naive.conditions import Binder, names_of, references
from tests.naive.evaluator import Bindings, Naive
from tests.naive.history import State, both, either
from tests.naive.parts import Parts
from tests.naive.told import Reason, Told


def reason(
    naive: Naive,
    condition: Condition,
    state: State,
    score: Any,
    used: frozenset[BoundRef] = frozenset(),
    *,
    wanted: bool = True,
) -> Reason:
    """A condition, in one combination where it is part of one, and how far it is from what is wanted.

    Args:
        naive: Its history.
        condition: Of a rule, or any other.
        state: With the names bound as in the combination.
        score: The truth of score tests.
        used: What the rule uses of its names.
        wanted: The truth that would help.
    """
    truth = naive._plain_truth(condition, state, score)
    match condition:
        case Segment():
            return Reason(
                "segment", truth, parts=(reason(naive, condition.condition, state, score, used, wanted=wanted),)
            )
        case Not():
            return Reason("not", truth, parts=(reason(naive, condition.part, state, score, used, wanted=not wanted),))
        case All() | AnyOf():
            kind = "all" if isinstance(condition, All) else "any"
            parts = tuple(reason(naive, part, state, score, used, wanted=wanted) for part in condition.parts)
            return Reason(kind, truth, parts=parts)
    if _is_open(condition, state):
        return Reason("open", truth, is_open=True)
    told = Told(naive, state, used)
    match condition:
        case Test():
            return _test(naive, condition, truth, state, wanted=wanted)
        case Seen():
            return _seen(told, condition, truth, wanted=wanted)
        case ScoreTest():
            answer = naive.answers[condition.score]
            value = answer.value if answer.status is ScoreStatus.OK else None
            actual = f"no answer ({answer.status.value})" if value is None else f"{value:.3g}"
            distance = distances.of_score(condition, value, truth, wanted=wanted)
            missing = condition.score if truth is None else None
            required = required_text(condition, naive.program.vocabulary)
            return Reason("score", truth, actual, missing, (), required, distance)
        case Absence():
            found, required, distance, held = distances.of_absence(naive, condition, state, truth, wanted=wanted)
            return Reason("absence", truth, found, None, (), required, distance, held)
        case Sequence():
            found, required, distance, held = distances.of_sequence(told, condition, truth, wanted=wanted)
            return Reason("sequence", truth, found, None, (), required, distance, held)
        case Keyed():
            of_key, required, distance, held, missing = distances.of_keyed(told, condition, truth, wanted=wanted)
            return Reason("keyed", truth, of_key, missing, (), required, distance, held)
    raise AssertionError(condition)


def _is_open(leaf: Any, state: State) -> bool:
    """Whether it needs a name, its own or another's, to which nothing is bound."""
    used = {each.name for each in references(leaf)}
    return not used.union(names_of(leaf) if isinstance(leaf, Binder) else ()) <= set(state.bound)


def _seen(told: Told, seen: Seen, truth: Truth, *, wanted: bool) -> Reason:
    times = [event.time for event in told.past() if told.matches(seen.of, seen.bind, event)]
    actual = f"{rough_duration(told.state.now - times[-1])} ago" if times else "not seen"
    required, distance = distances.of_seen(seen, times, told.state.now, truth, wanted=wanted)
    return Reason("seen", truth, actual, None, (), required, distance)


def _test(naive: Naive, test: Test, truth: Truth, state: State, *, wanted: bool) -> Reason:
    vocabulary = naive.program.vocabulary
    value = naive.value(test.subject, state)
    kind = subject_type(test.subject, vocabulary)
    missing = None
    if truth is None:
        missing = subject_text(test.subject, vocabulary) if value is None else distances.name_of(test.operand)
    actual = None if value is None else value_text(value, kind, vocabulary)
    required = distances.required_of(naive, test, state)
    distance = distances.of_test(naive, test, value, state, kind, wanted=wanted)
    return Reason("test", truth, actual, missing, (), required, distance)


# -------------------------------------------------------------------- the combination that is told


def told_of(naive: Naive, rule: Rule, bindings: Bindings, state: State, score: Any) -> tuple[Reason, bool]:
    """The reasons of a rule in the combination with these bindings, and whether that is the one to be told.

    To be told is the first that holds as far as names go, else the first that is unknown so, else one of the first that comes
    nearest: what stands apart from the names is the same in each.
    """
    parts = naive.parts[id(rule)]
    if not parts.binders:
        return reason(naive, rule.when, state, score, parts.used), bindings == ()
    every = naive.combinations(parts.binders, state)
    own = [each for each in every if _is_told(naive, rule, each, bindings)]
    if not own:
        return reason(naive, rule.when, state, score, parts.used), not every
    tree = reason(naive, rule.when, own[0], score, parts.used)
    if parts.scores:
        return tree, True  # which combinations are open is not said of those
    for wanted in (True, None):
        first = next((each for each in every if _together(naive, parts, each, score) is wanted), None)
        if first is not None:
            return tree, _told_of(naive, rule, first) == _told_of(naive, rule, own[0])
    firsts: dict[Bindings, State] = {}
    for each in every:
        firsts.setdefault(_told_of(naive, rule, each), each)
    nearest = min(away(reason(naive, rule.when, each, score, parts.used)) for each in [*firsts.values()][:MOST])
    return tree, len(every) > MOST**2 or away(tree) == nearest


def _together(naive: Naive, parts: Parts, state: State, score: Any) -> Truth:
    return both(naive._plain_truth(part, state, score) for part in parts.together)


MOST = 6
"""Combinations that don't hold among which the nearest is told."""


def _told_of(naive: Naive, rule: Rule, state: State) -> Bindings:
    found = [(f"{ref.name}.{ref.attribute}", naive.operand(ref, state)) for ref in naive.parts[id(rule)].used]
    return tuple(sorted((name, value) for name, value in found if value is not None))


def _is_told(naive: Naive, rule: Rule, state: State, bindings: Bindings) -> bool:
    known = {f"{name}.{each}": value for name, bound in state.bound.items() for each, value in bound.items()}
    identity = {name for name, _ in naive.parts[id(rule)].identity if name in known}
    told = dict(bindings)
    return identity <= told.keys() and all(known.get(name) == value for name, value in told.items())


def away(tree: Reason, *, wanted: bool = True) -> int:
    """How many leaves would have to be otherwise."""
    if tree.truth is wanted:
        return 0
    if tree.kind == "not":
        return away(tree.parts[0], wanted=not wanted)
    if tree.kind not in {"all", "any", "segment"}:
        return 1
    needs = [away(part, wanted=wanted) for part in tree.parts]
    return min(needs, default=1_000_000) if (tree.kind == "any") is wanted and tree.kind != "segment" else sum(needs)


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
