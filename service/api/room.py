"""How many requests a process works on at once: as many as may be, and fewer while its event loop is late.

A count alone does not know what a request costs: 128 of 1 ms wait for each other for an eighth of a second, 128 of 5 ms
longer than any deadline, and who is refused hears of it only when they are through. So the room follows how late the loop
comes to what it is to do: late again and again, it shrinks in proportion; else it grows again, step by step. As in CoDel
the least wait of some looks counts, so that one stall is no overload. A loop that waits for a slow store is not late, and
keeps all its room.
"""

from __future__ import annotations

import asyncio
from collections import deque

from engine.values import Millis

LATE_SHARE = 0.25
"""Of the deadline: a loop that is later than that all the time has taken in more than it can answer in time."""
LEAST = 8
"""Below that, what a process can do would lie idle between two looks."""
BEAT_S = 0.02
CUT_AT_MOST = 0.25
"""What is left of the room at least after a look: the next one comes soon."""
BEATS = 2
"""Looks of which the least lateness counts."""


class Room:
    """The bound on requests in flight of one process.

    Attributes:
        now: How many may be in flight now, `LEAST` to `most`.
        most: The setting api.max_in_flight.
    """

    def __init__(self, most: int, deadline_ms: Millis) -> None:
        self.most = self.now = most
        self._late_s = LATE_SHARE * deadline_ms / 1000
        self._lately: deque[float] = deque(maxlen=BEATS)

    def looked(self, late_s: float) -> None:
        """Take in how late the loop came to look."""
        self._lately.append(late_s)
        if len(self._lately) == BEATS and (least := min(self._lately)) > self._late_s:
            left = max(CUT_AT_MOST, self._late_s / least)
            self.now = max(min(LEAST, self.most), int(self.now * left))
            self._lately.clear()
        elif late_s <= self._late_s:
            self.now = min(self.most, self.now + 1 + self.now // 16)

    async def watch(self) -> None:
        """Look, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + BEAT_S
            await asyncio.sleep(BEAT_S)
            self.looked(loop.time() - due)
