"""Forced segments: a program in which the shopper counts as one of a segment, or not, whatever is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from engine.language.tree import All, AnyOf, Condition, Not, Program, Segment

ALWAYS = All(())
NEVER = AnyOf(())


def with_segments(program: Program, forced: Mapping[str, bool]) -> Program:
    """The program with these segments true or false wherever they are used; names without a segment change nothing."""
    constants: Mapping[str, Condition] = {name: ALWAYS if holds else NEVER for name, holds in forced.items()}
    return replace(
        program,
        rules=tuple(replace(rule, when=_forced(rule.when, constants)) for rule in program.rules),
        offers={
            name: offer if offer.eligible is None else replace(offer, eligible=_forced(offer.eligible, constants))
            for name, offer in program.offers.items()
        },
        segments={
            name: constants.get(name) or _forced(condition, constants) for name, condition in program.segments.items()
        },
    )


def _forced(condition: Condition, constants: Mapping[str, Condition]) -> Condition:
    match condition:
        case All(parts=parts) | AnyOf(parts=parts):
            return replace(condition, parts=tuple(_forced(part, constants) for part in parts))
        case Not(part=part):
            return replace(condition, part=_forced(part, constants))
        case Segment(name=name, condition=named):
            return replace(condition, condition=constants.get(name) or _forced(named, constants))
        case _:
            return condition
