"""A generated case as data: a program and what happens, drawn before anything runs, so that parts can be taken away."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import cycle
from random import Random
from typing import TypeAlias

from engine.event import Event
from engine.language.tree import Program
from engine.values import EpochMs, Kind, Value
from tests.generative.answers import AT_LIMITS
from tests.generative.words import SAMPLES, START, WINDOWS
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
    return _draw_history(world, program, (), steps, looks=1.0)


def draw_bounded_story(random: Random, keep_events: int, steps: int, *, patterns: frozenset[str]) -> Story:
    """Draw a world whose sessions keep few events, and so many of them, some late, with a look after each and reloads."""
    world = World(random, patterns=patterns)
    first = program = world.program(keep_events)
    things = random.randrange(1_000) if patterns else None
    found: list[Operation] = []
    now = START
    for number in range(steps):
        late = world.chance(0.15)
        now += 0 if late else 500 * world.one((0, 0, 1, 1, 2, 4, 10))
        found.append(Insert(world.event(number, now - 500 * random.randrange(1, 12) if late else now)))
        if world.chance(0.1):
            program = world.edited(program)
            found.append(Reload(program, is_known=True))
        found.append(Look({}, now))
    return Story(first, 1, things, tuple(found))


def _draw_history(
    world: World,
    program: Program,
    revisions: tuple[Program, ...],
    steps: int,
    looks: float,
    edges: float = 0.0,
    *,
    is_chain: bool = False,
) -> Story:
    """What happens with a ruleset; a reload brings one of the other revisions, or one that is drawn for it.

    Args:
        world: Draws it.
        program: The first revision.
        revisions: All of them; empty where a reload edits the latest.
        steps: So many things happen.
        looks: Share of them after which the session is looked at.
        edges: Share of them that happen when something leaves a window, becomes old enough, or at the time of another.
        is_chain: The revisions follow one another, none or some after each thing that happens.
    """
    random = world.random
    times = [time for time in SAMPLES[Kind.TIMESTAMP] if isinstance(time, int)]

    def then(usually: int) -> int:
        """A moment from now on: often one at which time changes something, or just before it."""
        if edges and world.chance(edges):
            edge: int = world.one(times) + world.one(WINDOWS) - world.one((0, 0, 0, 1))
            if edge >= now:
                return edge
        return usually

    def late(usually: int) -> int:
        """A moment before: often that of another event, or one that leaves a window now."""
        if edges and world.chance(edges):
            before = [time for time in times if time <= now]
            time: int = world.one(before) if before and world.chance(0.5) else now - world.one(WINDOWS)
            return time
        return usually

    scores = random.randrange(1_000) + (AT_LIMITS if edges else 0)
    catalogue = random.randrange(1_000) if world.patterns else None
    found: list[Operation] = []
    now, latest = START, program
    following = cycle((*revisions[1:], program)) if is_chain else None
    for number in range(steps):
        draw = random.random()
        if draw < 0.5:
            time = now
            if world.chance(0.15):
                time = late(now - 500 * random.randrange(1, 12))
            else:
                now = time = then(now + 500 * world.one((0, 0, 1, 1, 2, 2, 4, 10, 25)))
            times.append(time)
            found.append(Insert(world.event(number, time)))
        elif draw < 0.62:
            now = then(now + 500 * world.one((0, 0, 1, 4)))
            found.append(SetFacts(world.facts(), now))
        elif draw < 0.74:
            now = then(now + 500 * world.one((0, 1, 2, 5, 20, 40)))
            found.append(Advance(now))
        elif draw < 0.82:
            found.append(Restore())
        elif draw < 0.88 and following is None:
            known = world.chance(0.8)
            others = [each for each in revisions if each is not latest] if edges and world.chance(0.8) else revisions
            latest = world.one(others or revisions) if revisions else world.edited(latest)
            found.append(Reload(latest, known))
        if following is not None:
            found += [Reload(next(following), world.chance(0.8)) for _ in range(world.one(EDITS))]
        if looks == 1.0 or world.chance(looks):
            context = world.context()
            found.append(Look(context, then(now + 500 * world.one((0, 0, 1, 3)))))
    return Story(program, scores, catalogue, tuple(found), world.wild)


LOOKS = 0.5
"""Of so many things that happen, a request follows; each of them is looked at in all ways, which costs most."""
EDGES = 0.4
"""So many things happen at a moment at which time changes something, or just before it."""
EDITS = (0, 1, 1, 2)
"""Of revisions that follow one another, so many come between one thing that happens and the next."""


@dataclass(frozen=True)
class Ruleset:
    """A generated ruleset with some revisions, for several histories.

    Attributes:
        revisions: It and what it is edited to; a history begins with any of them.
        is_chain: Each differs from the one before in one rule; a history begins with the first and goes on from one to the next.
    """

    world: World
    revisions: tuple[Program, ...]
    is_chain: bool = False

    def story(self, random: Random, steps: int, looks: float = LOOKS, edges: float = EDGES) -> Story:
        """Draw so many things that happen with it, with a look at the session after most of them; see `_draw_history`."""
        world = replace(self.world, random=random)
        first = self.revisions[0] if self.is_chain else world.one(self.revisions)
        return _draw_history(world, first, self.revisions, steps, looks, edges, is_chain=self.is_chain)


def draw_ruleset(
    random: Random,
    *,
    wild: bool,
    plain: bool,
    patterns: frozenset[str],
    keep_events: int = 500,
    is_close: bool = True,
    edits: int = 1,
    is_chain: bool = False,
) -> Ruleset:
    """Draw a ruleset and so many revisions; `is_close`: its rules are near to one another, see `World`."""
    world = World(random, wild, plain, patterns, is_close=is_close)
    first = world.program(keep_events)
    revisions = [first]
    for _ in range(edits):
        revisions.append(world.touched(revisions[-1]) if is_chain else world.edited(revisions[-1]))
    return Ruleset(world, tuple(revisions), is_chain)
