"""The ASGI application: from a request to an endpoint and back, with limits, access, problems and measures."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Protocol, TypeAlias
from urllib.parse import parse_qsl

import msgspec

from service.api.access import Access
from service.api.call import Answer, Call, Endpoint, Headers
from service.api.entrance import enter
from service.api.idempotency import HEADER, Idempotency
from service.api.problems import MEDIA_TYPE, PROBLEMS, ProblemError
from service.api.routes import Routes
from service.api.services import Services
from service.api.timing import Timing
from service.api.unguessable import random_hex

log = logging.getLogger("salience.api")

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Opening: TypeAlias = Callable[[], Awaitable[tuple[Services, Callable[[], Awaitable[None]]]]]


class Beside(Protocol):
    """Another server of the process, over the same services."""

    async def start(self) -> int:
        """Listen; the port. Raises `OSError`."""

    async def stop(self) -> None:
        """End in order; may be called again."""


OpenBeside: TypeAlias = Callable[[Services, Access, Idempotency], Beside]

BODY_WITHIN_S = 10.0
"""A body of 1 MiB over a slow mobile line takes some seconds."""
DRAIN_WITHIN_S = 2.0
"""For a body that was refused before it was read."""
SMALL_BODY = 16_384
"""As much as comes with the headers in one reading of a connection."""
LONGEST_QUERY = 4_096
READ_WITHIN_S = 30.0
"""A caller that reads nothing of a stream for so long has left, whatever its connection says."""

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_encode = msgspec.json.Encoder().encode
_NO_SNIFFING = (b"x-content-type-options", b"nosniff")
_NO_STORE = (b"cache-control", b"no-store")


class Application:
    """One process's application.

    Args:
        opening: Makes its services at the start and says how to close them.
        open_beside: Makes the server that serves them over another protocol, where there is one.
    """

    def __init__(self, opening: Opening, open_beside: OpenBeside | None = None) -> None:
        self._opening = opening
        self._open_beside = open_beside
        self._beside: Beside | None = None
        self._closing: Callable[[], Awaitable[None]] | None = None
        self._routes = Routes()
        self._services: Services | None = None
        self._access: Access | None = None
        self._idempotency = Idempotency(_encode)

    async def start(self) -> None:
        """Open the services."""
        self._services, self._closing = await self._opening()
        self._access = Access(self._services.settings, self._services.keys)
        if self._open_beside is not None:
            self._beside = self._open_beside(self._services, self._access, self._idempotency)
            await self._beside.start()

    async def leave(self) -> None:
        """Take no more calls beside HTTP, and let those in flight end."""
        if self._beside is not None:
            await self._beside.stop()

    async def stop(self) -> None:
        """Close them, with everything written that was taken."""
        await self.leave()
        if self._closing is not None:
            await self._closing()
        self._closing = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI entry."""
        if scope["type"] == "http":
            await self._serve(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(receive, send)
        else:
            await send({"type": "websocket.close", "code": 1003})

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                try:
                    await self.start()
                except Exception as error:
                    log.exception("the decision API can't start")
                    await send({"type": "lifespan.startup.failed", "message": str(error)})
                    return
                await send({"type": "lifespan.startup.complete"})
            else:
                await self.stop()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        timing = Timing()
        services, access = self._services, self._access
        assert services is not None, "the server runs the lifespan before it serves"
        assert access is not None
        admission = services.admission
        headers: dict[bytes, bytes] = dict(reversed(scope["headers"]))  # of a repeated one the first
        given = headers.get(b"x-request-id")
        request_id = given.decode() if given is not None and _REQUEST_ID.fullmatch(given) else random_hex(8)
        operation = "none"
        cors: Headers = ()
        limited: Headers = ()
        has_unread_body = headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers
        try:
            path = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1").partition("?")[0]
            found, parameters = self._routes.find(path)
            cors = access.cors(headers)
            method = scope["method"]
            endpoint = found.get("GET" if method == "HEAD" else method)
            if endpoint is None:
                answer = _elsewhere(path, method, found, headers, access)
            else:
                operation = endpoint.operation
                query = _query(scope["query_string"])
                key, limited = enter(services, access, endpoint, headers, query)
                body = b""
                if endpoint.request:
                    _check_media_type(headers, endpoint.accepts)
                    body = await _body(receive, headers, services.settings.max_body_bytes)
                    has_unread_body = False
                timing.mark("read")
                call = Call(method, path, headers, query, parameters, request_id, key, body, timing)
                if endpoint.streams:
                    answer = await endpoint.handler(services, call)
                else:
                    # Counted from here on: who sends a body slowly takes nobody's place.
                    with admission.request():
                        answer = await self._handle(services, endpoint, call)
        except ProblemError as problem:
            services.metrics.problems.labels(problem.slug).inc()
            answer = _of_problem(problem, request_id)
        except Exception:
            log.exception("request %s failed", request_id)
            services.metrics.problems.labels("internal").inc()
            detail = f"The request {request_id} failed; the log of the service says why."
            answer = _of_problem(ProblemError("internal", detail), request_id)
        if limited:
            answer = msgspec.structs.replace(answer, headers=(*answer.headers, *limited))
        if has_unread_body:
            is_http1 = scope["http_version"].startswith("1")
            is_drained = (not is_http1 or _is_small(headers)) and await _drain(
                receive, services.settings.max_body_bytes
            )
            if is_http1 and not is_drained:
                # The server closes it; a client that is not told sends its next request into it.
                answer = msgspec.structs.replace(answer, headers=(*answer.headers, (b"connection", b"close")))
        if isinstance(answer.body, AsyncIterator):
            await _respond_by_parts(receive, send, answer, answer.body, _headers(answer, cors, request_id, timing))
        else:
            body = answer.body if isinstance(answer.body, bytes) else _encode(answer.body)
            timing.mark("write")
            await _respond(send, answer, body, _headers(answer, cors, request_id, timing))
        services.metrics.requests.count(operation, answer.status)
        services.metrics.seconds.note(timing.total_s, operation)

    async def _handle(self, services: Services, endpoint: Endpoint, call: Call) -> Answer:
        if endpoint.request and HEADER in call.headers:
            handle = functools.partial(endpoint.handler, services, call)
            return await self._idempotency.answer(call, services.clock(), handle)
        return await endpoint.handler(services, call)


def _elsewhere(
    path: str, method: str, found: Mapping[str, Endpoint], headers: Mapping[bytes, bytes], access: Access
) -> Answer:
    """A path that does not exist, a method that does not fit, or a browser's question before it calls."""
    if not found:
        raise ProblemError("not-found", f"There is no {path[:100]}.")
    methods = ", ".join([*found, "OPTIONS"])
    allow = (b"allow", methods.encode())
    if method != "OPTIONS":
        raise ProblemError("method-not-allowed", f"{method[:20]} does not fit {path[:100]}.", headers=(allow,))
    if b"access-control-request-method" in headers:
        return Answer(b"", 204, headers=(allow, *access.preflight(headers, methods)))
    return Answer(b"", 204, headers=(allow,))


def _query(raw: bytes) -> dict[str, str]:
    if not raw:
        return {}
    if len(raw) > LONGEST_QUERY:
        raise ProblemError("invalid-field", f"The query has more than {LONGEST_QUERY} bytes.")
    return dict(parse_qsl(raw.decode("latin-1"), keep_blank_values=True))


def _check_media_type(headers: Mapping[bytes, bytes], accepted: tuple[str, ...]) -> None:
    """What is sent without a type is taken for the one that is meant."""
    media_type = headers.get(b"content-type", b"").partition(b";")[0].strip().lower().decode("latin-1")
    if media_type and media_type not in accepted:
        detail = f"The body is sent as {media_type[:60]!r}; {accepted[0]} is read."
        raise ProblemError("media-type", detail, field="Content-Type")
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise ProblemError("media-type", "Bodies are read without Content-Encoding.", field="Content-Encoding")


async def _body(receive: Receive, headers: Mapping[bytes, bytes], limit: int) -> bytes:
    """The whole body; refused by its declared length where that is too large, else as soon as it is."""
    declared = headers.get(b"content-length", b"")
    if declared.isdigit() and (len(declared) > 12 or int(declared) > limit):
        raise _too_large(limit)
    message = await receive() if declared else None
    if message is not None and message["type"] == "http.request" and not message.get("more_body"):
        return bytes(message.get("body", b""))  # by far the most
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_WITHIN_S):
            while True:
                if message is None:
                    message = await receive()
                if message["type"] != "http.request":
                    raise ProblemError("body-timeout", "The body ended before it was complete.")
                chunk = message.get("body", b"")
                size += len(chunk)
                if size > limit:
                    raise _too_large(limit)
                chunks.append(chunk)
                if not message.get("more_body"):
                    return b"".join(chunks)
                message = None
    except TimeoutError:
        raise ProblemError("body-timeout", f"The body did not come within {BODY_WITHIN_S:.0f} s.") from None


