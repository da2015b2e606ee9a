"""The API over stores in memory, asked over gRPC with a real client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import grpc
import grpc.aio
import msgspec
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from service.api.app import Application
from service.rpc.decisions_pb2_grpc import DecisionsStub
from service.rpc.server import RpcServer
from tests.unit.service.api.shop import SETTINGS, Shop

if TYPE_CHECKING:
    from service.rpc.decisions_pb2_grpc import DecisionsAsyncStub

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Served:
    """A running server: its shop, its channel, and a typed client."""

    shop: Shop
    application: Application
    channel: grpc.aio.Channel
    stub: DecisionsAsyncStub


@asynccontextmanager
async def serving(shop: Shop) -> AsyncIterator[Served]:
    shop.settings = msgspec.structs.replace(shop.settings, grpc_port=0)
    ports: list[int] = []

    class Noted(RpcServer):
        async def start(self) -> int:
            ports.append(await super().start())
            return ports[0]

    application = Application(shop.open, Noted)
    await application.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{ports[0]}") as channel:
            yield Served(shop, application, channel, DecisionsStub(channel))
    finally:
        await application.stop()


def run(shop: Shop, ask: Callable[[Served], Awaitable[T]]) -> T:
    """What `ask` finds out about a server that runs meanwhile."""

    async def asked() -> T:
        async with serving(shop) as served:
            return await ask(served)

    return asyncio.run(asked())


def keyed(key: str, **more: str) -> tuple[tuple[str, str], ...]:
    """The metadata of a call with a key."""
    return (("authorization", f"Bearer {key}"), *((name.replace("_", "-"), value) for name, value in more.items()))


@dataclass(frozen=True, slots=True)
class Refused:
    """How a call ended that was refused: the code of gRPC, the stable one, the field, seconds, the request's id."""

    status: grpc.StatusCode
    code: str
    field: str | None
    retry_after: int | None
    request_id: str


async def refused(call: Awaitable[object]) -> Refused:
    """Why a call was refused; fails where it was not."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return reasons(error)
    raise AssertionError("it was answered")


def reasons(error: grpc.aio.AioRpcError) -> Refused:
    """The details of an error, as a client reads them."""
    status = rpc_status.from_call(error)  # type: ignore[arg-type]  # the stubs know calls without asyncio only
    assert status is not None, error
    found = Refused(error.code(), "", None, None, "")
    info, request = error_details_pb2.ErrorInfo(), error_details_pb2.RequestInfo()
    bad, retry = error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
    field, seconds = found.field, found.retry_after
    for detail in status.details:
        if detail.Unpack(bad):
            field = bad.field_violations[0].field
        elif detail.Unpack(retry):
            seconds = retry.retry_delay.ToSeconds()
        else:
            assert detail.Unpack(info) or detail.Unpack(request), detail
    assert info.domain == "salience"
    return Refused(error.code(), info.reason, field, seconds, request.request_id)


def limited(**more: int) -> Shop:
    """A shop with other settings."""
    return Shop(msgspec.structs.replace(SETTINGS, **more))
