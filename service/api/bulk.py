"""`POST /v1/decide/bulk`: decisions for many sessions, a line each, behind everybody who waits in front of a page.

Over HTTP the body is read first, as it is bounded; over gRPC requests come as the caller sends them. The answers go out in
their order as fast as the caller reads them. Only a small window of lines is worked on ahead of what was read.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable

import msgspec

from service.api.call import NDJSON, Answer, Call, Endpoint
from service.api.decide import checked, decided, read_request
from service.api.problems import ProblemError
from service.api.schema import BulkLine, DecideRequest, RawDecideRequest
from service.api.services import Services
from service.api.timing import Timing
from service.keys import KeyKind, Scope

log = logging.getLogger("salience.api.bulk")

MOST_LINES = 10_000
"""Some seconds of work of one process: who has more sends several requests, and loses less when one breaks."""
WINDOW = 16
"""Lines worked on ahead of the caller's reading."""

_encode = msgspec.json.Encoder().encode


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """One request of many: its number, from 1, and how it is read; reading raises `ProblemError` where it is wrong."""

    number: int
    read: Callable[[], RawDecideRequest]


async def post_bulk(services: Services, call: Call) -> Answer:
    """Decide for each line."""
    check_bulk(services, call)
    lines = [(number, raw) for number, raw in enumerate(call.body.split(b"\n"), 1) if raw.strip()]
    if not lines:
        raise ProblemError("invalid-field", "The body has no line; send a request on each.", field="/")
    if len(lines) > MOST_LINES:
        raise ProblemError("too-many-lines", f"{len(lines)} lines, at most {MOST_LINES} are taken at once.")

    async def given() -> AsyncIterator[Line]:
        for number, raw in lines:
            yield Line(number, functools.partial(read_request, raw))

    async def encoded() -> AsyncIterator[bytes]:
        async with contextlib.aclosing(answers(services, call, given())) as made:
            async for answer in made:
                yield _encode(answer) + b"\n"

    return Answer(encoded(), content_type=NDJSON.encode())


def check_bulk(services: Services, call: Call) -> None:
    """Raise `ProblemError` where the key is none for bulk decisions, or too many are being answered."""
    assert call.key is not None
    if call.key.kind is not KeyKind.SERVER:
        raise ProblemError("scope-missing", "Bulk decisions are for server keys; a page asks for its own session.")
    services.admission.check_streams()


async def answers(services: Services, call: Call, lines: AsyncIterator[Line]) -> AsyncGenerator[BulkLine]:
    """The answer to each line, in their order, as soon as it and those before it are there.

    What `lines` raises comes after the answers to the lines before.
    """
    under_way: asyncio.Queue[asyncio.Task[BulkLine] | None] = asyncio.Queue()
    room = asyncio.Semaphore(WINDOW)
    made: list[asyncio.Task[BulkLine]] = []

    async def begin() -> None:
        try:
            async for line in lines:
                await room.acquire()
                made[:] = [task for task in made if not task.done()]
                made.append(asyncio.create_task(_answer(services, call, line)))
                under_way.put_nowait(made[-1])
        finally:
            under_way.put_nowait(None)

    with services.admission.stream():
        beginning = asyncio.create_task(begin())
        try:
            while (task := await under_way.get()) is not None:
                yield await task
                room.release()
            await beginning
        finally:
            for each in (beginning, *made):
                each.cancel()


async def _answer(services: Services, call: Call, line: Line) -> BulkLine:
    """The answer to one line; whatever is wrong with it is its own problem."""
    assert call.key is not None
    async with services.admission.line(call.key):
        one = msgspec.structs.replace(call, body=b"", timing=Timing())
        try:
            asked = checked(services, one, line.read())
            answer = BulkLine(line.number, answer=await decided(services, one, asked, keeps=False))
        except ProblemError as problem:
            answer = BulkLine(line.number, problem=problem.problem(call.request_id))
        except Exception:
            log.exception("line %d of request %s failed", line.number, call.request_id)
            detail = f"Line {line.number} of the request {call.request_id} failed; the log of the service says why."
            answer = BulkLine(line.number, problem=ProblemError("internal", detail).problem(call.request_id))
    services.metrics.lines.labels("decided" if answer.problem is None else "refused").inc()
    return answer


ENDPOINTS: tuple[Endpoint, ...] = (
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
