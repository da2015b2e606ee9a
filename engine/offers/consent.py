"""Consent: what may still be decided for a person who objects to profiling."""

from __future__ import annotations

from engine.language.tree import (
    Absence,
    Aggregate,
    All,
    AnyOf,
    Condition,
    FactRef,
    FactSource,
    Keyed,
    Not,
    Offer,
    Operand,
    Rule,
    ScoreTest,
    Seen,
    Segment,
    Sequence,
    Test,
    Vocabulary,
)
from engine.offers.content import holes


def uses_only_the_request(vocabulary: Vocabulary, rule: Rule, offer: Offer) -> bool:
    """Whether nothing that is known of the person bears on the candidate."""
    conditions = (rule.when,) if offer.eligible is None else (rule.when, offer.eligible)
    return (
        offer.propensity is None
        and all(_is_of_the_request(vocabulary, condition) for condition in conditions)
        and all(_comes_with_it(vocabulary, name) for name in holes(offer.content))
    )


def _is_of_the_request(vocabulary: Vocabulary, condition: Condition) -> bool:
    match condition:
        case All(parts=parts) | AnyOf(parts=parts):
            return all(_is_of_the_request(vocabulary, part) for part in parts)
        case Not(part=part):
            return _is_of_the_request(vocabulary, part)
        case Segment(condition=named):
            return _is_of_the_request(vocabulary, named)
        case Test(subject=subject, operand=operand):
            return not isinstance(subject, Aggregate) and all(
                _comes_with_it(vocabulary, name) for name in _facts_of(subject, operand)
            )
        case Seen() | ScoreTest() | Keyed() | Sequence() | Absence():
            return False


def _facts_of(subject: FactRef, operand: Operand) -> tuple[str, ...]:
    return (subject.fact, operand.fact) if isinstance(operand, FactRef) else (subject.fact,)


def _comes_with_it(vocabulary: Vocabulary, fact: str) -> bool:
    """What a rule binds (`liked.product_id`) comes from events, and so does the key of a fact of a thing."""
    return fact in vocabulary.facts and vocabulary.facts[fact].source is FactSource.REQUEST
