"""The methods: each has the endpoint of HTTP that it is the same as, and hands its call to the same core."""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from google.protobuf.message import Message

from service.api import bulk, decide, exposures, ingest
from service.api.call import Call, Endpoint
from service.api.schema import RawDecideRequest
from service.api.services import Services
from service.rpc import decisions_pb2 as pb
from service.rpc import messages

SERVICE = pb.DESCRIPTOR.services_by_name["Decisions"].full_name

Patience: TypeAlias = Callable[[], float | None]
"""How many milliseconds the caller still waits; None: it did not say."""


@dataclass(frozen=True, slots=True)
class Method:
    """A method of one request and one answer."""

    endpoint: Endpoint
    handle: Callable[[Services, Call, Patience], Awaitable[Message]]


async def _decide(services: Services, call: Call, patience: Patience) -> Message:
    asked = decide.checked(services, call, messages.decide_request(call.body, patience()))
    return messages.decide_response(await decide.decided(services, call, asked))


async def _send_events(services: Services, call: Call, patience: Patience) -> Message:
    sent = messages.parse(pb.SendEventsRequest, call.body)
    sent_at = sent.sent_at if sent.HasField("sent_at") else None
    return messages.events_response(await ingest.take(services, call, messages.events(sent.events), sent_at))


async def _send_exposure(services: Services, call: Call, patience: Patience) -> Message:
    return messages.exposure_response(await exposures.expose(services, call, messages.exposure_request(call.body)))


METHODS = {
    "Decide": Method(decide.ENDPOINTS[0], _decide),
    "SendEvents": Method(ingest.ENDPOINTS[0], _send_events),
    "SendExposure": Method(exposures.ENDPOINTS[0], _send_exposure),
}
BULK = "DecideBulk"
BULK_ENDPOINT = bulk.ENDPOINTS[0]


async def decide_bulk(
    services: Services, call: Call, patience: Patience, requests: AsyncIterator[bytes]
) -> AsyncGenerator[Message]:
    """An answer to each request, in their order; raises `ProblemError`."""
    bulk.check_bulk(services, call)

    async def lines() -> AsyncIterator[bulk.Line]:
        number = 0
        async for raw in requests:
            number += 1
            yield bulk.Line(number, functools.partial(_read, raw, patience))

    async for answer in bulk.answers(services, call, lines()):
        yield messages.bulk_response(answer)


def _read(raw: bytes, patience: Patience) -> RawDecideRequest:
    return messages.decide_request(raw, patience())
