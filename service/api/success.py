"""Admission by success rate: ask a side that fails for part of the requests only as often as it can bear.

As in Google's "Handling Overload" (Site Reliability Engineering, chapter 21) and Envoy's admission control: with
`requests` made and `accepts` answered well within the last seconds, a new one is turned away here with the probability

    max(0, (requests - K * accepts) / (requests + 1)), at most MOST,

so that about `K` times as many are tried as succeed: enough to notice at once that it is better again. What is turned away
counts as a request, so that the share follows what callers want and not what was let through. What is still under way counts as
nothing.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable

K = 2.0
"""Half of what is asked may fail before anything is turned away; a lower one turns away what would have been answered."""
LEAST = 20
"""Requests of the window below which nothing is turned away: of so few, a failure or two say nothing."""
MOST = 0.9
"""One in ten always goes through, or a side that is well again would be believed only when the window has forgotten."""
WINDOW_S = 10.0
"""Long enough for a share of some requests a second, short enough to forget a failure soon."""
BUCKETS = 10


class SuccessRate:
    """Requests and successes of the last seconds. Used from one thread.

    Args:
        clock: Monotonic seconds.
        draw: A random number in [0, 1).
    """

    def __init__(self, clock: Callable[[], float], draw: Callable[[], float] = random.random) -> None:
        self._clock = clock
        self._draw = draw
        self._buckets: deque[list[int]] = deque()  # [number, requests, accepts], the latest last
        self._requests = 0
        self._accepts = 0

    @property
    def rejection(self) -> float:
        """The probability with which a request is turned away now, 0 to 1."""
        self._forget()
        if self._requests < LEAST:
            return 0.0
        return min(MOST, max(0.0, (self._requests - K * self._accepts) / (self._requests + 1)))

    def allows(self) -> bool:
        """Whether a request goes through."""
        if self._requests == self._accepts:
            return True  # by far the most: nothing failed lately
        rejection = self.rejection
        if rejection <= 0 or self._draw() >= rejection:
            return True
        self.failed()
        return False

    def succeeded(self) -> None:
        """A request was answered well."""
        latest = self._latest()
        latest[1] += 1
        latest[2] += 1
        self._requests += 1
        self._accepts += 1

    def failed(self) -> None:
        """A request was not."""
        self._latest()[1] += 1
        self._requests += 1

    def reset(self) -> None:
        """The other side is back: what was before it counts no more."""
        self._buckets.clear()
        self._requests = self._accepts = 0

    def _latest(self) -> list[int]:
        number = int(self._clock() * BUCKETS / WINDOW_S)
        if not self._buckets or self._buckets[-1][0] != number:
            self._forget()
            self._buckets.append([number, 0, 0])
        return self._buckets[-1]

    def _forget(self) -> None:
        oldest = int(self._clock() * BUCKETS / WINDOW_S) - BUCKETS
        while self._buckets and self._buckets[0][0] <= oldest:
            _, requests, accepts = self._buckets.popleft()
            self._requests -= requests
            self._accepts -= accepts
