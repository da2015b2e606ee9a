"""`POST /v1/decide/bulk`: decisions for many sessions, a line each, behind everybody who waits in front of a page.

The body is read first, as it is bounded; the answers go out in its order as fast as the caller reads them. Only a small
window of lines is worked on ahead of what was read.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections import deque
from collections.abc import AsyncIterator

import msgspec

from service.api.call import NDJSON, Answer, Call, Endpoint, Timing
from service.api.decide import asked_by, decided
from service.api.problems import ProblemError
from service.api.schema import BulkLine, DecideRequest
from service.api.services import Services
from service.keys import KeyKind, Scope

log = logging.getLogger("salience.api.bulk")

MOST_LINES = 10_000
"""Some seconds of work of one process: who has more sends several requests, and loses less when one breaks."""
WINDOW = 16
"""Lines worked on ahead of the caller's reading."""

_encode = msgspec.json.Encoder().encode


async def post_bulk(services: Services, call: Call) -> Answer:
    """Decide for each line."""
    assert call.key is not None
    if call.key.kind is not KeyKind.SERVER:
        raise ProblemError("scope-missing", "Bulk decisions are for server keys; a page asks for its own session.")
    services.admission.check_streams()
    lines = [(number, raw) for number, raw in enumerate(call.body.split(b"\n"), 1) if raw.strip()]
    if not lines:
        raise ProblemError("invalid-field", "The body has no line; send a request on each.", field="/")
    if len(lines) > MOST_LINES:
        raise ProblemError("too-many-lines", f"{len(lines)} lines, at most {MOST_LINES} are taken at once.")
    return Answer(_answers(services, call, lines), content_type=NDJSON.encode())


async def _answers(services: Services, call: Call, lines: list[tuple[int, bytes]]) -> AsyncIterator[bytes]:
    under_way: deque[asyncio.Task[bytes]] = deque()
    with services.admission.stream():
        try:
            for number, raw in lines:
                if len(under_way) == WINDOW:
                    yield await under_way.popleft()
                under_way.append(asyncio.create_task(_line(services, call, number, raw)))
            while under_way:
                yield await under_way.popleft()
        finally:
            for task in under_way:
                task.cancel()


async def _line(services: Services, call: Call, number: int, raw: bytes) -> bytes:
    """The answer to one line; whatever is wrong with it is its own problem."""
    assert call.key is not None
    async with services.admission.line(call.key):
        one = dataclasses.replace(call, body=raw, timing=Timing())
        try:
            answer = BulkLine(number, answer=await decided(services, one, asked_by(services, one), keeps=False))
        except ProblemError as problem:
            answer = BulkLine(number, problem=problem.problem(call.request_id))
        except Exception:
            log.exception("line %d of request %s failed", number, call.request_id)
            detail = f"Line {number} of the request {call.request_id} failed; the log of the service says why."
            answer = BulkLine(number, problem=ProblemError("internal", detail).problem(call.request_id))
    services.metrics.lines.labels("decided" if answer.problem is None else "refused").inc()
    return _encode(answer) + b"\n"


ENDPOINTS = (
    Endpoint(
        "POST",
        "/v1/decide/bulk",
        "decideBulk",
        "Decide for many sessions: a request a line, an answer a line.",
        post_bulk,
        {200: (BulkLine, "An answer for each line that is not blank, in their order; one that fails has a problem.")},
        scope=Scope.DECIDE,
        request=(DecideRequest,),
        problems=("too-many-lines",),
        content_type=NDJSON,
        accepts=(NDJSON, "application/jsonl", "text/plain"),
        streams=True,
    ),
)
