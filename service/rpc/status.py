"""Problems as the errors of gRPC: a status code, and the stable code and the rest in the details (`google.rpc.Status`)."""

from __future__ import annotations

from typing import Final

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from service.api.call import Headers
from service.api.problems import PROBLEMS, ProblemError

DOMAIN: Final = "salience"
"""Of the codes in ErrorInfo."""
CODES: Final = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    405: grpc.StatusCode.UNIMPLEMENTED,
    408: grpc.StatusCode.DEADLINE_EXCEEDED,
    413: grpc.StatusCode.INVALID_ARGUMENT,
    415: grpc.StatusCode.INVALID_ARGUMENT,
    422: grpc.StatusCode.FAILED_PRECONDITION,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    500: grpc.StatusCode.INTERNAL,
    503: grpc.StatusCode.UNAVAILABLE,
}
"""By HTTP status: so each problem type has one code of gRPC, too."""


def status_of(problem: ProblemError, request_id: str) -> grpc.Status:
    """The status that ends a call."""
    details: list[Message] = [
        error_details_pb2.ErrorInfo(reason=problem.slug, domain=DOMAIN),
        error_details_pb2.RequestInfo(request_id=request_id),
    ]
    if problem.field is not None:
        violation = error_details_pb2.BadRequest.FieldViolation(field=problem.field, description=problem.detail)
        details.append(error_details_pb2.BadRequest(field_violations=[violation]))
    if problem.retry_after is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromSeconds(problem.retry_after)
        details.append(retry)
    status = status_pb2.Status(code=CODES[PROBLEMS[problem.slug].status].value[0], message=problem.detail)
    for detail in details:
        packed = Any()
        packed.Pack(detail)
        status.details.append(packed)
    return rpc_status.to_status(status)


def metadata(headers: Headers) -> tuple[tuple[str, str], ...]:
    """Headers of an answer as metadata."""
    return tuple((name.decode(), value.decode("latin-1")) for name, value in headers)
