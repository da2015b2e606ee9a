"""The gRPC server of one process, on the event loop and with the services that HTTP has there."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import re
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Self, TypeAlias

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from config.schema import ApiSettings
from service.api.access import Access
from service.api.call import Answer, Call, Endpoint, Headers
from service.api.entrance import enter
from service.api.idempotency import HEADER, Idempotency
from service.api.problems import ProblemError
from service.api.services import Services
from service.api.timing import Timing
from service.rpc.methods import BULK, BULK_ENDPOINT, METHODS, SERVICE, Method, Patience, decide_bulk
from service.rpc.status import metadata, status_of

log = logging.getLogger("salience.rpc")

Context: TypeAlias = grpc.aio.ServicerContext[bytes, bytes]

LARGEST_METADATA = 16_384
"""As much as HTTP takes in a few headers."""
WAY_BACK = 0.9
"""Of the caller's deadline that a decision may use: the rest is for the way back, or a fallback would come too late."""
WAITS_S = 30.0
"""A caller that sends nothing, or reads nothing, of a stream for so long has left, whatever its connection says."""
LOOK_S = 1.0
GRACE_S = 2.0
"""For calls in flight at the end; what gunicorn gives a process is 3 s."""

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")


class RpcServer:
    """Serves `salience.v1.Decisions`, health and reflection.

    Args:
        services: Of the process.
        access: Its keys.
        idempotency: Answers kept, of HTTP too; paths keep them apart.
    """

    def __init__(self, services: Services, access: Access, idempotency: Idempotency) -> None:
        self._services = services
        self._access = access
        self._idempotency = idempotency
        self._health = health.aio.HealthServicer()
        self._looking: asyncio.Task[None] | None = None
        settings = services.settings
        # Several processes listen on one port; the kernel gives each its share of the connections.
        self._server = grpc.aio.server(
            options=(
                ("grpc.so_reuseport", 1),
                ("grpc.max_receive_message_length", settings.max_body_bytes),
                ("grpc.max_metadata_size", LARGEST_METADATA),
                ("grpc.absolute_max_metadata_size", LARGEST_METADATA),
            )
        )
        handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            name: grpc.unary_unary_rpc_method_handler(functools.partial(self._answer, name, method))
            for name, method in METHODS.items()
        }
        handlers[BULK] = grpc.stream_stream_rpc_method_handler(self._answer_bulk)
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = (SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server)

    async def start(self) -> int:
        """Listen; the port. Raises `OSError` where that can't be."""
        settings = self._services.settings
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        address = f"{host}:{settings.grpc_port}"
        try:
            if settings.tls_certificate:
                port = self._server.add_secure_port(address, _credentials(settings))
            else:
                port = self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise OSError(f"{address} can't be listened on: {error}; see the setting api.grpc_port") from None
        await self._server.start()
        self._looking = asyncio.create_task(self._look())
        return port

    async def stop(self) -> None:
        """Take no more calls, and let those begun end; what is left after `GRACE_S` is cut. May be called again.

        A call that came and was not begun is told UNAVAILABLE, or CANCELLED by gRPC's core (grpc/grpc#41785).
        """
        if self._looking is not None:
            self._looking.cancel()
        await self._health.enter_graceful_shutdown()
        await self._server.stop(GRACE_S)

    async def _look(self) -> None:
        """Tell the health service whether rules are live, as /readyz does."""
        states = health_pb2.HealthCheckResponse
        while True:
            ready = self._services.rules.current is not None
            await self._health.set(SERVICE, states.SERVING if ready else states.NOT_SERVING)
            await asyncio.sleep(LOOK_S)

    async def _answer(self, name: str, method: Method, request: bytes, context: Context) -> bytes:
        services = self._services
        with _Told(services, method.endpoint, context) as told:
            call = self._enter(method.endpoint, name, request, context, told)
            with services.admission.request():
                handle = functools.partial(self._handle, method, call, _patience(context))
                if HEADER in call.headers:
                    answer = await self._idempotency.answer(call, services.clock(), handle)
                else:
                    answer = await handle()
                told.headers += answer.headers
                assert isinstance(answer.body, bytes)
                told.answer = answer.body
        return await told.end()

    async def _handle(self, method: Method, call: Call, patience: Patience) -> Answer:
        message = await method.handle(self._services, call, patience)
        return Answer(message.SerializeToString())

    async def _answer_bulk(self, requests: object, context: Context) -> None:
        with _Told(self._services, BULK_ENDPOINT, context) as told:
            call = self._enter(BULK_ENDPOINT, BULK, b"", context, told)
            answers = decide_bulk(self._services, call, _patience(context), _received(context))
            async with contextlib.aclosing(answers):
                async for answer in answers:
                    async with asyncio.timeout(WAITS_S):
                        await context.write(answer.SerializeToString())
        await told.end()

    def _enter(self, endpoint: Endpoint, method: str, request: bytes, context: Context, told: _Told) -> Call:
        headers: dict[bytes, bytes] = {}
        for name, value in context.invocation_metadata() or ():
            headers.setdefault(name.encode(), value if isinstance(value, bytes) else value.encode("latin-1", "replace"))
        given = headers.get(b"x-request-id", b"")
        if _REQUEST_ID.fullmatch(given):
            told.request_id = given.decode()
        key, told.headers = enter(self._services, self._access, endpoint, headers, {})
        told.timing.mark("read")
        return Call("POST", f"/{SERVICE}/{method}", headers, {}, {}, told.request_id, key, request, told.timing)


