"""How many requests a process works on at once: as many as it can answer in time.

A count alone does not know what a request costs: 128 of 1 ms wait for each other for an eighth of a second, 128 of 10 ms
longer than any deadline, and who is refused hears of it only when they are through. So the room is what the event loop
computes within a quarter of the deadline, by what requests cost it lately. And where it comes late to its work all the same, as
when others use the machine, the room shrinks in proportion, and grows again step by step. As in CoDel the least wait of some
looks counts, so that one stall is no overload. A loop that waits for a slow store computes nothing, and is not late.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

from engine.values import Millis

FULL_SHARE = 0.25
"""Of the deadline: for so long the requests of a full room may compute. Each takes several turns of the loop, and in each
turn all others have theirs.
"""
LATE_SHARE = 0.25
"""Of the deadline: a loop that is later than that all the time has taken in more than it can answer in time."""
LEAST = 8
"""Below that, what a process can do would lie idle between two looks, and a server's few connections be refused for a stall."""
BEAT_S = 0.02
BEATS = 2
"""Looks of which the least lateness counts."""
CUT_AT_MOST = 0.25
"""What is left of the room at least after a look: the next one comes soon."""
LATELY = 20
"""Requests over which their cost is levelled."""


class Room:
    """The bound on requests in flight of one process.

    Attributes:
        most: The setting api.max_in_flight.
    """

    def __init__(self, most: int, deadline_ms: Millis) -> None:
        self.most = most
        self._deadline_s = deadline_ms / 1000
        self._least = min(LEAST, most)
        self._fitting = self._kept = most
        self._cost_s = 0.0
        self._lately: deque[float] = deque(maxlen=BEATS)

    @property
    def now(self) -> int:
        """How many may be in flight now."""
        return min(self._fitting, self._kept)

    def spent(self, cpu_s: float, requests: int) -> None:
        """Take in what requests cost the loop."""
        if not requests:
            return
        each_s = cpu_s / requests
        weight = min(1.0, requests / LATELY) if self._cost_s else 1.0
        self._cost_s += weight * (each_s - self._cost_s)
        fitting = int(FULL_SHARE * self._deadline_s / self._cost_s) if self._cost_s else self.most
        self._fitting = max(self._least, min(self.most, fitting))

    def looked(self, late_s: float) -> None:
        """Take in how late the loop came to look."""
        bound_s = LATE_SHARE * self._deadline_s
        self._lately.append(late_s)
        if len(self._lately) == BEATS and (least_s := min(self._lately)) > bound_s:
            self._kept = max(self._least, int(self.now * max(CUT_AT_MOST, bound_s / least_s)))
            self._lately.clear()
        elif late_s <= bound_s:
            self._kept = min(self.most, self._kept + 1 + self._kept // 16)

    async def watch(self, answered: Callable[[], int]) -> None:
        """Look, until cancelled; `answered` counts requests since the start."""
        loop = asyncio.get_running_loop()
        cpu, count = time.thread_time(), answered()
        while True:
            due = loop.time() + BEAT_S
            await asyncio.sleep(BEAT_S)
            self.looked(loop.time() - due)
            cpu_now, count_now = time.thread_time(), answered()
            self.spent(cpu_now - cpu, count_now - count)
            cpu, count = cpu_now, count_now