def _is_small(headers: Mapping[bytes, bytes]) -> bool:
    """Whether a body is as small as a decision's: it came with its headers, so reading it costs less than a new connection."""
    declared = headers.get(b"content-length", b"")
    return declared.isdigit() and len(declared) < 6 and int(declared) <= SMALL_BODY


async def _drain(receive: Receive, limit: int) -> bool:
    """Read what is left of a body that nobody wants, and say whether all came.

    Where it did not, the server ends the connection, over HTTP/2 with all its streams.
    """
    left = 8 * limit
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_WITHIN_S):
            while left > 0:
                message = await receive()
                if message["type"] != "http.request":
                    return False
                if not message.get("more_body"):
                    return True
                left -= len(message.get("body", b""))
    return False


def _too_large(limit: int) -> ProblemError:
    return ProblemError("body-too-large", f"A body may have {limit:,} bytes at most.")


def _of_problem(problem: ProblemError, request_id: str) -> Answer:
    headers = problem.headers
    if problem.retry_after is not None:
        headers = (*headers, (b"retry-after", str(problem.retry_after).encode()))
    return Answer(problem.problem(request_id), PROBLEMS[problem.slug].status, MEDIA_TYPE, headers)


def _headers(answer: Answer, cors: Headers, request_id: str, timing: Timing) -> list[tuple[bytes, bytes]]:
    headers = [(b"x-request-id", request_id.encode()), (b"server-timing", timing.header()), _NO_SNIFFING]
    headers += answer.headers
    names = [name for name, _ in answer.headers]
    headers += (header for header in cors if header[0] not in names) if cors else ()
    if b"cache-control" not in names:
        headers.append(_NO_STORE)
    return headers


async def _respond(send: Send, answer: Answer, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    if answer.status not in {204, 304}:
        headers += ((b"content-type", answer.content_type), (b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _respond_by_parts(
    receive: Receive, send: Send, answer: Answer, parts: AsyncIterator[bytes], headers: list[tuple[bytes, bytes]]
) -> None:
    """Send parts as the caller reads them. One that leaves, or stops reading, ends them."""
    headers.append((b"content-type", answer.content_type))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    left = asyncio.ensure_future(receive())  # the body is read, so all that can come is that the caller left
    try:
        async for part in parts:
            async with asyncio.timeout(READ_WITHIN_S):
                await send({"type": "http.response.body", "body": part, "more_body": True})
            if left.done():
                return
        await send({"type": "http.response.body", "body": b""})
    except TimeoutError:
        log.info("a caller that stopped reading was cut off")
    finally:
        left.cancel()
        if isinstance(parts, AsyncGenerator):
            await parts.aclose()
