"""Idempotency-Key: the same request sent again gets the answer of the first one, and nothing happens a second time."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from msgspec.structs import replace

from engine.values import EpochMs, Millis
from service.api.call import Answer, Call
from service.api.problems import ProblemError

KEPT_MS: Millis = 10 * 60_000
"""Retries come within seconds; who comes back after ten minutes means another request."""
CAPACITY = 5_000
"""Answers of some KB each: 20 MB."""
LONGEST = 200

HEADER = b"idempotency-key"
_IS_KEY = re.compile(rb"[!-~]{1,%d}" % LONGEST).fullmatch
_REPLAYED = (b"idempotency-replayed", b"true")


@dataclass(slots=True)
class _First:
    """The first request with a key: what it said, and the answer that comes or came (None: it ended in a problem)."""

    body: bytes
    until: EpochMs
    answer: asyncio.Future[Answer | None]


class Idempotency:
    """Answers of one process by caller's key and header. Used from the event loop alone."""

    def __init__(self, encode: Callable[[object], bytes], capacity: int = CAPACITY) -> None:
        self._encode = encode
        self._capacity = capacity
        self._first: OrderedDict[tuple[str, str, bytes], _First] = OrderedDict()

    async def answer(self, call: Call, now: EpochMs, handle: Callable[[], Awaitable[Answer]]) -> Answer:
        """Handle a call with an Idempotency-Key, or answer as its first one was; raises `ProblemError`."""
        given = call.headers[HEADER]
        if not _IS_KEY(given):
            detail = f"An Idempotency-Key has 1 to {LONGEST} printable characters of ASCII, no spaces."
            raise ProblemError("invalid-field", detail, field="Idempotency-Key")
        caller = "" if call.key is None else call.key.id
        place = (caller, call.path, given)
        digest = hashlib.sha256(call.body).digest()
        while True:
            first = self._first.get(place)
            if first is None or (first.until <= now and first.answer.done()):
                break
            if first.body != digest:
                detail = "Another request was sent with this Idempotency-Key; each gets a key of its own."
                raise ProblemError("idempotency-mismatch", detail, field="Idempotency-Key")
            known = await asyncio.shield(first.answer)
            if known is not None:
                return replace(known, headers=(*known.headers, _REPLAYED))
        return await self._handle(place, _First(digest, now + KEPT_MS, asyncio.Future()), now, handle)

    async def _handle(
        self, place: tuple[str, str, bytes], first: _First, now: EpochMs, handle: Callable[[], Awaitable[Answer]]
    ) -> Answer:
        self._first[place] = first
        self._first.move_to_end(place)
        try:
            answer = await handle()
        except BaseException:
            # A problem says that nothing was done, or that it is to be sent again: that is then the first one.
            if self._first.get(place) is first:
                del self._first[place]
            first.answer.set_result(None)
            raise
        if not isinstance(answer.body, bytes):
            answer = replace(answer, body=self._encode(answer.body))
        first.answer.set_result(answer)
        while self._first:
            key, oldest = next(iter(self._first.items()))
            if len(self._first) <= self._capacity and oldest.until > now:
                break
            del self._first[key]
        return answer
