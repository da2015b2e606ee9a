"""Who gets in: a rate for each key, and a bound on requests in flight, with storefronts before everything else.

A request beyond what a process can do within the deadline makes all of them late. So it is refused at once, before its
body is read, and that costs next to nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from config.schema import ApiSettings
from service.api.call import Headers
from service.api.problems import ProblemError
from service.keys import ApiKey, KeyKind

BULK_SHARE = 0.5
"""Of the requests in flight that server keys may fill: the rest is for shoppers who wait in front of a page."""
OVERLOADED_RETRY_S = 1


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
        self._most = settings.max_in_flight
        self._most_bulk = max(1, int(settings.max_in_flight * BULK_SHARE))
        self._rates = {
            KeyKind.STOREFRONT: settings.storefront_requests_per_s / settings.workers,
            KeyKind.SERVER: settings.server_requests_per_s / settings.workers,
        }
        self._buckets: dict[str, _Bucket] = {}
        self.in_flight = 0

    def check_rate(self, key: ApiKey) -> Headers:
        """Take one request from the key's rate; the headers that say what is left (none without a limit).

        Raises:
            ProblemError: `rate-limited`, with the same headers and `Retry-After`.
        """
        rate = self._rates[key.kind]
        if rate <= 0:
            return ()
        now = self._clock()
        most = max(1.0, rate)
        bucket = self._buckets.get(key.id)
        if bucket is None:
            bucket = self._buckets[key.id] = _Bucket(most, now)
        bucket.tokens = min(most, bucket.tokens + (now - bucket.at) * rate)
        bucket.at = now
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
        most = self._most if key.kind is KeyKind.STOREFRONT else self._most_bulk
        if self.in_flight >= most:
            detail = f"{self.in_flight} requests are in flight here, as many as can be answered in time."
            raise ProblemError("overloaded", detail, retry_after=OVERLOADED_RETRY_S)
