"""A circuit breaker: when the other side is gone, don't wait for it on every request. Lives in the process alone.

Gone is a side that fails several times in a row; one that fails now and then is asked less by its success rate.
"""

from __future__ import annotations

import enum
import random
from collections.abc import Callable

from service.api.success import SuccessRate


class Circuit(enum.IntEnum):
    """CLOSED: calls go through. OPEN: none does. HALF_OPEN: one does, as a probe. The number is the metric's value."""

    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


class Breaker:
    """Opens after `failures` failures in a row; after `rest_s` lets one probe through, whose outcome decides.

    The rest doubles with every probe that fails, up to `longest_rest_s`. Used from one thread.

    Args:
        name: For metrics and messages.
        clock: Monotonic seconds.
        failures: 3 in a row are no accident, and cost three deadlines at most.
        rest_s: A store that restarts is back within it.
        longest_rest_s: A shop is not to be on fallbacks for longer than this after the store came back.
        draw: A random number in [0, 1).

    Attributes:
        opened: How often it opened.
        shed: How many calls were turned away by the success rate while it was closed.
    """

    def __init__(
        self,
        name: str,
        clock: Callable[[], float],
        *,
        failures: int = 3,
        rest_s: float = 0.25,
        longest_rest_s: float = 2.0,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.name = name
        self.opened = 0
        self.shed = 0
        self._rate = SuccessRate(clock, draw)
        self._clock = clock
        self._limit = failures
        self._rest_s = rest_s
        self._longest_rest_s = longest_rest_s
        self._failed = 0
        self._rest = rest_s
        self._until: float | None = None
        self._probe_until: float | None = None

    @property
    def circuit(self) -> Circuit:
        """Its state now."""
        if self._until is None:
            return Circuit.CLOSED
        return Circuit.OPEN if self._clock() < self._until else Circuit.HALF_OPEN

    @property
    def rejection(self) -> float:
        """The share of calls that is turned away by the success rate, 0 to 1; an open circuit turns away all."""
        return self._rate.rejection

    def allows(self) -> bool:
        """Whether a call may be made; its outcome must then be told by `succeeded`, `failed` or `abandoned`."""
        if self._until is None:
            allowed = self._rate.allows()
            self.shed += not allowed
            return allowed
        now = self._clock()
        if now < self._until or (self._probe_until is not None and now < self._probe_until):
            return False
        # A probe whose caller vanished must not keep the circuit open for good.
        self._probe_until = now + self._longest_rest_s
        return True

    def succeeded(self) -> None:
        """A call came back."""
        if self._until is not None:
            self._rate.reset()
        self._rate.succeeded()
        self._failed = 0
        self._rest = self._rest_s
        self._until = self._probe_until = None

    def abandoned(self) -> None:
        """A call was given up for a reason of the caller's: it says nothing about the other side."""
        self._probe_until = None

    def failed(self) -> None:
        """A call failed or was too late."""
        self._rate.failed()
        self._failed += 1
        if self._until is not None:
            if self._probe_until is None:
                return  # a call from before it opened; the probe decides
            self._rest = min(2 * self._rest, self._longest_rest_s)
        elif self._failed < self._limit:
            return
        else:
            self.opened += 1
        self._probe_until = None
        self._until = self._clock() + self._rest
