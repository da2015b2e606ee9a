"""The combinations for which a rule holds, in order of their first events, with all that is bound."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from engine.activation import NOTHING_BOUND, Combination
from engine.rete.agenda.production import Production, alternative_holds
from engine.rete.beta.selector import Look
from engine.rete.compilation import Compiled
from engine.rete.conditions.normal_form import Conjunct
from engine.rete.conditions.truth import ScoreTruth, Values
from engine.rete.memory.joins import PatternState, Token
from engine.values import EpochMs


def true_tokens(
    production: Production,
    states: Mapping[int, PatternState],
    values: Values,
    now: EpochMs,
    score: ScoreTruth | None,
) -> dict[Token, list[int]]:
    """What tells the combinations of a rule that holds apart, with the patterns that have each.

    A score is asked only where it decides: for combinations that no alternative before brings.
    """
    found: dict[Token, list[int]] = {}
    if len(production.patterns) == 1:
        _add(found, production.patterns[0], _true_in(states.get(production.patterns[0])))
        return found
    brought: set[int] = set()
    for alternative in (*production.cheap, *production.asking):
        index = _pattern_of(alternative, production.patterns)
        if index in brought:
            continue
        tokens = _true_in(states.get(index))
        if alternative in production.asking:  # few, and told apart by identity
            tokens = [token for token in tokens if token not in found]
        if tokens and alternative_holds(alternative, values, now, score):
            brought.add(index)
            _add(found, index, tokens)
    return found


def _true_in(state: PatternState | None) -> list[Token]:
    return [] if state is None else [token for token, truth in state.tokens.items() if truth is True]


def _add(found: dict[Token, list[int]], index: int, tokens: Iterable[Token]) -> None:
    for token in tokens:
        found.setdefault(token, []).append(index)


def combinations(
    compiled: Compiled,
    production: Production,
    states: Mapping[int, PatternState],
    values: Values,
    look: Look,
    tokens: Collection[Token] | None = None,
    score: ScoreTruth | None = None,
) -> list[Combination]:
    """The combinations for which a rule holds.

    Args:
        compiled: The network.
        production: It holds.
        states: Of the patterns, at the moment of the look.
        values: Of the quantities, likewise.
        look: Finds the events of a combination.
        tokens: Only these of them.
        score: The truth of its scores.
    """
    if not production.patterns:
        return [NOTHING_BOUND]
    made: list[tuple[Any, Combination]] = []
    for token, patterns in true_tokens(production, states, values, look.now, score).items():
        if tokens is not None and token not in tokens:
            continue
        firsts = []
        for index in patterns:
            look.dropped, look.lost = states[index].dropped, states[index].lost
            first = compiled.patterns[index].first(look, token)
            if first is not None:
                firsts.append(first)
        if firsts:
            order, bound = min(firsts, key=_order)
            identity = compiled.patterns[patterns[0]].identity
            bindings = tuple(
                (f"{ref.name}.{ref.attribute}", value)
                for ref, value in zip(identity, token, strict=True)
                if value is not None
            )
            known = {name: value for name, value in bound.items() if value is not None}
            made.append((order, Combination(bindings, known, production.types, look.catalogue)))
    made.sort(key=_order)
    return [combination for _, combination in made]


def _order(found: tuple[Any, object]) -> Any:
    return found[0]


def _pattern_of(conjunct: Conjunct, patterns: Collection[int]) -> int:
    """The pattern whose combinations an alternative of a rule with several brings: each has one."""
    literals = conjunct.literals if conjunct.whole is None else conjunct.whole.literals
    return next(literal.index for literal in literals if literal.index in patterns)
