"""Weak tests: those that pass whatever the rules beside them say; and rules that no test beside them misses.

A test is worth what it notices. Each rule of its ruleset is switched off, freed of its schedule and of its limits, put
above all others, and each of its conditions left out, one at a time; a test that passes under all of these changes does
not test any of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import msgspec

from engine.language.tree import All, AnyOf, Condition, Not, Program, Rule, RuleTest
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


class UntestedRule(msgspec.Struct, frozen=True):
    """A rule that no test of its ruleset misses when it is switched off."""

    rule: str
    file: str
    line: int
    message: str


def untested_rules(program: Program) -> tuple[UntestedRule, ...]:
    """Find the rules without which all tests of their ruleset still pass, in order of acting."""
    found = []
    for number, rule in enumerate(program.rules):
        off = replace(rule, enabled=False, digest=f"{rule.digest}-off")
        without = replace(program, rules=(*program.rules[:number], off, *program.rules[number + 1 :]))
        network = Network.build(without)
        tests = (test for test in program.tests if test.ruleset == rule.ruleset)
        if all(run_test(without, network, test).passed for test in tests):
            message = f"no test of {rule.ruleset} notices when {rule.name} is switched off; expect what it brings about"
            found.append(UntestedRule(rule.id, rule.place.file, rule.place.line, message))
    return tuple(found)


def weak_tests(program: Program) -> tuple[WeakTest, ...]:
    """Find the tests that pass whatever the rules of their ruleset say, in order of the tests.

    Tests that fail as things are, are not looked at. Costs one network for each condition of a rule until its tests
    have all noticed something.
    """
    network = Network.build(program)
    unproven = [test for test in program.tests if run_test(program, network, test).passed]
    rulesets = {test.ruleset for test in unproven}
    for number, rule in enumerate(program.rules):
        if rule.ruleset not in rulesets:
            continue
        for changed in _changes(rule):
            looking = [test for test in unproven if test.ruleset == rule.ruleset]
            if not looking:
                break
            rules = (*program.rules[:number], changed, *program.rules[number + 1 :])
            mutant = replace(program, rules=tuple(sorted(rules, key=lambda each: each.order)))
            built = Network.build(mutant)
            noticed = {id(test) for test in looking if not run_test(mutant, built, test).passed}
            unproven = [test for test in unproven if id(test) not in noticed]
    return tuple(_weak(test) for test in unproven)


def _weak(test: RuleTest) -> WeakTest:
    message = (
        f"'{test.name}' passes whatever the rules of {test.ruleset} say; expect something that one of their conditions "
        "decides"
    )
    return WeakTest(test.name, test.ruleset, test.place.file, test.place.line, message)


def _changes(rule: Rule) -> Iterator[Rule]:
    """The rule switched off; without its schedule; without its limits; above all others; without each condition."""
    changes: list[Mapping[str, Any]] = [{"enabled": False}]
    changes += ({"when": condition} for condition in _without_one(rule.when))
    if rule.schedule is not None:
        changes.append({"schedule": None})
    if rule.limits or rule.budget is not None:
        changes.append({"limits": (), "budget": None})
    changes.append({"priority": _TOP, "order": (-_TOP, *rule.order[1:])})
    for number, change in enumerate(changes):
        yield replace(rule, **change, digest=f"{rule.digest}-{number}")


def _without_one(condition: Condition) -> Iterator[Condition]:
    """The condition with one leaf left out, for each leaf; a rule that has but one holds always."""
    for rest in _remainders(condition):
        yield All(()) if rest is None else rest


def _remainders(condition: Condition) -> Iterator[Condition | None]:
    match condition:
        case All(parts=parts) | AnyOf(parts=parts):
            for index, part in enumerate(parts):
                for rest in _remainders(part):
                    kept = (*parts[:index], *(() if rest is None else (rest,)), *parts[index + 1 :])
                    yield replace(condition, parts=kept) if kept else None
        case Not(part=part):
            for rest in _remainders(part):
                yield None if rest is None else replace(condition, part=rest)
        case _:
            yield None
