"""What a session keeps for its patterns: which combinations of what is bound are true, and what is to be looked at again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from engine.rete.memory.alphas import Alphas
from engine.rete.memory.ranking import RankedKeys, Ranking
from engine.values import EpochMs, Millis, Truth, Value

Token: TypeAlias = tuple[Any, ...]
"""The values that tell a combination from others, in the order of the identity; None for a missing attribute."""

Pins: TypeAlias = tuple[tuple[int, Any], ...]
"""Which combinations are touched: those that have these values in these slots, by slot."""

Lost: TypeAlias = dict[tuple[int, Value], EpochMs]
"""Time of the latest event that is not kept any more, by the number of an aggregate `per` key and by its key."""

MOST_LOST = 64
"""Keys of a pattern of which it is noted that they lack events; of more, all are unknown. Each has a dozen bytes stored."""


class PatternState:
    """What a session keeps of a pattern.

    Attributes:
        tokens: The combinations that are true or, with None, unknown.
        dropped: Time of the latest event that the pattern may need and that is not kept any more.
        lost: Which keys of its aggregates `per` key lack such events; None where that is not known of each.
        gaps: For each span whether it lacks something that was dropped.
        timed: When time may next make a combination true.
        lazy: When time may next make one false.
        marks: The moments, no later than those, for which marks stand on the heaps: one each, however often they change.
        clocked: When the clock next changes a test.
    """

    __slots__ = ("clocked", "dropped", "gaps", "lazy", "lost", "marks", "timed", "tokens")

    def __init__(self) -> None:
        self.tokens: dict[Token, Truth] = {}
        self.dropped: EpochMs | None = None
        self.lost: Lost | None = {}
        self.gaps: tuple[bool, ...] = ()
        self.timed: EpochMs | None = None
        self.lazy: EpochMs | None = None
        self.clocked: EpochMs | None = None
        self.marks: tuple[EpochMs | None, EpochMs | None] = (None, None)

    def lose(
        self, keyed: Iterable[tuple[int, str, Millis | None]], time: EpochMs, attributes: Mapping[str, Value]
    ) -> None:
        """Note that an event is not kept any more; `keyed` says for which keys it counted, see `pattern.Role`."""
        self.dropped = time if self.dropped is None else max(self.dropped, time)
        for number, per, window in keyed:
            if self.lost is not None:
                key = number, attributes[per]
                self.lost[key] = max(time, self.lost.get(key, time))
                if len(self.lost) > MOST_LOST and window is not None:
                    for each, last in [*self.lost.items()]:
                        if each[0] == number and last + window <= time:
                            del self.lost[each]
                if len(self.lost) > MOST_LOST:
                    self.lost = None

    def copy(self) -> PatternState:
        """One that may be changed on its own."""
        made = PatternState()
        made.tokens = dict(self.tokens)
        made.dropped, made.gaps = self.dropped, self.gaps
        made.lost = None if self.lost is None else dict(self.lost)
        made.timed, made.lazy, made.clocked = self.timed, self.lazy, self.clocked
        return made


class Joins:
    """What a session keeps for its patterns.

    Attributes:
        states: By pattern; what is absent has no combination, and never had.
        alphas: The alpha memories, once something had to be joined; never stored.
        touched: Combinations that must be looked at again in this step; None for all.
        rankings: How the keys of each `take: highest` stand; never stored.
        due: Patterns that time touches, with the first moment that was not looked at yet.
        was: The truths that combinations had before this step.
        told: The combinations for which rules with several patterns held after the last step.
        unsettled: Patterns that came with a reload and ask the catalogue: looked at when the next call begins.
    """

    __slots__ = ("alphas", "due", "rankings", "states", "told", "touched", "unsettled", "was")

    def __init__(self) -> None:
        self.states: dict[int, PatternState] = {}
        self.alphas: Alphas | None = None
        self.rankings: dict[Ranking, RankedKeys] = {}
        self.touched: dict[int, set[Pins] | None] = {}
        self.due: dict[int, EpochMs] = {}
        self.was: dict[int, dict[Token, Truth]] = {}
        self.told: dict[int, frozenset[Token]] = {}
        self.unsettled: frozenset[int] = frozenset()

    def gained(self) -> dict[int, list[Token]]:
        """The combinations of each pattern that this step made true."""
        found = {}
        for index, was in self.was.items():
            tokens = self.states[index].tokens if index in self.states else {}
            risen = [token for token, old in was.items() if old is not True and tokens.get(token) is True]
            if risen:
                found[index] = risen
        return found
