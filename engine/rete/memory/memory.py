"""The working memory of one session: small, and without a trace of any rule that has nothing to remember."""

from __future__ import annotations

from typing import Any, TypeAlias

from engine.rete.memory.joins import Joins
from engine.rete.memory.retained import Retained
from engine.values import EpochMs, Millis, Value

Boxed: TypeAlias = Any
"""A whole number that goes into lists and dicts as it is: machine code would make another object of it for each of them."""

NONE: frozenset[int] = frozenset()
"""Shared by all sessions: an empty set has 216 bytes, and most sessions need none of their own."""

NOTHING_FRESH: frozenset[str] = frozenset()
"""The same of scores."""


class Memory:
    """What a session remembers. Made and changed by `Network` alone; one thread at a time.

    Quantities, score tests and rules stand in it by their index in the network that made it.

    Attributes:
        session_id: The session.
        customer_id: The customer, once an event or the caller named one.
        clock: The latest moment up to which the session was evaluated; None before anything happened.
        started: The first moment of the session.
        last_event: Time of the latest event; None before the first.
        values: Values of the quantities that differ from their default.
        states: What aggregate nodes keep beside the value: entries of a window, exact sums, sets.
        resets: Time of the latest event of each type that a `since` names.
        forgotten: Quantities that lack what was dropped: the time of the latest entry that had to go.
        timed: Heap of (moment, quantity) at which something leaves a window and a rule may come about by it.
        lazy: Heap of the other moments: looked at when the session is evaluated for another reason.
        latches: Score tests with hysteresis that are true.
        answers: The last good answer of each score: (value, moment, model version).
        fresh: Scores whose last answer still stands: nothing that a model can see has changed since.
        held: Rules with scores that held after the last evaluation.
        is_asking: Whether a score was worth asking at the last evaluation, so that any expiry is.
        acts: Moments at which rules with a limit per session acted.
        new: Rules that came with a reload and are still to be looked at as new.
        quiet: Rules with scores of which nobody knows whether they held before a reload: the next call does not fire them.
        evaluated: The clock at the end of the last call: gates that opened since are new at the next.
        retained: The kept events.
        joins: What patterns keep, once an event mattered to one.
    """

    __slots__ = (
        "acts",
        "answers",
        "clock",
        "customer_id",
        "evaluated",
        "forgotten",
        "fresh",
        "held",
        "is_asking",
        "joins",
        "last_event",
        "latches",
        "lazy",
        "new",
        "quiet",
        "resets",
        "retained",
        "session_id",
        "started",
        "states",
        "timed",
        "values",
    )

    def __init__(self, session_id: str, customer_id: str | None = None) -> None:
        self.session_id = session_id
        self.customer_id = customer_id
        self.clock: EpochMs | None = None
        self.started: EpochMs | None = None
        self.last_event: EpochMs | None = None
        self.values: dict[int, Value | None] = {}
        self.states: dict[int, Any] = {}
        self.resets: dict[str, EpochMs] = {}
        self.forgotten: dict[int, EpochMs] = {}
        self.timed: list[tuple[EpochMs, int]] = []
        self.lazy: list[tuple[EpochMs, int]] = []
        self.latches: frozenset[int] = NONE
        self.answers: dict[str, tuple[float, EpochMs, str | None]] = {}
        self.fresh: frozenset[str] = NOTHING_FRESH
        self.held: frozenset[int] = NONE
        self.is_asking = False
        self.acts: dict[int, list[EpochMs]] = {}
        self.new: frozenset[int] = NONE
        self.quiet: frozenset[int] = NONE
        self.evaluated: EpochMs | None = None
        self.retained: Retained | None = None
        self.joins: Joins | None = None

    def has_ended(self, now: EpochMs, timeout: Millis) -> bool:
        """Whether the session ended by `now`: nothing happened in it for `timeout` ms."""
        latest = self.last_event if self.last_event is not None else self.started
        return latest is not None and latest + timeout <= now
