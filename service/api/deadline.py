"""One deadline for a whole request, and calls to stores within it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Coroutine
from typing import Any, TypeVar

from engine.ports import PortError
from engine.values import Millis
from service.api.breaker import Breaker

T = TypeVar("T")

RESERVE = 0.15
"""Share of the deadline that is kept for what comes after a store answers: evaluation and encoding."""


class UnavailableError(Exception):
    """A store did not answer: it failed, was too late, or its circuit is open; the message says which."""


class _Alarm:
    """Cancels a task at a moment; as `asyncio.timeout_at`, at a tenth of its cost, for each call to a store."""

    __slots__ = ("_cancelling", "_rang", "_task", "at")

    def __init__(self, loop: asyncio.AbstractEventLoop, at: float) -> None:
        task = asyncio.current_task(loop)
        assert task is not None
        self._task = task
        self._cancelling = task.cancelling()
        self._rang = False
        self.at = at

    def ring(self) -> None:
        """The moment has come."""
        self._rang = True
        self._task.cancel()

    def is_why(self) -> bool:
        """Whether the task was cancelled by this and by nobody else."""
        return self._rang and self._task.uncancel() <= self._cancelling


class _Alarms:
    """All alarms of an event loop, by one of its timers: of its own it keeps those that were cancelled, in order, too."""

    __slots__ = ("_at", "_set", "_timer", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._set: dict[_Alarm, None] = {}
        self._at = math.inf
        self._timer: asyncio.TimerHandle | None = None

    def set(self, at: float) -> _Alarm:
        """An alarm for the running task."""
        alarm = _Alarm(self.loop, at)
        self._set[alarm] = None
        if at < self._at:
            self._look_at(at)
        return alarm

    def stop(self, alarm: _Alarm) -> None:
        """It is not wanted any more."""
        self._set.pop(alarm, None)

    def _look_at(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._at = at
        self._timer = None if at == math.inf else self.loop.call_at(at, self._look)

    def _look(self) -> None:
        now = self.loop.time()
        for alarm in [each for each in self._set if each.at <= now]:
            del self._set[alarm]
            alarm.ring()
        self._look_at(min((each.at for each in self._set), default=math.inf))


_latest: _Alarms | None = None


def _alarms_of(loop: asyncio.AbstractEventLoop) -> _Alarms:
    global _latest  # noqa: PLW0603 - a process has one loop; tests have one after the other
    if _latest is None or _latest.loop is not loop:
        _latest = _Alarms(loop)
    return _latest


class Deadline:
    """A moment on the event loop's clock, so many ms from now. Parts of the request take what is left of it, never more.

    Attributes:
        ours_ms: The deadline that we gave, in ms; what a caller tightens says nothing about the speed of our stores.
    """

    __slots__ = ("_at", "_loop", "_started", "ours_ms")

    def __init__(self, after_ms: Millis) -> None:
        self._loop = asyncio.get_running_loop()
        self._started = self._loop.time()
        self._at = self._started + after_ms / 1000
        self.ours_ms = float(after_ms)

    def tighten(self, after_ms: float, *, ours: bool) -> None:
        """Move it to `after_ms` after the start, if that is earlier."""
        self._at = min(self._at, self._started + after_ms / 1000)
        if ours:
            self.ours_ms = min(self.ours_ms, after_ms)

    @property
    def left_s(self) -> float:
        """Seconds left, 0 when it has passed."""
        return max(0.0, self._at - self._loop.time())

    async def call(self, breaker: Breaker, coming: Coroutine[Any, Any, T], reserve_s: float) -> T:
        """The result of a call to a store, `reserve_s` before the deadline at the latest.

        Raises:
            UnavailableError: it failed, it was too late, or the circuit is open, so that it was not even asked.
        """
        if not breaker.allows():
            coming.close()
            raise UnavailableError(f"{breaker.name} failed before and is not asked for a moment")
        begun = self._loop.time()
        alarms = _alarms_of(self._loop)
        alarm = alarms.set(self._at - reserve_s)
        try:
            result = await coming
        except (asyncio.CancelledError, TimeoutError) as late:
            if isinstance(late, asyncio.CancelledError) and not alarm.is_why():
                raise
            # A caller with a deadline of 1 ms must not be able to open the circuit for all others.
            if self._loop.time() - begun >= self.ours_ms / 2000:
                breaker.failed()
            else:
                breaker.abandoned()
            raise UnavailableError(f"{breaker.name} did not answer in time") from None
        except PortError as error:
            breaker.failed()
            raise UnavailableError(f"{breaker.name} failed: {error}") from error
        finally:
            alarms.stop(alarm)
        breaker.succeeded()
        return result
