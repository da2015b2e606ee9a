"""A generated case as data: a program and what happens, drawn before anything runs, so that parts can be taken away."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import TypeAlias

from engine.event import Event
from engine.language.tree import Program
from engine.values import EpochMs, Value
from tests.generative.words import START
from tests.generative.worlds import World


@dataclass(frozen=True)
class Insert:
    """An event arrives, in order or late."""

    event: Event


@dataclass(frozen=True)
class SetFacts:
    """Profile facts are set at a moment."""

    facts: Mapping[str, Value | None]
    at: EpochMs


@dataclass(frozen=True)
class Advance:
    """The clock passes."""

    to: EpochMs


@dataclass(frozen=True)
class Restore:
    """The session is stored and read."""


@dataclass(frozen=True)
class Reload:
    """Another revision; `is_known`: it knows what came before it."""

    program: Program
    is_known: bool


@dataclass(frozen=True)
class Look:
    """A request at a moment."""

    context: Mapping[str, Value]
    at: EpochMs


Operation: TypeAlias = Insert | SetFacts | Advance | Restore | Reload | Look


@dataclass(frozen=True)
class Story:
    """All of a case.

    Attributes:
        scores: What the models answer is drawn from this.
        catalogue: What the catalogue says is drawn from this; None: nothing.
        wild: A checker would refuse its derived facts.
    """

    program: Program
    scores: int
    catalogue: int | None
    operations: tuple[Operation, ...]
    wild: bool = False


def draw_story(
    random: Random,
    *,
    wild: bool = False,
    plain: bool = False,
    steps: int = 14,
    patterns: frozenset[str] = frozenset(),
) -> Story:
    """Draw a world and so many things that happen in it, each with a look at the session after it."""
    world = World(random, wild, plain, patterns)
    program = world.program()
    scores = random.randrange(1_000)
    catalogue = random.randrange(1_000) if patterns else None
    found: list[Operation] = []
    now, latest = START, program
    for number in range(steps):
        draw = random.random()
        if draw < 0.5:
            time = now
            if world.chance(0.15):
                time -= 500 * random.randrange(1, 12)  # late
            else:
                now = time = now + 500 * world.one((0, 0, 1, 1, 2, 2, 4, 10, 25))
            found.append(Insert(world.event(number, time)))
        elif draw < 0.62:
            now += 500 * world.one((0, 0, 1, 4))
            found.append(SetFacts(world.facts(), now))
        elif draw < 0.74:
            now += 500 * world.one((0, 1, 2, 5, 20, 40))
            found.append(Advance(now))
        elif draw < 0.82:
            found.append(Restore())
        elif draw < 0.88:
            known = world.chance(0.8)
            latest = world.edited(latest)
            found.append(Reload(latest, known))
        context = world.context()
        found.append(Look(context, now + 500 * world.one((0, 0, 1, 3))))
    return Story(program, scores, catalogue, tuple(found), wild)
