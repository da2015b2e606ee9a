"""From the conditions of a rule to those that the network runs: what bound names join becomes one subject.

`{all: [{event: viewed, as: seen}, {not: {event: bought, where: {product: $seen.product}}}, {fact: ...}]}` is a test
that the joined conditions are true, and the test of the fact. All that comes after sees quantities and tests on them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from engine.language import bindings
from engine.language.bindings import references, references_in, spine, telling_apart
from engine.language.tree import (
    NOWHERE,
    Absence,
    Aggregate,
    All,
    AnyOf,
    BoundRef,
    Condition,
    FactRef,
    Keyed,
    Not,
    OfferAction,
    Operator,
    Payload,
    Program,
    Rule,
    ScoreTest,
    Seen,
    Segment,
    Selection,
    Sequence,
    Test,
    TriggerAction,
)
from engine.rete.conditions.subjects import Joined, Presence

NAMELESS = ""
"""What an aggregate per key binds its key to where the rule gives it no name."""

MOST_ALTERNATIVES = 64
"""Of a condition in which a score stands beside bound names; each is joined on its own."""


def network_form(condition: Condition, payloads: Iterable[Payload] = ()) -> Condition:
    """The condition as the network runs it.

    Args:
        condition: Of a rule, or any other.
        payloads: What the rule sends and shows: its holes use bound names too.

    Raises:
        ValueError: It uses a name that nothing binds, or has too many alternatives with scores.
    """
    if not has_names(condition):
        return condition
    payloads = tuple(payloads)
    used = {*references(condition), *(ref for payload in payloads for ref in references_in(payload))}
    names = {ref.name for ref in used}
    binders: list[Any] = []
    bound, free = [], []
    for each in spine(condition):
        uses = references(each)
        part = _without_unused(each, uses, names)
        if _names(part):
            binders.append(bare(part))
        elif uses:
            bound.append(part)
        else:
            free.append(part)
    unbound = names.difference(*map(_names, binders)) if binders else names
    if unbound:
        message = f"nothing binds {min(unbound)}"
        raise ValueError(message)
    if not binders:
        return _plain(condition)
    free = [_plain(part) for part in free]
    told_apart = telling_apart(used, bindings.binders(condition))
    open_parts = [part for part in bound if _has_score(part)]
    closed = tuple(bare(part) for part in bound if not _has_score(part))
    made = []
    for leaves in _alternatives(open_parts):
        own = tuple(bare(leaf) for leaf in leaves if references(leaf))
        others = [_plain(leaf) for leaf in leaves if not references(leaf)]
        joined = _holds(Joined(tuple(binders), closed + own, told_apart))
        made.append(All((joined, *free, *others)))
    return made[0] if len(made) == 1 else AnyOf(tuple(made))


def rule_form(rule: Rule, program: Program) -> Condition:
    """The condition of a rule as the network runs it."""
    return network_form(rule.when, payloads_of(rule, program))


def payloads_of(rule: Rule, program: Program) -> tuple[Payload, ...]:
    """All that the rule fills in: what it sends, and the content of the offers that it nominates."""
    found: list[Payload] = []
    for action in rule.actions:
        if isinstance(action, TriggerAction):
            found.append(action.payload)
        elif isinstance(action, OfferAction) and action.offer in program.offers:
            found.append(program.offers[action.offer].content)
    return tuple(found)


def joined_in(condition: Condition) -> Iterator[Joined]:
    """The joined subjects of a condition in its network form, those that bind for the rule."""
    if isinstance(condition, All | AnyOf):
        for part in condition.parts:
            yield from joined_in(part)
    elif isinstance(condition, Test):
        subject: Any = condition.subject
        if isinstance(subject, Joined):
            yield subject


def alternatives(form: Condition) -> tuple[Condition, ...]:
    """The parts of a rule's network form that each bring combinations of their own; the form where there is one such."""
    if not isinstance(form, AnyOf):
        return (form,)
    several = len({joined for joined in joined_in(form) if binds_names(joined)}) > 1
    return form.parts if several else (form,)


