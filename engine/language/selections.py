"""The selections of events in a condition, and the facts that their `where` compares with."""

from __future__ import annotations

from collections.abc import Iterator

from engine.language.tree import (
    Absence,
    Aggregate,
    All,
    AnyOf,
    Condition,
    FactRef,
    Keyed,
    Not,
    ScoreTest,
    Seen,
    Segment,
    Selection,
    Sequence,
    Test,
)


def selections_in(condition: Condition) -> Iterator[Selection]:
    """All of them, in the order in which they are written, those of segments too."""
    match condition:
        case All() | AnyOf():
            for part in condition.parts:
                yield from selections_in(part)
        case Not():
            yield from selections_in(condition.part)
        case Segment():
            yield from selections_in(condition.condition)
        case Seen():
            yield condition.of
        case Sequence():
            for step in condition.steps:
                yield step.of
        case Absence():
            yield from (condition.of, condition.after)
        case Keyed():
            yield from selections_of(condition.aggregate)
        case Test():
            if isinstance(condition.subject, Aggregate):
                yield from selections_of(condition.subject)
        case ScoreTest():
            pass


def selections_of(aggregate: Aggregate) -> Iterator[Selection]:
    """What an aggregate is over, and what is subtracted."""
    yield aggregate.of
    if aggregate.minus is not None:
        yield aggregate.minus


def compared_in(condition: Condition) -> Iterator[FactRef]:
    """The facts with which a `where` of the condition compares."""
    for selection in selections_in(condition):
        for test in selection.where:
            if isinstance(test.operand, FactRef):
                yield test.operand
