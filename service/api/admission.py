"""Who gets in: a rate for each key, and a bound on requests in flight, with storefronts before everything else.

The order is storefront keys, then server keys, then the lines of bulk requests, which wait where the others are refused. A
request beyond what a process can do within the deadline makes all of them late. So it is refused at once, before its
body is read, and that costs next to nothing.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from config.schema import ApiSettings
from service.api.call import Headers
from service.api.problems import ProblemError
from service.api.room import Room
from service.keys import ApiKey, KeyKind

BULK_SHARE = 0.5
"""Of the requests in flight that server keys may fill: the rest is for shoppers who wait in front of a page."""
OVERLOADED_RETRY_S = 1
LINES_AT_ONCE = 2
"""Lines of bulk requests that a process decides at once: one waits for its stores while the other computes, and a shopper
waits for the computing of two at most."""
LINES_SHARE = 0.125
"""With more requests in flight than this share of their bound, lines wait: somebody is in front of a page."""
STREAMS = 8
"""Bulk requests that a process answers at once: each holds its body, and a window of answers."""


class _Bucket:
    """A token bucket that holds what comes in a second: full at the start."""

    __slots__ = ("at", "tokens")

    def __init__(self, tokens: float, at: float) -> None:
        self.tokens = tokens
        self.at = at


class Admission:
    """Admits the requests of one process. Used from the event loop alone.

    Args:
        settings: Rates are of all processes; each grants its share.
        clock: Seconds, monotonic.
    """

    def __init__(self, settings: ApiSettings, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.room = Room(settings.max_in_flight, settings.deadline_ms)
        self._rates = {
            KeyKind.STOREFRONT: settings.storefront_requests_per_s / settings.workers,
            KeyKind.SERVER: settings.server_requests_per_s / settings.workers,
        }
        self._buckets: dict[str, _Bucket] = {}
        self._lines = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self.in_flight = self.answered = 0
        self.streams = 0
        self._request = _InFlight(self)

    def request(self) -> _InFlight:
        """Count a request as in flight, from `with` to its end."""
        return self._request

    def check_rate(self, key: ApiKey) -> Headers:
        """Take one request from the key's rate; the headers that say what is left (none without a limit).

        Raises:
            ProblemError: `rate-limited`, with the same headers and `Retry-After`.
        """
        rate = self._rates[key.kind]
        if rate <= 0:
            return ()
        most = max(1.0, rate)
        bucket = self._bucket(key, rate, most)
        is_refused = bucket.tokens < 1
        if not is_refused:
            bucket.tokens -= 1
        wait = math.ceil((1 - bucket.tokens) / rate) if is_refused else math.ceil((most - bucket.tokens) / rate)
        headers = (
            (b"ratelimit-policy", f'"key";q={int(most)};w={math.ceil(most / rate)}'.encode()),
            (b"ratelimit", f'"key";r={int(bucket.tokens)};t={wait}'.encode()),
        )
        if is_refused:
            detail = f"The key {key.id} has used up its {rate:g} requests a second of this process."
            raise ProblemError("rate-limited", detail, retry_after=wait, headers=headers)
        return headers

    def check_room(self, key: ApiKey) -> None:
        """Raise `ProblemError` `overloaded` where as many requests are in flight as this kind of key may fill."""
        most = self.room.now if key.kind is KeyKind.STOREFRONT else max(1, int(self.room.now * BULK_SHARE))
        if self.in_flight >= most:
            detail = f"{self.in_flight} requests are in flight here, as many as can be answered in time."
            raise ProblemError("overloaded", detail, retry_after=OVERLOADED_RETRY_S)

    def check_streams(self) -> None:
        """Raise `ProblemError` `overloaded` where as many bulk requests are being answered as may be."""
        if self.streams >= STREAMS:
            detail = f"{self.streams} bulk requests are being answered here, as many as may be at once."
            raise ProblemError("overloaded", detail, retry_after=OVERLOADED_RETRY_S)

    @contextmanager
    def stream(self) -> Iterator[None]:
        """Count a bulk request that is being answered."""
        self.streams += 1
        try:
            yield
        finally:
            self.streams -= 1

    def line(self, key: ApiKey) -> _Turn:
        """The turn of one line of a bulk request, for `async with`: waits for the key's rate, and for the shoppers to leave room."""
        return _Turn(self, key)

    async def enter_line(self, key: ApiKey) -> None:
        """Wait for the turn of a line."""
        await self._take_rate(key)
        if self._has_room_for_line():
            self._lines += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave_line()  # the turn came in the very moment in which nobody wanted it any more
            raise

    def leave_line(self) -> None:
        """End the turn of a line."""
        self._lines -= 1
        self.let_lines_in()

    async def _take_rate(self, key: ApiKey) -> None:
        rate = self._rates[key.kind]
        while rate > 0:
            bucket = self._bucket(key, rate, max(1.0, rate))
            if bucket.tokens >= 1:
                bucket.tokens -= 1
                return
            await asyncio.sleep((1 - bucket.tokens) / rate)

    def _bucket(self, key: ApiKey, rate: float, most: float) -> _Bucket:
        """The key's bucket with what came in since it was looked at last."""
        now = self._clock()
        bucket = self._buckets.get(key.id)
        if bucket is None:
            bucket = self._buckets[key.id] = _Bucket(most, now)
        bucket.tokens = min(most, bucket.tokens + (now - bucket.at) * rate)
        bucket.at = now
        return bucket

    def _has_room_for_line(self) -> bool:
        return self._lines < LINES_AT_ONCE and self.in_flight < max(1, int(self.room.now * LINES_SHARE))

    def let_lines_in(self) -> None:
        """Give their turn to lines that wait, where there is room."""
        while self._waiting and self._has_room_for_line():
            turn = self._waiting.popleft()
            if not turn.done():
                self._lines += 1
                turn.set_result(None)


class _InFlight:
    """Counts requests; one object for all of them, as a generator for each would cost as much as what it counts."""

    __slots__ = ("_admission",)

    def __init__(self, admission: Admission) -> None:
        self._admission = admission

    def __enter__(self) -> None:
        self._admission.in_flight += 1

    def __exit__(self, *_: object) -> None:
        admission = self._admission
        admission.in_flight -= 1
        admission.answered += 1
        admission.let_lines_in()


class _Turn:
    """The turn of one line, from `async with` to its end."""

    __slots__ = ("_admission", "_key")

    def __init__(self, admission: Admission, key: ApiKey) -> None:
        self._admission = admission
        self._key = key

    async def __aenter__(self) -> None:
        await self._admission.enter_line(self._key)

    async def __aexit__(self, *_: object) -> None:
        self._admission.leave_line()