def binds_names(joined: Joined) -> bool:
    """Whether a rule tells combinations of it apart."""
    return any(name != NAMELESS for binder in joined.binders for name in _names(binder))


def subject_alone(condition: Keyed | Sequence | Absence) -> Joined:
    """The subject of a condition that binds nothing and uses nothing bound."""
    if isinstance(condition, Absence):
        return Joined((), (bare(condition),), ())
    if isinstance(condition, Sequence):
        steps = tuple(replace(step, bind=None) for step in condition.steps)
        return Joined((bare(replace(condition, steps=steps)),), (), ())
    named = replace(condition, bind=NAMELESS)
    return Joined((bare(named),), (), (BoundRef(NAMELESS, condition.per),))


def read_by(joined: Joined) -> Iterator[Any]:
    """The subjects of other quantities that a joined one looks at; a test `exists` as it is: it may look at more."""
    for part in joined.binders or joined.rest:
        yield from _read_by_leaf(part)
    for part in joined.rest if joined.binders else ():
        yield from _read_by(part)


def stands_apart(condition: Keyed | Sequence | Absence) -> bool:
    """Whether it uses nothing bound: beside conditions that do, it is a quantity of its own that these look at."""
    return not references(condition)


def _read_by(condition: Condition) -> Iterator[Any]:
    if isinstance(condition, All | AnyOf):
        for part in condition.parts:
            yield from _read_by(part)
    elif isinstance(condition, Not):
        yield from _read_by(condition.part)
    elif isinstance(condition, Segment):
        yield from _read_by(condition.condition)
    elif isinstance(condition, Keyed | Sequence | Absence) and stands_apart(condition):
        yield subject_alone(condition)
    else:
        yield from _read_by_leaf(condition)


def _read_by_leaf(condition: Condition) -> Iterator[Any]:
    if isinstance(condition, Seen):
        if condition.bind is None and not references(condition):
            yield Presence(condition.of, condition.span)
        else:
            yield from _read_by_selection(condition.of)
    elif isinstance(condition, Keyed):
        yield from _read_by_selection(condition.aggregate.of)
        if condition.aggregate.minus is not None:
            yield from _read_by_selection(condition.aggregate.minus)
        for _, operand in condition.tests:
            yield from _read_by_operand(operand)
    elif isinstance(condition, Sequence):
        for step in condition.steps:
            yield from _read_by_selection(step.of)
    elif isinstance(condition, Absence):
        yield from _read_by_selection(condition.of)
        yield from _read_by_selection(condition.after)
    elif isinstance(condition, Test):
        subject: Any = condition.subject
        if is_keyed_by_name(subject):
            if isinstance(subject, Aggregate):
                yield from _read_by_selection(subject.of)
                if subject.minus is not None:
                    yield from _read_by_selection(subject.minus)
        else:
            yield condition if condition.operator is Operator.EXISTS else subject
        yield from _read_by_operand(condition.operand)


def is_keyed_by_name(subject: Any) -> bool:
    """Whether the value of a test's subject depends on what is bound."""
    if isinstance(subject, FactRef):
        return subject.of is not None
    return isinstance(subject, Aggregate) and any(
        isinstance(test.operand, BoundRef) or (isinstance(test.operand, FactRef) and test.operand.of is not None)
        for selection in (subject.of, subject.minus)
        if selection is not None
        for test in selection.where
    )


def _read_by_selection(selection: Selection) -> Iterator[FactRef]:
    for test in selection.where:
        yield from _read_by_operand(test.operand)


def _read_by_operand(operand: Any) -> Iterator[FactRef]:
    if isinstance(operand, FactRef) and operand.of is None:
        yield operand


# ------------------------------------------------------------------ trees


def bare(condition: Any) -> Any:
    """A condition without its places and without the names of segments; equal for equal meaning."""
    if isinstance(condition, Segment):
        return bare(condition.condition)
    if isinstance(condition, All | AnyOf):
        return replace(condition, parts=tuple(bare(part) for part in condition.parts), place=NOWHERE)
    if isinstance(condition, Not):
        return Not(bare(condition.part))
    if isinstance(condition, Seen):
        return Seen(condition.of, condition.span, condition.bind)
    if isinstance(condition, Test):
        return Test(condition.subject, condition.operator, condition.operand)
    return replace(condition, place=NOWHERE)


