"""The tests put to the test: what they would notice, and what they would let pass.

Each rule is switched off, freed of its schedule and of its limits, and each of its conditions left out, one change at a
time; a change that no test notices could be made by mistake. A test that notices no change passes whatever the rules
say. (DeMillo, Lipton and Sayward 1978: mutation analysis.)
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace

import msgspec

from engine.language.bindings import references, references_in
from engine.language.sentence import sentence
from engine.language.tree import (
    All,
    AnyOf,
    Condition,
    Keyed,
    Not,
    OfferAction,
    Place,
    Program,
    Rule,
    RuleTest,
    Seen,
    Sequence,
    TriggerAction,
)
from engine.rete import Network
from engine.testing.run import run_test

_TOP = 1_000_000_000
"""A priority above all that people write."""


class WeakTest(msgspec.Struct, frozen=True):
    """A test that passes whatever its ruleset says."""

    test: str
    ruleset: str
    file: str
    line: int
    message: str


class Unnoticed(msgspec.Struct, frozen=True):
    """A change to a rule that no test notices."""

    rule: str
    file: str
    line: int
    message: str


class Examination(msgspec.Struct, frozen=True):
    """How much the tests of a bundle notice.

    Attributes:
        changes: How many changes to rules were tried.
        unnoticed: Those that no test noticed, in order of acting.
        weak: Tests that notice no change to their ruleset, in order.
    """

    changes: int
    unnoticed: tuple[Unnoticed, ...]
    weak: tuple[WeakTest, ...]


def weak_tests(program: Program) -> tuple[WeakTest, ...]:
    """The tests that pass whatever the rules of their ruleset say."""
    return examine(program).weak


def examine(program: Program) -> Examination:
    """Change the rules, one thing at a time, and see which tests notice.

    Tests that fail as things are, are not looked at. Costs one network for each change, and runs of the tests until one
    notices.
    """
    network = Network.build(program)
    passing = [test for test in program.tests if run_test(program, network, test).passed]
    unproven = {id(test) for test in passing}
    unnoticed: list[Unnoticed] = []
    tried = 0
    for number, rule in enumerate(program.rules):
        own = [test for test in passing if test.ruleset == rule.ruleset]
        others = [test for test in passing if test.ruleset != rule.ruleset]
        for change in _changes(rule, program):
            rules = (*program.rules[:number], change.rule, *program.rules[number + 1 :])
            mutant = replace(program, rules=tuple(sorted(rules, key=lambda each: each.order)))
            noticed = _noticing(mutant, network, own, others, unproven)
            unproven -= noticed
            if change.counts:
                tried += 1
                if not noticed:
                    unnoticed.append(_unnoticed(rule, change))
    weak = tuple(_weak(test) for test in passing if id(test) in unproven)
    return Examination(tried, tuple(unnoticed), weak)


@dataclass(frozen=True, slots=True)
class _Change:
    """A rule as it is not meant to be.

    Attributes:
        text: What was done to it.
        counts: False where no test need notice: it shows only whether a test is weak.
    """

    rule: Rule
    text: str
    place: Place
    counts: bool = True


def _noticing(
    mutant: Program, unchanged: Network, own: Collection[RuleTest], others: Iterable[RuleTest], unproven: set[int]
) -> set[int]:
    """All unproven tests of the ruleset that notice, else the first other one that does."""
    network = Network.build(mutant, previous=unchanged)
    noticed = {id(test) for test in own if id(test) in unproven and not run_test(mutant, network, test).passed}
    if noticed:
        return noticed
    known = (test for test in (*own, *others) if id(test) not in unproven)
    first = next((id(test) for test in known if not run_test(mutant, network, test).passed), None)
    return set() if first is None else {first}


def _changes(rule: Rule, program: Program) -> Iterator[_Change]:
    off = replace(rule, enabled=False, digest=f"{rule.digest}-off")
    yield _Change(off, "it is switched off", rule.place)
    used = _names_used(rule, program)
    for number, (leaf, rest) in enumerate(_without_one(rule.when, used)):
        changed = replace(rule, when=All(()) if rest is None else rest, digest=f"{rule.digest}-{number}")
        yield _Change(
            changed, f"it does not look whether {sentence(leaf, program.vocabulary)}", rule.located(leaf.place)
        )
    if rule.schedule is not None:
        changed = replace(rule, schedule=None, digest=f"{rule.digest}-schedule")
        yield _Change(changed, "it has no schedule", rule.place)
    if rule.limits or rule.budget is not None:
        changed = replace(rule, limits=(), budget=None, digest=f"{rule.digest}-limits")
        yield _Change(changed, "it has no limits", rule.place)
    first = replace(rule, priority=_TOP, order=(-_TOP, *rule.order[1:]), digest=f"{rule.digest}-first")
    yield _Change(first, "it comes before all others", rule.place, counts=False)


def _names_used(rule: Rule, program: Program) -> frozenset[str]:
    """The bound names that the rule can't do without."""
    contents = [program.offers[each.offer].content for each in rule.actions if isinstance(each, OfferAction)]
    payloads = [each.payload for each in rule.actions if isinstance(each, TriggerAction)]
    in_texts = (ref for payload in (*contents, *payloads) for ref in references_in(payload))
    return frozenset(ref.name for ref in (*references(rule.when), *in_texts))


def _without_one(condition: Condition, used: frozenset[str]) -> Iterator[tuple[Condition, Condition | None]]:
    """Each leaf, with the condition that remains without it; None where nothing does.

    What binds a name that is used stays: of an aggregate its tests are left out, of a sequence one step after the other.
    """
    match condition:
        case All(parts=parts) | AnyOf(parts=parts):
            for index, part in enumerate(parts):
                for leaf, rest in _without_one(part, used):
                    kept = (*parts[:index], *(() if rest is None else (rest,)), *parts[index + 1 :])
                    yield leaf, replace(condition, parts=kept) if kept else None
        case Not(part=part):
            for leaf, rest in _without_one(part, used):
                yield leaf, None if rest is None else replace(condition, part=rest)
        case Keyed(bind=str(name)) if name in used:
            yield condition, replace(condition, tests=())
        case Seen(bind=str(name)) if name in used:
            return
        case Sequence(steps=steps) if any(step.bind in used for step in steps):
            for index, step in enumerate(steps):
                if step.bind not in used and len(steps) > 2:
                    rest = replace(condition, steps=(*steps[:index], *steps[index + 1 :]))
                    yield Seen(step.of, condition.span, place=condition.place), rest
        case _:
            yield condition, None


def _weak(test: RuleTest) -> WeakTest:
    message = (
        f"'{test.name}' passes whatever the rules of {test.ruleset} say; expect something that one of their conditions "
        "decides"
    )
    return WeakTest(test.name, test.ruleset, test.place.file, test.place.line, message)


def _unnoticed(rule: Rule, change: _Change) -> Unnoticed:
    place = change.place if change.place.file else rule.place
    return Unnoticed(
        rule.id, place.file, place.line, f"no test notices when {rule.name} is changed so that {change.text}"
    )