class _Told:
    """What a call is told at its end; a problem raised within becomes its status."""

    def __init__(self, services: Services, endpoint: Endpoint, context: Context) -> None:
        self._services = services
        self._endpoint = endpoint
        self._context = context
        self._problem: ProblemError | None = None
        self.timing = Timing()
        self.request_id = secrets.token_hex(8)
        self.headers: Headers = ()
        self.answer = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> bool:
        if isinstance(error, ProblemError):
            self._problem = error
        elif isinstance(error, TimeoutError):
            self._problem = ProblemError("body-timeout", f"Nothing was sent or read for {WAITS_S:.0f} s.")
        elif isinstance(error, Exception):
            log.error("request %s failed", self.request_id, exc_info=error)
            detail = f"The request {self.request_id} failed; the log of the service says why."
            self._problem = ProblemError("internal", detail)
        return self._problem is not None

    async def end(self) -> bytes:
        """The answer, or the end of the call by the problem; both with what HTTP tells in headers."""
        problem, metrics, operation = self._problem, self._services.metrics, f"grpc/{self._endpoint.operation}"
        headers = (
            *self.headers,
            *(() if problem is None else problem.headers),
            (b"x-request-id", self.request_id.encode()),
            (b"server-timing", self.timing.header()),
        )
        metrics.seconds.note(self.timing.total_s, operation)
        if problem is None:
            metrics.requests.count(operation, grpc.StatusCode.OK.name)
            self._context.set_trailing_metadata(metadata(headers))
            return self.answer
        metrics.problems.labels(problem.slug).inc()
        status = status_of(problem, self.request_id)
        metrics.requests.count(operation, status.code.name)
        await self._context.abort(status.code, status.details, (*status.trailing_metadata, *metadata(headers)))
        raise AssertionError("abort raises")


def _patience(context: Context) -> Patience:
    def left_ms() -> float | None:
        left_s: float | None = context.time_remaining()
        return None if left_s is None else 1000 * WAY_BACK * left_s

    return left_ms


async def _received(context: Context) -> AsyncIterator[bytes]:
    """The requests of a stream as they come; raises `TimeoutError` where none does."""
    while True:
        async with asyncio.timeout(WAITS_S):
            request: bytes | object = await context.read()
        if not isinstance(request, bytes):
            return  # EOF
        yield request


def _credentials(settings: ApiSettings) -> grpc.ServerCredentials:
    certificate = Path(settings.tls_certificate).read_bytes()
    key = Path(settings.tls_key).read_bytes() if settings.tls_key else certificate
    return grpc.ssl_server_credentials([(key, certificate)])