def _holds(joined: Joined) -> Condition:
    return Test(joined, Operator.IS, True)  # type: ignore[arg-type]  # a subject of the network, not of the language


def _plain(condition: Condition) -> Condition:
    """A condition that uses nothing bound; a name that it binds here is of no use to anybody."""
    if isinstance(condition, All | AnyOf):
        return replace(condition, parts=tuple(_plain(part) for part in condition.parts))
    if isinstance(condition, Not):
        return replace(condition, part=_plain(condition.part))
    if isinstance(condition, Segment):
        return replace(condition, condition=_plain(condition.condition))
    if isinstance(condition, Seen):
        return condition if condition.bind is None else replace(condition, bind=None)
    if isinstance(condition, Keyed | Sequence | Absence):
        return _holds(subject_alone(condition))
    return condition


def has_names(condition: Condition) -> bool:
    """Whether anything in it is bound, uses what is bound, or has to be joined; most conditions don't."""
    if isinstance(condition, All | AnyOf):
        return any(has_names(part) for part in condition.parts)
    if isinstance(condition, Not):
        return has_names(condition.part)
    if isinstance(condition, Segment):
        return has_names(condition.condition)
    if isinstance(condition, Seen):
        return condition.bind is not None or bool(references(condition))
    return isinstance(condition, Keyed | Sequence | Absence) or bool(references(condition))


def _names(condition: Condition) -> list[str]:
    if isinstance(condition, Seen | Keyed):
        return [] if condition.bind is None else [condition.bind]
    if isinstance(condition, Sequence):
        return [step.bind for step in condition.steps if step.bind is not None]
    return []


def _without_unused(condition: Condition, uses: Iterable[BoundRef], used: set[str]) -> Condition:
    """A binder on the spine without the names that nothing uses: with none left, it only asks whether there is one.

    One that is tied to others stays what it is: its events have a say in the order of combinations.
    """
    own = _names(condition)
    if not own or any(ref.name not in own for ref in uses):
        return condition
    if isinstance(condition, Seen | Keyed) and condition.bind not in used:
        return replace(condition, bind=None)
    if isinstance(condition, Sequence):
        steps = tuple(step if step.bind in used else replace(step, bind=None) for step in condition.steps)
        return replace(condition, steps=steps)
    return condition


def _has_score(condition: Condition) -> bool:
    if isinstance(condition, All | AnyOf):
        return any(_has_score(part) for part in condition.parts)
    if isinstance(condition, Not):
        return _has_score(condition.part)
    if isinstance(condition, Segment):
        return _has_score(condition.condition)
    return isinstance(condition, ScoreTest)


def _alternatives(conditions: list[Condition]) -> list[list[Condition]]:
    """Multiplied out, so that scores and what is bound stand side by side; a leaf that must be false is a `not`."""
    product: list[list[Condition]] = [[]]
    for condition in conditions:
        product = [left + right for left in product for right in _multiplied(condition, wanted=True)]
        if len(product) > MOST_ALTERNATIVES:
            message = "scores and bound names are mixed in more alternatives than can be looked at"
            raise ValueError(message)
    return product


def _multiplied(condition: Condition, *, wanted: bool) -> list[list[Condition]]:
    if isinstance(condition, Segment):
        return _multiplied(condition.condition, wanted=wanted)
    if isinstance(condition, Not):
        return _multiplied(condition.part, wanted=not wanted)
    if isinstance(condition, All | AnyOf):
        parts = [_multiplied(part, wanted=wanted) for part in condition.parts]
        if isinstance(condition, AnyOf) is wanted:
            return [alternative for part in parts for alternative in part]
        product: list[list[Condition]] = [[]]
        for part in parts:
            product = [left + right for left in product for right in part]
            if len(product) > MOST_ALTERNATIVES:
                break
        return product
    return [[condition if wanted else Not(condition)]]
