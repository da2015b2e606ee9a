"""The combinations for which a rule holds, in order of their first events, with all that is bound."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from engine.activation import NOTHING_BOUND, Combination
from engine.rete.agenda.production import Production
from engine.rete.beta.pattern import PatternState, Token
from engine.rete.beta.selector import Look
from engine.rete.compilation import Compiled
from engine.rete.conditions.normal_form import Conjunct
from engine.rete.conditions.truth import ScoreTruth, Values
from engine.values import EpochMs


def true_tokens(
    production: Production,
    states: Mapping[int, PatternState],
    values: Values,
    now: EpochMs,
    score: ScoreTruth | None,
) -> dict[Token, list[int]]:
    """What tells the combinations of a rule that holds apart, with the patterns that have each."""
    found: dict[Token, list[int]] = {}
    for index in _holding(production, values, now, score):
        state = states.get(index)
        if state is not None:
            for token, truth in state.tokens.items():
                if truth is True:
                    found.setdefault(token, []).append(index)
    return found


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


def _holding(production: Production, values: Values, now: EpochMs, score: ScoreTruth | None) -> list[int]:
    """The patterns in the alternatives of the rule that hold: each of their combinations is one of the rule's."""
    if len(production.patterns) == 1:
        return list(production.patterns)
    return [
        index
        for index in production.patterns
        if any(_is_of(conjunct, index, values, now, score) for conjunct in production.conjuncts)
    ]


def _is_of(conjunct: Conjunct, index: int, values: Values, now: EpochMs, score: ScoreTruth | None) -> bool:
    if conjunct.whole is not None:
        return True
    return (
        any(literal.index == index for literal in conjunct.literals)
        and all(literal.holds(values, now) for literal in conjunct.literals)
        and all(score is not None and score(test) is wanted for test, wanted in conjunct.scores)
    )
